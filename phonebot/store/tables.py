"""
The tables. docs/store.md says in a line what is in each.

    numbers -< profile_versions        calls -< turns, tool_calls, usage; - call_texts, after_calls
    users -< sessions                  api_tokens, spent_tokens, audit, counters
    live_processes, live_calls, live_commands, live_audio: calls in progress; continuations: between two streams
    spent, spent_in_all, alarms: what calls cost in a day, and who was told that it is too much
    outbound_calls, opt_outs: whom we call, and whom no more
    messages - after_calls                 what callers left, from during their calls on
    greetings: what the model said at the begin of calls, by version

A call's rows hold no reference to a number: a number may go, its calls stay until they are deleted themselves. All
that has a call's content refers to it and is deleted with it, but for outbound_calls, which come before the call.

A change here needs a migration (migrations/versions); a test compares the two.
"""

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

NUMBER_CHARACTERS = 100  # a caller with a SIP address has more than a number's 16
HASH_CHARACTERS = 64  # SHA-256 in hexadecimal
DEFAULT = "default"  # in place of a number: all that have no entry of their own

# Names that both databases and the migrations agree on: a constraint without a name cannot be dropped later.
_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no time zone, so one without it is refused and each comes back with it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError("a moment without a time zone cannot be kept")
        try:
            return value.astimezone(UTC)
        except OverflowError:  # within a day of the calendar's first or last one, as somebody may ask for calls
            return _FIRST if value.year == 1 else _LAST

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite counts up by itself only in a column that it calls INTEGER.
Id = BigInteger().with_variant(Integer(), "sqlite")
# JSON, not JSONB: the keys keep the order in which they were written. None is NULL.
Json = JSON(none_as_null=True)
Number = String(NUMBER_CHARACTERS)
Hash = String(HASH_CHARACTERS)


class Table(DeclarativeBase):
    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy's own name for it)
        datetime: Moment(),
        str: Text(),
        float: Double(),
        dict[str, Any]: Json,
        list[str]: Json,
    }


class Counter(Table):
    """
    A number that grows with each change of what it is named after. `profiles` and `greetings` are always there.
    """

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)


class NumberRow(Table):
    """
    A number that is answered, or `default` for all others.

    `imported_hash`: of what a file last gave for it; None: no file did. `retention_days`: after so many days the
    content of its calls is deleted; None: kept.
    """

    __tablename__ = "numbers"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    number: Mapped[str] = mapped_column(Number, unique=True)
    created_at: Mapped[datetime]
    imported_hash: Mapped[str | None] = mapped_column(Hash)
    retention_days: Mapped[int | None]

    versions: Mapped[list["ProfileVersion"]] = relationship(
        back_populates="number",
        order_by="ProfileVersion.sequence",
        passive_deletes=True,
        cascade="all, delete-orphan",
    )


