"""A call log to take away: the log, what was heard of the call, and nothing else that stood beside it."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from phonebot.errors import PhonebotError
from phonebot.replay.archive import LIMITS, opened, pack
from phonebot.replay.heard import HEARD_FILE, write_heard
from phonebot.replay.reader import read
from phonebot.replay.redaction import redact


class ExportRefused(PhonebotError):
    """The place for an export is taken."""

    def __init__(self, target: Path) -> None:
        super().__init__(target)
        self.target = target

    def __str__(self) -> str:
        return f"{self.target} exists already: remove it, or name another place with --out"


def export(log: Path, target: Path, *, redacted: bool = False, audio: bool = True, heard: bool = True) -> None:
    """
    Write the log at `log`, a folder or a zip file, to `target`: zipped when that ends in .zip, else as a folder.

    `redacted` hides what redaction.py lists; without `audio`, which only a redacted one can be, all is silence.
    `heard` adds the call as it was heard. Raises LogError for what is no log, ExportRefused when `target` exists.
    """
    assert audio or redacted, "a log that keeps its texts keeps its audio"
    if target.exists():
        raise ExportRefused(target)
    with opened(log) as folder, TemporaryDirectory(prefix="phonebot-export-") as temporary:
        made = Path(temporary)
        if redacted:
            redact(folder, made, audio)
        else:
            read(folder)  # what cannot be read is not passed on
            for name in LIMITS:
                if (folder / name).is_file() and not (folder / name).is_symlink():
                    shutil.copyfile(folder / name, made / name)
        if heard:
            write_heard(read(made), made / HEARD_FILE)
        if target.suffix == ".zip":
            pack(made, target)
        else:
            shutil.copytree(made, target)
            target.chmod(0o700)  # what callers said is nobody else's business
