"""
Which hooks a deployment has: those of the setting PHONEBOT_HOOKS.

    PHONEBOT_HOOKS=rosas.watching,rosas.alarms:on_trouble

All are loaded once, before the service starts.
"""

from types import ModuleType

from phonebot.errors import SettingsError
from phonebot.hooks.hook import Hook, hooks_in
from phonebot.tools.registry import named, reason

VARIABLE = "PHONEBOT_HOOKS"


def load_hooks(wanted: str = "") -> tuple[Hook, ...]:
    """
    The hooks of `wanted`, in the form of PHONEBOT_HOOKS, in order, none twice.

    Raises SettingsError with a sentence for each that there is not.
    """
    found: dict[Hook, None] = {}
    problems: list[str] = []
    for each in filter(None, (item.strip() for item in wanted.split(","))):
        try:
            found |= dict.fromkeys(_hooks(named(each)))
        except Exception as error:  # whatever a module raises when it is loaded
            problems.append(f"{VARIABLE}: {each[:80]} cannot be loaded: {reason(error)}")
    if problems:
        raise SettingsError(*problems)
    return tuple(found)


def _hooks(loaded: object) -> list[Hook]:
    if isinstance(loaded, Hook):
        return [loaded]
    if isinstance(loaded, ModuleType):
        if hooks := hooks_in(vars(loaded)):
            return hooks
        raise TypeError("no function in it is decorated with @hook")
    raise TypeError("it is no function that is decorated with @hook")