class ProfileVersion(Table):
    """
    A version of a number's profile. Nothing in it changes but `test_callers`.

    `sequence` counts from 1 per number. `version` is the profile's own, a hash of its content. `profile` is the
    table as the operator wrote it, keys in his order. `test_callers`: only they get it; None: everyone does.
    """

    __tablename__ = "profile_versions"
    __table_args__ = (UniqueConstraint("number_id", "sequence"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    number_id: Mapped[int] = mapped_column(ForeignKey("numbers.id", ondelete="CASCADE"))
    sequence: Mapped[int]
    version: Mapped[str] = mapped_column(Hash, index=True)
    profile: Mapped[dict[str, Any]]
    author: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    note: Mapped[str] = mapped_column(Text, default="")
    test_callers: Mapped[list[str] | None]

    number: Mapped[NumberRow] = relationship(back_populates="versions")


class GreetingRow(Table):
    """
    A greeting as the model spoke it, to be played in later calls: raw mu-law at 8 kHz.

    `key` is a hash of what it depends on: the rest up to `text`. `voice` None: the model's own.
    """

    __tablename__ = "greetings"

    key: Mapped[str] = mapped_column(Hash, primary_key=True)
    version: Mapped[str] = mapped_column(Hash, index=True)
    provider: Mapped[str] = mapped_column(String(100))
    model: Mapped[str] = mapped_column(String(200))
    voice: Mapped[str | None] = mapped_column(String(100))
    text: Mapped[str]
    audio: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(index=True)


class CallRow(Table):
    """
    A call that has ended. What is missing was not known: its log could not be read.

    `number` is the one of ours whose profile answered, whichever side dialled. `generated_ms`: of the bot's speech,
    of which `heard_ms` were heard. `latency_*_ms`: from the caller's last word to the first sound of the answer.
    `corrections`: items that the model was told to cut or to forget since they were not heard in full.
    `storage_key`: under which the log and the recordings are, see recordings.py; None: they are not kept.
    `cost_usd`: of the model's responses, at list price; None when the model has none. Who deletes it,
    since its time is over, has it until `lease_until`; None: nobody does.
    """

    __tablename__ = "calls"
    __table_args__ = (
        CheckConstraint("kind IN ('twilio', 'browser', 'outbound')", name="kind"),
        # The lists show the newest first: of all, of one number, of one caller, with one outcome.
        Index("ix_calls_started_at_id", "started_at", "id"),
        Index("ix_calls_number_started_at", "number", "started_at"),
        Index("ix_calls_from_number_started_at", "from_number", "started_at"),
        Index("ix_calls_to_number_started_at", "to_number", "started_at"),
        Index("ix_calls_outcome_started_at", "outcome", "started_at"),
        Index("ix_calls_ended_at", "ended_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    call_sid: Mapped[str] = mapped_column(String(64), unique=True)
    stream_sid: Mapped[str | None] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16), default="twilio")
    from_number: Mapped[str] = mapped_column(Number)
    to_number: Mapped[str] = mapped_column(Number)
    number: Mapped[str] = mapped_column(Number)
    profile_name: Mapped[str] = mapped_column(String(100), default="")
    profile_version: Mapped[str] = mapped_column(Hash, default="")
    provider: Mapped[str | None] = mapped_column(String(100))
    model: Mapped[str | None] = mapped_column(String(200))
    software_version: Mapped[str] = mapped_column(String(40), default="")
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    duration_ms: Mapped[int | None]
    outcome: Mapped[str | None] = mapped_column(String(40))
    cost_usd: Mapped[float | None]
    caller_talk_ms: Mapped[int] = mapped_column(default=0)
    bot_talk_ms: Mapped[int] = mapped_column(default=0)
    interruptions: Mapped[int] = mapped_column(default=0)
    generated_ms: Mapped[int] = mapped_column(default=0)
    heard_ms: Mapped[int] = mapped_column(default=0)
    corrections: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    latency_p50_ms: Mapped[int | None]
    latency_p95_ms: Mapped[int | None]
    round_trip_ms: Mapped[int | None]
    has_audio: Mapped[bool] = mapped_column(default=False)
    storage_key: Mapped[str | None] = mapped_column(String(300), unique=True)
    note: Mapped[str] = mapped_column(Text, default="")
    tags: Mapped[list[str]] = mapped_column(Json, default=list)
    lease_until: Mapped[datetime | None]

    turns: Mapped[list["TurnRow"]] = relationship(
        order_by="TurnRow.sequence", passive_deletes=True, cascade="all, delete-orphan"
    )
    tool_calls: Mapped[list["ToolCallRow"]] = relationship(
        order_by="ToolCallRow.sequence", passive_deletes=True, cascade="all, delete-orphan"
    )
    usage: Mapped[list["UsageRow"]] = relationship(
        order_by="UsageRow.sequence", passive_deletes=True, cascade="all, delete-orphan"
    )
    search: Mapped["CallText | None"] = relationship(passive_deletes=True, cascade="all, delete-orphan")
    after: Mapped["AfterRow | None"] = relationship(passive_deletes=True, cascade="all, delete-orphan")

    @property
    def cost_per_minute_usd(self) -> float | None:
        """None: the model has no price, or the call took no time."""
        return per_minute(self.cost_usd, self.duration_ms or 0)

    @property
    def caller(self) -> str:
        """The other side: who called, or whom we called."""
        return self.to_number if self.kind == "outbound" else self.from_number


class CallText(Table):
    """
    What a call is found by: its words, numbers, names, tags and note, as `search.searchable` makes it.

    A table of its own, so that the list of calls is read without their texts.
    """

    __tablename__ = "call_texts"

    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    text: Mapped[str]


class MessageRow(Table):
    """
    A message that a caller left, from the moment on at which he did.

    It is of the call `call_sid`, which may be in progress: that is filed later, and takes the message with it when
    it is deleted. `number` is the one of ours that was called. `call_back`: where the caller wants to be called; ""
    if that is not known. `for_whom` "": whoever reads it. `done_at`, `done_by`: when and by whom it was dealt with;
    None: it is new. `found_by`: what it is found by, as `search.searchable` makes it.
    """

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_taken_at_id", "taken_at", "id"),
        # The new ones are few, and asked for all the time.
        Index("ix_messages_done_at_taken_at", "done_at", "taken_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    message_id: Mapped[str] = mapped_column(String(36), unique=True)
    call_sid: Mapped[str] = mapped_column(String(64), index=True)
    taken_at: Mapped[datetime]
    number: Mapped[str] = mapped_column(Number)
    profile_name: Mapped[str] = mapped_column(String(100), default="")
    from_number: Mapped[str] = mapped_column(Number)
    name: Mapped[str] = mapped_column(String(100), default="")
    call_back: Mapped[str] = mapped_column(Number, default="")
    for_whom: Mapped[str] = mapped_column(String(100), default="")
    urgent: Mapped[bool] = mapped_column(default=False)
    text: Mapped[str]
    done_at: Mapped[datetime | None]
    done_by: Mapped[str | None] = mapped_column(String(100))
    found_by: Mapped[str]

    after: Mapped["AfterRow | None"] = relationship(passive_deletes=True, cascade="all, delete-orphan")


class AfterRow(Table):
    """
    What is to be done after a call, and what came of it; a call whose profile wants nothing has none. Or whom to
    tell of a message, which waits for no call's end.

    `wishes` are the profile's, as agents/after_call.py has them; of a message, `message` is its destination.
    `noted`: what the log tells beside the call's rows, hand-offs and guardrails that tripped. `state`: `waiting`
    for `due_at`, `done`, or `given_up`. Who works at it has it until `lease_until`, under `lease`.

    A text that was wanted has been made when it or its `_problem` is there. `write_attempts` count towards giving
    them up. `attempts`, `attempted_at` and `problem` are the delivery's; its id is the same in each.
    """

    __tablename__ = "after_calls"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'done', 'given_up')", name="state"),
        CheckConstraint("(call_id IS NULL) <> (message_id IS NULL)", name="one"),
        Index("ix_after_calls_state_due_at", "state", "due_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    call_id: Mapped[int | None] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), unique=True)
    message_id: Mapped[int | None] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), unique=True)
    wishes: Mapped[dict[str, Any]]
    noted: Mapped[dict[str, Any] | None]
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    due_at: Mapped[datetime]
    lease: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[datetime | None]
    write_attempts: Mapped[int] = mapped_column(default=0)
    summary: Mapped[str | None]
    summary_problem: Mapped[str | None]
    extracted: Mapped[dict[str, Any] | None]
    extracted_problem: Mapped[str | None]
    delivery_id: Mapped[str] = mapped_column(String(36))
    attempts: Mapped[int] = mapped_column(default=0)
    attempted_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    problem: Mapped[str | None]


class TurnRow(Table):
    """
    A line of the transcript, in ms of the call. `text` is what was heard; the rest of a cut one is `unheard_text`.

    `of_ms`: how much speech the bot had made, of which `heard_ms` were heard. `latency_ms`: of the bot's answer,
    from the caller's last word on; None for other lines. Of that `model_ms` were the model's and `ours_us`, in
    microseconds, ours. `typed_by`: who typed it; "" if it was said.
    """

    __tablename__ = "turns"
    __table_args__ = (
        # Percentiles are made of this alone, without the texts.
        Index(
            "ix_turns_call_id_latency_ms",
            "call_id",
            "latency_ms",
            sqlite_where=text("latency_ms IS NOT NULL"),
            postgresql_where=text("latency_ms IS NOT NULL"),
        ),
    )

    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    who: Mapped[str] = mapped_column(String(16))
    text: Mapped[str]
    unheard_text: Mapped[str] = mapped_column(Text, default="")
    cut: Mapped[bool] = mapped_column(default=False)
    heard_ms: Mapped[int | None]
    of_ms: Mapped[int | None]
    start_ms: Mapped[int | None]
    end_ms: Mapped[int | None]
    latency_ms: Mapped[int | None]
    model_ms: Mapped[int | None]
    ours_us: Mapped[int | None]
    item_id: Mapped[str | None] = mapped_column(String(200))
    typed_by: Mapped[str] = mapped_column(String(100), default="")


class ToolCallRow(Table):
    """A function that the model called, in ms of the call. `arguments` and `result` are JSON text as it came."""

    __tablename__ = "tool_calls"

    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    tool_call_id: Mapped[str | None] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(200))
    arguments: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[str | None]
    error: Mapped[str | None]
    start_ms: Mapped[int]
    end_ms: Mapped[int | None]


