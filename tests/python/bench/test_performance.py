"""docs/PERFORMANCE.md takes its tables from the results."""

from __future__ import annotations

import pytest

from bench import performance


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
    for name in performance._PARTS:
        performance.insert(document, name, "")
