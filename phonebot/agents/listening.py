"""
How a bot listens: who decides when the caller speaks, what it takes to interrupt, and what writes his words down.

    turn_detection = { type = "server_vad", silence_duration_ms = 700 }
    barge_in = { min_speech_ms = 300, hold_ms = 2000, backchannels = ["mhm", "uh-huh"] }
    transcription = { model = "gpt-4o-mini-transcribe", language = "en" }

Where a key is passed on to the model, its name, range and default are those of the Realtime API reference (session:
turn detection, transcription). docs/barge-in.md and docs/profiles.md explain the keys to operators.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from phonebot.agents.table import Switch, Table

DETECTIONS = '"server_vad", "semantic_vad", "local" or "none"'

END_KEY = "#"
"""With it the caller ends his turn where nobody listens for its end."""

_Milliseconds: TypeAlias = Annotated[
    int, Field(ge=0, le=10_000, description="a whole number of milliseconds from 0 to 10000")
]
_Threshold: TypeAlias = Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")]


class ServerVad(Table):
    """
    The model's service decides by loudness when the caller speaks.

    `idle_timeout_ms`: after so long a silence the model speaks by itself; None: never.
    """

    type: Annotated[Literal["server_vad"], Field(description=DETECTIONS)] = "server_vad"
    threshold: _Threshold = 0.5
    prefix_padding_ms: _Milliseconds = 300
    silence_duration_ms: _Milliseconds = 500
    idle_timeout_ms: Annotated[
        Annotated[int, Field(ge=5_000, le=30_000)] | None,
        Field(description="a whole number of milliseconds from 5000 to 30000"),
    ] = None
    interrupt_response: Switch = True
    create_response: Switch = True


class SemanticVad(Table):
    """The model's service decides by what was said whether the caller has finished."""

    type: Annotated[Literal["semantic_vad"], Field(description=DETECTIONS)] = "semantic_vad"
    eagerness: Annotated[
        Literal["low", "medium", "high", "auto"], Field(description='"low", "medium", "high" or "auto"')
    ] = "auto"
    interrupt_response: Switch = True
    create_response: Switch = True


class LocalVad(Table):
    """
    phonebot decides by loudness and sound when the caller speaks: for services that do not.

    A pause of less than 100 ms cannot end a turn, since no service takes less audio than that. What lies before a
    turn is sent in one go: much of it would be dropped as a backlog. A silent line on which noise sets in sounds
    like 80 ms of speech: with more than that wanted it begins no turn. `withhold_silence`: what of a turn is no
    speech is not sent to the model.
    """

    type: Annotated[Literal["local"], Field(description=DETECTIONS)] = "local"
    threshold: _Threshold = 0.5
    prefix_padding_ms: Annotated[
        int, Field(ge=0, le=1_000, description="a whole number of milliseconds from 0 to 1000")
    ] = 300
    silence_duration_ms: Annotated[
        int, Field(ge=100, le=10_000, description="a whole number of milliseconds from 100 to 10000")
    ] = 500
    min_speech_ms: Annotated[
        int, Field(ge=20, le=1_000, description="a whole number of milliseconds from 20 to 1000")
    ] = 100
    interrupt_response: Switch = True
    create_response: Switch = True
    withhold_silence: Switch = False


class NoVad(Table):
    """
    Nobody decides when the caller speaks: he ends his turn with a key.

    `withhold_silence`: what of the time since the last one is no speech is not sent to the model.
    """

    type: Annotated[Literal["none"], Field(description=DETECTIONS)] = "none"
    withhold_silence: Switch = False


def _turn_detection_type(value: object) -> object:
    if isinstance(value, Mapping):
        return value.get("type", "server_vad")
    return getattr(value, "type", None)


TurnDetection: TypeAlias = Annotated[
    Annotated[ServerVad, Tag("server_vad")]
    | Annotated[SemanticVad, Tag("semantic_vad")]
    | Annotated[LocalVad, Tag("local")]
    | Annotated[NoVad, Tag("none")],
    Discriminator(_turn_detection_type),
]


class Transcription(Table):
    """What writes down the caller's words, beside the model. `language` None: it finds out by itself."""

    model: Annotated[str, Field(min_length=1, max_length=128, description="text of 1 to 128 characters")] = (
        "gpt-4o-mini-transcribe"
    )
    language: Annotated[
        Annotated[str, Field(pattern="^[a-z]{2,3}$")] | None,
        Field(description='an ISO 639 code such as "en" or "de"'),
    ] = None
    prompt: Annotated[
        Annotated[str, Field(max_length=2_000)] | None, Field(description="text of at most 2000 characters")
    ] = None


class BargeIn(Table):
    """
    What it takes for the caller to interrupt the bot. By default any speech that is detected does, at once.

    `min_speech_ms` of speech come first. Then the bot is paused for at most `hold_ms`, until the caller's words
    come: without any, or with `backchannels` alone, it goes on where it was. `echo_guard`: the bot's own voice
    coming back is no speech. `keys`: any key stops the bot. `when_not_interruptible`: whether the model hears what
    is said then.
    """

    min_speech_ms: Annotated[
        int, Field(ge=0, le=1_000, description="a whole number of milliseconds from 0 to 1000")
    ] = 0
    hold_ms: Annotated[int, Field(ge=0, le=5_000, description="a whole number of milliseconds from 0 to 5000")] = 0
    backchannels: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=40)]],
        Field(max_length=100, description='at most 100 texts of 1 to 40 characters such as ["mhm", "uh-huh"]'),
    ] = []
    echo_guard: Switch = False
    keys: Switch = False
    when_not_interruptible: Annotated[Literal["heard", "withheld"], Field(description='"heard" or "withheld"')] = (
        "heard"
    )
