"""
What happens in calls, told to code of the deployment. A module of hooks needs nothing else:

    from phonebot.hooks import Event, LiveCall, hook
    from phonebot.hooks.events import ToolEnd
"""

from phonebot.hooks.events import Event
from phonebot.hooks.hook import LiveCall, hook

__all__ = ["Event", "LiveCall", "hook"]
