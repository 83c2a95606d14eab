"""
A client that nobody here wrote, against the embedded server: the realtime session of the `openai-agents` package.

Its spoken turns are bursts of a tone, which the energy detector takes for speech.
"""

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession
from agents.realtime.events import RealtimeSessionEvent

from phonebot.simulator.mind import Call, Context, Line, Say
from phonebot.simulator.outputs import Options
from phonebot.simulator.server import ModelServer, serve

KEY = "sk-test-0123"
TURNS = {"type": "server_vad", "silence_duration_ms": 200, "interrupt_response": True, "create_response": True}
STORY = "once upon a time there was a very long story " * 4


class WeatherMind:
    """Looks up the weather when spoken to, and tells what the function found; tells a story when asked to begin."""

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        last = context.history[-1]
        if last.role == "tool":
            return (Say(f"It is {last.text}"),)
        if last.text == "tell me a story":
            return (Say(STORY),)
        if "weather" in context.tools:
            return (Say("One moment."), Call("weather", {"city": "Paris"}))
        return (Say("Good morning"),)


class Ear:
    """Understands one sentence."""

    async def recognise(self, pcm8k: bytes) -> str:
        return "what is the weather"


@function_tool
def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: Where.
    """
    return f"sunny in {city}"


def spoken(ms: int) -> bytes:
    """A loud tone as PCM16 at 24 kHz."""
    samples = [int(8000 * math.sin(2 * math.pi * 440 * n / 24000)) for n in range(ms * 24)]
    return struct.pack(f"<{len(samples)}h", *samples)


@asynccontextmanager
async def call(
    agent: RealtimeAgent[Any], options: Options | None = None
) -> AsyncIterator[tuple[ModelServer, RealtimeSession]]:
    async with serve(minds=WeatherMind, ear=Ear(), key=KEY, options=options) as server:
        settings: Any = {"model_settings": {"model_name": "gpt-realtime", "turn_detection": TURNS}}
        runner = RealtimeRunner(agent, config=settings | {"tracing_disabled": True})
        session = await runner.run(model_config={"url": f"{server.url}?model=gpt-realtime", "api_key": KEY})
        async with session:
            yield server, session


async def events_until(
    session: RealtimeSession, wanted: Callable[[RealtimeSessionEvent], bool]
) -> list[RealtimeSessionEvent]:
    events: list[RealtimeSessionEvent] = []
    async with asyncio.timeout(20):
        async for event in session:
            assert event.type != "error", event
            events.append(event)
            if wanted(event):
                return events
    raise AssertionError("the session ended")


def is_from_the_server(event: RealtimeSessionEvent, name: str) -> bool:
    return (
        event.type == "raw_model_event"
        and event.data.type == "raw_server_event"
        and event.data.data.get("type") == name
    )


async def speak(session: RealtimeSession) -> None:
    for audio in [spoken(20)] * 20 + [bytes(960)] * 20:
        await session.send_audio(audio)


def sound_of(events: list[RealtimeSessionEvent]) -> bytes:
    return b"".join(event.audio.data for event in events if event.type == "audio")


async def test_a_spoken_turn_is_answered_and_written_down() -> None:
    async with call(RealtimeAgent(name="Front desk", instructions="Be brief.")) as (server, session):
        await speak(session)
        events = await events_until(session, lambda event: event.type == "agent_end")
        texts = [
            part.transcript
            for event in events
            if event.type == "history_updated"
            for item in event.history
            if item.type == "message"
            for part in item.content
            if part.type in ("input_audio", "audio")
        ]
        assert "what is the weather" in texts
        assert texts[-1] == "Good morning"
        assert len(sound_of(events)) == len("Good morning") * 60 * 48
        (truth,) = server.sessions
        assert truth.config.instructions == "Be brief."
        assert truth.lines == (Line("user", "what is the weather"), Line("assistant", "Good morning"))


async def test_a_function_is_called_and_its_result_spoken() -> None:
    async with call(RealtimeAgent(name="Weather", tools=[weather])) as (server, session):
        await speak(session)
        events = await events_until(session, lambda event: event.type == "tool_end")
        assert events[-1].type == "tool_end"
        assert events[-1].output == "sunny in Paris"
        await events_until(session, lambda event: event.type == "agent_end" and len(server.sessions[0].lines) == 4)
        assert [line.text for line in server.sessions[0].lines] == [
            "what is the weather",
            "One moment.",
            "sunny in Paris",
            "It is sunny in Paris",
        ]


async def test_speech_interrupts_the_answer_and_the_model_forgets_what_was_not_heard() -> None:
    agent = RealtimeAgent[Any](name="Storyteller")
    async with call(agent, Options(speed=2)) as (server, session):
        await session.send_message("tell me a story")
        for _ in range(3):  # pieces of up to 800 ms
            await events_until(session, lambda event: event.type == "audio")
        await speak(session)
        events = await events_until(session, lambda event: is_from_the_server(event, "conversation.item.truncated"))
        assert "audio_interrupted" in [event.type for event in events]
        (truth,) = server.sessions
        story = truth.lines[1]
        assert story.role == "assistant"
        assert any(part.truncated for item in truth.conversation for part in item.parts)
        assert story.text
        assert STORY.startswith(story.text)
        assert len(story.text) < len(STORY) / 2
