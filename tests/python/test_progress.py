"""The progress bar: silent unless on a terminal, or where the caller wants it."""

from __future__ import annotations

import io
import sys

import pytest

from whit.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_callback_sees_every_step() -> None:
    seen: list[tuple[str, int, int | None]] = []
    assert list(progress("abc", 3, "letters", lambda *step: seen.append(step))) == ["a", "b", "c"]
    assert seen == [("letters", 0, 3), ("letters", 1, 3), ("letters", 2, 3), ("letters", 3, 3)]


def test_length_is_found_or_unknown() -> None:
    totals: list[int | None] = []
    list(progress([1, 2], callback=lambda label, done, total: totals.append(total)))
    list(progress(iter([1, 2]), callback=lambda label, done, total: totals.append(total)))
    assert totals == [2, 2, 2, None, None, None]


def test_silent_without_terminal(capsys) -> None:
    assert list(progress(range(3), 3, "numbers")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_bar_on_a_terminal(monkeypatch) -> None:
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress(range(3), 3, "numbers")) == [0, 1, 2]
    assert "numbers" in terminal.getvalue()


def test_without_tqdm_or_stderr(monkeypatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(progress(range(3))) == [0, 1, 2]
    assert terminal.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", None)
    assert list(progress(range(3))) == [0, 1, 2]
