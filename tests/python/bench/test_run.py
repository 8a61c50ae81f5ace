import os
import pathlib
import signal
import time

import numpy as np
import pytest

pytest.importorskip("onnx")

import fake_contenders as fakes

from bench import __main__ as command
from bench import cases, report, startup, workers
from bench.contenders import contenders
from bench.files import Files
from bench.run import Bench, Options

CASE = cases._gemm([2, 8, 8], "gemm")
OPTIONS = Options(dtypes=["f32"], seconds=0.03, rounds=3)


def _files(folder):
    """With the reference that f32 onnxruntime would give."""
    made = Files(CASE, folder)
    (layer,) = made.network("f32").layers
    np.save(made.folder / "reference.npy", made.sample() @ layer.weight.T + layer.bias)
    return made


def _bench(folder, *kinds):
    _files(folder)
    return Bench({kind.name: kind() for kind in kinds}, OPTIONS, folder)


def test_a_whole_run_times_those_who_compute_and_says_why_others_do_not(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bench.run._WARM_UP_SECONDS", 0.01)
    kinds = (fakes.Ours, fakes.Slow, fakes.Wrong, fakes.Dies, fakes.Missing, fakes.CannotLoad, fakes.CannotConvert)
    bench = _bench(tmp_path / "work", *kinds, fakes.NotThis)
    command._interleaved(bench, [CASE], tmp_path / "gemm.json", False, {"date": "today", "commit": "abc"})

    rows = {row.contender: row for row in report.load(tmp_path / "gemm.json")}
    assert set(rows) == {kind.name for kind in kinds}
    assert 0.0005 <= rows["whit"].min <= rows["whit"].median <= rows["whit"].max
    assert rows["whit"].samples == 3
    assert rows["slow"].min >= 0.002
    assert rows["slow"].correlation == pytest.approx(1)
    assert (rows["whit"].macs, rows["whit"].measured, rows["whit"].commit) == (128, "today", "abc")
    errors = {name: row.error for name, row in rows.items()}
    assert not errors["whit"]
    assert errors["wrong"].startswith("computes something else: correlation")
    assert errors["dies"].startswith("died of SIGABRT")
    assert errors["missing"] == "ImportError: not installed: pip install numpy"
    assert errors["cannot_load"] == "ValueError: unreadable"
    assert errors["cannot_convert"] == "NotImplementedError: no such operator"
    assert all(rows[name].median is None for name, error in errors.items() if error)
    assert "**s8" not in (printed := capsys.readouterr().out)
    assert "* cannot_load f32: ValueError: unreadable (gemm 2x8x8)" in printed
    assert "<svg" in (tmp_path / "gemm-f32-1t.svg").read_text()

    kept = report.load(tmp_path / "gemm.json")
    again = _bench(tmp_path / "work", fakes.Ours)
    command._interleaved(again, [CASE], tmp_path / "gemm.json", True, {"date": "later", "commit": "abc"})
    merged = report.load(tmp_path / "gemm.json")
    assert [row.contender for row in merged] == [row.contender for row in kept]
    assert {row.contender for row in merged if row.measured == "later"} == {"whit"}


def test_what_was_measured_survives_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.run._WARM_UP_SECONDS", 0.01)
    bench = _bench(tmp_path, fakes.Ours, fakes.Slow)
    whole = Bench._round

    def interrupted(self, entrants, number):
        whole(self, entrants, number)
        if number == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Bench, "_round", interrupted)
    rows = list(bench.rows([CASE, CASE]))
    assert bench.interrupted
    assert [(row.contender, row.samples) for row in rows] == [("whit", 2), ("slow", 2)]


def test_a_worker_stands_still_while_it_is_not_asked(tmp_path):
    made = _files(tmp_path)
    contender = fakes.Ours()
    with workers.Worker(contender, contender.prepare(made, "f32"), 1) as worker:
        process = worker._process
        state = pathlib.Path(f"/proc/{process.pid}/stat")
        assert _state(state) == "T"
        assert np.array_equal(worker.output(made.sample(), tmp_path), made.reference())
        assert worker.seconds(4, 0) >= 4 * 0.0005
        assert _state(state) == "T"
        cpus = os.sched_getaffinity(process.pid)
        assert cpus == {workers.usable_cpus()[-1]}
    assert process.returncode == -signal.SIGKILL


def _state(stat):
    """Of the process's first thread, as soon as the signal has reached it."""
    for _ in range(1000):
        letter = stat.read_text().rpartition(")")[2].split()[0]
        if letter == "T":
            break
        time.sleep(0.005)
    return letter


def test_startup_measures_fresh_processes(tmp_path, capsys):
    bench = _bench(tmp_path / "work", fakes.Ours, fakes.CannotLoad)
    rows = startup.rows(bench, Files(CASE, tmp_path / "work"), "f32", 1, runs=2, sizes=False)
    ours, other = rows
    assert (ours.runs, other.runs) == (2, 0)
    assert other.error == "ValueError: unreadable"
    assert ours.steady_ms >= 0.5
    assert ours.first_ms >= 0.5
    assert ours.peak_rss_mb >= 0
    assert ours.spread["steady_ms"][0] <= ours.steady_ms <= ours.spread["steady_ms"][1]
    startup.store(tmp_path / "startup.json", rows, {})
    assert startup.load(tmp_path / "startup.json") == rows
    assert startup.merged(rows, [ours]) == rows
    assert "* cannot_load f32: ValueError: unreadable" in startup.markdown(rows)


def test_sizes_leave_numpy_out():
    class Small(fakes.Ours):
        distribution = module = "pytest"

    wheel, installed = startup._sizes(Small())
    assert 0.1 < wheel < installed < 20
    assert "numpy" not in startup._required("onnx")


def test_every_file_is_a_contender():
    found = contenders()
    names = {path.stem for path in pathlib.Path(report.__file__).parent.joinpath("contenders").glob("*.py")}
    assert {type(one).__module__.rpartition(".")[2] for one in found.values()} == names - {"__init__", "base"}
    assert next(iter(found)) == "whit"
    assert all(set(one.variants.values()) == {"s8", "f32"} for one in found.values())


def test_instruction_sets_are_withheld_where_that_is_possible():
    found = contenders()
    assert found["whit"].environment("avx512vnni") == {"WHIT_ISA": "avx512vnni"}
    assert found["openvino"].environment("avx512vnni") == {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
    assert found["litert"].environment("avx512vnni") is None
    assert all(one.environment(None) == {} for one in found.values())


def test_unknown_cases_are_an_error_of_the_caller(capsys):
    assert command.main(["gemm", "--shapes", "nothing", "--peers"]) == 2
    assert "no case 'nothing'" in capsys.readouterr().err
