"""Whether what the settings name is there: functions, hooks, recordings, prices, providers of models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from phonebot.agents.tools import Known
from phonebot.checkup.check import Check
from phonebot.deployment import clips_of, hold_audio_of, prices_of, providers_of, workshop_for
from phonebot.errors import ProfileError, SettingsError
from phonebot.hooks.registry import load_hooks
from phonebot.realtime.failover import Provider
from phonebot.realtime.prices import LISTED, PriceTable
from phonebot.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """
    What could be made of the settings, and what was found on the way.

    `known` None: what profiles may name is not known. `providers` is empty where they cannot be used.
    """

    checks: list[Check]
    known: Known | None
    prices: PriceTable
    providers: tuple[Provider, ...]


def parts_of(settings: Settings) -> Parts:
    """Make them. What the settings do not name has no check. Modules of functions and hooks are imported."""
    checks = list[Check]()

    def made(name: str, set_: object, make: Callable[[], T], told: Callable[[T], str]) -> T | None:
        try:
            part = make()
        except (SettingsError, ProfileError) as error:
            checks.extend(_failed(name, problem) for problem in error.problems)
            return None
        if set_:
            checks.append(Check(name, "ok", told(part)))
        return part

    workshop = made(
        "Functions",
        settings.tools or settings.tool_error_formatter,
        lambda: workshop_for(settings),
        lambda workshop: f"those of {settings.tools or settings.tool_error_formatter} are loaded",
    )
    made("Hooks", settings.hooks, lambda: load_hooks(settings.hooks), lambda hooks: f"{len(hooks)} are loaded")
    made("Hold audio", settings.hold_audio, lambda: hold_audio_of(settings), lambda _: f"{settings.hold_audio}")
    made("Clips", settings.clips, lambda: clips_of(settings), lambda _: f"those in {settings.clips} can be played")
    prices = made(
        "Price file", settings.prices, lambda: prices_of(settings), lambda _: f"{settings.prices} is used"
    )
    providers = made(
        "Providers",
        settings.providers,
        lambda: providers_of(settings),
        lambda providers: f"asked in this order: {', '.join(each.name for each in providers)}",
    )
    return Parts(checks, workshop.known if workshop else None, prices or LISTED, providers or ())


def _failed(name: str, problem: str) -> Check:
    """Some problems begin with the setting, and then tell of what it names."""
    variable, _, told = problem.partition(": ")
    if told and variable.isupper():
        return Check(name, "failed", told, f"Correct {variable}, or what it names.")
    return Check.of_problem(name, problem)
