"""Folders for what callers said, which is nobody else's business."""

from pathlib import Path


def make_private(folder: Path) -> None:
    """
    Make the folder and those above it, each that is not there, with us alone to enter and to read.

    One that is there stays as it is. Raises OSError.
    """
    # With `parents` those above would be open to whoever the process's umask lets in.
    if not folder.parent.exists():
        make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