class UsageRow(Table):
    """The tokens of one response. Cached ones are part of the input ones."""

    __tablename__ = "usage"

    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    response_id: Mapped[str | None] = mapped_column(String(200))
    at_ms: Mapped[int]
    input_text: Mapped[int] = mapped_column(default=0)
    input_audio: Mapped[int] = mapped_column(default=0)
    input_image: Mapped[int] = mapped_column(default=0)
    cached_text: Mapped[int] = mapped_column(default=0)
    cached_audio: Mapped[int] = mapped_column(default=0)
    cached_image: Mapped[int] = mapped_column(default=0)
    output_text: Mapped[int] = mapped_column(default=0)
    output_audio: Mapped[int] = mapped_column(default=0)
    cost_usd: Mapped[float | None]


class OutboundRow(Table):
    """
    A call that somebody wants made from a number of ours, and what became of it.

    `state`: `queued` for `due_at`; `dialling` and `talking`, in which `due_at` is when to ask the carrier how it
    stands, should it say nothing by itself; or how it ended. `result` says how the last attempt went. `tries` has
    an entry for each: `at`, `call_sid`, `result`, `answered_by`, `problem`. `call_sid` is the current one's; None
    while dialling: the carrier has not told it. Who works at a call has it until `lease_until`, under `lease`.
    `cancelled_by`: who wants no further attempt.
    """

    __tablename__ = "outbound_calls"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'dialling', 'talking', 'done', 'failed', 'cancelled')", name="state"),
        Index("ix_outbound_calls_state_due_at", "state", "due_at"),
        Index("ix_outbound_calls_from_number_state", "from_number", "state"),
        Index("ix_outbound_calls_to_number_state", "to_number", "state"),
        Index("ix_outbound_calls_ended_at", "ended_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    to_number: Mapped[str] = mapped_column(Number)
    from_number: Mapped[str] = mapped_column(Number)
    reason: Mapped[str] = mapped_column(Text, default="")
    asked_by: Mapped[str] = mapped_column(String(100))
    asked_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16), default="queued")
    result: Mapped[str | None] = mapped_column(String(24))
    problem: Mapped[str] = mapped_column(Text, default="")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    attempted_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    lease: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[datetime | None]
    call_sid: Mapped[str | None] = mapped_column(String(64), index=True)
    answered_by: Mapped[str | None] = mapped_column(String(24))
    tries: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    cancelled_by: Mapped[str | None] = mapped_column(String(100))


