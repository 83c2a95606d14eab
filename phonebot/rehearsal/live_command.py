"""`phonebot replay --live`: holds the call, shows then and now, and checks the rules."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from phonebot.agents.numbers import Numbers
from phonebot.rehearsal.live import LiveReplay, replay_live
from phonebot.rehearsal.live_report import page, table
from phonebot.replay.archive import opened
from phonebot.replay.reader import read
from phonebot.replay.rules import Rules, broken
from phonebot.settings import Settings
from phonebot.simulator.caller import Event

Run = Callable[[Coroutine[Any, Any, LiveReplay]], LiveReplay]


def replay_and_compare(
    console: Console, path: Path, settings: Settings, rules: Rules, html: Path | None, run: Run
) -> bool:
    """`run` runs the call to its end. True if it could be held and breaks no rule."""
    with opened(path) as folder:
        log = read(folder)
    numbers = Numbers.load(settings.profiles) if settings.profiles else Numbers()
    with console.status("the recorded caller calls") as status:

        def show(event: Event) -> None:
            status.update(f"{event.at_ms / 1000:.1f} s: {escape(event.kind)} {escape(event.detail)}")

        replay = run(replay_live(log, settings, numbers, show))
    console.print(table(replay))
    problems = list(broken(rules, replay.after))
    for problem in [*replay.faults, *problems]:
        console.print(f"[red]not as it must be:[/red] {escape(problem)}", soft_wrap=True)
    console.print(f"[dim]call log[/dim]  {escape(str(replay.folder))}", soft_wrap=True)
    if html:
        html.write_text(page(f"{path.name}, then and now", replay, problems), encoding="utf-8")
        console.print(f"[dim]report[/dim]    {escape(str(html))}", soft_wrap=True)
    return not problems and not replay.faults
