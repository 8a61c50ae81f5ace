"""Writes docs/PERFORMANCE.md from what is in bench/results: `python -m bench.performance`.

The tables stand between marks `<!-- NAME: written by python -m bench.performance -->` and `<!-- end of NAME -->`; the
words around them are written by hand and stay.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from bench import kernel_results, machine, report, startup
from whit.version import __version__

RESULTS = machine.ROOT / "bench" / "results"
DOCUMENT = machine.ROOT / "docs" / "PERFORMANCE.md"


def main() -> int:
    """Returns an exit code."""
    document = insert(DOCUMENT.read_text(), "summary", summary(RESULTS))
    for name, write in _PARTS.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            print(f"{path} is missing: its table stays as it is", file=sys.stderr)
            continue
        document = insert(document, name, write(path))
    DOCUMENT.write_text(document)
    return 0


def summary(results: Path) -> str:
    """A line for each kind of work, from what is stored: how whit compares, and where it compares worst."""
    lines = ["| | cases | best other / whit, geometric mean | least |", "|---|--:|--:|---|"]
    for name, write in _PARTS.items():
        path = results / f"{name}.json"
        if write is not _interleaved or not path.exists():
            continue
        for table, of_cases in report.tables(report.load(path)).items():
            kinds: dict[str, dict[str, float]] = {}
            for case, rows in of_cases.items():
                if factor := report.ratio(rows):
                    kinds.setdefault(_kind(name, case), {})[case] = factor
            for kind, factors in kinds.items():
                mean = math.exp(statistics.fmean(map(math.log, factors.values())))
                worst = min(factors, key=factors.__getitem__)
                where = f" ({worst})" if len(factors) > 1 else ""
                title = f"{kind}, {report.title(table)}"
                lines.append(f"| {title} | {len(factors)} | {mean:.2f} | {factors[worst]:.2f}{where} |")
    return "\n".join(lines)


def _kind(command: str, case: str) -> str:
    if command == "models":
        return "whole models"
    word = case.split()[0]
    return {"gemm": "matrix products", "gemv": "matrix-vector products", "call": "call of a layer of 1x16x16"}.get(
        word, "depthwise convolutions" if word.startswith("dw") else "other convolutions"
    )


def insert(document: str, name: str, text: str, command: str = "bench.performance") -> str:
    """The document with `text` between the marks of `name`, which name the module that writes it.

    Raises:
        ValueError: it has no such marks.
    """
    begin, end = f"<!-- {name}: written by python -m {command} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    if not pattern.search(document):
        raise ValueError(f"the document has no marks for {name}")
    return pattern.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", document)


def _about(path: Path) -> str:
    content = json.loads(path.read_text())
    facts = content["machine"]
    rows = content.get("rows", ())
    versions = {row["contender"]: row.get("version") for row in rows if row.get("version")} or {"whit": __version__}
    return "\n".join(
        [
            f"    {_without_paths(content['command'])}",
            "",
            f"{content['date']}, commit {content['commit']}; {facts['cpu']}, {facts['cpus']} CPUs, "
            f"{facts['whit_sees']['isa']}; {facts['system']}; Python {facts['python']}, "
            + ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
            + ".",
        ]
    )


def _without_paths(command: str) -> str:
    return re.sub(r" --(shared|work|results|program) \S+", "", command)


def _interleaved(path: Path) -> str:
    rows = report.load(path)
    pictures = sorted(RESULTS.glob(f"{path.stem}-*.svg"))
    return "\n\n".join(
        [_about(path), report.markdown(rows), *(f"![{p.stem}](../bench/results/{p.name})" for p in pictures)]
    )


def _startup(path: Path) -> str:
    return f"{_about(path)}\n\n{startup.markdown(startup.load(path))}"


def _kernels(path: Path) -> str:
    content = json.loads(path.read_text())
    return "\n".join([_about(path), "", *kernel_results.lines(content)])


_PARTS: dict[str, Callable[[Path], str]] = {
    "models": _interleaved,
    "gemm": _interleaved,
    "conv": _interleaved,
    "startup": _startup,
    "kernels": _kernels,
}


if __name__ == "__main__":
    sys.exit(main())
