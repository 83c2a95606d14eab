"""WAV files: as others write and read them, as a crash leaves them, and as an attacker would make them."""

import contextlib
import itertools
import os
import struct
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.audio.wav import DATA_LIMIT_BYTES, Encoding, Wav, WavWriter, interleave, read, write
from phonebot.errors import AudioError

SOX_ENCODING: dict[Encoding, str] = {"pcm16": "signed-integer", "pcmu": "mu-law", "pcma": "a-law"}
SAMPLE_BYTES: dict[Encoding, int] = {"pcm16": 2, "pcmu": 1, "pcma": 1}
LAYOUTS: list[tuple[Encoding, int]] = list(itertools.product(SOX_ENCODING, (1, 2)))

PCM16_MONO = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
ULAW_MONO = struct.pack("<HHIIHHH", 7, 1, 8000, 8000, 1, 8, 0)


def chunk(name: bytes, content: bytes, claimed: int | None = None) -> bytes:
    """A chunk, padded; `claimed` lies about its size."""
    size = len(content) if claimed is None else claimed
    return name + struct.pack("<I", size) + content + bytes(len(content) % 2)


def riff(*chunks: bytes) -> bytes:
    content = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "leg.wav"


# ------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_written_file_reads_the_same(layout: tuple[Encoding, int], path: Path) -> None:
    encoding, channels = layout
    wav = Wav(encoding, 8000, channels, bytes(range(256)) * 4)
    write(path, wav)
    assert read(path) == wav


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sox_reads_what_is_written(layout: tuple[Encoding, int], path: Path, sox: Callable[..., bytes]) -> None:
    encoding, channels = layout
    audio = bytes(range(256)) * 4
    write(path, Wav(encoding, 16000, channels, audio))
    bits = str(8 * SAMPLE_BYTES[encoding])
    assert sox("-D", str(path), "-t", "raw", "-e", SOX_ENCODING[encoding], "-b", bits, "-") == as_sox_codes(
        encoding, audio
    )
    assert sox("--info", "-r", str(path)).strip() == b"16000"
    assert sox("--info", "-c", str(path)).strip() == str(channels).encode()
    assert int(sox("--info", "-s", str(path))) == len(audio) // (channels * SAMPLE_BYTES[encoding])


def as_sox_codes(encoding: Encoding, audio: bytes) -> bytes:
    """What sox makes of all codes: it has one zero in mu-law, the positive one."""
    return audio.replace(b"\x7f", b"\xff") if encoding == "pcmu" else audio


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_sox_writes_is_read(layout: tuple[Encoding, int], path: Path, sox: Callable[..., bytes]) -> None:
    encoding, channels = layout
    audio = array("h", range(-32768, 32768, 64)).tobytes()
    source = ["-t", "raw", "-r", "8000", "-c", str(channels), "-e", "signed-integer", "-b", "16", "-"]
    target = ["-e", SOX_ENCODING[encoding], "-b", str(8 * SAMPLE_BYTES[encoding])]
    sox("-D", *source, *target, str(path), stdin=audio)
    expected = sox("-D", *source, "-t", "raw", *target, "-", stdin=audio)
    assert read(path) == Wav(encoding, 8000, channels, expected)


def test_a_ulaw_file_has_the_header_the_standard_asks_for(path: Path) -> None:
    """All fields, written out: a `fmt ` chunk with an extension of no bytes, `fact`, `data`, padding."""
    write(path, Wav("pcmu", 8000, 1, b"\xff\xfe\xfd"))
    assert path.read_bytes() == (
        b"RIFF\x36\0\0\0WAVE"
        b"fmt \x12\0\0\0" + struct.pack("<HHIIHHH", 7, 1, 8000, 8000, 1, 8, 0) + b"fact\x04\0\0\0\x03\0\0\0"
        b"data\x03\0\0\0\xff\xfe\xfd\0"
    )


def test_a_stereo_pcm16_file_has_the_plain_header(path: Path) -> None:
    write(path, Wav("pcm16", 24000, 2, bytes(8)))
    assert path.read_bytes() == (
        b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0"
        + struct.pack("<HHIIHH", 1, 2, 24000, 96000, 4, 16)
        + chunk(b"data", bytes(8))
    )


