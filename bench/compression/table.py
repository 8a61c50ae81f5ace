"""What a row of the table is, what it is judged by, and how rows are kept and printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Context:
    """What a row needs to run.

    Attributes:
        shared: the folder with models/ and data/.
        work: a folder for files that are made.
        threads: of torch.
        seed: of everything random.
    """

    shared: Path
    work: Path
    threads: int
    seed: int = 0


@dataclass
class Row:
    """One line of the table.

    Attributes:
        row: which.
        what: what was measured, in words.
        least: what is asked for at least.
        aim: what would be good.
        reached: what it came to.
        met: "aim", "least" or "no".
        details: all numbers behind it.
        seconds: it took; `cpu_seconds`: of all threads.
        measured: when; `commit`: of whit.
    """

    row: str
    what: str
    least: str
    aim: str
    reached: str
    met: str
    details: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    measured: str = ""
    commit: str = ""


def verdict(value: float, least: float, aim: float, *, holds: bool = True) -> str:
    """ "aim", "least" or "no". `value` is the better the larger; `holds`: the condition that goes with it is met."""
    if not holds or value < least:
        return "no"
    return "aim" if value >= aim else "least"


def merged(old: Iterable[Row], new: Iterable[Row], order: Sequence[str]) -> list[Row]:
    """Rows by the order of the table, new ones in place of old ones."""
    found: Mapping[str, Row] = {row.row: row for row in [*old, *new]}
    return [found[name] for name in order if name in found]


def load(path: Path) -> list[Row]:
    """The rows that are stored; none if there is no file."""
    if not path.exists():
        return []
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def store(path: Path, rows: Iterable[Row], about: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dict(about) | {"rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def markdown(rows: Iterable[Row]) -> str:
    lines = ["| what | at least | aim | reached | met | minutes | of CPU |", "|---|---|---|---|---|--:|--:|"]
    lines += [
        f"| {row.what} | {row.least} | {row.aim} | {row.reached} | {row.met} | {row.seconds / 60:.1f} "
        f"| {row.cpu_seconds / 60:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)