class OptOutRow(Table):
    """A number that is not to be called: since when, who said so, and why."""

    __tablename__ = "opt_outs"

    number: Mapped[str] = mapped_column(Number, primary_key=True)
    at: Mapped[datetime]
    by: Mapped[str] = mapped_column(String(100))
    why: Mapped[str] = mapped_column(Text, default="")


class LiveProcess(Table):
    """A process that may hold calls. `seen_at`: when it last said that it is alive; whether it `takes_calls`."""

    __tablename__ = "live_processes"

    process: Mapped[str] = mapped_column(String(200), primary_key=True)
    seen_at: Mapped[datetime]
    takes_calls: Mapped[bool]


class LiveCallRow(Table):
    """
    A call in progress, as its process wrote it last.

    `stream` is the name of the stream that it is on; "": that has none. `counter` grows with each change.
    `snapshot` is JSON text: the transcript so far, and how the call stands. `outcome`: how it ended; then the row
    goes in some seconds. None: it has not.
    """

    __tablename__ = "live_calls"

    process: Mapped[str] = mapped_column(String(200), primary_key=True)
    call_sid: Mapped[str] = mapped_column(String(100), primary_key=True, index=True)
    stream: Mapped[str] = mapped_column(String(40))
    number: Mapped[str] = mapped_column(Number)
    caller: Mapped[str] = mapped_column(Number)
    started_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    counter: Mapped[int] = mapped_column(BigInteger)
    snapshot: Mapped[str]
    outcome: Mapped[str | None] = mapped_column(String(40))


