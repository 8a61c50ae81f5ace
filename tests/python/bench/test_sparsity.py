"""bench.sparsity: what is compared, and that what fails is told and not compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.sparsity import __main__ as sparsity
from bench.sparsity import kernels, peers


def test_a_row_times_who_computes_the_right_thing() -> None:
    """In a process of its own; a peer that is not there is told, and takes no part."""
    assert next(iter(peers.installed())) == "whit"
    row = sparsity.row(64, 90, 5, ["whit", "nobody"], 2)
    assert row["microseconds"]["whit"] > 0
    assert row["failed"] == {"nobody": "KeyError: 'nobody'"}
    assert sparsity.ratio(row) is None
    assert sparsity.line(row, {"whit": "1", "nobody": "2"}).split("|")[4:-1] == [
        f" {row['microseconds']['whit']:.1f} ",
        " - ",
        " - ",
    ]


def test_the_ratio_is_that_of_the_best_other() -> None:
    row = {"n": 8, "zeros, percent": 80, "columns": 1, "microseconds": {"whit": 2.0, "a": 9.0, "b": 5.0}}
    assert sparsity.ratio(row) == 2.5
    assert sparsity.line(row, {"whit": "", "a": "", "b": ""}) == "| 8 | 80 % | 1 | 2.0 | 9.0 | 5.0 | 2.50 |"


def test_kernels_are_compared_within_an_instruction_set(tmp_path: Path) -> None:
    results = [
        {"shape": "9x4x4 90% zeros in 1x4", "isa": isa, "kernel": kernel, "median_ms": ms}
        for isa, kernel, ms in (
            ("avx2", "gemm_s8_x", 6.0),
            ("avx2", "spmm_a", 3.0),
            ("avx2", "spmm_b", 2.0),
            ("scalar", "spmm_c", 9.0),
        )
    ]
    program = tmp_path / "kernel_bench"
    program.write_text(f"#!/bin/sh\necho '{json.dumps({'results': results})}'\n")
    program.chmod(0o755)
    (row,) = kernels.rows(program)
    assert kernels.line(row) == "| avx2 | 4, 9 | 90% zeros in 1x4 | 6.0000 | 2.0000 | 3.00 | spmm_b |"
    with pytest.raises(ValueError, match="missing"):
        list(kernels.rows(tmp_path / "missing"))
