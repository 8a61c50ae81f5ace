"""What the runtime does to its process: memory, forks, imports, environment, CPUs. Each in a fresh one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from engine_graphs import EngineBuilder
from session_models import convnet, small

import whit
from whit.format import write
from whit.suite.builder import GraphBuilder


def run_python(script: str, *arguments: object, **environment: str) -> str:
    """Runs a script; a crash, an exception, output on stderr or a minute without end fail the test."""
    settings = {key: value for key, value in os.environ.items() if key not in ("WHIT_NUM_THREADS", "WHIT_ISA")}
    path = os.pathsep.join(filter(None, (os.path.dirname(os.path.dirname(whit.__file__)), settings.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)],
        env={**settings, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def small_file(tmp_path):
    path = tmp_path / "small.whit"
    path.write_bytes(write(small()[0]))
    return path


@pytest.fixture
def conv_file(tmp_path):
    path = tmp_path / "conv.whit"
    path.write_bytes(write(convnet()[0]))
    return path


# --- imports and output ---


def test_import_is_light_and_silent(small_file):
    script = """
        import sys
        before = set(sys.modules)
        import whit, numpy as np
        heavy = {"onnx", "torch", "PIL", "onnxruntime", "tqdm", "whit.compression", "whit.importers"}
        assert not heavy & set(sys.modules)
        model = whit.load(sys.argv[1])
        feeds = {"x": np.ones((2, 3), np.float32), "y": np.ones(3, np.float32)}
        model.run(feeds)
        loaded = set(sys.modules)
        for _ in range(3):
            model.run(feeds)
        assert set(sys.modules) == loaded, "a run imported something"
        outside = {name.split(".")[0] for name in loaded - before} - sys.stdlib_module_names
        assert outside <= {"whit", "numpy"}, outside
    """
    assert run_python(script, small_file) == ""


def test_import_brings_nothing_slow():
    script = """
        import sys, numpy
        before = set(sys.modules)
        import whit
        assert not {"json", "logging", "dataclasses", "inspect", "re"} & (set(sys.modules) - before)
    """
    run_python(script)


# --- memory ---


def products(path, count):
    """A file of `count` products of 1 MiB of weights each."""
    builder = GraphBuilder("wide", "s8")
    x = builder.tensor_input(1, 1024)
    for _ in range(count):
        x = builder.matmul(x, 1024)
    builder.output(x)
    path.write_bytes(write(builder.graph))
    return path


def test_peak_memory_is_that_of_packed_weights_and_arena(tmp_path):
    """The file's pages are given back while its weights are packed: the peak does not hold all weights twice."""
    script = """
        import sys
        import numpy as np
        import whit

        def status(key):
            with open("/proc/self/status") as lines:
                return next(int(line.split()[1]) << 10 for line in lines if line.startswith(key))

        def run(path):
            model = whit.load(path)
            model(np.ones(model.inputs[0].shape, np.int8))
            return model.packed_bytes + model.arena_bytes

        run(sys.argv[1])  # brings the pages of libraries
        before = status("VmRSS")
        needed = run(sys.argv[2])
        assert needed > 24 << 20
        print((status("VmHWM") - before) / needed)
    """
    ratio = float(run_python(script, products(tmp_path / "one.whit", 1), products(tmp_path / "many.whit", 24)))
    assert 0.5 < ratio < 1.5  # held twice it is 2; huge pages and what the system counts late take a tenth or two


COUNT_MEMORY = """
    import ctypes, sys
    import numpy as np
    import whit

    class Mallinfo2(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in
                    "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo2

    def in_use():
        info = mallinfo2()
        return info.uordblks + info.hblkhd

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
"""


def has_mallinfo2() -> bool:
    import ctypes

    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallinfo2")


@pytest.mark.skipif(not has_mallinfo2(), reason="needs glibc 2.33")
def test_memory_stays_flat_over_20000_runs(small_file):
    """Neither what malloc has handed out nor what is resident grows: nothing leaks, not even a few bytes a run."""
    script = (
        COUNT_MEMORY
        + """
    model = whit.load(sys.argv[1], threads=2)
    feeds = {"x": np.ones((2, 3), np.float32), "y": np.ones(3, np.float32)}
    for _ in range(2000):
        model.run(feeds)
        model(*feeds.values())
    used, pages = in_use(), resident()
    for _ in range(20000):
        model.run(feeds)
    for wrong in ({}, {"x": feeds["x"]}, {**feeds, "z": 1}, {**feeds, "x": feeds["x"].astype("f8")}):
        for _ in range(500):
            try:
                model.run(wrong)
            except whit.WhitError:
                pass
    assert in_use() - used < 20000, (used, in_use())
    assert resident() - pages < 500000, (pages, resident())
    """
    )
    run_python(script, small_file)


