"""`python -m bench kernels` keeps what kernel_bench prints, with machine, commit and date, and says what went wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import kernel_results, performance

RESULT = {
    "family": "gemm_s8",
    "shape": "196x256x256",
    "kernel": "gemm_s8_x",
    "median_ms": 0.5,
    "gops": 100.0,
    "percent_of_peak": 91.2,
}
CONTENT = {
    "isa": "x",
    "peaks": [{"name": "peak_x", "gops": 110.0}],
    "bandwidths": [{"level": "L1", "gb_s": 300.0}],
    "results": [RESULT, {**RESULT, "family": "copy"}],
}


def program(folder: Path, body: str) -> Path:
    path = folder / "kernel_bench"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_keeps_what_was_printed_and_where(tmp_path, capsys) -> None:
    (tmp_path / "content.json").write_text(json.dumps(CONTENT))
    made = program(tmp_path, f'[ "$1" = --json ] && cat {tmp_path}/content.json')
    assert command.main(["kernels", "--program", str(made), "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "| gemm_s8 196x256x256 | `gemm_s8_x` | 0.5 | 100 | 91 % |" in printed
    assert "copy" not in printed
    stored = json.loads((tmp_path / "kernels.json").read_text())
    assert {key: stored[key] for key in CONTENT} == CONTENT
    assert stored["machine"]["cpus"] >= 1
    document = performance._PARTS["kernels"](tmp_path / "kernels.json")
    assert f"{stored['date']}, commit {stored['commit']}" in document
    assert str(tmp_path) not in document


@pytest.mark.parametrize(
    ("body", "says"),
    [("exit 3", "failed with code 3"), ("echo no; exit 0", "printed no JSON"), (None, "is missing: cmake")],
)
def test_says_what_went_wrong(tmp_path, capsys, body: str | None, says: str) -> None:
    path = tmp_path / "nothing" if body is None else program(tmp_path, body)
    assert command.main(["kernels", "--program", str(path), "--results", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "kernels.json").exists()
    with pytest.raises(ValueError, match=says):
        kernel_results.measure(path)
