"""The dashboard and the alerts: what they ask for is there, and what they name."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from deploy_files import DEPLOY, lacks
from prometheus_client.parser import text_string_to_metric_families
from service_driver import PROFILE, SPEECH, StartService
from tool_driver import Waiter

from phonebot.agents.profile import Profile
from phonebot.simulator.caller import HangUp, Interrupt, Say, WaitForQuiet
from phonebot.simulator.mind import Call

ROOT = DEPLOY.parent
DASHBOARD = DEPLOY / "grafana" / "phonebot.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
CONFIG = DEPLOY / "prometheus" / "prometheus.yml"
TESTS = Path(__file__).parent / "alerts.test.yml"
OBSERVING = ROOT / "docs" / "observing.md"

COLUMNS = 24
"""Of Grafana's grid."""
OF_PROMETHEUS = {"up": {"job", "instance"}}
"""What it makes itself for each process that it asks."""
TARGET = {"job", "instance"}
"""Labels that it puts on all that a process tells."""
GRAFANA = {"$__rate_interval": "5m", "$job": ".*", "$instance": ".*"}
REMEDY = "promtool is not installed: apt-get install prometheus"

Panel = dict[str, Any]
Labels = dict[str, set[str]]


def panels() -> list[Panel]:
    return [each for each in json.loads(DASHBOARD.read_text("utf-8"))["panels"] if each["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """Whose it is, and the expression."""
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for variable, value in GRAFANA.items():
                expression = expression.replace(variable, value)
            yield panel["title"], expression
    for rule in rules():
        yield rule["alert"], rule["expr"]


def selectors(node: Any) -> Iterator[Any]:
    """Of an expression that was parsed: what it selects, with name and matchers."""
    if isinstance(node, promql.VectorSelector):
        yield node
        return
    children = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector", "param")]
    for child in [*children, *getattr(node, "args", [])]:
        if child is not None:
            yield from selectors(child)


def told_by(text: str) -> dict[str, Labels]:
    """Of each metric's name as it is asked for: the labels, and which values they have."""
    found: dict[str, Labels] = {}
    for family in text_string_to_metric_families(text):
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        for ending in endings:
            found[f"{family.name}{ending}"] = {}
        for sample in family.samples:
            for label, value in sample.labels.items():
                found.setdefault(sample.name, {}).setdefault(label, set()).add(value)
    return found


@pytest.fixture
async def told(start_service: StartService) -> dict[str, Labels]:
    """What a process tells after a call in which a function ran and the caller interrupted."""
    profile = Profile.from_table(PROFILE.model_dump(exclude_none=True) | {"tools": ["fail"]}, "test")
    service = await start_service(
        profile=profile, minds=lambda: Waiter(Call("fail", {})), PHONEBOT_TOOLS="call_tools"
    )
    await service.dial(
        WaitForQuiet(300), Say(SPEECH, "a question"), Interrupt(400, SPEECH, "an interruption"), HangUp()
    )
    await service.idle()
    status, text = await service.request("GET", "/metrics")
    assert status == 200
    return told_by(text)


async def test_all_that_is_asked_for_is_there_after_a_call(told: dict[str, Labels]) -> None:
    """Metrics, their labels, and the values that these are compared with; and all that is told is shown."""
    known = told | {name: {label: set() for label in labels} for name, labels in OF_PROMETHEUS.items()}
    asked = [(whose, selector) for whose, text in expressions() for selector in selectors(promql.parse(text))]
    missing = [f"{whose}: {selector.name}" for whose, selector in asked if selector.name not in known]
    assert missing == []
    assert len({selector.name for _, selector in asked}) > 50
    problems = [
        f"{whose}: {selector.name}, {matcher.name} {matcher.value!r}"
        for whose, selector in asked
        for matcher in selector.matchers.matchers
        if matcher.name not in TARGET and not _fits(matcher, known[selector.name])
    ]
    assert problems == []
    shown = {
        _without_bucket(selector.name) for whose, selector in asked if whose in {each["title"] for each in panels()}
    }
    told_of = {_without_bucket(name) for name in told if re.match(r"phonebot_(?!\w+_(created|sum|count)$)", name)}
    assert told_of - shown == set(), "each is on the dashboard"


def _without_bucket(name: str) -> str:
    return name.removesuffix("_bucket")


def _fits(matcher: Any, labels: Labels) -> bool:
    """Whether each value that it is compared with is one that there is."""
    wanted = (
        matcher.value.split("|") if matcher.op in (promql.MatchOp.Re, promql.MatchOp.NotRe) else [matcher.value]
    )
    return set(wanted) <= labels.get(matcher.name, set())


def test_a_name_that_is_in_no_metric_would_be_noticed() -> None:
    text = 'sum(rate(a_total{x=~"y|z"}[5m])) / on (b) group_left c_bucket > bool 3 or histogram_quantile(0.9, d)'
    names = [selector.name for selector in selectors(promql.parse(text))]
    assert sorted(names) == ["a_total", "c_bucket", "d"]
    text = "max_over_time(rate(e_total[1m])[1h:1m]) unless -f"
    assert sorted(selector.name for selector in selectors(promql.parse(text))) == ["e_total", "f"]


# ------------------------------------------------------------------------------------------- the dashboard


def test_the_dashboards_panels_fill_its_grid_and_do_not_overlap() -> None:
    everything = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    cells: dict[int, set[tuple[int, int]]] = {}
    for panel in everything:
        at = panel["gridPos"]
        columns, lines = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells[panel["id"]] = {(column, line) for column in columns for line in lines}
    assert len(cells) == len(everything), "each has an id of its own"
    overlapping = [pair for pair in combinations(cells, 2) if cells[pair[0]] & cells[pair[1]]]
    assert overlapping == []
    height = max(line for taken in cells.values() for _, line in taken) + 1
    whole = {(column, line) for column in range(COLUMNS) for line in range(height)}
    assert set().union(*cells.values()) == whole


def test_each_panel_says_what_it_shows_in_which_unit_from_the_data_source_that_is_chosen() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert {each["name"] for each in dashboard["templating"]["list"]} == {"datasource", "job", "instance"}
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)
    for panel in panels():
        assert panel["title"], panel["id"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == chosen, panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == chosen, panel["title"]
            assert target["legendFormat"], panel["title"]
            assert target["expr"].count("{") == target["expr"].count('job=~"$job",instance=~"$instance"'), target


# ------------------------------------------------------------------------------------------- the alerts


def test_each_alert_says_how_bad_it_is_and_where_it_is_written_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]
        document, _, section = rule["annotations"]["runbook"].partition("#")
        assert section in sections(document), rule["alert"]


def test_each_section_of_what_to_do_is_named_by_an_alert() -> None:
    named = {rule["annotations"]["runbook"].partition("#")[2] for rule in rules()}
    written = {section for section in sections("docs/observing.md") if section.startswith("phonebot")}
    assert written == named


@cache
def sections(document: str) -> set[str]:
    """The anchors of a document's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / document).read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_all_alerts_are_in_the_document() -> None:
    text = OBSERVING.read_text("utf-8")
    assert [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in text] == []


@pytest.fixture(scope="session")
def promtool() -> str:
    program = shutil.which("promtool")
    if program is None:
        lacks(REMEDY)
    return program


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", ALERTS), ("test", "rules", TESTS), ("check", "config", "--syntax-only", CONFIG)],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_prometheus_takes_the_files_and_its_alerts_fire_when_they_are_to(
    promtool: str, arguments: tuple[str | Path, ...]
) -> None:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_of_prometheus_reads_the_alerts_and_names_the_job_that_they_ask_for() -> None:
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    assert config["rule_files"] == [ALERTS.name]
    (job,) = config["scrape_configs"]
    matchers = [
        (matcher.name, matcher.value)
        for rule in rules()
        for selector in selectors(promql.parse(rule["expr"]))
        for matcher in selector.matchers.matchers
        if matcher.name == "job"
    ]
    assert set(matchers) == {("job", job["job_name"])}
