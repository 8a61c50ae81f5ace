"""The results: a JSON file that runs can be merged into, and the tables made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.arm.contenders import NAMES, WHIT, setup_of
from bench.arm.cpus import CPUS, Cpu


@dataclass(frozen=True)
class Row:
    """One run. `cost` is in the unit of the CPU: estimated cycles, issue slots or instructions."""

    model: str
    cpu: str
    contender: str
    variant: str
    version: str
    cost: int
    instructions: int
    unmodelled: int
    classes: dict[str, int]

    @property
    def key(self) -> tuple[int, int, str, str]:
        return list(CPUS).index(self.cpu), NAMES.index(self.contender), self.model, self.variant


def load(path: Path) -> list[Row]:
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def store(path: Path, rows: Iterable[Row], about: dict[str, Any]) -> None:
    content = about | {"rows": [asdict(row) for row in sorted(rows, key=lambda row: row.key)]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def merged(old: Iterable[Row], new: Sequence[Row]) -> list[Row]:
    """The new rows, and those old ones that they do not replace."""
    replaced = {(row.model, row.cpu, row.contender) for row in new}
    return [*new, *(row for row in old if (row.model, row.cpu, row.contender) not in replaced)]


def insert(document: Path, tables: str) -> None:
    """Puts the tables between the two marks of a Markdown document."""
    before, begin, rest = document.read_text().partition("<!-- costs: written by python -m bench.arm -->\n")
    _, end, after = rest.partition("<!-- end of costs -->\n")
    if not begin or not end:
        raise ValueError(f"{document} has no marks for the tables")
    document.write_text(f"{before}{begin}\n{tables}\n\n{end}{after}")


def best(rows: Iterable[Row], model: str, cpu: str, contender: str) -> Row | None:
    mine = [row for row in rows if (row.model, row.cpu, row.contender) == (model, cpu, contender)]
    return min(mine, key=lambda row: row.cost, default=None)


def ratio(rows: Sequence[Row], model: str, cpu: str) -> float | None:
    """Cost of the best other contender / cost of whit."""
    whit = best(rows, model, cpu, WHIT)
    others = [row.cost for row in rows if (row.model, row.cpu) == (model, cpu) and row.contender != WHIT]
    return min(others) / whit.cost if whit and others else None


def markdown(rows: Sequence[Row], macs: dict[str, int]) -> str:
    """A table for each CPU: millions of its unit, millions of instructions in parentheses."""
    return "\n\n".join(_table(rows, CPUS[name], macs) for name in CPUS if any(row.cpu == name for row in rows))


def _table(rows: Sequence[Row], cpu: Cpu, macs: dict[str, int]) -> str:
    mine = [row for row in rows if row.cpu == cpu.name]
    contenders = [name for name in NAMES if any(row.contender == name for row in mine)]
    lines = [
        f"**{cpu.name}** ({cpu.boards}): million {cpu.cost}",
        "",
        "| model | MAC | " + " | ".join(contenders) + " | best other / whit |",
        "|---|--:|" + "--:|" * len(contenders) + "--:|",
    ]
    for model in dict.fromkeys(row.model for row in sorted(mine, key=lambda row: row.model)):
        cells = [_cell(best(mine, model, cpu.name, contender), cpu) for contender in contenders]
        factor = ratio(rows, model, cpu.name)
        cells.append(f"**{factor:.2f}**" if factor else "")
        lines.append(f"| {model} | {macs[model] / 1e6:.0f} M | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: Row | None, cpu: Cpu) -> str:
    if not row:
        return ""
    text = f"{row.cost / 1e6:.1f}"
    if cpu.cost != "instructions":
        text += f" ({row.instructions / 1e6:.1f})"
    setup = None if row.contender == WHIT else setup_of(row.contender, cpu.architecture)
    return f"{text} {row.variant}" if setup and len(setup.variants) > 1 else text
