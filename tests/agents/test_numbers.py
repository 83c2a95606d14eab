"""Which profile answers which number, and what is said of a file that cannot be used."""

import tomllib
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.agents.numbers import MAX_FILE_BYTES, Numbers, Trial
from phonebot.agents.profile import Profile
from phonebot.audio import wav
from phonebot.audio.g711 import ulaw_to_pcm
from phonebot.errors import ProfileError

HEADINGS = 'the heading of a table is a number with "+" and 7 to 15 digits, such as ["+15550100000"], or [default]'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "numbers.toml"


def problems_of(file: Path, content: str | bytes) -> tuple[str, ...]:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ProfileError) as caught:
        Numbers.load(file)
    assert caught.value.source == str(file)
    return caught.value.problems


def test_a_number_is_answered_by_its_own_profile_and_all_others_by_the_default(file: Path) -> None:
    file.write_text('[default]\nname = "all"\n["+15550100000"]\nname = "desk"\n')
    numbers = Numbers.load(file)
    assert numbers.profile_for("+15550100000").name == "desk"
    assert numbers.profile_for("+15550100001").name == "all"
    assert numbers.profile_for("sip:desk@example.com").name == "all"
    assert numbers.profile_for("default").name == "all"


def test_a_number_takes_nothing_over_from_the_default(file: Path) -> None:
    file.write_text('[default]\nvoice = "marin"\n["+15550100000"]\n')
    assert Numbers.load(file).profile_for("+15550100000") == Profile()


def test_without_a_default_the_built_in_profile_answers(file: Path) -> None:
    file.write_text('["+15550100000"]\nname = "desk"\n')
    assert Numbers.load(str(file)).profile_for("+15550100001") == Profile()


def test_an_empty_file_leaves_all_numbers_to_the_built_in_profile(file: Path) -> None:
    file.write_text("")
    assert Numbers.load(file) == Numbers() == Numbers.single(Profile())


def test_a_single_profile_answers_all_numbers() -> None:
    profile = Profile(name="demo")
    assert Numbers.single(profile).profile_for("+15550100000") is profile


def test_a_byte_order_mark_is_passed_over(file: Path) -> None:
    file.write_text('[default]\nname = "Café"\n', "utf-8-sig")
    assert Numbers.load(file).default.name == "Café"


@pytest.mark.parametrize("number", ["+1555010", "+155501000001234"])
def test_a_number_of_7_to_15_digits_is_taken(file: Path, number: str) -> None:
    file.write_text(f'["{number}"]\nname = "desk"\n')
    assert Numbers.load(file).profile_for(number).name == "desk"


@pytest.mark.parametrize(
    "number",
    ["15550100000", "+155501", "+1555010000012345", "+05550100000", "+1555 0100000", "+1555010000٣", "Default", ""],
)
def test_a_heading_that_is_no_number_is_refused(file: Path, number: str) -> None:
    assert problems_of(file, f'["{number}"]\n') == (f'["{number}"] is not a number in E.164 form; {HEADINGS}',)


def test_a_key_outside_of_the_tables_is_refused(file: Path) -> None:
    assert problems_of(file, 'name = "desk"\n') == (f'"name" stands outside a table; {HEADINGS}',)


def test_each_wrong_key_is_named_with_its_number(file: Path) -> None:
    content = '[default]\nrecord = 1\n["+15550100000"]\nvoice = ""\noutput = []\n[x]\n'
    assert problems_of(file, content) == (
        "[default] record is 1; it must be true or false",
        '["+15550100000"] voice is ""; it must be text of 1 to 64 characters',
        '["+15550100000"] output is not supported by this version',
        f'["x"] is not a number in E.164 form; {HEADINGS}',
    )


def test_a_syntax_error_is_named_with_its_line(file: Path) -> None:
    (problem,) = problems_of(file, "[default]\n\nname = desk\n")
    assert problem.startswith("is not TOML: ")
    assert problem.endswith("(at line 3, column 8)")


def test_a_heading_without_quotes_is_refused_with_the_remedy(file: Path) -> None:
    (problem,) = problems_of(file, "[+15550100000]\n")
    assert problem.startswith("is not TOML: ")
    assert problem.endswith('; write headings in quotes: ["+15550100000"]')


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[default]\nname = '\xff'\n", "is not UTF-8 in line 2"),
        (b"a = " + b"[" * 50_000, "is not TOML: arrays or tables are nested too deeply"),
        (b"#" * (MAX_FILE_BYTES + 1), "has more than 1000000 bytes"),
    ],
)
def test_a_file_that_is_not_text_within_bounds_is_refused(file: Path, content: bytes, problem: str) -> None:
    assert problems_of(file, content) == (problem,)


def test_a_number_that_python_will_not_read_is_refused(file: Path) -> None:
    (problem,) = problems_of(file, f"[default]\nmax_call_s = {'9' * 5000}\n")
    assert problem.startswith("is not TOML: Exceeds the limit")


