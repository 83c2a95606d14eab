"""What a terminal of 80 columns shows, and what a script reads."""

import json
from io import StringIO

from rich.console import Console

from phonebot.checkup.check import Check
from phonebot.doctor.command import Scrubber
from phonebot.doctor.examination import Report, Section
from phonebot.doctor.report import as_json, show

LONG = "words of a service that say more than a line of eighty columns holds, and then some more of it"
WELL = Report([Section("Kept", [Check("Database", "ok", "is there")])], 0.31)
BAD = Report(
    [
        Section("Kept", [Check("Database", "ok", "is there"), Check("Disk", "warning", "is full", "Free some.")]),
        Section(
            "Models",
            [
                Check("Model gateway", "failed", LONG, LONG),
                Check("A name that is longer than its column", "failed", "x\x1b[31m\ny", "Do it."),
                Check("Text model", "skipped", "not used"),
            ],
        ),
    ],
    1.25,
)


def shown(report: Report, **terms: bool) -> str:
    file = StringIO()
    show(Console(file=file, width=80, highlight=False, **terms), report, lambda text: text)  # type: ignore[arg-type]
    return file.getvalue()


def test_all_fits_into_80_columns_and_holds_no_control_characters() -> None:
    lines = shown(BAD).splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)
    assert lines[:6] == [
        "Kept",
        "  ok       Database          is there",
        "  warning  Disk              is full",
        "           → Free some.",
        "",
        "Models",
    ]
    first = lines.index("  FAILED   Model gateway     words of a service that say more than a line of")
    assert lines[first + 1] == " " * 29 + "eighty columns holds, and then some more of it"
    assert lines[first + 2] == f"{' ' * 11}→ words of a service that say more than a line of eighty columns"
    assert lines[first + 3] == f"{' ' * 13}holds, and then some more of it"
    assert lines[-2] == "2 failed, 1 warning, 1 ok, 1 skipped, in 1.2 s"
    assert lines[-1].endswith("docs/troubleshooting.md")


def test_a_terminal_gets_colours_and_a_file_none() -> None:
    assert "\x1b[" in shown(BAD, force_terminal=True)
    assert "\x1b[" not in shown(BAD)


def test_what_is_well_ends_with_its_count() -> None:
    assert shown(WELL).splitlines()[-1] == "1 ok, in 0.3 s"


def test_a_script_reads_each_check() -> None:
    told = json.loads(as_json(BAD, lambda text: text.replace("is full", "***")))
    assert (told["well"], len(told["checks"])) == (False, 5)
    assert told["checks"][1] == {
        "section": "Kept",
        "name": "Disk",
        "state": "warning",
        "sentence": "***",
        "remedy": "Free some.",
    }
    assert told["checks"][3]["sentence"] == "x [31m y"


def test_secrets_are_masked_wherever_others_put_them() -> None:
    scrub = Scrubber(["sk-secret", "sk-secret-and-more", "", "ab"])
    assert scrub("key sk-secret-and-more, sk-secret, ab") == "key ***, ***, ab"
