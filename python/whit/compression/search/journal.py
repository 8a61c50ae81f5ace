"""Everything that a search measured, in a file that survives being killed.

One JSON document a line, `{"key": ..., "value": ...}`, written by one call each and only ever appended. A last line
that was cut off is dropped. Keys are digests of all that a value depends on, so one journal may serve several searches.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from whit.errors import FileError, FormatError

__all__ = ["Journal", "digest"]


def digest(*parts: Any) -> str:
    """Of JSON-ready values."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Journal:
    """Values by key: in memory, and in a file if there is a path."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Reads what is there.

        Raises:
            FileError: it cannot be read or written.
            FormatError: it is something else than a journal.
        """
        self._values: dict[str, Any] = {}
        self._path = None if path is None else Path(path)
        if self._path is None:
            return
        try:
            content = self._path.read_bytes() if self._path.exists() else b""
            self._check_writable()
        except OSError as problem:
            raise FileError(f"journal {self._path}: {problem.strerror or problem}") from problem
        whole, _, rest = content.rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
            self._read(line, number)
        if rest:
            if not b'{"key":'.startswith(rest[:7]):
                raise self._damaged(whole.count(b"\n") + 2 if whole else 1)
            self._drop(len(content) - len(rest))

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> Any:
        """The value, or None."""
        return self._values.get(key)

    def add(self, key: str, value: Any) -> None:
        """Keeps a JSON-ready value; it is in the file when this returns."""
        self._values[key] = value
        if self._path is None:
            return
        line = json.dumps({"key": key, "value": value}, separators=(",", ":")) + "\n"  # ASCII
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                written = os.write(file, line.encode())
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as problem:
            raise FileError(f"journal {self._path}: {problem.strerror or problem}") from problem
        if written < len(line):
            raise FileError(f"journal {self._path}: no space left for an entry")

    def _read(self, line: bytes, number: int) -> None:
        try:
            entry = json.loads(line)
            self._values[entry["key"]] = entry["value"]
        except (ValueError, TypeError, KeyError) as problem:
            raise self._damaged(number) from problem

    def _damaged(self, number: int) -> FormatError:
        return FormatError(
            f"journal {self._path}, line {number}: not an entry of a journal; give another file, or delete this one"
        )

    def _check_writable(self) -> None:
        assert self._path is not None
        os.close(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666))

    def _drop(self, size: int) -> None:
        """Cuts the file where the last whole line ends."""
        assert self._path is not None
        with self._path.open("r+b") as file:
            file.truncate(size)