def test_a_file_of_the_full_size_is_read(file: Path) -> None:
    file.write_bytes(b"#" * MAX_FILE_BYTES)
    assert Numbers.load(file) == Numbers()


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"missing\.toml: there is no such file$"):
        Numbers.load(tmp_path / "missing.toml")
    with pytest.raises(ProfileError, match=r": cannot be read: Is a directory$"):
        Numbers.load(tmp_path)


@given(content=st.text() | st.lists(st.sampled_from('[]"+=. \n1a{}')).map("".join))
def test_any_file_is_loaded_or_refused(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(content.encode())
    loaded: Numbers | None = None
    problems: tuple[str, ...] = ()
    try:
        loaded = Numbers.load(file)
    except ProfileError as error:
        problems = error.problems
    assert (loaded is None) == bool(problems)
    if loaded is not None:
        assert set(loaded.profiles) == set(tomllib.loads(content.removeprefix("\ufeff"))) - {"default"}


# ------------------------------------------------------------------------------------------- recordings

GREETED = '["+15550100000"]\ngreeting = "Hello"\ngreeting_audio = "{}"\n'
SOUND = bytes(range(0, 240, 3)) * 20


@pytest.mark.parametrize("encoding", ["pcmu", "pcm16"])
def test_a_recorded_greeting_is_read_from_beside_the_file(file: Path, encoding: wav.Encoding) -> None:
    (file.parent / "sounds").mkdir()
    data = SOUND if encoding == "pcmu" else ulaw_to_pcm(SOUND)
    wav.write(file.parent / "sounds" / "hello.wav", wav.Wav(encoding, 8_000, 1, data))
    file.write_text(GREETED.format("sounds/hello.wav"))
    profile = Numbers.load(file).profile_for("+15550100000")
    assert b64decode(profile.greeting_clip) == SOUND
    assert (profile.greeting, profile.greeting_audio) == ("Hello", "sounds/hello.wav")


@pytest.mark.parametrize(
    ("recording", "reason"),
    [
        (None, "there is no such file"),
        (b"ID3 what a player would play", "not a WAV file, it starts with b'ID3 what a p'. Convert it: sox "),
        (wav.Wav("pcm16", 16_000, 1, SOUND), "16000 Hz mono; 8000 Hz mono is needed. Convert it: sox "),
        (wav.Wav("pcmu", 8_000, 2, SOUND), "8000 Hz stereo; 8000 Hz mono is needed. Convert it: sox "),
        (wav.Wav("pcmu", 8_000, 1, b""), "holds no audio"),
        (wav.Wav("pcmu", 8_000, 1, bytes(8_000 * 30 + 80)), "30.01 s of audio, at most 30 are played"),
        (wav.Wav("pcm16", 8_000, 1, bytes(16_000 * 31)), "496000 bytes of audio, at most 480000 are accepted here"),
    ],
)
def test_a_recording_that_cannot_be_played_is_refused_with_key_file_and_reason(
    file: Path, recording: wav.Wav | bytes | None, reason: str
) -> None:
    named = file.parent / "hello.wav"
    if isinstance(recording, wav.Wav):
        wav.write(named, recording)
    elif recording:
        named.write_bytes(recording)
    (problem,) = problems_of(file, GREETED.format("hello.wav"))
    assert problem.startswith(f'["+15550100000"] greeting_audio: {named}: {reason}')


def test_a_name_that_is_no_files_is_refused(file: Path) -> None:
    (folder,) = problems_of(file, GREETED.format("."))
    assert folder == f'["+15550100000"] greeting_audio: {file.parent}: cannot be read: Is a directory'
    (null,) = problems_of(file, GREETED.format("\\u0000"))
    assert null == '["+15550100000"] greeting_audio: embedded null byte'


# ------------------------------------------------------------------------------------------- trials


def test_a_trial_answers_those_whom_it_names_and_nobody_else() -> None:
    desk, trial, newer = Profile(name="desk"), Profile(name="trial"), Profile(name="newer")
    numbers = Numbers(
        profiles={"+15550100000": desk},
        trials={"+15550100000": (Trial(["+1"], newer), Trial(["+1", "+2"], trial))},
    )
    names = [numbers.profile_for("+15550100000", caller).name for caller in ("+1", "+2", "+3", "")]
    assert names == ["newer", "trial", "desk", "desk"]
    assert numbers.profile_for("+15550100001", "+1") == Profile()


def test_a_trial_of_the_default_is_for_numbers_without_a_profile_of_their_own() -> None:
    numbers = Numbers(
        profiles={"+15550100000": Profile(name="desk")},
        trials={"default": (Trial(["+1"], Profile(name="trial")),), "+15550100001": (Trial(["+2"], Profile()),)},
    )
    assert numbers.profile_for("+15550100000", "+1").name == "desk"
    assert numbers.profile_for("+15550100001", "+1").name == "trial"
    assert numbers.profile_for("+15550100001", "+2") == Profile()
    assert numbers.profile_for("+15550100001", "+3") == Profile()