def test_fact_counts_the_samples_of_one_channel(path: Path) -> None:
    write(path, Wav("pcma", 8000, 2, bytes(320)))
    assert chunk(b"fact", struct.pack("<I", 160)) in path.read_bytes()


@given(st.lists(st.one_of(st.none(), st.binary(max_size=50)), max_size=20))
def test_a_file_holds_what_was_appended_at_each_sync(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bytes | None]
) -> None:
    """None stands for a sync. Odd lengths are padded once the file is closed."""
    path = tmp_path_factory.mktemp("wav") / "leg.wav"
    appended = b""
    with WavWriter(path) as writer:
        for step in steps:
            if step is None:
                writer.sync()
                assert read(path).data == appended
            else:
                writer.append(step)
                appended += step
    assert read(path) == Wav("pcmu", 8000, 1, appended)
    assert int.from_bytes(path.read_bytes()[4:8], "little") == path.stat().st_size - 8


def test_a_new_recording_is_a_valid_empty_file_at_once(path: Path) -> None:
    with WavWriter(path, "pcm16", 24000, 2):
        assert read(path) == Wav("pcm16", 24000, 2, b"")


def test_a_killed_process_leaves_all_audio_up_to_its_last_sync(path: Path) -> None:
    crash = (
        "import os, sys; from phonebot.audio.wav import WavWriter; writer = WavWriter(sys.argv[1]);"
        "writer.append(b'a' * 8001); writer.sync(); writer.append(b'b' * 160); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", crash, str(path)]).returncode == 9
    assert read(path).data == b"a" * 8001


def test_a_recording_that_is_closed_twice_stays_whole(path: Path) -> None:
    writer = WavWriter(path)
    writer.append(b"\xff" * 160)
    writer.close()
    writer.close()
    assert read(path).data == b"\xff" * 160


def test_a_recording_is_closed_when_its_owner_fails(path: Path) -> None:
    def record_and_fail() -> None:
        with WavWriter(path) as writer:
            writer.append(b"\xff" * 160)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        record_and_fail()
    assert read(path).data == b"\xff" * 160


def test_more_than_a_wav_file_can_hold_is_refused_and_what_was_written_stays(path: Path) -> None:
    class FourGigabytes(bytes):
        """Says it is larger than any test could afford."""

        def __len__(self) -> int:
            return 1 << 32

    with WavWriter(path) as writer:
        writer.append(b"\xff" * 160)
        with pytest.raises(AudioError, match=r"leg\.wav: a WAV file holds at most 4294967\d+ bytes of audio"):
            writer.append(FourGigabytes())
    assert read(path).data == b"\xff" * 160


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "channels", "problem"),
    [
        ("mp3", 8000, 1, "encoding 'mp3' is none of pcm16, pcmu, pcma"),
        ("pcmu", 0, 1, "0 Hz is not between 1000 and 192000"),
        ("pcmu", 8000, 3, "3 channels; one or two are supported"),
    ],
)
def test_a_format_that_cannot_be_written_is_refused_before_a_file_is_made(
    encoding: str, rate_hz: int, channels: int, problem: str, path: Path
) -> None:
    with pytest.raises(AudioError, match=problem):
        WavWriter(path, cast(Encoding, encoding), rate_hz, channels)
    assert not path.exists()


# ------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("claimed", [0, 1, 120, 157, 161, 4000, 0xFFFF_FFFF])
def test_a_stale_header_is_read_up_to_the_end_of_the_file(claimed: int, path: Path) -> None:
    """A writer that crashed, is still at work, or could not seek: too little, nothing, too much, the maximum."""
    audio = bytes(range(160, 256)) + bytes(range(192, 256))
    path.write_bytes(riff(chunk(b"fmt ", ULAW_MONO), chunk(b"data", audio, claimed)))
    assert read(path).data == audio


