"""What a journal survives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from whit.compression.search.journal import Journal, digest
from whit.errors import FileError, FormatError


def test_values_come_back(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.add("a", {"x": [1, 2.5, None]})
    journal.add("b", 0.1)
    again = Journal(path)
    assert again.get("a") == {"x": [1, 2.5, None]}
    assert again.get("b") == 0.1
    assert again.get("c") is None
    assert len(again) == 2
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.add("a", 1)
    journal.add("b", 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    again = Journal(path)
    assert (again.get("a"), again.get("b")) == (1, None)
    again.add("b", 2)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"hello\n", b"\x89PNG", b'{"key":"a"}\n', b'{"key":"a","value":1}\n[]\n'])
def test_other_files_are_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"line \d: not an entry of a journal"):
        Journal(path)
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"journal .*missing.*No such file"):
        Journal(tmp_path / "missing" / "j.jsonl")


def test_digest_depends_on_values_not_on_their_order() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest([1], 2) != digest([1, 2])
