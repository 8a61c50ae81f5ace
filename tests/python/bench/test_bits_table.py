"""bench.bits: what is judged by what, and that what it times computes the right thing."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from bench import report
from bench.bits import __main__ as command
from bench.bits import arm, convolutions, kernels, memory, rows
from bench.bits.larq import Larq, _bits
from bench.cases import Case
from bench.contenders.base import Prepared, Quantization
from bench.files import Files
from bench.workers import Worker, WorkerError


def test_the_worst_decides() -> None:
    more = rows.judge("a", "A", {"x": 2.0, "y": 1.7}, 1.6, 1.9)
    assert (more.reached, more.met) == ("1.7 (x: 2, y: 1.7)", "least")
    less = rows.judge("b", "B", {"x": 0.53, "y": 0.5}, 0.55, 0.52, less=True)
    assert (less.reached, less.met) == ("0.53 (x: 0.53, y: 0.5)", "least")
    assert rows.judge("b", "B", {"x": 0.56}, 0.55, 0.52, less=True).met == "no"
    none = rows.judge("c", "C", {}, 1, 2, "no AMX")
    assert (none.reached, none.met) == ("no AMX", "")
    assert "| C | 1 | 2 | no AMX | - |" in rows.markdown([none])


def _timed(contender: str, variant: str, us: float, isa: str = "", note: str = "") -> list[dict[str, Any]]:
    made = []
    for case in convolutions.cases():
        row = report.Row(case.name, "s8", 1, isa, contender, variant, macs=1000, median=us * 1e-6, note=note)
        made.append(asdict(row))
    return made


def test_convolutions_are_judged_with_and_without_amx() -> None:
    mine = [*_timed("whit b1", "b1", 10), *_timed("larq", "default", 300), *_timed("larq", "indirect", 50)]
    content = {"amx": False, "rows": [*mine, *_timed("a", "s8", 40), *_timed("b", "s8", 30)]}
    larq, s8, amx = convolutions.judged(content)
    assert (larq.met, min(larq.details.values())) == ("least", pytest.approx(30))
    assert larq.reached.endswith("if asked: 5.00")
    assert (s8.met, min(s8.details.values())) == ("aim", pytest.approx(3))
    assert (amx.met, amx.reached) == ("", "this CPU has no AMX")
    assert "| whit b1 | 10, 0 | 10, 0 | 10, 0 | 10, 0 |" in convolutions.markdown(content)

    least = convolutions.WITHOUT_AMX
    withheld = [*_timed("whit b1", "b1", 10, least), *_timed("a", "s8", 14, least)]
    withheld += _timed("b", "s8", 2, least, "cannot be kept to avx512icl")
    larq, s8, amx = convolutions.judged({"amx": True, "rows": [*content["rows"], *withheld]})
    assert (larq.met, s8.met, amx.met) == ("", "no", "aim")
    assert min(s8.details.values()) == pytest.approx(1.4)  # b could not be kept from it
    content["rows"].pop(0)  # a shape that whit did not run
    assert [row.met for row in convolutions.judged(content)] == ["", "", ""]


def test_the_binary_convolution_is_that_of_the_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the signs; zeros are padded; results are rounded to steps of 2."""
    ends = (Quantization("s8", 1.0, 0), Quantization("s8", 2.0, 3))
    monkeypatch.setattr(Files, "ends", lambda *_: ends)
    case = Case("b1", True, lambda: convolutions._network(5, 16), lambda: convolutions._signs(16, 5))
    files = Files(case, tmp_path)
    x, weight = files.sample()[0], convolutions.weights(files).astype(np.float32)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    wanted = np.broadcast_to(convolutions.bias(files)[:, None, None], x.shape).copy()
    for i in range(3):
        for j in range(3):
            wanted += np.einsum("oc,chw->ohw", weight[:, i, j], padded[:, i : i + 5, j : j + 5])
    assert set(np.unique(x)) == set(np.unique(weight)) == {-1.0, 1.0}

    runner = convolutions.Bits().load(convolutions.Bits().prepare(files, "b1"), 1)
    runner.feed(files.sample())
    runner.run()
    assert np.abs(runner.result()[0] - wanted).max() <= 1
    kernels_used = [node.kernel for node in runner.model.profile(runner.feeds, runs=1).nodes]  # type: ignore[attr-defined]
    assert any("b1b1s32" in kernel or "gemm_b1" in kernel for kernel in kernels_used), kernels_used


def test_signs_are_packed_for_larq() -> None:
    values = np.ones((2, 64), np.int8)
    values[0, 1], values[1, 33] = -1, -1
    assert _bits(values).tolist() == [[2, 0], [0, 2]]


