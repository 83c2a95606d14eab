"""
How one number is answered: what the operator edits, checked key by key and then frozen.

Where a key is passed on to the model, its name, range and default are those of the Realtime API reference (session:
noise reduction, temperature, maximum of output tokens). docs/profiles.md explains the keys to operators.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails

from phonebot.agents import after_call as afterwards
from phonebot.agents import agent as others
from phonebot.agents import faults, keypad, manners, transfers
from phonebot.agents import history as earlier
from phonebot.agents import hours as opening
from phonebot.agents import lookup as lookups
from phonebot.agents import messages as left
from phonebot.agents import outbound as outgoing
from phonebot.agents import prompt as placeholders
from phonebot.agents import tools as functions
from phonebot.agents import truncation as forgetting
from phonebot.agents.agent import MAX_PROMPT_CHARACTERS
from phonebot.agents.guardrails import COMMON, Guardrail, Guardrails, conflicts
from phonebot.agents.guardrails import sentence as guardrail_sentence
from phonebot.agents.history import HISTORY, History
from phonebot.agents.hours import HOURS, Hours
from phonebot.agents.keypad import KEYS, Keys
from phonebot.agents.listening import (
    DETECTIONS,
    END_KEY,
    BargeIn,
    LocalVad,
    NoVad,
    SemanticVad,
    ServerVad,
    Transcription,
    TurnDetection,
)
from phonebot.agents.lookup import LOOKUP, Lookup
from phonebot.agents.messages import MESSAGES, Messages
from phonebot.agents.outbound import OUTBOUND, Outbound
from phonebot.agents.table import NONE_IF_BLANK, Switch, Table
from phonebot.agents.truncation import TRUNCATION, Truncation
from phonebot.errors import ProfileError

DEFAULT_PROMPT = """\
You answer a phone call. Speak {language}, or the caller's language if it is another. Be friendly and brief: one or
two sentences at a time, no lists, nothing that must be seen to be understood. Ask again when something was unclear.
Do not make up facts; say so when you do not know."""

UNSUPPORTED = frozenset({"output", "tool_choice"})
"""Keys that are planned. They are refused rather than ignored: a profile promises nothing that is not done."""

_VERSION_CHARACTERS = 12

# language[-script][-region][-variants]: the part of RFC 5646, section 2.1, that is in use.
_LANGUAGE_TAG = (
    r"^[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*$"
)


def _check_placeholders(text: str, further: tuple[str, ...] = ()) -> str:
    """`further`: the placeholders that this profile has besides."""
    wrong = placeholders.check(text, further)
    if wrong:
        known = ", ".join(f"{{{name}}}" for name in (*placeholders.PLACEHOLDERS, *further))
        held = faults.cut(", ".join(wrong))
        raise ValueError(f"holds {held}, but only {known} are replaced; a brace itself is written {{{{ or }}}}")
    return text


def _check_template(text: str, info: ValidationInfo) -> str:
    if not info.data.keys() >= {"lookup", "hours", "history"}:
        return text  # one of them is wrong itself: the placeholders are not known
    return _check_placeholders(text, _further(info.data["lookup"], info.data["hours"], info.data["history"]))


def _further(lookup: Lookup | None, hours: Hours | None, history: History | None) -> tuple[str, ...]:
    """The placeholders that a profile has beside those that each has."""
    told = (earlier.PLACEHOLDER,) if history else ()
    return (*(lookup.names if lookup else ()), *(opening.PLACEHOLDERS if hours else ()), *told)


def _none_if_false(value: object) -> object:
    return None if value is False else value


_Template: TypeAlias = Annotated[str, AfterValidator(_check_template)]


class Profile(Table):
    """
    How one number is answered. `Profile()` is the built-in one.

    None means: `greeting`, the bot waits for the caller to speak; `voice`, `temperature` and `max_output_tokens`,
    the model's own default; `model`, the deployment's; `noise_reduction` and `transcription`, switched off.
    `temperature` reaches models of the beta dialect only, `truncation` those of the GA dialect. `greeting_audio`
    None: the model speaks the greeting; with `greeting_cache` in the first call of a version, whose greeting later
    calls are given.
    `lookup` None: nothing is asked about a caller; `hours`: it is always open; `history`: nothing is told of
    earlier calls; `keys`: what is keyed in is no answer.
    """

    name: Annotated[str, Field(max_length=100, description="text of at most 100 characters")] = ""
    language: Annotated[
        str, Field(max_length=35, pattern=_LANGUAGE_TAG, description='a BCP 47 tag such as "en-US" or "de"')
    ] = "en-US"
    languages: Annotated[
        list[Annotated[str, Field(max_length=35, pattern=_LANGUAGE_TAG)]],
        Field(max_length=20, description='at most 20 BCP 47 tags such as ["de-DE", "es"]'),
    ] = []
    # Before the texts that hold its placeholders.
    lookup: Annotated[Lookup | None, Field(description=LOOKUP)] = None
    hours: Annotated[Hours | None, Field(description=HOURS)] = None
    history: Annotated[History | None, Field(description=HISTORY)] = None
    greeting: Annotated[
        Annotated[_Template, Field(max_length=2_000)] | None,
        NONE_IF_BLANK,
        Field(description="text of at most 2000 characters"),
    ] = None
    greeting_audio: Annotated[
        Annotated[str, Field(min_length=1, max_length=255)] | None,
        Field(description="the name of a WAV file, of 1 to 255 characters"),
    ] = None
    greeting_cache: Switch = True
    prompt: Annotated[
        _Template,
        Field(max_length=MAX_PROMPT_CHARACTERS, description=f"text of at most {MAX_PROMPT_CHARACTERS} characters"),
    ] = DEFAULT_PROMPT
    voice: Annotated[
        Annotated[str, Field(min_length=1, max_length=64)] | None, Field(description="text of 1 to 64 characters")
    ] = None
    model: Annotated[
        Annotated[str, Field(min_length=1, max_length=128)] | None,
        Field(description="text of 1 to 128 characters"),
    ] = None
    turn_detection: Annotated[
        TurnDetection, Field(description='a table such as { type = "server_vad", silence_duration_ms = 700 }')
    ] = ServerVad()
    temperature: Annotated[
        Annotated[float, Field(ge=0.6, le=1.2)] | None,
        Field(description="a number from 0.6 to 1.2"),
    ] = None
    max_output_tokens: Annotated[
        Annotated[int, Field(ge=1, le=4_096)] | Literal["inf"] | None,
        Field(description='a whole number from 1 to 4096 or "inf"'),
    ] = None
    truncation: Annotated[Truncation | None, Field(description=TRUNCATION)] = None
    noise_reduction: Annotated[
        Literal["near_field", "far_field"] | None, Field(description='"near_field" or "far_field"')
    ] = None
    transcription: Annotated[
        Transcription | None,
        BeforeValidator(_none_if_false),
        Field(description='a table such as { model = "gpt-4o-mini-transcribe", language = "en" }, or false'),
    ] = Transcription()
    interruptible: Switch = True
    greeting_interruptible: Switch = True
    barge_in: Annotated[BargeIn, Field(description="a table such as { min_speech_ms = 300, hold_ms = 2000 }")] = (
        BargeIn()
    )
    keys: Annotated[Keys | None, Field(description=KEYS)] = None
    max_call_s: Annotated[
        int, Field(ge=10, le=14_400, description="a whole number of seconds from 10 to 14400")
    ] = 900
    max_cost_usd: manners.Usd = None
    max_cost_per_day_usd: manners.Usd = None
    limits: Annotated[manners.Limits, Field(description=manners.LIMITS)] = manners.Limits()
    no_input: Annotated[manners.NoInput | None, Field(description=manners.NO_INPUT)] = None
    record: Switch = True
    consent: Annotated[
        Annotated[_Template, Field(max_length=500)] | None,
        NONE_IF_BLANK,
        Field(description="text of at most 500 characters"),
    ] = None
    tools: Annotated[
        list[functions.ToolEntry],
        Field(max_length=functions.MAX_TOOLS, description=functions.TOOLS),
    ] = []
    agents: others.Agents = {}
    handoffs: others.Handoffs = []
    guardrails: Guardrails = []
    messages: Annotated[Messages, Field(description=MESSAGES)] = Messages()
    summary: afterwards.SummaryWish = None
    extract: afterwards.ExtractWish = None
    after_call: afterwards.AfterCallWish = None
    outbound: Annotated[Outbound, Field(description=OUTBOUND)] = Outbound()
    transfer_to: transfers.TransferTo = None
    destinations: transfers.Destinations = {}
    transfer: Annotated[transfers.Transfer, Field(description=transfers.TRANSFER)] = transfers.Transfer()
    # What is in the file of `greeting_audio`; "": it was not read.
    _greeting_clip: str = PrivateAttr("")
    # The version under which it is kept; "": it is not, its content says which it is.
    _version: str = PrivateAttr("")

    @model_validator(mode="after")
    def _check_greeting_audio(self) -> Self:
        if self.greeting_audio is None:
            return self
        if self.greeting is None:
            raise ValueError("greeting_audio needs greeting: the words that are said in it")
        if held := placeholders.used(self.greeting):
            raise ValueError(f"greeting holds {', '.join(held)}, which a recording (greeting_audio) cannot say")
        return self

    @model_validator(mode="after")
    def _check_barge_in(self) -> Self:
        """What would have no effect is refused: a profile promises nothing that is not done."""
        wanted = self.barge_in
        if wanted.backchannels and not wanted.hold_ms:
            raise ValueError("barge_in.backchannels needs barge_in.hold_ms: the words come only after the speech")
        if wanted.hold_ms and self.transcription is None:
            raise ValueError("barge_in.hold_ms needs transcription: it waits for the caller's words")
        by_ear = [key for key in ("min_speech_ms", "hold_ms", "echo_guard") if getattr(wanted, key)]
        if by_ear and isinstance(self.turn_detection, NoVad):
            raise ValueError(f'barge_in.{by_ear[0]} needs a turn_detection.type that hears speech, not "none"')
        return self

    @model_validator(mode="after")
    def _check_consent(self) -> Self:
        if self.consent is not None and not self.record:
            raise ValueError("consent needs record = true: it says that the call is recorded")
        return self

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if problem := keypad.conflict(self.keys, END_KEY if isinstance(self.turn_detection, NoVad) else None):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _check_tools(self) -> Self:
        for where, entries in self.tool_lists().items():
            for place, entry in enumerate(entries):
                confirm = entry.confirm if isinstance(entry, functions.HttpTool) else None
                if confirm and confirm.words and self.transcription is None:
                    raise ValueError(
                        f"{where}[{place}].confirm.words needs transcription: it waits for these words"
                    )
        return self

    @model_validator(mode="after")
    def _check_transfers(self) -> Self:
        is_named = any(transfers.FUNCTION in entries for entries in self.tool_lists().values())
        found = transfers.problems(self.transfer_to, self.destinations, self.transfer, is_named)
        if problem := next(found, None):
            raise ValueError(problem)
        return self

    @property
    def reachable(self) -> dict[str, transfers.Destination]:
        """To whom calls may be transferred, by name."""
        return transfers.reachable(self.transfer_to, self.destinations)

    @model_validator(mode="after")
    def _check_agents(self) -> Self:
        for name, agent in self.agents.items():
            self._check_text(f"agents.{name[:40]}.prompt", agent.prompt)
        handed_to = {each.to for entries in self.guardrail_lists().values() for each in entries if each.to}
        if problem := next(others.problems(self.agents, self.handoffs, self.tools, handed_to), None):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _check_outbound(self) -> Self:
        for key, text in self.outbound.texts.items():
            self._check_text(f"outbound.{key}", text, (*self.further, outgoing.REASON))
        return self

    @model_validator(mode="after")
    def _check_manners(self) -> Self:
        for key, text in manners.texts(self.no_input, self.limits):
            self._check_text(key, text)
        self._check_text("limits.sorry", self.limits.sorry or "", ())
        if self.no_input is None:
            return self
        if isinstance(self.turn_detection, NoVad):
            raise ValueError('no_input needs a turn_detection.type that hears speech, not "none"')
        idle_ms = self.turn_detection.idle_timeout_ms if isinstance(self.turn_detection, ServerVad) else None
        if idle_ms is not None and idle_ms <= self.no_input.after_s * 1000:
            raise ValueError(
                "no_input.after_s must be less than turn_detection.idle_timeout_ms: the model speaks before else"
            )
        return self

    @model_validator(mode="after")
    def _check_hours(self) -> Self:
        closed = self.hours.closed if self.hours else None
        if closed is None:
            return self
        if closed.problem:
            raise ValueError(closed.problem)
        for key in opening.FOR_MODEL:
            self._check_text(f"hours.closed.{key}", getattr(closed, key) or "")
        for key in opening.FOR_CARRIER:
            self._check_text(f"hours.closed.{key}", getattr(closed, key) or "", opening.PLACEHOLDERS)
        return self

    @model_validator(mode="after")
    def _check_messages(self) -> Self:
        if self.messages.problem:
            raise ValueError(self.messages.problem)
        return self

    def _check_text(self, where: str, text: str, further: tuple[str, ...] | None = None) -> None:
        """A text within a table, which does not know the profile's placeholders; None: all of them."""
        try:
            _check_placeholders(text, self.further if further is None else further)
        except ValueError as error:
            raise ValueError(f"{where} {error}") from None

    @property
    def further(self) -> tuple[str, ...]:
        """The placeholders that it has beside those that each profile has."""
        return _further(self.lookup, self.hours, self.history)

    @model_validator(mode="after")
    def _check_guardrails(self) -> Self:
        agents = (others.MAIN, *self.agents)
        if problem := next(conflicts(self.guardrail_lists(), agents, self.transcription is not None), None):
            raise ValueError(problem)
        return self

    def tool_lists(self) -> dict[str, list[functions.ToolEntry]]:
        """The functions of each agent, by the key under which they stand."""
        return {"tools": self.tools} | {f"agents.{name}.tools": each.tools for name, each in self.agents.items()}

    def guardrail_lists(self) -> dict[str, list[Guardrail]]:
        """Those of the profile, and each agent's own, by the key under which they stand."""
        own = {f"agents.{name}.guardrails": each.guardrails for name, each in self.agents.items()}
        return {COMMON: self.guardrails} | own

    @classmethod
    def from_table(cls, table: Mapping[str, object], source: str) -> "Profile":
        """
        The profile of a table as TOML or JSON gives it.

        Raises ProfileError for `source` with a sentence for each key that is wrong: where, why, what is allowed.
        """
        try:
            return cls.model_validate(dict(table))
        except ValidationError as error:
            # A value of two kinds (a number or "inf") has a fault for each; its sentence is the same.
            problems = dict.fromkeys(_sentence(fault) for fault in error.errors())
        raise ProfileError(source, *problems)

    @property
    def wishes(self) -> afterwards.Wishes:
        """What is to be done once a call has ended."""
        return afterwards.Wishes.model_construct(
            summary=self.summary, extract=self.extract, after_call=self.after_call
        )

    @property
    def greeting_clip(self) -> str:
        """The recorded greeting: base64 of raw mu-law at 8 kHz. Empty when there is none, or it was not read."""
        return self._greeting_clip

    def with_greeting_clip(self, audio: str) -> "Profile":
        """The same profile with what is in the file of its `greeting_audio`."""
        profile = self.model_copy()
        profile._greeting_clip = audio
        return profile

    def with_version(self, version: str) -> "Profile":
        """
        The same profile, known by the version that it had when it was saved.

        That of its content may be another one by now: a later version of phonebot has more keys.
        """
        profile = self.model_copy()
        profile._version = version
        return profile

    @property
    def version(self) -> str:
        """
        Changes with each change of the profile, its recordings included.

        It is the start of the SHA-256 of its content, in hexadecimal; or that of `with_version`.
        """
        if self._version:
            return self._version
        content = self.model_dump_json() + self._greeting_clip
        return hashlib.sha256(content.encode()).hexdigest()[:_VERSION_CHARACTERS]


