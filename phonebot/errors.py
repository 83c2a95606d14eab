"""
The tree of errors.

    PhonebotError
    ├── SettingsError        a setting is missing or wrong: the deployment's fault
    ├── ProfileError         a profile breaks a rule: the operator's fault
    ├── CarrierError         the carrier sent what its documentation rules out: the peer's fault
    │   ├── UnknownCarrierEvent   an event we do not know: ignored, since new ones may appear
    │   └── StaleCarrierMessage   one that came already: ignored, it harms nobody
    ├── AccountError         the carrier's REST API did not do what it was asked
    │   ├── CarrierRefused        it said no and will say so again: number, permission, credentials
    │   └── CarrierUnreachable    no answer, too many requests, 5xx; another try may work
    ├── ModelError           the model's side failed: the peer's fault
    │   ├── ModelUnreachable      no connection: network, DNS, time-out, 5xx
    │   ├── ModelRefused          it answered no: key, model, dialect, quota; asking again is no use
    │   ├── ModelProtocolError    it sent what the protocol rules out
    │   ├── UnfitAnswer           it wrote something else than it was asked to (realtime/text.py)
    │   └── NothingSaid           there is nothing that it could be asked about (after/texts.py)
    ├── AudioError           bytes that are not the audio they claim to be
    ├── StoreError           the database or the storage of recordings does not do what it should
    │   ├── StoreUnavailable      it cannot be reached or used now; another try may work
    │   ├── StoreTooNew           its tables were made by a newer version of phonebot
    │   ├── NotStored             what was asked for is not there
    │   ├── ChangedMeanwhile      somebody else saved the number since it was read (store/numbers.py)
    │   ├── UserRefused           a user cannot be as it was asked (store/users.py)
    │   ├── TokenRefused          nor can a token (store/tokens.py)
    │   ├── AnnotationRefused     a note or tags are too long, or too many (store/annotations.py)
    │   ├── OptOutRefused         what is not to be called is no number (store/opt_outs.py)
    │   ├── DialRefused           a call is not made (store/outbound.py)
    │   ├── NothingToCancel       it has ended already (store/outbound.py)
    │   ├── NothingToDo           nothing is left to be done after a call (store/after.py)
    │   └── MessageLost           neither the store nor the disk took a message (messages/inbox.py)
    ├── ListeningRefused     nobody may listen to a call, or not now
    ├── TextRefused          nobody may type this into a call, or not now
    ├── Refused              a stream is not let in (web/admission.py)
    ├── PricesError          a file of prices that is none (realtime/prices.py)
    ├── LogError             a call log that cannot be read (replay/log.py)
    ├── ExportRefused        the place for an exported log is taken (replay/export.py)
    ├── LinkFailed           Twilio did not link a number (linking.py)
    ├── UpdateRefused        a zipped log is not rewritten (replaying.py)
    ├── CalibrationFailed    a measuring call measured nothing (calibration/figures.py)
    ├── CallFailed           a simulated carrier's call came to nothing (simulator/record.py)
    ├── NotAdmitted          the embedded model's server refuses an upgrade (simulator/handshake.py)
    └── Refused              and a client's event (simulator/schema.py)

A peer's fault goes into the call log and the call goes on or ends politely; ours raises. Each error keeps its
values as attributes and makes its sentence in `__str__`.
"""


class PhonebotError(Exception):
    """The root: catch it to catch all of ours."""


