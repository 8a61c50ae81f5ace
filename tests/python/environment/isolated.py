"""Runs a Python script in a fresh process, if wanted with other files mounted over /proc, /sys and the like."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterable

import pytest

import whit

#: Before a script is run: one thread of OpenBLAS, so that its stacks do not use up a limited address space.
_SETTINGS = {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def environment(**more: str) -> dict[str, str]:
    """This process's environment without whit's variables, with the package under test importable."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WHIT_")}
    path = [os.path.dirname(os.path.dirname(whit.__file__)), os.path.dirname(__file__), kept.get("PYTHONPATH")]
    return {**kept, **_SETTINGS, "PYTHONPATH": os.pathsep.join(filter(None, path)), **more}


def run_python(script: str, *arguments: object, mounts: Iterable[str] = (), **variables: str) -> str:
    """Runs a script and returns what it printed.

    Args:
        script: Python source, dedented here.
        arguments: sys.argv[1:] of the script.
        mounts: shell commands run before, in a mount namespace of their own; in them $$ is the script's process.
        variables: environment variables.

    A crash, an exception, output on stderr or a minute without end fail the test.
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)]
    if mounts:
        shell = " && ".join([*mounts, "exec " + shlex.join(command)])
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell]
    done = subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr == "", done.stderr
    return done.stdout


def need_mounts() -> None:
    """Skips the test where this user cannot mount in a namespace of its own."""
    try:
        probe = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "mount -t tmpfs none /sys"]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare (util-linux)")
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
