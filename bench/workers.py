"""The parent's side of a worker: bench/worker.py."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from bench import machine
from bench.contenders.base import Contender, Prepared

_SECONDS_TO_LOAD = 300.0
_SECONDS_TO_ANSWER = 120.0


class WorkerError(Exception):
    """A contender that could not load, run, or answer in time; the text says why."""


class Worker:
    """A process with a loaded model. It stands still (SIGSTOP) except while it is asked something."""

    def __init__(
        self,
        contender: Contender,
        prepared: Prepared,
        threads: int,
        isa: str | None = None,
        cpus: Sequence[int] | None = None,
        startup: Path | None = None,
    ) -> None:
        """Starts a process that loads the model, or with `startup` (the file of an input) measures that and ends."""
        variables = contender.environment(isa) or {}
        modules = [str(machine.ROOT)] if contender.python != sys.executable else filter(None, sys.path)
        quiet = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(modules)}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._lines = b""
        self._process = subprocess.Popen(
            [contender.python, "-m", "bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | quiet | variables,
            start_new_session=True,  # Ctrl-C is the parent's
        )
        order = {
            "module": type(contender).__module__,
            "contender": contender.name,
            "prepared": prepared.to_dict(),
            "threads": threads,
            "cpus": list(cpus or usable_cpus()[-threads:]),
            "startup": startup is not None,
            "input": str(startup),
        }
        try:
            self.loaded = self._ask(order, _SECONDS_TO_LOAD)
        except BaseException:
            self.close()
            raise
        self._signal(signal.SIGSTOP)

    def output(self, x: np.ndarray, folder: Path) -> np.ndarray:
        """The result for an input, which is also that of the timed runs to come."""
        paths = [folder / "check.input.npy", folder / "check.output.npy"]
        np.save(paths[0], x)
        self._awake({"do": "check", "input": str(paths[0]), "output": str(paths[1])})
        return np.asarray(np.load(paths[1]))

    def seconds(self, count: int, warm: int) -> float:
        """The time of `count` inferences, after `warm` that do not count."""
        return float(self._awake({"do": "time", "count": count, "warm": warm})["seconds"])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _awake(self, order: dict[str, Any]) -> dict[str, Any]:
        self._signal(signal.SIGCONT)
        try:
            return self._ask(order, _SECONDS_TO_ANSWER)
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def _ask(self, order: dict[str, Any], timeout: float) -> dict[str, Any]:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._last_words()) from None
        answer: dict[str, Any] = json.loads(self._line(timeout))
        if "error" in answer:
            raise WorkerError(short(answer["error"]))
        return answer

    def _line(self, timeout: float) -> bytes:
        assert self._process.stdout
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._lines:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise WorkerError(f"no answer in {timeout:.0f} s")
                part = os.read(self._process.stdout.fileno(), 1 << 16)
                if not part:
                    raise WorkerError(self._last_words())
                self._lines += part
        line, _, self._lines = self._lines.partition(b"\n")
        return line

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return short(f"died of {how}" + (f": {lines[-1]}" if lines else ""))


def usable_cpus() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def short(text: str) -> str:
    """The first line that says something, for a table; the next one too if it ends in a colon."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])[:240]
