"""The results of an interleaved run: a JSON file that runs can be merged into, and the tables made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bench.samples import Summary

WHIT = "whit"


@dataclass
class Row:
    """One variant of one contender in one case. Times are seconds of one inference; None if `error` says why not."""

    case: str
    dtype: str
    threads: int
    isa: str  # the highest that was allowed; "" for all
    contender: str
    variant: str
    version: str = ""
    macs: int = 0
    median: float | None = None
    min: float | None = None
    max: float | None = None
    samples: int = 0
    correlation: float | None = None  # of the output with f32's
    snr_db: float | None = None
    note: str = ""
    error: str = ""
    measured: str = ""  # when
    commit: str = ""  # of whit

    @property
    def table(self) -> tuple[str, str, int]:
        """Rows of one table have these in common."""
        return self.isa, self.dtype, self.threads

    @property
    def gops(self) -> float | None:
        """Thousand million operations a second, two for each multiplication."""
        return 2 * self.macs / self.median / 1e9 if self.median else None

    def set(self, summary: Summary) -> None:
        self.median, self.min, self.max, self.samples = summary.median, summary.min, summary.max, summary.samples


def store(path: Path, rows: Iterable[Row], about: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = about | {"rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def load(path: Path) -> list[Row]:
    known = {field.name for field in fields(Row)}
    return [Row(**{k: v for k, v in row.items() if k in known}) for row in json.loads(path.read_text())["rows"]]


def merged(old: Iterable[Row], new: Sequence[Row]) -> list[Row]:
    """Old rows, those measured again replaced in place, then the rows that are new."""

    def key(row: Row) -> tuple[Any, ...]:
        return (*row.table, row.case, row.contender, row.variant)

    again = {key(row): row for row in new}
    return [*(again.pop(key(row), row) for row in old), *again.values()]


def best(rows: Iterable[Row], contender: str) -> Row | None:
    """The fastest variant; one that failed if none ran."""
    mine = [row for row in rows if row.contender == contender]
    return min(mine, key=lambda row: (row.median is None, row.median or 0.0), default=None)


def ratio(rows: Sequence[Row]) -> float | None:
    """Time of the best other / time of whit, in the rows of one case of one table. Above 1: whit is faster."""
    whit = best(rows, WHIT)
    others = [row.median for row in rows if row.contender != WHIT and row.median]
    return min(others) / whit.median if whit and whit.median and others else None


def tables(rows: Iterable[Row]) -> dict[tuple[str, str, int], dict[str, list[Row]]]:
    """table -> case -> its rows, in the order of the rows."""
    result: dict[tuple[str, str, int], dict[str, list[Row]]] = {}
    for row in rows:
        result.setdefault(row.table, {}).setdefault(row.case, []).append(row)
    return result


def title(table: tuple[str, str, int]) -> str:
    isa, dtype, threads = table
    return f"{dtype}, {threads} thread{'s' if threads > 1 else ''}" + (f", at most {isa}" if isa else "")


def contenders_of(rows: Iterable[Row]) -> list[str]:
    return sorted({row.contender for row in rows}, key=lambda name: (name != WHIT, name))


def markdown(rows: Sequence[Row]) -> str:
    return "\n\n".join(_table(table, cases) for table, cases in tables(rows).items())


def _table(table: tuple[str, str, int], cases: dict[str, list[Row]]) -> str:
    rows = [row for case in cases.values() for row in case]
    names, layers = contenders_of(rows), all(_is_layer(row) for row in rows)
    unit = "us and GOP/s" if layers else "ms"
    lines = [
        f"**{title(table)}**: {unit}, median (min to max) of one inference",
        "",
        "| | MAC | " + " | ".join(names) + " | best other / whit |",
        "|---|--:|" + "--:|" * (len(names) + 1),
    ]
    for case, mine in cases.items():
        cells = [_cell(best(mine, name), layers, sum(row.contender == name for row in mine) > 1) for name in names]
        factor = ratio(mine)
        cells.append(f"**{factor:.2f}**" if factor else "")
        lines.append(f"| {case} | {_count(mine[0].macs)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *_remarks(cases)])


def _is_layer(row: Row) -> bool:
    return " " in row.case


def _cell(row: Row | None, layers: bool, several: bool) -> str:
    if not row:
        return ""
    if row.median is None or row.min is None or row.max is None:
        return "-"
    scale = 1e6 if layers else 1e3
    text = f"{row.median * scale:.3g} ({row.min * scale:.3g} to {row.max * scale:.3g})"
    if layers:
        text += f", {row.gops:.3g}"
    return f"{text} {row.variant}" if several else text


def _count(macs: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if macs >= size:
            return f"{macs / size:.3g} {letter}"
    return str(macs)


def _remarks(cases: dict[str, list[Row]]) -> list[str]:
    """What the cells do not say: failures and notes, those of the same words together."""
    said: dict[str, list[str]] = {}
    for case, rows in cases.items():
        for row in rows:
            for text in filter(None, (row.error, row.note)):
                said.setdefault(f"{row.contender} {row.variant}: {text}", []).append(case)
    lines = []
    for text, where in said.items():
        lines.append(f"* {text} ({'everywhere' if len(where) == len(cases) > 1 else ', '.join(where)})")
    return ["", *lines] if lines else []