class SettingsError(PhonebotError):
    """
    A setting is missing or has a value that cannot be used.

    `problems` holds one sentence per setting, each naming the setting and the remedy.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ProfileError(PhonebotError):
    """A profile breaks a rule. `problems` holds one sentence per key: where, what is wrong, what is allowed."""

    def __init__(self, source: str, *problems: str) -> None:
        super().__init__(source, *problems)
        self.source, self.problems = source, problems

    def __str__(self) -> str:
        return "\n".join(f"{self.source}: {problem}" for problem in self.problems)


class CarrierError(PhonebotError):
    """
    The carrier sent a message that its documentation rules out.

    `event` is the message's event name, or "message" when it has none that can be read. `sequence` is its
    sequence number, or None. `harmless`: it tells nothing against who sent it, however often it comes.
    """

    harmless = False

    def __init__(self, problem: str, event: str = "message", sequence: int | None = None) -> None:
        super().__init__(problem, event, sequence)
        self.problem, self.event, self.sequence = problem, event, sequence

    def __str__(self) -> str:
        where = self.event if self.sequence is None else f"{self.event} {self.sequence}"
        return f"{where}: {self.problem}"


class UnknownCarrierEvent(CarrierError):
    """An event name that the documentation does not list."""

    harmless = True


class StaleCarrierMessage(CarrierError):
    """A message that came already, or one that newer ones have overtaken."""

    harmless = True


class AccountError(PhonebotError):
    """The carrier's REST API did not do what it was asked."""


class CarrierRefused(AccountError):
    """
    It said no, and will say so again. `code` is that of its error dictionary, 0 when there is none.

    `message` is its own sentence, `remedy` the end of ours.
    """

    def __init__(self, code: int, message: str, remedy: str) -> None:
        super().__init__(code, message, remedy)
        self.code, self.message, self.remedy = code, message, remedy

    def __str__(self) -> str:
        said = f", {self.message:.200}" if self.message else ""
        return f"Twilio refuses it with error {self.code or 'unknown'}{said}: {self.remedy}"


class CarrierUnreachable(AccountError):
    """
    It did not do it now; another try may work.

    `unsure`: it may have been done, though nobody said so. `status` is that of the HTTP answer, None when there was
    none.
    """

    def __init__(self, problem: str, unsure: bool = False, status: int | None = None) -> None:
        super().__init__(problem, unsure, status)
        self.problem, self.unsure, self.status = problem, unsure, status

    def __str__(self) -> str:
        return self.problem


class ModelError(PhonebotError):
    """The model's side failed. `code` is the service's error code or close code as text, or None."""

    def __init__(self, problem: str, code: str | None = None) -> None:
        super().__init__(problem, code)
        self.problem, self.code = problem, code

    def __str__(self) -> str:
        return f"{self.problem} ({self.code})" if self.code else self.problem


class ModelUnreachable(ModelError):
    """
    No connection could be made or it was lost; another try may work.

    `unheard_ms`: what was sent for so long before, the service has perhaps not received.
    """

    def __init__(self, problem: str, code: str | None = None, unheard_ms: int = 0) -> None:
        super().__init__(problem, code)
        self.unheard_ms = unheard_ms


class ModelRefused(ModelError):
    """The service said no and will say so again: key, model, dialect, quota."""


class ModelProtocolError(ModelError):
    """The service sent what the Realtime protocol rules out."""


class AudioError(PhonebotError):
    """Bytes that are not the audio they claim to be."""


class StoreError(PhonebotError):
    """The database or the storage of recordings. `problem` is one sentence with its remedy."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class StoreUnavailable(StoreError):
    """It cannot be reached or used now; another try may work."""


class StoreTooNew(StoreError):
    """The tables of a database were made by a newer version of phonebot."""


class NotStored(StoreError):
    """What was asked for is not there."""


class ListeningRefused(PhonebotError):
    """Nobody may listen to a call, or not now. `why` says so, and the remedy if there is one."""

    def __init__(self, call_sid: str, why: str) -> None:
        super().__init__(call_sid, why)
        self.call_sid, self.why = call_sid, why

    def __str__(self) -> str:
        return f"nobody can listen to the call {self.call_sid}: {self.why}"


class TextRefused(PhonebotError):
    """Text is not typed into a call. `why` says so; `too_many`: it may be later."""

    def __init__(self, call_sid: str, why: str, too_many: bool = False) -> None:
        super().__init__(call_sid, why, too_many)
        self.call_sid, self.why, self.too_many = call_sid, why, too_many

    def __str__(self) -> str:
        return f"the text is not typed into the call {self.call_sid}: {self.why}"
