"""`whit compress`: evaluation, reports and --auto."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import whit as package
from whit.compression.recipe import Recipe


@pytest.fixture
def test_set(assets: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Test images and their labels, 200 of each."""
    with np.load(assets / "digits.npz") as data:
        np.savez(tmp_path / "test.npz", image=data["test_images"][:200].astype(np.float32))
        np.savetxt(tmp_path / "labels.txt", data["test_labels"][:200], fmt="%d")
    return tmp_path / "test.npz", tmp_path / "labels.txt"


def test_accuracy_in_the_report(whit, demo, npz, test_set, tmp_path, documented):
    images, labels = test_set
    out, page = tmp_path / "d.whit", tmp_path / "r.html"
    options = ("--data", npz, "--eval", images, "--labels", labels)
    result = whit("compress", demo / "digits.onnx", "-o", out, *options, "--json", "--report", page)
    assert (result.code, result.err) == (0, "")
    accuracy = result.json["accuracy"]
    assert set(accuracy) == documented("compress", "accuracy")
    assert (accuracy["metric"], accuracy["samples"]) == ("top1", 200)
    with package.load(out) as model:
        shown = [int(model(x[None]).argmax()) for x in np.load(images)["image"]]
    right = np.mean(np.array(shown) == np.loadtxt(labels))
    assert accuracy["after"] == pytest.approx(100 * right)
    assert result.json["ms_after"] > 0  # the page shows times
    text = page.read_text()
    assert "<script" not in text
    assert "top-1" in text
    agreement = whit("compress", demo / "digits.onnx", "-o", out, "--data", npz, "--eval", images)
    assert "agreement with the original" in agreement.out


def test_json_report_is_what_json_prints(whit, demo, tmp_path):
    report = tmp_path / "r.json"
    options = ("--recipe", "int8-weights", "--json", "--report", report)
    result = whit("compress", demo / "digits.onnx", "-o", tmp_path / "d.whit", *options)
    assert json.loads(report.read_text()) == result.json
    assert result.json["ms_after"] is None


FEW = ("--recipe", "int8-weights", "--samples", "4")


def test_auto_keeps_its_budget(whit, demo, test_set, tmp_path, documented, monkeypatch):
    monkeypatch.setenv("WHIT_NUM_THREADS", "1")
    images, labels = test_set
    out, page = tmp_path / "d.whit", tmp_path / "r.html"
    options = (*FEW, "--eval", images, "--labels", labels, "--auto", "--max-drop", "1", "--max-bytes", "60kB")
    result = whit("compress", demo / "digits.onnx", "-o", out, *options, "--json", "--report", page)
    assert (result.code, result.err) == (0, "")
    values = result.json
    assert set(values) == documented("compress")
    assert set(values["search"]) == documented("compress", "search")
    assert {key for point in values["search"]["points"] for key in point} == documented("compress", "points")
    assert values["accuracy"]["drop"] <= 1
    assert out.stat().st_size == values["file_bytes"] == values["search"]["best"]["bytes"] <= 60_000
    with package.load(out) as model:
        recipe = Recipe.of(model.metadata["recipe"])
    assert recipe.storage == "coded"
    assert recipe.name == "int8-weights-auto"
    assert page.read_text().count("<svg") >= 2
    # The journal makes the next search short, with another budget too.
    journal = tmp_path / "d.whit.search.jsonl"
    lines = journal.read_bytes().count(b"\n")
    again = whit("compress", demo / "digits.onnx", "-o", tmp_path / "e.whit", *options, "--journal", journal)
    assert again.code == 0
    assert journal.read_bytes().count(b"\n") == lines
    assert (tmp_path / "e.whit").read_bytes() == out.read_bytes()
    tight = whit("compress", demo / "digits.onnx", "-o", out, *options, "--journal", journal, "--max-bytes", "5k")
    assert tight.code == 2
    assert "whatever the accuracy, the smallest file is" in tight.err
    assert out.stat().st_size == values["file_bytes"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--max-drop", "1"), "--max-drop goes with --auto"),
        (("--jobs", "2"), "--jobs goes with --auto"),
        (("--auto", "--eval", "EVAL"), "give at least one of max_drop"),
        (("--auto", "--max-drop", "1"), "give evaluation data"),
        (("--auto", "--max-ms", "1", "--target", "z80", "--eval", "EVAL"), "no target 'z80'"),
        (("--target", "z80"), "no target 'z80'; targets: this, cortex-a53, cortex-a72, cortex-a76, x86-avx2"),
        (("--labels", "l.txt"), "--labels goes with --eval"),
        (("--eval", "EVAL", "--labels", "missing.txt"), "missing.txt: No such file"),
        (("--report", "r.pdf"), "ends in .html or .json"),
        (("--report", "nowhere/r.html"), "its folder does not exist"),
        (("--auto", "--max-bytes", "big"), "wanted a size such as 1M"),
        (("--auto", "--max-bytes", "0"), "wanted a size such as 1M"),
    ],
)
def test_what_does_not_go_together(whit, demo, test_set, tmp_path, options, says):
    given = [test_set[0] if option == "EVAL" else option for option in options]
    out = tmp_path / "d.whit"
    result = whit("compress", demo / "digits.onnx", "-o", out, "--recipe", "int8-weights", *given)
    assert result.code in (2, 3)
    assert says in result.err
    assert not out.exists()
