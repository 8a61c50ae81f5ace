"""Running the suite, its file, comparing two of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from suite_support import HotMachine, QuietMachine, result, suite

from whit.errors import FileError, FormatError, VersionError
from whit.suite import runner
from whit.suite.cases import cases
from whit.suite.compare import compare
from whit.suite.results import SCHEMA, SuiteResults

SMALL = [case for case in cases(quick=True) if case.group == "call"]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(runner, "_BUDGET_S", {False: 0.002, True: 0.002})


@pytest.mark.parametrize(
    ("cpus", "threads"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_thread_counts(cpus, threads):
    assert runner.thread_counts(cpus) == threads


def test_results_hold_together():
    seen = []
    done = runner.run_suite(SMALL, [1, 2], QuietMachine(), progress=lambda *call: seen.append(call))
    assert [each.key for each in done.results] == [
        ("gemm 1x16x16", dtype, n) for dtype in ("s8", "f32") for n in (1, 2)
    ]
    for each in done.results:
        assert each.min_ms <= each.median_ms <= each.max_ms
        assert each.first_ms > 0
        assert each.count >= 3
        assert each.gops == pytest.approx(2 * 256 / each.median_ms / 1e6)
        # Weights count as packed, in panels that so small a layer does not fill.
        assert 1 <= each.gb_s / (each.gops * _bytes_per_operation(each.dtype)) < 4
        (kernel,) = each.kernels
        assert kernel.startswith("gemm_")
        assert each.valid == (each.problems == [])
    assert done.complete
    assert done.problems == []
    assert (done.cpu, done.schema) == ("Cortex-A72", SCHEMA)
    assert seen[0] == ("gemm 1x16x16 s8, building", 0, 4)
    assert seen[-1] == ("", 4, 4)
    assert [call[1] for call in seen] == sorted(call[1] for call in seen)


def _bytes_per_operation(dtype: str) -> float:
    return (256 + 16 + 16) * (4 if dtype == "f32" else 1) / (2 * 256)


def test_disturbed_machine_makes_it_invalid():
    done = runner.run_suite(SMALL[:1], [1], HotMachine())
    assert "hot" in done.results[0].problems
    assert (done.valid, done.results[0].valid, done.problems) == (False, False, ["hot"])


def test_cases_that_do_not_fit_are_skipped():
    done = runner.run_suite(SMALL, [1], QuietMachine(), memory=lambda: 1 << 20)
    assert done.results == []
    assert [each.name for each in done.skipped] == ["gemm 1x16x16"] * 2
    assert "34 MB of memory, 1 MB are available" in done.skipped[0].reason
    assert done.complete
    assert runner.run_suite(SMALL[:1], [1], QuietMachine(), memory=lambda: None).skipped == []


def test_a_case_that_runs_out_of_memory_is_skipped():
    def build(builder):
        raise MemoryError

    done = runner.run_suite([replace(SMALL[0], build=build), SMALL[1]], [1], QuietMachine())
    assert [each.reason for each in done.skipped] == ["out of memory"]
    assert [each.dtype for each in done.results] == ["f32"]


def test_interruption_keeps_what_was_measured():
    def interrupt(label, done, total):
        if label.startswith("gemm 1x16x16 f32"):
            raise KeyboardInterrupt

    done = runner.run_suite(SMALL, [1], QuietMachine(), progress=interrupt)
    assert [each.dtype for each in done.results] == ["s8"]
    assert not done.complete
    assert done.after


def test_available_bytes(tmp_path):
    assert runner.available_bytes(tmp_path / "none") is None
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:    50 kB\n")
    assert runner.available_bytes(tmp_path / "meminfo") == 50 * 1024
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\n")
    assert runner.available_bytes(tmp_path / "meminfo") is None


# --- the file ---


def test_file_round_trip(tmp_path):
    path = tmp_path / "a.json"
    written = suite(result(), result("gemm 1x16x16", gops=None, valid=False, problems=["hot"]))
    path.write_text(written.to_json())
    assert SuiteResults.read(path) == written
    values = json.loads(path.read_text())
    values["added by a later whit"] = 1
    values["results"][0]["and here"] = 2
    path.write_text(json.dumps(values))
    assert SuiteResults.read(path) == written


def _spoil(**changes):
    return lambda values: values.update(changes)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda values: values.pop("cpu"), "no key 'cpu'"),
        (_spoil(cpu=7), "'cpu' is 7"),
        (_spoil(schema=True), "'schema' is True"),
        (_spoil(results={}), "'results' is {}"),
        (_spoil(skipped=[1]), "no object"),
        (lambda values: values["results"][0].pop("median_ms"), "no key 'median_ms'"),
        (lambda values: values["results"][0].update(median_ms=0), "'median_ms' is 0"),
        (lambda values: values["results"][0].update(median_ms=float("nan")), "'median_ms' is nan"),
        (lambda values: values["results"][0].update(threads=1.5), "'threads' is 1.5"),
        (lambda values: values["results"][0].update(kernels=[1]), "'kernels' is [1]"),
    ],
)
def test_damaged_files_are_format_errors(tmp_path, spoil, words):
    values = json.loads(suite(result()).to_json())
    spoil(values)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(values))
    with pytest.raises(FormatError) as caught:
        SuiteResults.read(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": "1"}', "[" * 100_000])
def test_other_files_are_format_errors(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(FormatError):
        SuiteResults.read(path)


def test_missing_binary_and_newer_files(tmp_path):
    with pytest.raises(FileError):
        SuiteResults.read(tmp_path / "none.json")
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError):
        SuiteResults.read(path)
    path.write_text(suite().to_json().replace(f'"schema": {SCHEMA}', '"schema": 99'))
    with pytest.raises(VersionError, match="schema 99"):
        SuiteResults.read(path)


# --- comparing ---


def test_compare_matches_by_name_dtype_and_threads():
    a = suite(result(ms=10), result(ms=8, threads=4), result("resnet18", ms=30), result(dtype="f32"))
    b = suite(result("resnet18", ms=60), result(ms=5), result(ms=8, threads=2), result(ms=4, threads=4, valid=False))
    found = compare(a, b)
    assert [(pair.name, pair.threads, pair.ratio) for pair in found.pairs] == [
        ("mobilenet_v1", 1, 2.0),
        ("mobilenet_v1", 4, 2.0),
        ("resnet18", 1, 0.5),
    ]
    assert [pair.valid for pair in found.pairs] == [True, False, True]
    assert found.only_a == ["mobilenet_v1 f32, 1 thread"]
    assert found.only_b == ["mobilenet_v1 s8, 2 threads"]
    first, second = found.means
    assert first == {"group": "network", "dtype": "s8", "threads": 1, "cases": 2, "ratio": pytest.approx(1.0)}
    assert (second["threads"], second["cases"], second["ratio"]) == (4, 1, pytest.approx(2.0))
