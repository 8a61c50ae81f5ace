"""Output files: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from whit.errors import FileError

__all__ = ["replacing"]


@contextmanager
def replacing(path: Path, option: str) -> Iterator[BinaryIO]:
    """A file that becomes `path` when the block ends; if it fails, what was there stays as it was.

    Args:
        path: the output file.
        option: the command line's name for it, for errors.

    Raises:
        FileError: its folder does not exist, or `path` is a folder.
    """
    if not path.parent.is_dir():
        raise FileError(f"{option} {path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise FileError(f"{option} {path}: is a directory, not a file")
    handle, temporary = tempfile.mkstemp(prefix=".whit-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # as `open` would have made it
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