# Tables by their place in a fault: below turn_detection pydantic adds the type.
_TABLES: dict[tuple[int | str, ...], type[Table]] = {
    ("turn_detection", "server_vad"): ServerVad,
    ("turn_detection", "semantic_vad"): SemanticVad,
    ("turn_detection", "local"): LocalVad,
    ("turn_detection", "none"): NoVad,
    ("transcription",): Transcription,
    ("barge_in",): BargeIn,
    (): Profile,
}


# Who tells what is wrong with a key, by the fault's place below it; and who does so of what is within it alone.
_Tell: TypeAlias = Callable[[tuple[int | str, ...], ErrorDetails], str]
_SENTENCES: dict[int | str, _Tell] = {
    "history": earlier.sentence,
    "hours": opening.sentence,
    "limits": manners.sentence_of_limits,
    "no_input": manners.sentence_of_no_input,
    "keys": keypad.sentence,
    "lookup": lookups.sentence,
    "messages": left.sentence,
    "outbound": outgoing.sentence,
    "truncation": forgetting.sentence,
}
_SENTENCES_WITHIN: dict[int | str, _Tell] = {
    "agents": others.sentence,
    "guardrails": guardrail_sentence,
    "tools": functions.sentence,
    "destinations": transfers.sentence,
    "transfer": transfers.sentence_of_transfer,
}


def _sentence(fault: ErrorDetails) -> str:
    loc = fault["loc"]
    if not loc:  # it is about keys that do not go together
        return str(fault["ctx"]["error"])
    own = _SENTENCES.get(loc[0]) or (_SENTENCES_WITHIN.get(loc[0]) if len(loc) > 1 else None)
    if own:
        return own(loc[1:], fault)
    if loc[0] in afterwards.KEYS and len(loc) > 1:
        return afterwards.sentence(loc, fault)
    within = next(place for place in _TABLES if loc[: len(place)] == place and len(loc) > len(place))
    table, key = _TABLES[within], str(loc[len(within)])
    if table is Profile and key in UNSUPPORTED:
        return f"{key} is not supported by this version"
    if fault["type"] == "union_tag_invalid":
        return f"turn_detection.type is {faults.shown(fault['input']['type'])}; it must be {DETECTIONS}"
    return faults.sentence(".".join(map(str, within[:1])), key, table, fault)