class ContinuationRow(Table):
    """How a call goes on that has left its stream, and comes back perhaps: JSON, until it expires."""

    __tablename__ = "continuations"

    call_sid: Mapped[str] = mapped_column(String(100), primary_key=True)
    continuation: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SpentRow(Table):
    """What the calls of a number that a process held have cost on a day of UTC, in all, so far, in US dollars."""

    __tablename__ = "spent"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    process: Mapped[str] = mapped_column(String(200), primary_key=True)
    number: Mapped[str] = mapped_column(Number, primary_key=True)
    usd: Mapped[float] = mapped_column(Double)


class SpentInAllRow(Table):
    """What the calls of a number have cost on a day of UTC, in all processes: the sum of its rows in `spent`."""

    __tablename__ = "spent_in_all"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    number: Mapped[str] = mapped_column(Number, primary_key=True)
    usd: Mapped[float] = mapped_column(Double)


class AlarmRow(Table):
    """An alarm that was raised on a day, by its name: so it is raised once, whichever process comes to it first."""

    __tablename__ = "alarms"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    alarm: Mapped[str] = mapped_column(String(200), primary_key=True)
    at: Mapped[datetime]


class LiveCommand(Table):
    """
    What is wanted of a call that another process holds: `hang_up`, `say`, or `listen` and `follow`, which hold
    `until`; or `carrier`, what the carrier told of it, and `lost`, that its stream has ended.

    `wish` is JSON: what is to be said, and how, or what was told. `outcome` is the process's: `done`, or why not.
    None: it has not said yet.
    """

    __tablename__ = "live_commands"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    process: Mapped[str] = mapped_column(String(200), index=True)
    call_sid: Mapped[str] = mapped_column(String(100))
    what: Mapped[str] = mapped_column(String(16))
    who: Mapped[str] = mapped_column(String(100))
    wish: Mapped[str | None]
    asked_at: Mapped[datetime]
    until: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(40))


class LiveAudio(Table):
    """Half a second of a call that somebody in another process listens to: mu-law, the caller's, then the bot's."""

    __tablename__ = "live_audio"

    process: Mapped[str] = mapped_column(String(200), primary_key=True)
    call_sid: Mapped[str] = mapped_column(String(100), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    sound: Mapped[bytes] = mapped_column(LargeBinary)


class LiveEvents(Table):
    """What happened within half a second in a call that somebody in another process follows: lines of JSON."""

    __tablename__ = "live_events"

    process: Mapped[str] = mapped_column(String(200), primary_key=True)
    call_sid: Mapped[str] = mapped_column(String(100), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    events: Mapped[str]


class UserRow(Table):
    """Who may log in. `password_hash` is Argon2's text; None: no password was set yet."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('viewer', 'operator', 'admin')", name="role"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(300))
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    disabled: Mapped[bool] = mapped_column(default=False)


class SessionRow(Table):
    """A login of a user. `id_hash` is the SHA-256 of the cookie, which is kept nowhere."""

    __tablename__ = "sessions"

    id_hash: Mapped[str] = mapped_column(Hash, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    address: Mapped[str] = mapped_column(String(100), default="")
    user_agent: Mapped[str] = mapped_column(String(500), default="")


class ApiTokenRow(Table):
    """A bearer token of the API. `hash` is its SHA-256; `expires_at` None: it does not expire."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    hash: Mapped[str] = mapped_column(Hash, unique=True)
    scopes: Mapped[list[str]]
    created_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]


class SpentToken(Table):
    """
    The nonce of a token that may be used once and was. After `expires_at` the token is void without this row.

    Also, as "call:CallSid", a call that is over: no token opens a stream of it any more.
    """

    __tablename__ = "spent_tokens"

    nonce: Mapped[str] = mapped_column(String(100), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AuditRow(Table):
    """
    Who changed what. `what` is a verb such as `profile.save`; `target` what it was done to, such as `+15550100000`.

    `before` and `after` hold what the change replaced, and what by; None: there was nothing. `address` is the
    client's; empty on the command line.
    """

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_target_at", "target", "at"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    who: Mapped[str] = mapped_column(String(100))
    what: Mapped[str] = mapped_column(String(40))
    target: Mapped[str] = mapped_column(String(200))
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    address: Mapped[str] = mapped_column(String(100), default="")


def per_minute(usd: float | None, ms: int) -> float | None:
    """What a minute cost; None: it is not known what it cost, or there was none."""
    return None if usd is None or not ms else usd * 60_000 / ms
