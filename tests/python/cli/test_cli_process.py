"""What only a process of its own shows: the entry point, imports, pipes, logging."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import whit as package


def _run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_entry_point():
    done = _run("-m", "whit", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"whit {package.__version__}\n", "")
    failed = _run("-m", "whit", "inspect", "nowhere.whit")
    assert (failed.returncode, failed.stdout) == (3, "")


def test_importing_the_command_line_is_light():
    code = (
        "import sys, whit.cli; heavy = {'onnx', 'onnx_ir', 'onnxscript', 'torch', 'PIL', 'tqdm', 'whit.compression'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = _run("-c", code)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_running_a_file_imports_no_onnx(demo, tmp_path):
    code = (
        "import sys; from whit.cli import main; code = main(sys.argv[1:]); "
        "assert not {'onnx', 'whit.compression'} & set(sys.modules); sys.exit(code)"
    )
    picture = demo / "test" / "000_is_8.png"
    assert _run("-c", code, "run", demo / "digits-int8.whit", "--input", picture, "--top", 1).returncode == 0
    assert _run("-c", code, "inspect", demo / "digits-int8.whit").returncode == 0


def test_silent_unless_asked_to_log(demo):
    arguments = ("-m", "whit", "inspect", demo / "digits-int8.whit", "--json")
    assert _run(*arguments).stderr == ""
    logged = _run(*arguments, WHIT_LOG="debug")
    assert logged.returncode == 0
    assert logged.stderr.startswith("DEBUG whit: loaded a model of ")
    assert _run(*arguments, WHIT_LOG="ERROR").stderr == ""
    wrong = _run(*arguments, WHIT_LOG="loud")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "whit: WHIT_LOG=loud is not a level; levels: debug, info, warning, error\n"


def test_the_reader_of_a_pipe_may_leave(demo):
    with subprocess.Popen(
        [sys.executable, "-m", "whit", "inspect", str(demo / "digits-int8.whit")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("buffered", [True, False])
def test_a_full_disk_is_an_error(buffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    command = [sys.executable, "-m", "whit", "doctor"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60, env=environment)
    assert done.returncode == 3
    assert done.stderr == b"whit: [Errno 28] No space left on device\n"
