"""The interleaved run: for each case all contenders in turn, again and again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench import machine, samples
from bench.cases import Case
from bench.contenders.base import Contender, Prepared
from bench.files import Files
from bench.report import Row
from bench.workers import Worker, WorkerError, short

#: Below that a contender computes something else, whatever the noise of its quantisation.
MIN_CORRELATION = {"s8": 0.9, "f32": 0.9999}
_WARM_UP_SECONDS = 0.3


@dataclass(frozen=True)
class Options:
    """
    Attributes:
        threads, dtypes: every case runs with each of them.
        seconds: that are timed for each contender and case; spread over `rounds` samples.
        isa: the highest instruction set that contenders may use, in whit's words; None for all.
    """

    threads: Sequence[int] = (1,)
    dtypes: Sequence[str] = ("s8", "f32")
    seconds: float = 1.5
    rounds: int = 25
    isa: str | None = None


@dataclass
class _Entrant:
    """A variant of a contender in one case."""

    row: Row
    worker: Worker
    count: int = 1  # inferences of a sample
    seconds: list[float] = field(default_factory=list)  # of one inference


class Bench:
    """Files of the cases are kept in `work`."""

    def __init__(self, contenders: Mapping[str, Contender], options: Options, work: Path) -> None:
        self.contenders = contenders
        self.options = options
        self.work = work
        self.interrupted = False
        self._prepared: dict[tuple[str, str, str], Prepared | Exception | None] = {}

    def rows(self, cases: Sequence[Case]) -> Iterator[Row]:
        """The results as they come. Ctrl-C ends the run; `interrupted` is then set and what was measured is kept."""
        for case in cases:
            for dtype in self.options.dtypes:
                for threads in self.options.threads:
                    try:
                        yield from self._case(Files(case, self.work), dtype, threads)
                    except KeyboardInterrupt:
                        self.interrupted = True
                    if self.interrupted:
                        return

    def prepared(self, contender: Contender, files: Files, variant: str) -> Prepared | None:
        """What `contender` runs, made once. Raises what kept it from being made."""
        key = (files.case.name, contender.name, variant)
        if key not in self._prepared:
            try:
                if not contender.installed():
                    raise ImportError(f"not installed: pip install {contender.distribution}")
                self._prepared[key] = contender.prepare(files, variant)
            except Exception as error:  # a result, too
                self._prepared[key] = error
        found = self._prepared[key]
        if isinstance(found, Exception):
            raise found
        return found

    def _case(self, files: Files, dtype: str, threads: int) -> Iterator[Row]:
        label = f"{files.case.name} {dtype}, {threads} thread{'s' if threads > 1 else ''}"
        entrants: list[_Entrant] = []
        try:
            for contender in self.contenders.values():
                for variant in (name for name, kind in contender.variants.items() if kind == dtype):
                    progress(f"{label}: {contender.name} {variant}")
                    row = Row(files.case.name, dtype, threads, self.options.isa or "", contender.name, variant)
                    row.macs = files.macs()
                    self._enter(files, contender, row, entrants)
                    if row.error:
                        yield row
            try:
                for number in range(self.options.rounds):
                    progress(f"{label}: round {number + 1} of {self.options.rounds}")
                    self._round(entrants, number)
            except KeyboardInterrupt:
                self.interrupted = True
            for entrant in entrants:
                if entrant.seconds:
                    entrant.row.set(samples.summarize(entrant.seconds))
                if entrant.seconds or entrant.row.error:
                    yield entrant.row
        finally:
            progress("")
            for entrant in entrants:
                entrant.worker.close()

    def _enter(self, files: Files, contender: Contender, row: Row, entrants: list[_Entrant]) -> None:
        """Adds a worker that computes the right thing, or says in the row why there is none."""
        worker = None
        try:
            prepared = self.prepared(contender, files, row.variant)
            if prepared is None:
                return
            row.version, row.note = contender.version(), prepared.note
            if self._goes_beyond_isa(contender):
                row.note = "; ".join(filter(None, [row.note, f"cannot be kept to {self.options.isa}"]))
            worker = Worker(contender, prepared, row.threads, self.options.isa)
            self._check(worker, files, row)
            entrants.append(_Entrant(row, worker, self._count(worker)))
        except Exception as error:  # of a runtime, of a converter: the row says it
            row.error = short(str(error) if isinstance(error, WorkerError) else f"{type(error).__name__}: {error}")
            if worker:
                worker.close()
        except BaseException:
            if worker:
                worker.close()
            raise

    def _goes_beyond_isa(self, contender: Contender) -> bool:
        """Whether it uses more of this CPU than --isa allows. Above avx512vnni there is but AMX that matters."""
        if contender.environment(self.options.isa) is not None:
            return False
        return self.options.isa not in ("avx512vnni", "avx512icl") or (contender.amx and machine.has_amx())

    def _check(self, worker: Worker, files: Files, row: Row) -> None:
        reference = files.reference()
        result = worker.output(files.sample(), files.folder)
        if result.size != reference.size:
            raise WorkerError(f"gave {result.shape}, not {reference.shape}")
        row.correlation = samples.correlation(result, reference)
        row.snr_db = samples.snr_db(result.reshape(reference.shape), reference)
        if not np.isfinite(row.snr_db):
            row.snr_db = None  # equal to the last bit, or nothing finite: JSON has no word for it
        if row.correlation < MIN_CORRELATION[row.dtype]:
            raise WorkerError(f"computes something else: correlation {row.correlation:.4f} with f32")

    def _count(self, worker: Worker) -> int:
        """Warms up, and finds how many inferences make a sample."""
        worker.seconds(1, 2)
        count, spent, one = 1, 0.0, 0.0
        while spent < _WARM_UP_SECONDS:
            seconds = worker.seconds(count, 0)
            spent, one = spent + seconds, seconds / count
            count *= 2
        return samples.batch(one, self.options.seconds / self.options.rounds)

    def _round(self, entrants: list[_Entrant], number: int) -> None:
        """One sample of each, beginning with another one each time."""
        running = [entrant for entrant in entrants if not entrant.row.error]
        for i in range(len(running)):
            entrant = running[(i + number) % len(running)]
            try:
                warm = 1 + entrant.count // 10
                entrant.seconds.append(entrant.worker.seconds(entrant.count, warm) / entrant.count)
            except WorkerError as error:
                entrant.row.error = str(error)
                entrant.seconds.clear()


def progress(text: str) -> None:
    """A line on stderr that the next one replaces; nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
