"""`whit bench --suite` and `whit bench --compare`: networks and layers that need no file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from whit import _core
from whit.cli import system
from whit.cli.common import EXIT_OK, print_json, table
from whit.cli.output import replacing
from whit.errors import FileError, InvalidArgumentError
from whit.suite.charts import chart, comparison_chart
from whit.suite.compare import compare
from whit.suite.results import SuiteResults

__all__ = ["run_compare", "run_suite"]

_INTERRUPTED = 128 + 2
#: Cases of one file alone that are named.
_LISTED = 5


def run_suite(arguments: argparse.Namespace) -> int:
    """Measures, prints, and writes JSON and SVG."""
    from whit.suite import runner
    from whit.suite.cases import cases

    out = _out(arguments.out or "whit-suite.json", ".json")
    all_cpus = _core.cpu()["default_threads"]
    suite = runner.run_suite(
        cases(arguments.quick),
        arguments.threads or (sorted({1, all_cpus}) if arguments.quick else runner.thread_counts(all_cpus)),
        system,
        quick=arguments.quick,
        progress=_show_progress if sys.stderr is not None and sys.stderr.isatty() else None,
    )
    picture = out.with_suffix(".svg")
    _write(out, suite.to_json())
    _write(picture, chart(suite))
    if arguments.json:
        print_json(json.loads(suite.to_json()))
    else:
        _print(suite)
        print(f"\nwritten: {out}, {picture}")
    if not suite.complete:
        print("whit: interrupted; what was measured until then is kept", file=sys.stderr)
        return _INTERRUPTED
    return EXIT_OK


def run_compare(arguments: argparse.Namespace) -> int:
    """Prints the ratios of two files of the suite and writes an SVG of both."""
    paths = [Path(path) for path in arguments.compare]
    out = _out(arguments.out or "whit-compare.svg", ".svg")
    a, b = (SuiteResults.read(path) for path in paths)
    comparison = compare(a, b)
    if not comparison.pairs:
        raise InvalidArgumentError(f"{paths[0]} and {paths[1]} have no case of the same name, dtype and threads")
    _write(out, comparison_chart(a, b, (paths[0].name, paths[1].name)))
    if arguments.json:
        about = {"a": _about(a), "b": _about(b)}
        print_json({"files": [str(path) for path in paths], **about, **asdict(comparison), "picture": str(out)})
        return EXIT_OK
    for letter, path, suite in zip("AB", paths, (a, b), strict=True):
        print(f"{letter}: {path}: {suite.cpu}, {suite.isa}, whit {suite.whit}, {suite.date[:10]}")
    print("A/B is A's time over B's: above 1, B is faster.\n")
    rows = (
        (pair.name, pair.dtype, pair.threads, _ms(pair.a_ms), _ms(pair.b_ms), f"{pair.ratio:.2f}", _mark(pair.valid))
        for pair in comparison.pairs
    )
    print(table(("case", "dtype", "threads", "A [ms]", "B [ms]", "A/B", ""), rows))
    means = ((m["group"], m["dtype"], m["threads"], m["cases"], f"{m['ratio']:.2f}") for m in comparison.means)
    print("\n" + table(("group", "dtype", "threads", "cases", "A/B, geometric mean"), means))
    for letter, names in (("A", comparison.only_a), ("B", comparison.only_b)):
        if names:
            more = f"; and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            print(f"\nin {letter} alone: {'; '.join(names[:_LISTED])}{more}")
    print(f"\nwritten: {out}")
    return EXIT_OK


def _out(name: str, suffix: str) -> Path:
    """Says before a long run what would fail after it."""
    path = Path(name)
    if path.suffix != suffix:
        raise InvalidArgumentError(f"--out {name}: wanted a name that ends in {suffix}")
    if not path.parent.is_dir():
        raise FileError(f"--out {name}: the folder {path.parent} does not exist")
    return path


def _write(path: Path, text: str) -> None:
    with replacing(path, "--out") as file:
        file.write(text.encode())


def _show_progress(label: str, done: int, total: int | None) -> None:
    """One line on the terminal, written over and over."""
    text = f"[{done}/{total}] {label}" if done != total else ""
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _about(suite: SuiteResults) -> dict[str, object]:
    return {
        "cpu": suite.cpu,
        "isa": suite.isa,
        "whit": suite.whit,
        "date": suite.date,
        "valid": suite.valid,
        "complete": suite.complete,
    }


def _print(suite: SuiteResults) -> None:
    print(f"{suite.cpu}, {suite.isa}, {suite.cpus} CPUs, whit {suite.whit}, {suite.seconds:.0f} s\n")
    threads = sorted({result.threads for result in suite.results})
    found = {result.key: result for result in suite.results}
    rows = []
    for name, dtype in dict.fromkeys((result.name, result.dtype) for result in suite.results):
        results = [found.get((name, dtype, count)) for count in threads]
        times = ["" if result is None else _ms(result.median_ms) for result in results]
        first = next(result for result in results if result is not None)
        speed = "" if first.gops is None else f"{first.gops:.1f}"
        valid = all(result is None or result.valid for result in results)
        rows.append((name, dtype, *times, speed, f"{first.gb_s or 0:.1f}", _kernels(first.kernels), _mark(valid)))
    header = ("case", "dtype", *(f"{count}T [ms]" for count in threads), "GOP/s", "GB/s", "kernel", "")
    print(table(header, rows))
    print("\nmedians; GOP/s and GB/s at the fewest threads")
    if any(not result.valid for result in suite.results):
        print("! something disturbed the machine there; the JSON says what")
    for skipped in suite.skipped:
        print(f"skipped: {skipped.name} {skipped.dtype}: {skipped.reason}")
    print(f"{'before':8} {system.state_text(suite.before)}")
    print(f"{'after':8} {system.state_text(suite.after)}")
    for problem in suite.problems:
        print(f"INVALID: {problem}")


def _kernels(names: Iterable[str]) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{len(names)} kernels"


def _ms(value: float) -> str:
    return f"{value:.4f}" if value < 1 else f"{value:.2f}"


def _mark(valid: bool) -> str:
    return "" if valid else "!"
