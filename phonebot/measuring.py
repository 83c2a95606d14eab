"""The commands `phonebot bench ...`: this service measured against a simulated carrier and model."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.console import Console

from phonebot.errors import PhonebotError

if TYPE_CHECKING:  # each command imports what it needs: `phonebot --help` is there at once
    from phonebot.bench.accuracy_report import AccuracyReport
    from phonebot.bench.capacity_report import CapacityReport, LimitReport
    from phonebot.bench.cost_report import CostReport
    from phonebot.bench.database_report import DatabaseReport
    from phonebot.bench.faults_report import FaultsReport
    from phonebot.bench.report import LatencyReport

    Report: TypeAlias = (
        AccuracyReport | CapacityReport | CostReport | DatabaseReport | FaultsReport | LatencyReport | LimitReport
    )

bench = typer.Typer(help="Measure this service against a simulated carrier and model.", no_args_is_help=True)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

Calls = Annotated[int, typer.Option(min=1, max=1000, help="Calls at once.")]
Seconds = Annotated[float, typer.Option(min=1, max=600, help="How long each server is measured.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write every single run to this file.")]


class BenchServer(StrEnum):
    """What `bench capacity --find` can look at."""

    PHONEBOT = "phonebot"
    RELAY = "relay"
    PICOWS = "picows"


@bench.command()
def capacity(
    calls: Annotated[
        int, typer.Option(min=1, max=5000, help="Calls at once; with --find, of the first step.")
    ] = 100,
    seconds: Seconds = 20,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Turns; the ratios are their median.")] = 2,
    workers: Annotated[
        int | None, typer.Option(min=2, max=64, help="`phonebot serve` with so many workers, against one.")
    ] = None,
    find: Annotated[
        bool, typer.Option("--find", help="How many calls a core carries within 20 ms of delay, by steps.")
    ] = False,
    server: Annotated[
        list[BenchServer] | None, typer.Option(help="With --find: what to look at; may be repeated.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, max=1000, help="With --find: no more calls than these.")] = 1000,
    json: JsonFile = None,
) -> None:
    """CPU and memory per call, beside bare relays in the same run; or how many calls fit."""
    from phonebot.bench import capacity, limit
    from phonebot.bench.subject import Subject

    if find and workers:
        raise typer.BadParameter("give --find or --workers, not both")
    servers = server or [BenchServer.PHONEBOT]
    if find and BenchServer.PICOWS in servers and not capacity.has_picows():
        raise PhonebotError("picows is not installed: pip install 'phonebot[bench]'")
    report: CapacityReport | LimitReport
    with errors.status("measuring") as status:
        if find:
            subjects = [Subject(each.value) for each in servers]
            report = limit.find_limits(subjects, calls, most, seconds, progress=status.update)
        elif workers:
            report = capacity.measure_workers(workers, calls, seconds, rounds=rounds, progress=status.update)
        else:
            report = capacity.measure_capacity(calls, seconds, rounds=rounds, progress=status.update)
    _show(report, json)


@bench.command()
def latency(calls: Calls = 5, seconds: Seconds = 20, json: JsonFile = None) -> None:
    """Delay added in each direction, and time from the webhook to the first sound."""
    from phonebot.bench.latency import measure_latency

    with errors.status("measuring") as status:
        report = measure_latency(calls, seconds, progress=status.update)
    _show(report, json)


@bench.command()
def accuracy(
    only: Annotated[
        list[str] | None, typer.Option(help="A scenario, by the first words of its name; may be repeated.")
    ] = None,
    loaded_calls: Annotated[
        int,
        typer.Option("--calls", min=0, max=1000, help="Calls at once for the time of a clear; 0: leave it out."),
    ] = 100,
    json: JsonFile = None,
) -> None:
    """Heard position against what the carrier played; exit code 1 if it is off by more than a frame."""
    from phonebot.bench.accuracy import chosen, measure_accuracy

    try:
        scenarios = chosen(only or ())
    except PhonebotError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from error
    with errors.status("measuring") as status:
        report = measure_accuracy(scenarios, loaded_calls=loaded_calls, progress=status.update)
    _show(report, json)


@bench.command()
def faults(
    calls: Calls = 20,
    connect_ms: Annotated[
        int, typer.Option(min=0, max=5_000, help="What the model takes for a connection, and again for a session.")
    ] = 600,
    json: JsonFile = None,
) -> None:
    """How soon a caller hears the bot again when its model is lost, and what is lost; exit code 1 if it is late."""
    from phonebot.bench.faults import measure_faults

    with errors.status("measuring") as status:
        report = measure_faults(calls, connect_ms, connect_ms, progress=status.update)
    _show(report, json)


@bench.command()
def cost(json: JsonFile = None) -> None:
    """What each way of saving saves of what a call costs, by the embedded model's count of tokens."""
    from phonebot.bench.cost import measure_cost

    with errors.status("measuring"):
        report = measure_cost()
    _show(report, json)


@bench.command("database")
def database_load(
    calls: Annotated[int, typer.Option(min=1, max=100_000, help="Calls at once, in all processes.")] = 10_000,
    processes: Annotated[int, typer.Option(min=1, max=2_000, help="Of a deployment, that hold them.")] = 40,
    seconds: Annotated[float, typer.Option(min=1, max=3_600, help="How long it is measured.")] = 30,
    call_seconds: Annotated[float, typer.Option(min=1, max=3_600, help="How long a call lasts.")] = 180,
    consoles: Annotated[
        int, typer.Option(min=0, max=2_000, help="Processes in which somebody looks at the live calls.")
    ] = 5,
    generators: Annotated[int, typer.Option(min=1, max=64, help="Processes that play the load.")] = 1,
    slower: Annotated[
        float, typer.Option(min=1, max=100, help="All goes on so many times slower, but for deadlines.")
    ] = 1,
    json: JsonFile = None,
) -> None:
    """What so many calls ask of the empty PostgreSQL at PHONEBOT_DATABASE_URL; exit code 1 if it falls behind."""
    from phonebot.bench.database import measure_database
    from phonebot.bench.database_report import Load
    from phonebot.settings import load

    load_of = Load(calls, processes, call_seconds, consoles, generators, slower)
    with errors.status("measuring") as status:
        report = measure_database(load().database, load_of, seconds, progress=status.update)
    _show(report, json)


def _show(report: "Report", json: Path | None) -> None:
    console.print(report.table())
    if json:
        json.write_text(report.to_json() + "\n")
    if report.faults:
        raise typer.Exit(1)