def test_a_contender_may_have_a_python_of_its_own(tmp_path: Path) -> None:
    """It finds the bench, and nothing that only the parent has."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$PYTHONPATH" > {tmp_path}/path\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    larq = Larq(str(python))
    if larq.installed():
        pytest.skip("Larq Compute Engine is here")
    with pytest.raises(WorkerError, match="ImportError: no larq_compute_engine"):
        Worker(larq, Prepared([]), 1)
    assert (tmp_path / "path").read_text().strip() == str(command.machine.ROOT)


def _line(family: str, shape: str, kernel: str, isa: str, ms: float, **more: Any) -> dict[str, Any]:
    return {"family": family, "shape": shape, "kernel": kernel, "isa": isa, "median_ms": ms} | more


def test_kernels_are_compared_with_s8_of_their_level_or_below() -> None:
    shape = f"{kernels.ROW} 4 bits"
    lines = [
        _line("gemm_w4", shape, "gemm_s8s8s32_a", "avx2", 8),
        _line("gemm_w4", shape, "gemm_s8s8s32_b", "avx512vnni", 2),
        _line("gemm_w4", shape, "gemm_s8w4s32_a", "avx2", 4),
        _line("gemm_w4", shape, "gemm_s8w4s32_b", "avx512vnni", 1.25),
        _line("gemm_w4", f"{shape}, groups of 32", "gemm_s8w4f32_grouped_avx2", "avx2", 5),
    ]
    for case in kernels.CONVOLUTIONS:
        for isa, share in (("avx2", 99.0), ("avx512icl", 71.0), ("amx", 120.0)):
            lines.append(_line("gemm_b1", f"3x3 {case}", "gemm_b1_x", isa, 1, percent_of_peak=share, gops=share))
    plain = {"name": "peak_xor_x", "isa": "avx512icl", "gops": 50.0}
    content = {"results": lines, "peaks": [plain, plain | {"name": "peak_vpternlogd_x", "gops": 100.0}]}
    assert kernels.times_as_fast(content, "gemm_w4", shape) == {"avx2": 2, "avx512vnni": 1.6}
    assert kernels.times_as_fast(content, "gemm_w4", f"{shape}, groups of 32") == {"avx2": 1.6}
    peak, w4 = kernels.judged(content)
    assert (peak.met, w4.met, min(w4.details.values())) == ("least", "least", 1.6)
    assert peak.reached.endswith("a word: from 142")
    table = kernels.markdown(content)
    assert "| 1x4096x4096 | 2.00 | 1.60 |" in table
    assert "| 3x3 7x7x512 |" not in table  # no s8 to compare with


def test_kernel_bench_is_asked_for_each_family(tmp_path: Path) -> None:
    program = tmp_path / "kernel_bench"
    program.write_text('#!/bin/sh\necho "{\\"results\\": [{\\"family\\": \\"$3\\"}]}"\n')
    program.chmod(0o755)
    assert [line["family"] for line in kernels.measure(program)["results"]] == ["gemm_b1 ", "gemm_w4 "]


def test_memory_limits_one_row_on_arm() -> None:
    row = {"core": "cortex-a72", "shape": "1x1000x1000", "weights": "w4", "dense": 2e5, "coded": 3e5}
    assert arm.with_memory(row, 1.0) == 2  # 1e6 cycles for 1e6 bytes, 5e5 for half of them
    assert arm.with_memory(row, 2.5) == pytest.approx(4 / 3)  # 4e5 for bytes, 3e5 for arithmetic
    assert arm.with_memory(row, 1e9) == pytest.approx(2 / 3)
    bits = [{"core": "cortex-a72", "shape": shape, "s8": 16.0, "b1": 2.0} for shape in arm.CONVOLUTIONS]
    codes = [row | {"core": core, "shape": arm.ROW, "dense": 1e6, "coded": 1.4e6} for core in arm.BYTES_A_CYCLE]
    content = {"b1": bits, "w4": codes, "layers": [bits[0] | {"b1": 4.0}]}
    assert [found.met for found in arm.judged(content)] == ["aim", "least"]
    assert "| 3136x64x64x9 | 8.00 |" in arm.markdown(content)
    assert "| w4 | 2.00 | 1.69 |" in arm.markdown(content)
    assert arm.judged(content)[0].reached.endswith("suit: from 4")
    assert [found.met for found in arm.judged({"b1": [], "w4": [], "layers": []})] == ["", ""]


def test_four_bits_take_half_a_byte() -> None:
    """And a scale of f16 for each 32 a sixteenth of one."""
    assert 0.5 < memory.per_channel(256, 512) < 0.55
    assert 0.5625 <= memory.groups(256, 512) < 0.6


def test_the_command_keeps_what_it_does_not_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bits.json"
    path.write_text(json.dumps({"arm": {"b1": [], "w4": []}}))
    found = {"per channel": {"a": 0.51}, "groups of 32": {}}
    monkeypatch.setattr(memory, "measure", lambda: found)
    arguments = ["--no-convolutions", "--json", str(path), "--work", str(tmp_path / "work")]
    assert command.main(arguments) == 0
    content = json.loads(path.read_text())
    assert (content["memory"]["per channel"], content["arm"]) == ({"a": 0.51}, {"b1": [], "w4": []})
    printed = capsys.readouterr()
    assert "per channel | 0.55 | 0.52 | 0.51 (a: 0.51) | aim |" in printed.out
    assert "arm: skipped (no --arm)" in printed.err
    found["per channel"] = {"a": 0.56}
    assert command.main(arguments) == 1
    assert command.main([*arguments, "--program", str(tmp_path / "missing")]) == 2


def test_tables_go_between_the_marks(tmp_path: Path) -> None:
    document = tmp_path / "bits.md"
    names = ("judged", "memory")
    marks = [f"<!-- {name}: written by python -m bench.bits -->\nold\n<!-- end of {name} -->\n" for name in names]
    document.write_text("\n".join(marks))
    command.write({"memory": {"per channel": {"a": 0.51}, "groups of 32": {}}}, document)
    text = document.read_text()
    assert "| 0.51 (a: 0.51) | aim |" in text
    assert text.count("old") == 1  # memory has no table of its own