def test_audio_that_happens_to_have_the_shape_of_a_chunk_is_audio(path: Path) -> None:
    """Silence, then what reads as a size of nothing; only a name in ASCII makes a chunk."""
    audio = b"\xff\xff\xff\xff\0\0\0\0"
    path.write_bytes(riff(chunk(b"fmt ", ULAW_MONO), chunk(b"data", audio, claimed=0)))
    assert read(path).data == audio


def test_chunks_after_the_audio_are_no_audio(path: Path) -> None:
    tags = chunk(b"LIST", b"INFOISFT\x06\0\0\0Lavf58") + chunk(b"id3 ", b"odd")
    path.write_bytes(riff(chunk(b"fmt ", ULAW_MONO), chunk(b"data", b"\xff" * 161), tags))
    assert read(path).data == b"\xff" * 161


def test_padding_left_out_at_the_end_is_no_audio(path: Path) -> None:
    path.write_bytes(riff(chunk(b"fmt ", ULAW_MONO), chunk(b"data", b"\xff" * 160), chunk(b"id3 ", b"odd"))[:-1])
    assert read(path).data == b"\xff" * 160


def test_unknown_chunks_before_the_audio_are_passed_over(path: Path) -> None:
    path.write_bytes(
        riff(
            chunk(b"bext", bytes(603)), chunk(b"fmt ", ULAW_MONO), chunk(b"fact", bytes(4)), chunk(b"data", b"\xff")
        )
    )
    assert read(path).data == b"\xff"


def test_the_plain_format_inside_an_extensible_header_is_read(path: Path) -> None:
    guid = bytes.fromhex("0100 0000 0000 1000 8000 00aa 0038 9b71")
    extensible = struct.pack("<HHIIHHHHI", 0xFFFE, 2, 48000, 192000, 4, 16, 22, 16, 3) + guid
    path.write_bytes(riff(chunk(b"fmt ", extensible), chunk(b"data", bytes(8))))
    assert read(path) == Wav("pcm16", 48000, 2, bytes(8))


def test_a_vendors_format_inside_an_extensible_header_is_refused(path: Path) -> None:
    """Its GUID begins as that of PCM and goes on otherwise."""
    guid = bytes.fromhex("0100 0000 2107 d311 8644 c8c1 ca00 0000")
    extensible = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 48000, 96000, 2, 16, 22, 16, 4) + guid
    path.write_bytes(riff(chunk(b"fmt ", extensible), chunk(b"data", bytes(8))))
    with pytest.raises(AudioError, match="format 0xfffe with 16 bits"):
        read(path)


def test_a_frame_cut_in_the_middle_is_dropped(path: Path) -> None:
    stereo = struct.pack("<HHIIHH", 1, 2, 8000, 32000, 4, 16)
    path.write_bytes(riff(chunk(b"fmt ", stereo), b"data" + struct.pack("<I", 12) + b"frameframe"))
    assert read(path).data == b"framefra"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a WAV file, it starts with b''. Convert it: sox INPUT"),
        (b"RIFF", "not a WAV file"),
        (b"OggS\0\x02" + bytes(40), "not a WAV file, it starts with b'OggS"),
        (b"RIFX\0\0\0\0WAVE", "not a WAV file"),
        (b"RIFF\0\0\0\0AVI LIST", "not a WAV file"),
        (riff(), "ends before the audio"),
        (riff(chunk(b"fmt ", PCM16_MONO)), "ends before the audio"),
        (riff(chunk(b"fmt ", PCM16_MONO)) + b"dat", "ends before the audio"),
        (riff(chunk(b"data", bytes(2))), "the audio comes before its format"),
        (riff(chunk(b"fmt ", PCM16_MONO[:14]), chunk(b"data", b"")), "its 'fmt ' chunk has 14 bytes, at least 16"),
        (riff(chunk(b"fmt ", PCM16_MONO, 0xFFFF_FFFF)), r"chunk b'fmt ' claims 4294967295 bytes, but 16 are left"),
        (riff(chunk(b"LIST", b"", 1 << 31)), r"chunk b'LIST' claims 2147483648 bytes, but 0 are left"),
        (riff(*[chunk(b"JUNK", b"")] * 100), "no audio in the first 64 chunks"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 3, 1, 8000, 32000, 4, 32))), "format 0x0003 with 32 bits"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 24000, 3, 24))), "format 0x0001 with 24 bits"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 7, 1, 8000, 16000, 2, 16))), "format 0x0007 with 16 bits"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 0xFFFE, 1, 8000, 16000, 2, 16))), "format 0xfffe"),
        (
            riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 0, 8000, 0, 0, 16))),
            "0 channels; one or two are supported",
        ),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 6, 8000, 96000, 12, 16))), "6 channels; one or two"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 0, 0, 2, 16))), "0 Hz is not between 1000 and 192000"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 1 << 31, 0, 2, 16))), "2147483648 Hz is not between"),
        (riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, 8000, 32000, 2, 16))), "frames of 2 bytes contradict"),
    ],
)
def test_a_file_that_is_no_readable_wav_is_refused_with_the_reason(
    content: bytes, problem: str, path: Path
) -> None:
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"leg\.wav: .*" + problem):
        read(path)


