"""The functions that every deployment has."""

import json

import pytest

from phonebot.agents.profile import Profile
from phonebot.audio.dtmf import tones
from phonebot.call.inputs import Leave
from phonebot.call.plan import Clip
from phonebot.errors import SettingsError
from phonebot.tools import tool
from phonebot.tools.builtin import STAYS_IF_SPOKEN_TO, EndCall, PressKeys, SetLanguage, end_call, press_keys
from phonebot.tools.running import Leaving, Runnable, Speaking, ToolContext, ToolError, ToolFault
from phonebot.tools.threads import Threads
from phonebot.tools.workshop import Workshop

BUILTINS = (EndCall(), PressKeys(), SetLanguage())


async def test_ending_a_call_says_goodbye_and_listens_meanwhile() -> None:
    arguments = json.dumps({"farewell": " Goodbye, then. "})
    ended = await end_call.run(arguments, ToolContext("CA1"), Threads().run)
    assert ended == Leaving(STAYS_IF_SPOKEN_TO, Leave("Goodbye, then.", "bot_hung_up", listens=True))
    assert await end_call.run("{}", ToolContext("CA1"), Threads().run) == Leaving(
        STAYS_IF_SPOKEN_TO, Leave("", "bot_hung_up", listens=True)
    )


async def test_keys_are_played_as_tones_even_while_the_other_end_speaks() -> None:
    played: list[Clip] = []
    told = await press_keys.run('{"keys": "12w#"}', ToolContext("CA1", play=played.append), Threads().run)
    assert played == [Clip("", tones("12w#"), over_speech=True)]
    assert told == "The keys 12w# are being pressed. Wait for what the other end says to it."


@pytest.mark.parametrize("keys", ["", "A", "1 2", "1" * 33])
async def test_what_is_no_key_is_not_pressed(keys: str) -> None:
    with pytest.raises(ToolFault):
        await press_keys.run(json.dumps({"keys": keys}), ToolContext("CA1", play=lambda _: None), Threads().run)


async def test_without_a_line_no_key_is_pressed() -> None:
    with pytest.raises(ToolError, match="no line"):
        await press_keys.run('{"keys": "1"}', ToolContext("CA1"), Threads().run)


def test_a_profile_names_them_like_any_other_function() -> None:
    workshop = Workshop(builtins=BUILTINS)
    profile = Profile(tools=["end_call", "press_keys"])
    assert workshop.known.lacks(profile.tool_lists()) == []
    equipment = workshop.equip(profile)
    assert [each.name for each in equipment.offers["main"].functions] == ["end_call", "press_keys"]
    assert equipment.functions["end_call"] is end_call


def test_one_that_a_profile_cannot_have_is_left_out_with_the_reason() -> None:
    class Never:
        name = "never"

        def made_for(self, profile: Profile) -> str:
            return f"{profile.name} has nobody to ask"

    offer = Workshop(builtins=(*BUILTINS, Never())).equip(Profile(name="Desk", tools=["never", "end_call"])).offers
    assert [each.name for each in offer["main"].functions] == ["end_call"]
    assert offer["main"].problems == ("never is left out: Desk has nobody to ask",)


def test_a_function_of_the_deployments_own_does_not_take_the_name_of_one() -> None:
    @tool(name="end_call")
    def mine() -> None:
        """Ends it."""

    with pytest.raises(SettingsError, match="PHONEBOT_TOOLS has a function end_call, which phonebot has itself"):
        Workshop({"end_call": mine}, builtins=BUILTINS)


async def test_the_language_becomes_one_of_the_profiles() -> None:
    made = SetLanguage().made_for(Profile(language="en-US", languages=["de-DE", "en-US", "es"]))
    assert not isinstance(made, str)
    schema = made.function.parameters
    assert schema["properties"]["language"]["enum"] == ["en-US", "de-DE", "es"]
    assert await spoken(made, "es") == Speaking(
        "From now on you speak es. Go on with what the caller wanted.", "es"
    )
    with pytest.raises(ToolError, match=r"The languages are en-US, de-DE, es\."):
        await spoken(made, "fr")


async def spoken(made: Runnable, language: str) -> object:
    return await made.run(json.dumps({"language": language}), ToolContext("CA1"), Threads().run)


def test_without_further_languages_there_is_nothing_to_change_into() -> None:
    offer = Workshop(builtins=BUILTINS).equip(Profile(tools=["set_language"])).offers["main"]
    assert offer.functions == ()
    assert offer.problems == (
        "set_language is left out: the profile has no languages to change into; name them under languages",
    )
