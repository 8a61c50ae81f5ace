"""docs/PERFORMANCE.md takes its tables from the results."""

from __future__ import annotations

import pytest

from bench import performance, report
from bench.samples import Summary


def test_insert_replaces_what_stands_between_the_marks() -> None:
    document = "a\n<!-- x: written by python -m bench.performance -->\nold\n<!-- end of x -->\nb\n"
    once = performance.insert(document, "x", r"new \1")
    assert once == "a\n<!-- x: written by python -m bench.performance -->\n\nnew \\1\n\n<!-- end of x -->\nb\n"
    assert performance.insert(once, "x", r"new \1") == once


def test_insert_needs_the_marks() -> None:
    with pytest.raises(ValueError, match="no marks for y"):
        performance.insert("", "y", "")


def test_the_document_has_all_marks() -> None:
    document = performance.DOCUMENT.read_text()
    for name in ("summary", *performance._PARTS):
        performance.insert(document, name, "")


def test_summary_names_the_worst_case_of_each_kind(tmp_path) -> None:
    def row(case: str, contender: str, seconds: float) -> report.Row:
        made = report.Row(case, "s8", 1, "", contender, "s8")
        made.set(Summary(seconds, seconds, seconds, 5))
        return made

    rows = [
        row("dw3x3 a", "whit", 1),
        row("dw3x3 a", "other", 4),
        row("dw5x5 b", "whit", 2),
        row("dw5x5 b", "other", 2),
    ]
    rows += [row("first c", "whit", 1), row("first c", "other", 3), row("1x1 d", "whit", 1)]
    report.store(tmp_path / "conv.json", rows, {})
    assert performance.summary(tmp_path).splitlines()[2:] == [
        "| depthwise convolutions, s8, 1 thread | 2 | 2.00 | 1.00 (dw5x5 b) |",
        "| other convolutions, s8, 1 thread | 1 | 3.00 | 3.00 |",
    ]
