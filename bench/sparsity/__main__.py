"""What sparse weights bring, as tables: `python -m bench.sparsity [--program KERNEL_BENCH] [--arm BUILD]`.

* f32 products n x n times n x c beside other libraries, interleaved, one thread; which take part depends on what is
  installed (README.md).
* With --program: s8 products beside whit's dense ones on each instruction set of this machine.
* With --arm: the same and f32 on ARM cores, counted under emulation (bench/arm/spmm.py says of what BUILD).
* Files: what `python -m bench.compression --rows efficientnet_sparse pruned_models` has left in its results.

All goes to bench/results/sparsity.json; what was not asked for stays there as it is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine
from bench.arm import spmm
from bench.arm.products import CORES
from bench.sparsity import kernels
from bench.sparsity.peers import Peer, PeerError, installed

SIZES, ZEROS, COLUMNS = (512, 1024, 2048), (80, 90, 95), (1, 16, 49, 196)
RESULTS = machine.ROOT / "bench" / "results"


def main(arguments: list[str] | None = None) -> int:
    """Returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.sparsity", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--program", type=Path, help="kernel_bench")
    parser.add_argument("--arm", type=Path, metavar="BUILD", help="static aarch64 build with run_spmm")
    parser.add_argument("--no-products", action="store_true", help="without the table of other libraries")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--zeros", type=float, nargs="+", default=ZEROS, help="percent")
    parser.add_argument("--columns", type=int, nargs="+", default=COLUMNS)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--results", type=Path, default=RESULTS / "sparsity.json")
    options = parser.parse_args(arguments)
    content: dict[str, Any] = json.loads(options.results.read_text()) if options.results.exists() else {}
    about = {
        "command": " ".join(["python -m bench.sparsity", *(sys.argv[1:] if arguments is None else arguments)]),
        "date": machine.now(),
        "commit": machine.commit(),
        "machine": machine.facts(),
    }
    if not options.no_products:
        content["products"] = about | products(options)
    if options.program:
        print(f"\n{kernels.HEADER}")
        try:
            found = list(kernels.rows(options.program))
        except ValueError as problem:
            print(f"bench.sparsity: {problem}", file=sys.stderr)
            return 2
        print("\n".join(map(kernels.line, found)), flush=True)
        content["s8"] = about | {"rows": found}
    if options.arm:
        print(f"\n{spmm.HEADER}")
        counted = []
        with tempfile.TemporaryDirectory() as folder:
            for counts in spmm.rows(options.arm, Path(folder), (256, 512, 1024), (196, 1), CORES):
                print(counts, flush=True)
                counted.append(asdict(counts))
        content["arm"] = about | {"rows": counted}
    options.results.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\n{files(RESULTS / 'compression.json')}")
    return 0


def files(results: Path) -> str:
    """What pruning does to files, as bench.compression found it."""
    rows = json.loads(results.read_text())["rows"] if results.exists() else []
    lines = [
        f"{row['what']}: {row['reached']}" for row in rows if row["row"] in ("efficientnet_sparse", "pruned_models")
    ]
    return "\n".join(lines) or "files: run python -m bench.compression --rows efficientnet_sparse pruned_models"


def products(options: argparse.Namespace) -> dict[str, Any]:
    """The table of other libraries, printed as it grows."""
    versions = installed()
    print("  ".join(f"{name} {version}" for name, version in versions.items()), flush=True)
    print(header(versions))
    rows = []
    for size in options.sizes:
        for zeros in options.zeros:
            for columns in options.columns:
                rows.append(row(size, zeros, columns, list(versions), options.rounds))
                print(line(rows[-1], versions), flush=True)
    return {"versions": versions, "rows": rows}


def row(size: int, zeros: float, columns: int, names: list[str], rounds: int) -> dict[str, Any]:
    """The median time of each on one matrix: microseconds, or why there is none."""
    random = np.random.default_rng(size * 1000 + columns)
    w = random.standard_normal((size, size), np.float32)
    w[random.random(w.shape) < zeros / 100] = 0
    x = random.standard_normal((size,) if columns == 1 else (size, columns), np.float32)
    wanted = w.astype(np.float64) @ x
    peers: dict[str, Peer] = {}
    result: dict[str, Any] = {"n": size, "zeros, percent": zeros, "columns": columns, "microseconds": {}, "failed": {}}
    try:
        for name in names:
            try:
                peers[name] = Peer(name, w, x)
            except PeerError as problem:
                result["failed"][name] = str(problem)
                continue
            got = peers[name].result.reshape(wanted.shape)
            if not np.allclose(got, wanted, rtol=1e-3, atol=1e-3 * float(np.abs(wanted).max())):
                result["failed"][name] = "computes something else"
                peers.pop(name).close()
        counts = {name: max(1, int(0.02 / peer.seconds(3))) for name, peer in peers.items()}
        times: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(rounds):
            for name, peer in peers.items():
                times[name].append(peer.seconds(counts[name]))
    finally:
        for peer in peers.values():
            peer.close()
    result["microseconds"] = {name: round(statistics.median(each) * 1e6, 2) for name, each in times.items()}
    return result


def ratio(entry: dict[str, Any]) -> float | None:
    """The best other's time over whit's."""
    others = [each for name, each in entry["microseconds"].items() if name != "whit"]
    mine = entry["microseconds"].get("whit")
    return min(others) / mine if others and mine else None


def header(versions: dict[str, str]) -> str:
    """Of the table in Markdown."""
    names = " | ".join(versions)
    return f"\n| n | zeros | columns | {names} | best other / whit |\n|--:|--:|--:|{'--:|' * len(versions)}--:|"


def line(entry: dict[str, Any], versions: dict[str, str]) -> str:
    """A row of the table, times in microseconds."""
    times = entry["microseconds"]
    cells = " | ".join(f"{times[name]:.1f}" if name in times else "-" for name in versions)
    factor = ratio(entry)
    last = "-" if factor is None else f"{factor:.2f}"
    return f"| {entry['n']} | {entry['zeros, percent']:g} % | {entry['columns']} | {cells} | {last} |"


if __name__ == "__main__":
    sys.exit(main())
