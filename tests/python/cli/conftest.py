"""Fixtures: the command line in process, and what `whit demo --keep` leaves."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whit.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def whit(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs one command line; what it printed before is dropped."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as leave:
            code = int(leave.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(autouse=True)
def quiet_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No WHIT_LOG from outside, and no handler or level left behind."""
    monkeypatch.delenv("WHIT_LOG", raising=False)
    logger = logging.getLogger("whit")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's folder: digits.onnx, digits-{f32,int8-weights,int8}.whit, calibration/*.png, test/NNN_is_D.png."""
    folder = tmp_path_factory.mktemp("demo")
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["demo", "--keep", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def assets() -> Path:
    """The demo's files in the package."""
    import whit

    return Path(whit.__file__).parent / "demo"


@pytest.fixture
def npz(assets: Path, tmp_path: Path) -> Path:
    """20 calibration samples as an .npz."""
    with np.load(assets / "digits.npz") as data:
        np.savez(tmp_path / "samples.npz", image=data["calibration_images"][:20].astype(np.float32))
    return tmp_path / "samples.npz"


@pytest.fixture
def documented() -> Callable[[str, str | None], set[str]]:
    """The keys that docs/CLI.md promises for a verb, or for a list or object under one of its keys."""
    text = (Path(__file__).resolve().parents[3] / "docs" / "CLI.md").read_text(encoding="utf-8")

    def keys(verb: str, under: str | None = None) -> set[str]:
        section = text.split(f"\n### {verb}\n")[1].split("\n#")[0]
        start = "JSON: " if under is None else f"JSON `{under}`: "
        (paragraph,) = [part for part in section.split("\n\n") if part.strip().startswith(start)]
        return set(paragraph.strip()[len(start) :].replace("`", "").split())

    return keys
