"""
The functions that every deployment has: a profile names them among its `tools`, like those of the deployment.

    builtins = {each.name: each for each in (EndCall(), PressKeys())}
    function = builtins["end_call"].made_for(profile)       # a Runnable, or a sentence: why there is none

docs/telephony.md explains them to operators.
"""

from collections.abc import Iterable
from typing import Annotated, Protocol

from pydantic import Field

from phonebot.agents.profile import Profile
from phonebot.audio.dtmf import KEYS, PAUSES, tones
from phonebot.call.inputs import Leave
from phonebot.call.plan import Clip
from phonebot.errors import SettingsError
from phonebot.tools.functions import tool
from phonebot.tools.running import Leaving, Runnable, Speaking, ToolContext, ToolError

MAX_KEYS = 32  # at a time; as many as Twilio sends by SendDigits


class Builtin(Protocol):
    """A function that phonebot brings along."""

    @property
    def name(self) -> str: ...

    def made_for(self, profile: Profile) -> Runnable | str:
        """The function as this profile has it; or why it has to do without it, in a sentence."""
        ...


def check_names(builtins: Iterable[Builtin], functions: Iterable[str]) -> None:
    """Raises SettingsError if a deployment's own functions bear the name of one that is built in."""
    taken = sorted({each.name for each in builtins} & set(functions))
    if taken:
        raise SettingsError(*(f"PHONEBOT_TOOLS has a function {name}, which phonebot has itself" for name in taken))


STAYS_IF_SPOKEN_TO = "The call ends once the caller has heard you. If he speaks before, it goes on: answer him."


@tool(name="end_call", fillers=())
async def end_call(
    farewell: Annotated[
        str, Field(max_length=500, description='What is said before the call ends; "" if you have said goodbye.')
    ] = "",
) -> Leaving:
    """
    Hangs up. Call it when the caller has said goodbye, or has what he wanted and wants nothing more.

    He hears the farewell to its end before. Do not say anything after you have called it.
    """
    return Leaving(STAYS_IF_SPOKEN_TO, Leave(farewell.strip(), "bot_hung_up", listens=True))


@tool(name="press_keys", fillers=())
async def press_keys(
    keys: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_KEYS,
            pattern=f"^[{KEYS}{PAUSES}]+$",
            description="The keys, in their order: 0 to 9, * and #; w waits half a second, W a second.",
        ),
    ],
    call: ToolContext,
) -> str:
    """
    Presses keys of a telephone, which the other end hears as tones: to choose from its menu, or to give a number.

    Press only what the other end asks for.
    """
    if call.play is None:
        raise ToolError("There is no line to press keys on.")
    call.play(Clip("", tones(keys), over_speech=True))
    return f"The keys {keys} are being pressed. Wait for what the other end says to it."


SET_LANGUAGE = "set_language"


class SetLanguage:
    """Into one of the profile's `languages`, or back."""

    name = SET_LANGUAGE

    def made_for(self, profile: Profile) -> Runnable | str:
        if not profile.languages:
            return "the profile has no languages to change into; name them under languages"
        tags = list(dict.fromkeys((profile.language, *profile.languages)))

        @tool(name=SET_LANGUAGE, fillers=())
        async def set_language(
            language: Annotated[
                str, Field(description="The language to speak from now on.", json_schema_extra={"enum": list(tags)})
            ],
        ) -> Speaking:
            """
            Changes the language of the call. Call it when the caller speaks another one, or asks for it.

            Do not ask whether to change; go on in that language at once.
            """
            if language not in tags:
                raise ToolError(f"The languages are {', '.join(tags)}.")
            return Speaking(f"From now on you speak {language}. Go on with what the caller wanted.", language)

        return set_language


class EndCall:
    name = end_call.name

    def made_for(self, profile: Profile) -> Runnable | str:
        return end_call


class PressKeys:
    name = press_keys.name

    def made_for(self, profile: Profile) -> Runnable | str:
        return press_keys
