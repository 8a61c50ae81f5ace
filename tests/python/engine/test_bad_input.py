"""Damaged files, hostile models and wrong calls: typed errors that say what is wrong, and never a crash."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import cases_bad
import numpy as np
import pytest
from session_models import convnet, image, small

import whit
from whit.format import write

HERE = pathlib.Path(__file__).parent
GRAPH, FEEDS = small()
SMALL = write(GRAPH)


def environment() -> dict[str, str]:
    package = os.path.dirname(os.path.dirname(whit.__file__))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}


# --- damaged files ---


def test_truncated_anywhere() -> None:
    for length in range(len(SMALL)):
        with pytest.raises(whit.FormatError):
            whit.load(SMALL[:length])


def test_any_flipped_bit() -> None:
    for position in range(len(SMALL)):
        for bit in range(8):
            damaged = bytearray(SMALL)
            damaged[position] ^= 1 << bit
            with pytest.raises(whit.FormatError, match=r"offset \d+|version|not a .whit file|text mode"):
                whit.load(damaged)


def test_paths(tmp_path) -> None:
    with pytest.raises(whit.FileError, match=r"missing\.whit: cannot open: No such file"):
        whit.load(tmp_path / "missing.whit")
    with pytest.raises(OSError, match="is a directory"):
        whit.load(tmp_path)
    empty = tmp_path / "empty.whit"
    empty.touch()
    for source in (empty, b""):
        with pytest.raises(whit.FormatError, match="empty"):
            whit.load(source)
    other = tmp_path / "photo.whit"
    other.write_bytes(b"\xff\xd8\xff\xe0" + bytes(500))
    with pytest.raises(whit.FormatError, match=r"photo\.whit: .*not a .whit file"):
        whit.load(other)


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (SMALL[:-1], 3, "offset"),
        (SMALL[:300] + b"\x01" + SMALL[301:], 3, "offset"),
        (b"hello", 3, "not a .whit file"),
        (None, 3, "No such file"),
    ],
)
def test_command_line(content, code, text, tmp_path) -> None:
    """One line, no traceback."""
    path = tmp_path / "m.whit"
    if content is not None:
        path.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "whit", "inspect", path],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert text in done.stderr
    assert "m.whit" in done.stderr


# --- wrong inputs ---


@pytest.mark.parametrize(
    ("feeds", "kind", "message"),
    [
        ({}, whit.InvalidArgumentError, r"input 'x' is missing; the model's inputs are \('x', 'y'\)"),
        ({"x": FEEDS["x"]}, whit.InvalidArgumentError, "input 'y' is missing"),
        ({**FEEDS, "z": FEEDS["y"]}, whit.InvalidArgumentError, r"no input named 'z'; its inputs are \('x', 'y'\)"),
        ({**FEEDS, 3: FEEDS["y"]}, whit.InvalidArgumentError, "no input named '3'"),
        ({**FEEDS, "x": FEEDS["x"].astype("f8")}, whit.InvalidArgumentError, r"must be float32; got float64 \[2, 3\]"),
        ({**FEEDS, "x": FEEDS["x"].astype("i8")}, whit.InvalidArgumentError, "'x' must be float32; got int64"),
        ({**FEEDS, "x": FEEDS["x"].astype(">f4")}, whit.InvalidArgumentError, "'x' must be float32; got >f4"),
        ({**FEEDS, "x": FEEDS["x"].astype("O")}, whit.InvalidArgumentError, "'x' must be float32; got object"),
        ({**FEEDS, "x": FEEDS["x"].astype("c8")}, whit.InvalidArgumentError, "'x' must be float32; got complex64"),
        ({**FEEDS, "x": FEEDS["x"].tolist()}, whit.InvalidArgumentError, "'x' must be a numpy array; got list"),
        ({**FEEDS, "x": None}, whit.InvalidArgumentError, "'x' must be a numpy array; got NoneType"),
        ({**FEEDS, "x": FEEDS["x"].T}, whit.ShapeError, r"'x' must have shape \[2, 3\]; got \[3, 2\]"),
        ({**FEEDS, "x": FEEDS["x"][None]}, whit.ShapeError, r"'x' must have shape \[2, 3\]; got \[1, 2, 3\]"),
        ({**FEEDS, "x": FEEDS["x"][:0]}, whit.ShapeError, r"'x' must have shape \[2, 3\]; got \[0, 3\]"),
        ({**FEEDS, "y": np.float32(1)}, whit.InvalidArgumentError, "'y' must be a numpy array"),
        ({**FEEDS, "y": np.zeros((), "f4")}, whit.ShapeError, r"'y' must have shape \[3\]; got \[\]"),
        ({**FEEDS, "y": np.zeros((1,) * 9, "f4")}, whit.ShapeError, "'y'"),
        ({**FEEDS, "y": np.zeros((1,) * 20, "f4")}, whit.ShapeError, "'y'"),
    ],
)  # fmt: skip
def test_wrong_inputs(feeds, kind, message) -> None:
    with whit.load(SMALL, threads=1) as model:
        with pytest.raises(kind, match=message):
            model.run(feeds)
        with pytest.raises(kind, match=message):
            model.profile(feeds)
        assert set(model.run(FEEDS)) == set(GRAPH.outputs)  # it still works


def test_sizes_that_no_operator_can_use() -> None:
    """A dynamic model plans again for every size; a size that fails says where and leaves the last plan."""
    graph, feeds = convnet()
    with whit.load(write(graph), threads=1) as model:
        wanted = model(feeds["image"])
        with pytest.raises(MemoryError):
            model(np.broadcast_to(np.float32(0), (1, 2**20, 2**20, 3)))
        with pytest.raises(whit.ShapeError, match="height, width, 3"):
            model(image(2, 5, 5)[..., :2])
        assert model(image(2, 5, 5)).shape == (2, 5)
        assert model(feeds["image"]).tobytes() == wanted.tobytes()


# --- hostile models ---


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, tuple[str, str]]:
    """What load_worker.py says of every bad model; a crash is noted and the rest goes on in a new process."""
    folder = tmp_path_factory.mktemp("bad")
    paths = {}
    for number, (name, (build, _, _)) in enumerate(cases_bad.CASES.items()):
        paths[str(folder / f"{number}.whit")] = name
        (folder / f"{number}.whit").write_bytes(write(build()))
    found: dict[str, tuple[str, str]] = {}
    left = list(paths)
    while left:
        done = subprocess.run(
            [sys.executable, HERE / "load_worker.py", *left],
            env=environment(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        for line in done.stdout.splitlines():
            path, kind, message = line.split("\t", 2)
            found[paths[path]] = kind, message
            left.remove(path)
        if left:
            found[paths[left.pop(0)]] = f"exit code {done.returncode}", done.stderr
    return found


@pytest.mark.parametrize("name", list(cases_bad.CASES))
def test_bad_models(name, verdicts) -> None:
    _, kind, message = cases_bad.CASES[name]
    assert verdicts[name][0] == kind, verdicts[name]
    assert re.search(message, verdicts[name][1]), verdicts[name]
    if (
        kind in ("ShapeError", "UnsupportedOperatorError")
        and "input 'x'" not in message
        and "tensor" not in verdicts[name][1]
    ):
        assert re.search(r"node 'bad' \(\w+\)", verdicts[name][1]), verdicts[name]


MUTATIONS = 1000


def test_mutated_models() -> None:
    """A few hundred random changes of the graphs of test_operators.py: they run, or say why not."""
    done = subprocess.run(
        [sys.executable, HERE / "mutation_worker.py", "0", str(MUTATIONS)],
        env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-3000:]}"
    seen = json.loads(done.stdout)
    assert sum(seen.values()) == MUTATIONS
    assert "without a text" not in seen
    assert seen["fine"] > MUTATIONS // 20
    assert seen["ShapeError"] > MUTATIONS // 20
    assert seen["UnsupportedOperatorError"] > MUTATIONS // 20
