"""What is saved of a profile, and what is refused, whoever edits it."""

from pathlib import Path

import pytest

from phonebot.agents.numbers import Numbers
from phonebot.agents.tools import Known
from phonebot.audio import wav
from phonebot.errors import NotStored, ProfileError
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.numbers import NumberStore
from phonebot.web.editing import ProfileEditor

ADA = Actor("ada")
DESK = "+15550100000"
FILE = """\
[default]
name = "all"

["+15550100000"]
name = "desk"
prompt = \"\"\"
You answer for Rosa.
It is {now}.
\"\"\"
turn_detection = { type = "local", threshold = 0.5 }
"""


@pytest.fixture
def editor(database: Database, tmp_path: Path) -> ProfileEditor:
    return ProfileEditor(NumberStore(database), tmp_path / "audio")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "given" / "numbers.toml"
    path.parent.mkdir()
    path.write_text(FILE)
    return path


def write_recording(path: Path, sound: int = 0) -> None:
    wav.write(path, wav.Wav("pcmu", 8000, 1, bytes([sound]) * 800))


async def test_a_profile_that_is_right_is_saved(editor: ProfileEditor) -> None:
    saved = await editor.save(DESK, {"name": "desk", "voice": None, "turn_detection": {"type": "none"}}, ADA)
    assert saved.is_new
    assert saved.version.profile == {"name": "desk", "turn_detection": {"type": "none"}}


@pytest.mark.parametrize(
    ("number", "table", "problem"),
    [
        (DESK, {"temperature": 9}, "temperature is 9; it must be a number from 0.6 to 1.2"),
        (DESK, {"prompt": "Hi {name}"}, "prompt holds {name}, but only {caller}, {number}, {now}, {language} are "),
        (
            DESK,
            {"greeting": "{x}"},
            "greeting holds {x}, but only {caller}, {number}, {now}, {language} are ",
        ),
        (DESK, {"promt": "Hi"}, "promt is not a known key; the nearest is prompt"),
        ("555", {}, 'is not a number in E.164 form, "+" and 7 to 15 digits, nor the word default'),
        (
            DESK,
            {"greeting": "Hi", "greeting_audio": "x.wav"},
            'greeting_audio is "x.wav"; it must be a recording that is kept here',
        ),
        (
            DESK,
            {"greeting": "Hi", "greeting_audio": "../given/hello.wav"},
            'greeting_audio is "../given/hello.wav"; ',
        ),
        (DESK, {"greeting": "Hi", "greeting_audio": "a\0"}, 'greeting_audio is "a'),
    ],
)
async def test_one_that_is_wrong_is_not(
    editor: ProfileEditor, database: Database, number: str, table: dict[str, object], problem: str
) -> None:
    with pytest.raises(ProfileError) as caught:
        await editor.save(number, table, ADA)
    assert caught.value.problems[0].startswith(problem)
    assert await NumberStore(database).entries() == []


async def test_a_file_that_is_imported_and_exported_is_the_same_text(editor: ProfileEditor, file: Path) -> None:
    saved = await editor.import_file(file, ADA)
    assert [(each.version.number, each.version.author, each.is_new) for each in saved] == [
        ("default", "ada", True),
        (DESK, "ada", True),
    ]
    assert await editor.export() == FILE
    assert await editor.export([DESK]) == FILE.partition("\n\n")[2]
    again = await editor.import_text((await editor.export()).encode(), "again", ADA)
    assert not any(each.is_new for each in again)


async def test_of_a_file_with_a_mistake_nothing_is_saved(
    editor: ProfileEditor, database: Database, file: Path
) -> None:
    file.write_text(FILE + "max_call_s = 1\n")
    for importing in (editor.import_file(file, ADA), editor.import_text(file.read_bytes(), str(file), ADA)):
        with pytest.raises(ProfileError) as caught:
            await importing
        assert str(caught.value) == (
            f'{file}: ["{DESK}"] max_call_s is 1; it must be a whole number of seconds from 10 to 14400'
        )
    assert await NumberStore(database).entries() == []


async def test_a_text_that_is_too_long_is_refused(editor: ProfileEditor) -> None:
    with pytest.raises(ProfileError, match="has more than 1000000 bytes"):
        await editor.import_text(b"#" * 1_000_001, "import", ADA)


async def test_a_number_that_does_not_exist_is_not_exported(editor: ProfileEditor) -> None:
    with pytest.raises(NotStored):
        await editor.export(["+1"])


async def test_a_file_that_is_followed_does_not_overwrite_what_was_edited(
    editor: ProfileEditor, file: Path
) -> None:
    assert [version.number for version in await editor.follow_file(file)] == ["default", DESK]
    await editor.save(DESK, {"name": "edited"}, ADA)
    assert await editor.follow_file(file) == []
    file.write_text(FILE.replace("desk", "front desk"))
    (changed,) = await editor.follow_file(file)
    assert (changed.number, changed.sequence, changed.author, changed.profile["name"]) == (
        DESK,
        3,
        "file",
        "front desk",
    )


# ------------------------------------------------------------------------------------------- recordings


async def test_a_recording_beside_a_file_is_copied_and_lives_on_when_that_changes(
    editor: ProfileEditor, file: Path, tmp_path: Path
) -> None:
    write_recording(file.parent / "hello.wav")
    file.write_text('[default]\ngreeting = "Hi"\ngreeting_audio = "hello.wav"\n')
    (first,) = await editor.follow_file(file)
    (kept,) = (tmp_path / "audio").iterdir()
    assert first.profile["greeting_audio"] == kept.name
    before = editor.check("default", first.profile).greeting_clip
    write_recording(file.parent / "hello.wav", sound=7)
    (second,) = await editor.follow_file(file)
    assert second.version != first.version
    assert editor.check("default", first.profile).greeting_clip == before != ""
    assert await editor.follow_file(file) == []


async def test_an_export_to_a_file_has_its_recordings_beside_it(
    editor: ProfileEditor, file: Path, tmp_path: Path
) -> None:
    write_recording(file.parent / "hello.wav")
    file.write_text('[default]\ngreeting = "Hi"\ngreeting_audio = "hello.wav"\n')
    await editor.import_file(file, ADA)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    await editor.export_to(elsewhere / "numbers.toml")
    assert (
        Numbers.load(elsewhere / "numbers.toml").default.greeting_clip == Numbers.load(file).default.greeting_clip
    )
    assert not any(each.is_new for each in await editor.import_file(elsewhere / "numbers.toml", ADA))


async def test_a_function_that_the_deployment_does_not_have_is_refused_by_whatever_way_it_comes(
    database: Database, tmp_path: Path
) -> None:
    editor = ProfileEditor(NumberStore(database), tmp_path / "audio", Known(frozenset({"book"})))
    await editor.save(DESK, {"tools": ["book"]}, ADA)
    path = tmp_path / "numbers.toml"
    path.write_text(f'["{DESK}"]\ntools = ["fly"]\n')
    problem = 'tools[0] is "fly", a function that this deployment does not have; there are book'
    for refused, told in [
        (editor.save(DESK, {"tools": ["fly"]}, ADA), problem),
        (editor.import_text(path.read_bytes(), "x", ADA), f"[{DESK}] {problem}"),
        (editor.import_file(path, ADA), f"[{DESK}] {problem}"),
        (editor.follow_file(path), f"[{DESK}] {problem}"),
    ]:
        with pytest.raises(ProfileError) as caught:
            await refused
        assert caught.value.problems == (told,)
