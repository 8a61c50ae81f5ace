"""Trains, compresses and measures what the compression toolbox is judged by, and prints one table.

    python -m bench.compression [--rows lenet_300_100 lenet_5 ...] [--shared ../shared] [--work build/bench/compression]

Each row is a file of this package. Everything is seeded; choices are made on data that is neither trained nor judged
on. Rows that a run does not measure keep what is stored in bench/results/compression.json.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

from bench import machine
from bench.compression import table
from bench.compression.table import Context, Row

ROWS = (
    "lenet_300_100",
    "lenet_5",
    "lossless",
    "decode",
    "mobilenet_v2",
    "resnet20",
    "efficientnet_sparse",
    "efficientnet_int4",
    "pruned_models",
)
RESULTS = machine.ROOT / "bench" / "results" / "compression.json"


def main(arguments: list[str] | None = None) -> int:
    """Returns an exit code: 1 if a row misses what is asked for at least."""
    options = _parser().parse_args(arguments)
    missing = [name for name in ("models", "data") if not (options.shared / name).is_dir()]
    if missing:
        print(f"bench.compression: {options.shared} has no folder {missing[0]} (--shared)", file=sys.stderr)
        return 2
    options.work.mkdir(parents=True, exist_ok=True)
    context = Context(options.shared, options.work, options.threads, options.seed)
    rows = [measure(name, context) for name in options.rows]
    kept = table.merged(table.load(options.results), rows, ROWS)
    table.store(
        options.results, kept, {"command": "python -m bench.compression", "date": machine.now(), "machine": _facts()}
    )
    print(table.markdown(rows))
    return int(any(row.met == "no" for row in rows))


def measure(name: str, context: Context) -> Row:
    """Runs one row; the module of that name has `run(context) -> Row`."""
    print(f"bench.compression: {name}", file=sys.stderr)
    start, start_cpu = time.perf_counter(), time.process_time()
    row: Row = importlib.import_module(f"bench.compression.{name}").run(context)
    row.seconds = round(time.perf_counter() - start, 1)
    row.cpu_seconds = round(time.process_time() - start_cpu, 1)
    row.details |= {"threads": context.threads, "seed": context.seed}
    row.measured, row.commit = machine.now(), machine.commit()
    return row


def _facts() -> dict[str, object]:
    import torch

    return machine.facts() | {"torch": torch.__version__}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.compression", description=__doc__.split("\n")[0])
    shared = os.environ.get("WHIT_SHARED", machine.ROOT.parent / "shared")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="which; all without")
    parser.add_argument("--shared", type=Path, default=Path(shared), help="folder with models/ and data/")
    parser.add_argument("--work", type=Path, default=machine.ROOT / "build" / "bench" / "compression")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of training")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
