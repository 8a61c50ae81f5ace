import json
from dataclasses import replace

import pytest

from bench import report
from bench.report import Row
from bench.samples import Summary


def _row(case, contender, variant, median, **rest):
    row = Row(case, rest.pop("dtype", "s8"), rest.pop("threads", 1), rest.pop("isa", ""), contender, variant, **rest)
    row.macs = 500_000
    if median:
        row.set(Summary(median, median / 2, median * 2, 25))
    return row


ROWS = [
    _row("gemm 1", "whit", "int8", 4e-3),
    _row("gemm 1", "whit", "qdq", 2e-3),
    _row("gemm 1", "other", "u8s8", 6e-3),
    _row("gemm 1", "third", "s8", 3e-3),
    _row("gemm 2", "whit", "int8", 4e-3),
    _row("gemm 2", "third", "s8", None, error="no such operator"),
]


def test_ratio_takes_the_best_other_and_the_best_of_whit():
    assert report.ratio(ROWS[:4]) == pytest.approx(1.5)
    assert report.ratio(ROWS[4:]) is None
    assert report.ratio(ROWS[2:4]) is None
    assert report.best(ROWS[:4], "whit").variant == "qdq"
    assert report.best(ROWS[4:], "third").error == "no such operator"


def test_operations_are_two_a_multiplication():
    assert ROWS[0].gops == pytest.approx(0.25)
    assert ROWS[5].gops is None


def test_merging_replaces_what_was_measured_again_and_keeps_the_rest_in_place():
    new = [_row("gemm 1", "third", "s8", 1e-3), _row("gemm 1", "third", "s8", 1e-3, isa="avx512vnni")]
    merged = report.merged(ROWS, new)
    assert merged == [*ROWS[:3], new[0], *ROWS[4:], new[1]]


def test_rows_survive_the_file(tmp_path):
    path = tmp_path / "deep" / "gemm.json"
    report.store(path, ROWS, {"commit": "abc"})
    assert report.load(path) == ROWS
    assert json.loads(path.read_text())["commit"] == "abc"
    old = replace(ROWS[0])
    content = json.loads(path.read_text())
    content["rows"] = [content["rows"][0] | {"gone_since": 1}]
    path.write_text(json.dumps(content))
    assert report.load(path) == [old]


def test_tables():
    text = report.markdown([*ROWS, _row("gemm 1", "whit", "f32", 1e-2, dtype="f32", threads=2, isa="avx2")])
    assert "**s8, 1 thread**: us and GOP/s" in text
    assert "| | MAC | whit | other | third | best other / whit |" in text
    assert "| gemm 1 | 500 k | 2e+03 (1e+03 to 4e+03), 0.5 qdq |" in text
    assert "| **1.50** |" in text
    assert "* third s8: no such operator (gemm 2)" in text
    assert "**f32, 2 threads, at most avx2**" in text
    assert "**s8, 1 thread**: ms" in report.markdown([_row("mobilenet_v1", "whit", "int8", 4e-3)])
