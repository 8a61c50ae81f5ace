"""inspect, compare, bench, profile, doctor, demo: texts, JSON keys, exit codes."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

import whit as package
from whit.cli import system

from onnx_models import save_model  # isort: skip


@pytest.fixture
def open_size(whit, tmp_path) -> Path:
    """A .whit file whose height and width are open."""
    save_model(tmp_path / "m.onnx", "Conv", {"x": [1, 3, "H", "W"]}, [1, 4, "OH", "OW"])
    assert whit("compress", tmp_path / "m.onnx", "-o", tmp_path / "m.whit", "--recipe", "f32").code == 0
    return tmp_path / "m.whit"


# --- inspect ---


def test_inspect_json(whit, demo, documented):
    values = whit("inspect", demo / "digits-int8.whit", "--json").json
    assert set(values) == documented("inspect")
    for key in ("inputs", "nodes", "stored", "tensors"):
        assert set(values[key][0]) == documented("inspect", key)
    assert values["file_bytes"] == (demo / "digits-int8.whit").stat().st_size
    assert values["inputs"][0]["shape"] == ["N", 1, 8, 8]
    assert values["metadata"]["recipe"]["name"] == "int8"
    with package.load(demo / "digits-int8.whit") as model:
        constants = [item for item in model.tensors() if item["constant"]]
    assert sum(total["tensors"] for total in values["stored"]) == len(constants)
    weights = next(total for total in values["stored"] if total["dtype"] == "s8")
    assert weights["stored_bytes"] == sum(item["stored_bytes"] for item in constants if item["dtype"] == "s8")


def test_inspect_text(whit, demo):
    result = whit("inspect", demo / "digits-int8.whit")
    assert result.code == 0
    for words in (
        "input       image: f32 [N, 1, 8, 8]",
        "output      logits: f32 [N, 10]",
        "preprocess  image: channels GRAY",
        "recipe      int8: quantize",
        "/10/Gemm",
        "stored dtype",
    ):
        assert words in result.out
    biggest = result.out.split("biggest tensors")[1].splitlines()[2:]
    sizes = [line.split("dense")[1].split() for line in biggest]
    in_bytes = [float(number) * {"B": 1, "kB": 1000}[unit] for number, unit in sizes]
    assert len(in_bytes) == 5
    assert in_bytes == sorted(in_bytes, reverse=True)
    everything = whit("inspect", demo / "digits-int8.whit", "--tensors").out
    assert len(everything.split("stored tensor ")[1].splitlines()) > len(biggest) + 2


def test_inspect_of_open_sizes_names_kernels_once_they_are_given(whit, open_size):
    before = whit("inspect", open_size, "--json").json
    assert {node["kernel"] for node in before["nodes"]} == {None}
    assert "unknown until the open sizes are: give --shape" in whit("inspect", open_size).out
    after = whit("inspect", open_size, "--shape", "x=1x3x5x6", "--json").json
    assert any(node["kernel"].startswith("gemm_f32") for node in after["nodes"])
    assert after["arena_bytes"] > 0


def test_inspect_says_for_which_batch_memory_is_meant(whit, demo):
    assert "for tensors, open sizes taken as 1\n" in whit("inspect", demo / "digits-int8.whit").out
    shaped = whit("inspect", demo / "digits-int8.whit", "--shape", "image=8x1x8x8")
    assert "for tensors\n" in shaped.out


@pytest.mark.parametrize("verb", ["inspect", "bench", "profile"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.whit", "No such file"),
        ("folder", "directory"),
        ("truncated.whit", "truncated"),
        ("empty.whit", "empty.whit"),
        ("flipped.whit", "flipped.whit: offset"),
        ("digits.onnx", "not a .whit file"),
    ],
)
def test_bad_files_give_3(whit, demo, tmp_path, verb, name, words):
    whole = (demo / "digits-int8.whit").read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "truncated.whit").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.whit").write_bytes(b"")
    (tmp_path / "flipped.whit").write_bytes(whole[:5000] + bytes([whole[5000] ^ 8]) + whole[5001:])
    (tmp_path / "digits.onnx").write_bytes((demo / "digits.onnx").read_bytes())
    result = whit(verb, tmp_path / name)
    assert (result.code, result.out) == (3, "")
    assert words in result.err
    assert result.err.count("\n") == 1


# --- compare ---


def test_compare(whit, demo, documented):
    arguments = ("compare", demo / "digits.onnx", demo / "digits-int8.whit", "--data", demo / "test", "--samples", "30")
    values = whit(*arguments, "--json").json
    assert set(values) == documented("compare")
    assert set(values["layers"][0]) == documented("compare", "layers")
    assert set(values["outputs"][0]) == documented("compare", "outputs")
    assert values["samples"] == 30
    ratios = [layer["snr_db"] for layer in values["layers"]]
    assert ratios == sorted(ratios)
    assert values["outputs"][0]["top1_agreement"] > 0.9
    text = whit(*arguments)
    assert "30 samples" in text.out
    assert values["layers"][0]["name"] in text.out.splitlines()[3]


def test_compare_checks_give_1(whit, demo):
    arguments = ("compare", demo / "digits.onnx", demo / "digits-int8.whit", "--data", demo / "test", "--samples", "30")
    assert whit(*arguments, "--min-agreement", "90", "--min-snr", "20").code == 0
    result = whit(*arguments, "--min-agreement", "100.1", "--min-snr", "90", "--json")
    assert result.code == 1
    assert result.json["samples"] == 30
    assert "top-1 agreement" in result.err
    assert "is below 90 dB" in result.err


def test_compare_of_f32_is_exact_on_the_same_preprocessing(whit, demo, tmp_path, assets):
    with np.load(assets / "digits.npz") as data:
        np.savez(tmp_path / "x.npz", image=data["test_images"][:5].astype(np.float32))
    for data in (demo / "test", tmp_path / "x.npz"):
        arguments = (demo / "digits.onnx", demo / "digits-f32.whit", "--data", data, "--samples", "5", "--json")
        assert whit("compare", *arguments).json["outputs"][0]["max_abs"] == 0.0


def test_compare_refuses_another_model(whit, demo, open_size):
    result = whit("compare", demo / "digits.onnx", open_size, "--data", demo / "test", "--preprocess", "unit")
    assert result.code == 2
    assert "is the file made from this model?" in result.err


def test_compare_agreement_needs_classes(whit, open_size, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 3, 4, 4), np.float32))
    arguments = ("compare", tmp_path / "m.onnx", open_size, "--data", tmp_path / "x.npy")
    assert whit(*arguments, "--min-snr", "100").code == 0
    result = whit(*arguments, "--min-agreement", "50")
    assert result.code == 2
    assert "no output is a vector of classes" in result.err


# --- bench ---

_BENCH = ("--count", "7", "--warmup", "1", "--threads", "1")


def test_bench_json(whit, demo, documented):
    for style in (("--json",), ("--format", "json")):
        result = whit("bench", demo / "digits-int8.whit", *_BENCH, *style)
        values = result.json
        assert result.code == 0
        assert set(values) == documented("bench")
        assert set(values["before"]) == set(values["after"]) == documented("bench", "before")
        assert (values["count"], values["warmup"], values["threads"]) == (7, 1, 1)
        assert 0 < values["min_ms"] <= values["p50_ms"] <= values["p90_ms"] <= values["p99_ms"]
        assert values["load_ms"] > 0
        assert values["arena_bytes"] > 0
        assert values["peak_rss_bytes"] > values["arena_bytes"]
        assert values["valid"] == (values["problems"] == [])


def test_bench_csv_markdown_and_text(whit, demo):
    flat = whit("bench", demo / "digits-int8.whit", *_BENCH, "--format", "csv").out
    (row,) = csv.DictReader(io.StringIO(flat))
    assert row["count"] == "7"
    assert float(row["p50_ms"]) > 0
    assert {"governor_before", "temperature_c_after", "firmware_flags_after", "valid", "problems"} <= set(row)
    lines = whit("bench", demo / "digits-int8.whit", *_BENCH, "--format", "markdown").out.splitlines()
    assert lines[0].startswith("| what")
    assert {line.split("|")[1].strip() for line in lines[2:]} == set(row)
    text = whit("bench", demo / "digits-int8.whit", *_BENCH).out
    assert "7 inferences after 2 that do not count" in text
    for word in ("first", "min", "p50", "p90", "p99", "load", "arena", "packed", "peak RSS", "before", "after"):
        assert f"\n{word} " in text


def test_bench_marks_a_disturbed_run(whit, demo, monkeypatch):
    hot = {**system.state(), "temperature_c": 85.0}
    monkeypatch.setattr("whit.cli.system.state", lambda: hot)
    values = whit("bench", demo / "digits-int8.whit", *_BENCH, "--json").json
    assert values["valid"] is False
    assert "the CPU was at 80 C or hotter" in values["problems"]
    assert "INVALID: the CPU was at 80 C or hotter" in whit("bench", demo / "digits-int8.whit", *_BENCH).out


def test_bench_limit_gives_1(whit, demo):
    assert whit("bench", demo / "digits-int8.whit", *_BENCH, "--max-ms", "60000").code == 0
    result = whit("bench", demo / "digits-int8.whit", *_BENCH, "--max-ms", "0")
    assert result.code == 1
    assert "is above 0 ms" in result.err
    assert "p50" in result.out


def test_bench_and_profile_take_inputs_and_shapes(whit, demo, open_size):
    picture = ("--input", demo / "test" / "000_is_8.png")
    assert whit("bench", demo / "digits-int8.whit", *_BENCH, *picture).code == 0
    assert whit("profile", demo / "digits-int8.whit", "--runs", "2", *picture).code == 0
    small, large = (
        whit("bench", open_size, *_BENCH, "--shape", f"x=1x3x{size}x{size}", "--json").json for size in (4, 40)
    )
    assert large["arena_bytes"] > 20 * small["arena_bytes"]
    result = whit("bench", open_size, *_BENCH)
    assert result.code == 2
    assert "has open sizes: give --shape x=" in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count", "0"], "from 1 up"),
        (["--warmup", "-1"], "--warmup"),
        (["--shape", "y=1x1x8x8"], "no input 'y'"),
        (["--shape", "image=8"], "[N, 1, 8, 8]"),
        (["--shape", "image=1x1x8x8", "--shape", "image=2x1x8x8"], "given twice"),
        (["--shape", "image=1x1x8x8", "--input", "x.npy"], "leave it out"),
        (["--threads", "100000"], "threads"),
        (["--format", "xml"], "--format"),
    ],
)
def test_bench_usage_gives_2(whit, demo, arguments, words):
    result = whit("bench", demo / "digits-int8.whit", *arguments)
    assert (result.code, result.out) == (2, "")
    assert words in result.err
    assert result.err.count("\n") == 1


# --- profile ---


def test_profile(whit, demo, documented):
    arguments = ("profile", demo / "digits-int8.whit", "--runs", "3", "--threads", "1")
    values = whit(*arguments, "--json").json
    assert set(values) == documented("profile")
    assert set(values["operators"][0]) == documented("profile", "operators")
    assert sum(item["percent"] for item in values["operators"]) == pytest.approx(100)
    assert values["operators"][-1]["cumulative_percent"] == pytest.approx(100)
    slowest_first = [item["ms"] for item in whit(*arguments, "--sort", "--json").json["operators"]]
    assert slowest_first == sorted(slowest_first, reverse=True)
    lines = whit(*arguments).out.splitlines()
    assert lines[0].replace("[cumulative %]", "[cumulative]").split() == [
        "[node]", "[op]", "[ms]", "[%]", "[cumulative]", "[kB]", "[kernel]",
    ]  # fmt: skip
    assert len(lines) == 2 + len(values["operators"]) + 2
    assert "1 thread," in lines[-1]


# --- doctor, demo ---


def test_doctor(whit, documented, monkeypatch):
    monkeypatch.delenv("WHIT_ISA", raising=False)
    monkeypatch.setenv("WHIT_NUM_THREADS", "1")
    values = whit("doctor", "--json").json
    assert set(values) == documented("doctor")
    assert values["isa"] == values["isa_active"][-1]
    assert (values["threads"], values["threads_reason"]) == (1, "WHIT_NUM_THREADS=1")
    text = whit("doctor")
    assert text.code == 0
    assert f"whit            {package.__version__}\n" in text.out
    monkeypatch.setenv("WHIT_ISA", "scalar")
    assert "WHIT_ISA=scalar allows nothing above it" in whit("doctor").out


def test_doctor_says_what_is_not_installed(whit, monkeypatch):
    from importlib import metadata

    def version(name: str) -> str:
        if name == "onnxscript":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    assert "not installed: onnxscript; pip install 'whit[compress]'" in whit("doctor").out
    assert whit("doctor", "--json").json["compress"]["onnxscript"] is None


@pytest.mark.parametrize("verb", ["doctor", "inspect"])
def test_unknown_isa_gives_2(whit, demo, monkeypatch, verb):
    monkeypatch.setenv("WHIT_ISA", "mmx")
    result = whit(verb, *([demo / "digits-int8.whit"] if verb == "inspect" else []))
    assert result.code == 2
    assert "WHIT_ISA=mmx" in result.err


def test_demo(whit, demo, documented, tmp_path):
    values = whit("demo", "--json").json
    assert set(values) == documented("demo")
    assert set(values["models"][0]) == documented("demo", "models")
    assert [row["recipe"] for row in values["models"]] == ["f32", "int8-weights", "int8"]
    assert values["models"][0]["accuracy"] > 97
    assert values["accuracy_drop"] <= 1.0
    assert len(list((demo / "test").glob("*_is_[0-9].png"))) == values["models"][0]["images"]
    text = whit("demo", "--keep", tmp_path / "kept")
    assert text.code == 0
    assert "int8-weights" in text.out
    assert f"cd {tmp_path / 'kept'}" in text.out


def test_demo_fails_where_int8_loses_too_much(whit, monkeypatch):
    monkeypatch.setattr("whit.cli.demo._MAX_DROP_POINTS", -100.0)
    assert whit("demo").code == 1


def test_demo_keeps_in_a_folder_only(whit, tmp_path):
    (tmp_path / "file").write_text("")
    result = whit("demo", "--keep", tmp_path / "file")
    assert result.code == 3
    assert "--keep" in result.err


# --- all ---


@pytest.mark.parametrize(
    "arguments", [[], ["frob"], ["inspect"], ["inspect", "a", "b"], ["demo", "--js"], ["compress", "m.onnx"]]
)
def test_usage_errors_are_one_line_and_give_2(whit, arguments):
    result = whit(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("whit")
    assert "--help" in result.err
    assert result.err.count("\n") == 1


def test_help_of_every_verb(whit):
    listed = whit("--help").out
    for verb in ("compress", "run", "inspect", "compare", "bench", "profile", "doctor", "demo"):
        assert f"\n    {verb} " in listed
        result = whit(verb, "--help")
        assert result.code == 0
        assert "--json" in result.out
