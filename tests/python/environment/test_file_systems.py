"""Read-only, full and vanished file systems: errors that name the file, never a crash or half a file."""

from __future__ import annotations

import pytest
from isolated import need_mounts, run_python

WRITE = """
import os, sys
from pathlib import Path
import numpy as np
import whit
from whit.format import save
from whit.ir import Graph, Node, Tensor

def graph(elements):
    tensors = {"c": Tensor("c", "f32", (elements,), None, np.zeros(elements, np.float32)),
               "x": Tensor("x", "f32", (1,)), "y": Tensor("y", "f32", (elements,))}
    return Graph("g", [Node("add", "add", ["x", "c"], ["y"], {})], tensors, ["x"], ["y"])
"""


@pytest.fixture
def folder(tmp_path):
    need_mounts()
    path = tmp_path / "mounted"
    path.mkdir()
    return path


def test_read_only(folder, conv_file):
    script = """
try:
    save(graph(10), sys.argv[1] + "/new.whit")
except OSError as problem:
    print(problem.strerror)
model = whit.load(sys.argv[1] + "/conv.whit", threads=1)
assert model(np.ones((1, 9, 9, 3), np.float32)).shape == (1, 5)
"""
    mounts = [f"mount --bind {conv_file.parent} {folder}", f"mount -o remount,bind,ro {folder}"]
    assert run_python(WRITE + script, folder, mounts=mounts) == "Read-only file system\n"


def test_full(folder):
    """What does not fit leaves nothing behind, and what was there stays as it was."""
    script = """
path = sys.argv[1] + "/model.whit"
save(graph(10), path)
before = Path(path).read_bytes()
for target in (path, sys.argv[1] + "/other.whit"):
    try:
        save(graph(100000), target)
    except OSError as problem:
        print(problem.strerror)
assert os.listdir(sys.argv[1]) == ["model.whit"]
assert Path(path).read_bytes() == before
assert whit.load(path)(np.ones(1, np.float32)).shape == (10,)
"""
    mounts = [f"mount -t tmpfs -o size=128k none {folder}"]
    assert run_python(WRITE + script, folder, mounts=mounts) == "No space left on device\n" * 2


def test_vanished_while_a_model_is_open(folder, conv_file):
    """A card that is unmounted lazily: the mapping stays, the path does not."""
    script = """
        import subprocess, sys
        import numpy as np
        import whit
        path = sys.argv[1] + "/conv.whit"
        x = np.ones((1, 9, 9, 3), np.float32)
        model = whit.load(path, threads=2)
        wanted = model(x).tobytes()
        subprocess.run(["umount", "--lazy", sys.argv[1]], check=True)
        assert model(x).tobytes() == wanted
        assert model.session()(np.ones((2, 30, 30, 3), np.float32)).shape == (2, 5)
        try:
            whit.load(path)
        except whit.FileError as problem:
            assert str(problem) == f"{path}: cannot open: No such file or directory", problem
            print("gone")
    """
    mounts = [f"mount -t tmpfs none {folder}", f"cp {conv_file} {folder}"]
    assert run_python(script, folder, mounts=mounts) == "gone\n"


def test_the_working_folder_is_gone(tmp_path):
    script = """
        import os, sys
        import whit
        os.chdir(sys.argv[1])
        os.rmdir(sys.argv[1])
        try:
            whit.load("model.whit")
        except whit.FileError as problem:
            print(problem)
    """
    folder = tmp_path / "gone"
    folder.mkdir()
    assert run_python(script, folder) == "model.whit: cannot open: No such file or directory\n"
