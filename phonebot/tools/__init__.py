"""
Functions that the model may call in the middle of a call: in Python here, over HTTP in a profile.

    from phonebot.tools import ToolContext, ToolError, tool

    @tool
    async def opening_hours(day: str) -> str:
        "Tells when we are open on a day of the week."
        ...

And guardrails of a call, which a profile names beside them:

    from phonebot.tools import guardrail

    @guardrail
    def shouting(text: str) -> bool:
        return text.isupper()
"""

from phonebot.tools.functions import Tool, tool
from phonebot.tools.guarding import GuardrailContext, GuardrailFunction, guardrail
from phonebot.tools.running import ToolContext, ToolError

__all__ = ["GuardrailContext", "GuardrailFunction", "Tool", "ToolContext", "ToolError", "guardrail", "tool"]
