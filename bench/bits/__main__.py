"""What fewer than 8 bits bring, beside what is asked for: `python -m bench.bits`.

    python -m bench.bits --program KERNEL_BENCH --arm BUILD [--armv7 BUILD] [--larq PYTHON] [--shared DIR]
    python -m bench.bits --markdown                                   measures nothing: the tables of docs/bits.md

* Binary convolutions beside Larq Compute Engine and everybody's s8, one thread; --larq names the Python of an
  environment that has larq-compute-engine and numpy 1 (README.md).
* With --program: kernels of bits and codes beside their peak and whit's own s8, on each instruction set of this CPU.
* With --arm, --armv7: the same on ARM cores, counted under emulation (bench/arm/b1.py says of what BUILD).
* Memory of 4-bit weights in a model that runs.
* With --shared: EfficientNet-Lite0 with 4-bit weights, as bench.compression has it.

All goes to bench/results/bits.json; what was not asked for stays there as it is. The exit code is 1 if something that
was measured misses what is asked for at least.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import machine
from bench.arm.traces import RunError
from bench.bits import arm, convolutions, kernels, memory, rows
from bench.compression.table import Context, Row
from bench.performance import insert

RESULTS = machine.ROOT / "bench" / "results" / "bits.json"
DOCUMENT = machine.ROOT / "docs" / "bits.md"
Content = dict[str, Any]


def _efficientnet(options: argparse.Namespace) -> Content:
    from bench.compression.__main__ import measure

    work = options.work / "compression"
    work.mkdir(parents=True, exist_ok=True)
    row = measure("efficientnet_int4", Context(options.shared, work, len(os.sched_getaffinity(0))))
    return {"row": asdict(row)}


def _arm(options: argparse.Namespace) -> Content:
    with tempfile.TemporaryDirectory() as folder:
        return arm.measure(options.arm, options.armv7, options.work, Path(folder))


@dataclass(frozen=True)
class Part:
    """A part of the results.

    Attributes:
        lacks: what the options do not say that is needed, in words; "" if nothing.
        judged: its rows of the table.
        shown: more tables, as Markdown.
    """

    lacks: Callable[[argparse.Namespace], str]
    measure: Callable[[argparse.Namespace], Content]
    judged: Callable[[Content], list[Row]]
    shown: Callable[[Content], str] = lambda _: ""


PARTS = {
    "convolutions": Part(
        lambda options: "" if options.convolutions else "--no-convolutions",
        lambda options: convolutions.measure(
            options.threads, options.larq, options.work, options.seconds, options.rounds
        ),
        convolutions.judged,
        convolutions.markdown,
    ),
    "kernels": Part(
        lambda options: "" if options.program else "no --program",
        lambda options: kernels.measure(options.program),
        kernels.judged,
        kernels.markdown,
    ),
    "arm": Part(lambda options: "" if options.arm else "no --arm", _arm, arm.judged, arm.markdown),
    "memory": Part(lambda _: "", lambda _: memory.measure(), memory.judged),
    "efficientnet": Part(
        lambda options: "" if options.shared else "no --shared",
        _efficientnet,
        lambda content: [Row(**content["row"])],
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns an exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    content: Content = json.loads(options.json.read_text()) if options.json.exists() else {}
    if options.markdown:
        write(content, DOCUMENT)
        print(rows.markdown(judged(content)))
        return 0
    about = {
        "command": shlex.join(["python", "-m", "bench.bits", *given]),
        "date": machine.now(),
        "commit": machine.commit(),
        "machine": machine.facts(),
    }
    options.work.mkdir(parents=True, exist_ok=True)
    measured = []
    for name, part in PARTS.items():
        if lacks := part.lacks(options):
            print(f"bench.bits: {name}: skipped ({lacks})", file=sys.stderr)
            continue
        print(f"bench.bits: {name}", file=sys.stderr)
        try:
            content[name] = about | part.measure(options)
        except (RunError, ValueError) as problem:
            print(f"bench.bits: {problem}", file=sys.stderr)
            return 2
        measured.append(name)
        options.json.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        if table := part.shown(content[name]):
            print(f"\n{table}", flush=True)
    found = judged({name: content[name] for name in measured})
    print(f"\n{rows.markdown(found)}")
    return int(any(row.met == "no" for row in found))


def judged(content: Content) -> list[Row]:
    """The rows of every part that `content` has."""
    return [row for name, part in PARTS.items() if name in content for row in part.judged(content[name])]


def write(content: Content, document: Path) -> None:
    """Puts the tables between the marks of the document."""
    text = insert(document.read_text(), "judged", rows.markdown(judged(content)), "bench.bits")
    for name, part in PARTS.items():
        if name in content and (table := part.shown(content[name])):
            text = insert(text, name, table, "bench.bits")
    document.write_text(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.bits", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="of the convolutions")
    parser.add_argument("--program", type=Path, help="kernel_bench")
    parser.add_argument("--arm", type=Path, metavar="BUILD", help="static aarch64 build with run_b1, run_w4, run_whit")
    parser.add_argument("--armv7", type=Path, metavar="BUILD", help="the same for 32-bit ARM; with --arm")
    parser.add_argument("--larq", default=sys.executable, metavar="PYTHON", help="that has larq-compute-engine")
    parser.add_argument("--shared", type=Path, metavar="DIR", help="folder with models/ and data/")
    parser.add_argument("--no-convolutions", dest="convolutions", action="store_false", help="without the others")
    parser.add_argument("--seconds", type=float, default=1.0, help="timed for each convolution of each contender")
    parser.add_argument("--rounds", type=int, default=15, help="over which these are spread")
    parser.add_argument("--work", type=Path, default=machine.ROOT / "build" / "bench", help="where models are kept")
    parser.add_argument("--json", type=Path, default=RESULTS, help="the results")
    parser.add_argument("--markdown", action="store_true", help="measure nothing; write the tables of docs/bits.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
