"""Where the extension module is missing or of another machine, `import whit` says what to do."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import whit


@pytest.mark.parametrize(
    ("module", "data", "words"),
    [
        (None, b"", ["there is none in this installation"]),
        (
            "_core.cpython-399-riscv64-linux-gnu.so",
            b"\x7fELF",
            ["riscv64", "made for another machine or Python", "wanted"],
        ),
        ("_core.so", b"not a library", ["_core.so does not load here", "file too short"]),
        ("_core.so", b"\x7fELF\x02\x01\x01" + bytes(57), ["_core.so does not load here"]),
    ],
)
def test_import_without_a_module_that_loads(module, data, words, tmp_path):
    package = tmp_path / "whit"
    source = pathlib.Path(whit.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("*.so", "__pycache__", "demo"))
    if module:
        (package / module).write_bytes(data)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", "import whit"], capture_output=True, text=True, env=env, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: whit has no extension module for this Python (CPython ")
    for word in [*words, f"{8 * (8 if sys.maxsize > 2**32 else 4)} bit", "aarch64", "armv7l", "build it from source"]:
        assert word in last
