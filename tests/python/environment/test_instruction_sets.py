"""The extension module on a CPU below the developer's: an emulated x86-64 without AVX. (tests/arm does it for ARM.)"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest
from isolated import environment

import whit

EMULATOR = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or EMULATOR is None, reason="needs an x86-64 machine and its emulator"
)


def on_nehalem(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(EMULATOR), "-cpu", "Nehalem", sys.executable, *map(str, arguments)],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_model_runs_on_scalar_kernels(conv_file, monkeypatch):
    script = """
import sys
import numpy as np
import whit
from whit import _core
print(*_core.cpu()["active"], whit.load(sys.argv[1], threads=1)(np.ones((1, 9, 9, 3), np.float32)).tobytes().hex())
"""
    done = on_nehalem("-c", script, conv_file)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("WHIT_ISA", "scalar")
    wanted = whit.load(conv_file, threads=1)(np.ones((1, 9, 9, 3), np.float32))
    assert done.stdout.split() == ["scalar", wanted.tobytes().hex()]


def test_forcing_what_the_cpu_lacks(conv_file):
    """Python and the command line say the same."""
    wanted = "WHIT_ISA=avx2: this CPU does not have it; usable here: scalar"
    python = on_nehalem("-c", "import sys, whit; whit.load(sys.argv[1])", conv_file, WHIT_ISA="avx2")
    assert python.returncode == 1
    assert python.stderr.splitlines()[-1] == f"whit.errors.InvalidArgumentError: {wanted}"
    command = on_nehalem("-m", "whit", "inspect", conv_file, WHIT_ISA="avx2")
    assert command.returncode != 0
    assert wanted in command.stderr
    assert "Traceback" not in command.stderr
