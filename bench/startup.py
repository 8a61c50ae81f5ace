"""Start-up and size: what a fresh process pays before its first result, and what lies on the disk."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.contenders.base import Contender, Prepared
from bench.files import Files
from bench.run import Bench, progress
from bench.workers import Worker, short

#: What a fresh process measures, in bench/worker.py.
TIMES = ("import_ms", "load_ms", "first_ms", "steady_ms")
_HEADS = {
    "import_ms": "import ms",
    "load_ms": "load ms",
    "first_ms": "first inference ms",
    "steady_ms": "steady ms",
    "peak_rss_mb": "peak RSS MB",
    "wheel_mb": "wheel MB",
    "installed_mb": "installed MB",
}


@dataclass
class Startup:
    """Medians over `runs` fresh processes; None if `error` says why not.

    Attributes:
        first_ms, steady_ms: of one inference.
        peak_rss_mb: until the first result, beyond an interpreter that has imported numpy.
        wheel_mb: of the files of the package, compressed as in a wheel; 0 if not asked for.
        installed_mb: of the package and what it requires besides numpy.
    """

    case: str
    threads: int
    contender: str
    variant: str
    version: str = ""
    runs: int = 0
    import_ms: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    steady_ms: float | None = None
    peak_rss_mb: float | None = None
    wheel_mb: float = 0.0
    installed_mb: float = 0.0
    error: str = ""
    measured: str = ""
    commit: str = ""
    spread: dict[str, list[float]] = field(default_factory=dict)  # measure -> min, max


def rows(bench: Bench, files: Files, dtype: str, threads: int, runs: int, sizes: bool = True) -> list[Startup]:
    """Starts each variant of that dtype `runs` times, in turn."""
    entrants: list[tuple[Contender, Prepared, Startup]] = []
    result = []
    for contender in bench.contenders.values():
        for variant in (name for name, kind in contender.variants.items() if kind == dtype):
            row = Startup(files.case.name, threads, contender.name, variant)
            progress(f"startup: {contender.name} {variant}")
            try:
                prepared = bench.prepared(contender, files, variant)
                if prepared is None:
                    continue
                row.version = contender.version()
                entrants.append((contender, prepared, row))
            except Exception as error:  # of a runtime, of a converter: the row says it
                row.error = short(f"{type(error).__name__}: {error}")
            result.append(row)
    sample = files.folder / "startup.input.npy"
    np.save(sample, files.sample())
    measured: dict[int, list[dict[str, float]]] = {}
    try:
        for number in range(runs):
            for contender, prepared, row in entrants:
                progress(f"startup: run {number + 1} of {runs}, {contender.name} {row.variant}")
                if row.error:
                    continue
                try:
                    with Worker(contender, prepared, threads, bench.options.isa, startup=sample) as worker:
                        measured.setdefault(id(row), []).append(worker.loaded)
                except Exception as error:
                    row.error = short(str(error))
    except KeyboardInterrupt:
        bench.interrupted = True
    for contender, _, row in entrants:
        answers = measured.get(id(row), [])
        row.runs = len(answers)
        for key in answers[0] if answers else ():
            values = [answer[key] for answer in answers]
            setattr(row, key, median(values))
            row.spread[key] = [min(values), max(values)]
        if sizes and not bench.interrupted:
            progress(f"startup: size of {contender.name}")
            row.wheel_mb, row.installed_mb = _sizes(contender)
    progress("")
    return result


def _sizes(contender: Contender) -> tuple[float, float]:
    """MB of the contender's own wheel, and installed with what it requires."""
    own = list(_files(contender.distribution, contender.module))
    everything = [path for name in _required(contender.distribution) for path in _files(name, name)]
    compressed = sum(_compressed(path) for path in own)
    return compressed / 1e6, sum(path.stat().st_size for path in {*own, *everything}) / 1e6


def _compressed(path: Path) -> int:
    compressor, size = zlib.compressobj(wbits=-15), 0
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            size += len(compressor.compress(part))
    return size + len(compressor.flush())


def _files(distribution: str, module: str) -> Iterator[Path]:
    """What a package installed, without what Python compiled since; of one that runs from its sources its folder."""
    try:
        listed = importlib.metadata.files(distribution) or []
        paths: Iterable[Path] = [Path(str(file.locate())) for file in listed]
    except importlib.metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(module.partition(".")[0])
        folders = (spec and spec.submodule_search_locations) or []
        paths = [path for folder in folders for path in Path(folder).rglob("*")]
    yield from (path for path in paths if path.is_file() and "__pycache__" not in path.parts)


def _required(distribution: str) -> set[str]:
    """Everything that it requires and that is installed, but not numpy, which every contender needs."""
    found: set[str] = set()
    waiting = [distribution]
    while waiting:
        try:
            requirements = importlib.metadata.requires(waiting.pop()) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in requirements:
            name = re.split(r"[\s;<>=!~\[(]", requirement, maxsplit=1)[0].lower()
            if "extra ==" not in requirement and name != "numpy" and name not in found:
                found.add(name)
                waiting.append(name)
    return found


def markdown(startups: Sequence[Startup]) -> str:
    lines = []
    for case, threads in dict.fromkeys((row.case, row.threads) for row in startups):
        mine = [row for row in startups if (row.case, row.threads) == (case, threads)]
        lines += [f"**{case}, {threads} thread{'s' if threads > 1 else ''}**: medians of fresh processes", ""]
        lines += ["| | " + " | ".join(_HEADS.values()) + " |", "|---|" + "--:|" * len(_HEADS)]
        for row in mine:
            lines.append(f"| {row.contender} {row.variant} | " + " | ".join(_cell(row, key) for key in _HEADS) + " |")
        lines += ["", *(f"* {row.contender} {row.variant}: {row.error}" for row in mine if row.error), ""]
    return "\n".join(lines).strip()


def _cell(row: Startup, key: str) -> str:
    value = getattr(row, key)
    return f"{value:.3g}" if value else "-"


def store(path: Path, startups: Iterable[Startup], about: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dict(about) | {"rows": [asdict(row) for row in startups]}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def load(path: Path) -> list[Startup]:
    known = {one.name for one in fields(Startup)}
    return [Startup(**{k: v for k, v in row.items() if k in known}) for row in json.loads(path.read_text())["rows"]]


def merged(old: Iterable[Startup], new: Sequence[Startup]) -> list[Startup]:
    again = {(row.case, row.threads, row.contender, row.variant): row for row in new}
    kept = [again.pop((row.case, row.threads, row.contender, row.variant), row) for row in old]
    return [*kept, *again.values()]