@pytest.mark.skipif(not has_mallinfo2(), reason="needs glibc 2.33")
def test_closed_models_give_their_memory_back(tmp_path):
    builder = EngineBuilder()
    x = builder.input("x", 1, 1000)
    path = tmp_path / "large.whit"
    path.write_bytes(write(builder.finish(builder.gemm(x, 1000))))
    script = (
        COUNT_MEMORY
        + """
    def once():
        with whit.load(sys.argv[1], threads=2) as model:
            model(np.zeros((1, 1000), np.float32))
            assert model.packed_bytes >= 4000000
    for _ in range(3):
        once()
    used = in_use()
    for _ in range(20):
        once()
    assert in_use() - used < 400000, (used, in_use())
    """
    )
    run_python(script, path)


def test_with_out_no_tensor_is_allocated(tmp_path):
    """numpy tells tracemalloc what its arrays allocate; tests/engine/session_test.cc counts what the engine does."""
    builder = EngineBuilder()
    y = builder.node("neg", builder.node("exp", builder.input("x", 500, 500)))
    path = tmp_path / "large.whit"
    path.write_bytes(write(builder.finish(y)))
    script = """
        import sys, tracemalloc
        import numpy as np
        import whit
        model = whit.load(sys.argv[1], threads=1)
        x = np.zeros((500, 500), np.float32)
        name = model.outputs[0].name
        out = {name: np.empty((500, 500), np.float32)}
        model.run({"x": x}, out=out)
        peaks = []
        for given in (out, None):
            tracemalloc.start()
            result = model.run({"x": x}, out=given)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[0] < 20000 < 1000000 <= peaks[1], peaks
        assert np.all(out[name] == -1)
    """
    run_python(script, path)


# --- fork ---


def test_fork(conv_file):
    """The child has no worker threads: it runs alone, makes models of its own, and exits like any process."""
    script = """
        import os, sys
        import numpy as np
        import whit
        model = whit.load(sys.argv[1], threads=3)
        x = np.random.default_rng(0).standard_normal((2, 20, 21, 3)).astype(np.float32)
        wanted = model(x).tobytes()
        for how in ("use", "drop", "new", "exit"):
            child = os.fork()
            if child == 0:
                if how == "use":
                    assert model(x).tobytes() == wanted
                    assert model.session()(x).tobytes() == wanted
                    del model
                elif how == "drop":
                    model.close()
                elif how == "new":
                    with whit.load(sys.argv[1], threads=3) as fresh:
                        assert fresh(x).tobytes() == wanted
                sys.exit(7)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 7, (how, status)
            assert model(x).tobytes() == wanted
    """
    run_python(script, conv_file)


def test_exit_while_another_thread_runs(conv_file):
    script = """
        import sys, threading, time
        import numpy as np
        import whit
        model = whit.load(sys.argv[1], threads=2)
        x = np.zeros((1, 64, 64, 3), np.float32)
        def forever():
            while True:
                model(x)
        threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.1)
    """
    run_python(script, conv_file)


# --- environment and CPUs ---


@pytest.mark.parametrize(("text", "threads"), [("1", 1), ("3", 3), ("1024", None)])
def test_number_of_threads_from_the_environment(text, threads, monkeypatch, small_file):
    monkeypatch.setenv("WHIT_NUM_THREADS", text)
    assert whit.load(small_file, threads=2).threads == 2
    if threads:
        assert whit.load(small_file).threads == threads


@pytest.mark.parametrize("text", ["0", "-2", "1025", "two", "2.0", "2 ", "99999999999999999999"])
def test_bad_number_of_threads_in_the_environment(text, monkeypatch, small_file):
    monkeypatch.setenv("WHIT_NUM_THREADS", text)
    with pytest.raises(whit.InvalidArgumentError, match=f"WHIT_NUM_THREADS={text} is not a number of threads"):
        whit.load(small_file)
    assert whit.load(small_file, threads=1).threads == 1


@pytest.mark.parametrize("name", ["sse9", "AVX2", "scalar ", "neon" if os.uname().machine == "x86_64" else "avx2"])
def test_bad_instruction_set_in_the_environment(name, monkeypatch, small_file):
    monkeypatch.setenv("WHIT_ISA", name)
    with pytest.raises(whit.InvalidArgumentError, match=f"WHIT_ISA={name}.*usable here: scalar"):
        whit.load(small_file)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_affinity_mask_is_obeyed(small_file):
    script = """
        import os, sys
        import whit
        cpus = sorted(os.sched_getaffinity(0))
        assert 1 <= whit.load(sys.argv[1]).threads <= len(cpus)
        os.sched_setaffinity(0, {cpus[-1]})
        assert whit.load(sys.argv[1]).threads == 1
        assert whit.load(sys.argv[1], threads=2).threads == 2
        os.environ["WHIT_NUM_THREADS"] = "2"
        assert whit.load(sys.argv[1]).threads == 2
    """
    run_python(script, small_file)


def test_work_beside_a_busy_thread_pool_is_the_same(conv_file):
    """More threads than CPUs: slower, not different."""
    x = np.random.default_rng(1).standard_normal((3, 17, 19, 3)).astype(np.float32)
    results = {whit.load(conv_file, threads=threads)(x).tobytes() for threads in (1, 2, 5, 16)}
    assert len(results) == 1