def test_audio_beyond_the_limit_is_refused_before_it_is_read(path: Path) -> None:
    """A sparse file: 64 GiB on paper, nothing on disk."""
    path.write_bytes(riff(chunk(b"fmt ", ULAW_MONO), chunk(b"data", b"", 0xFFFF_FFFF)))
    os.truncate(path, 64 << 30)
    with pytest.raises(AudioError, match=f"68719476690 bytes of audio, at most {DATA_LIMIT_BYTES} are accepted"):
        read(path)


def test_audio_of_exactly_the_limit_is_read(path: Path) -> None:
    write(path, Wav("pcmu", 8000, 1, b"\xff" * 160))
    assert len(read(path, limit_bytes=160).data) == 160
    with pytest.raises(AudioError, match="160 bytes of audio, at most 159"):
        read(path, limit_bytes=159)


CHUNKS = st.builds(
    chunk,
    st.sampled_from([b"fmt ", b"data", b"LIST", b"\0\0\0\0"]),
    st.one_of(st.just(PCM16_MONO), st.just(ULAW_MONO), st.binary(max_size=60)),
    st.one_of(st.none(), st.integers(0, 80), st.integers(0, 0xFFFF_FFFF)),
)


@given(st.lists(st.one_of(CHUNKS, st.binary(max_size=20)), max_size=8))
def test_whatever_follows_the_riff_head_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("wav") / "any.wav"
    path.write_bytes(riff(*chunks))
    with contextlib.suppress(AudioError):
        assert read(path).data in path.read_bytes()


def test_a_missing_file_is_the_operating_systems_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(path)


# ------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("wav", "duration_ms"),
    [
        (Wav("pcmu", 8000, 1, bytes(8001)), 1000),
        (Wav("pcma", 8000, 2, bytes(160)), 10),
        (Wav("pcm16", 24000, 2, bytes(96)), 1),
        (Wav("pcm16", 22050, 1, b""), 0),
    ],
)
def test_the_duration_counts_frames_not_bytes(wav: Wav, duration_ms: int) -> None:
    assert wav.duration_ms == duration_ms


def test_a_wav_shown_in_a_log_hides_its_audio() -> None:
    assert repr(Wav("pcmu", 8000, 1, b"secret")) == "Wav(encoding='pcmu', rate_hz=8000, channels=1)"


@pytest.mark.parametrize(
    ("encoding", "left", "right", "stereo"),
    [
        ("pcmu", b"ace", b"bdf", b"abcdef"),
        ("pcmu", b"ac", b"b", b"abc\xff"),
        ("pcma", b"", b"bd", b"\xd5b\xd5d"),
        ("pcm16", b"AaCc", b"Bb", b"AaBbCc\0\0"),
        ("pcm16", b"", b"", b""),
    ],
)
def test_two_legs_become_stereo_and_the_shorter_is_followed_by_silence(
    encoding: Encoding, left: bytes, right: bytes, stereo: bytes
) -> None:
    assert interleave(left, right, encoding) == stereo


def test_a_leg_with_half_a_sample_is_refused() -> None:
    with pytest.raises(AudioError, match="the right leg's 3 bytes are not whole pcm16 samples"):
        interleave(bytes(2), bytes(3), "pcm16")
