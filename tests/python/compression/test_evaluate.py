"""Accuracy before and after, with its uncertainty; labels from everything that holds them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_graphs import Builder

from whit.compression.calibrate import engine_runner
from whit.compression.evaluate import Accuracy, EvaluationSet, Reference, open_evaluation, read_labels
from whit.compression.pipeline import compress
from whit.data import open_data
from whit.errors import CalibrationError, FileError, FormatError, InvalidArgumentError
from whit.ir import Graph

CLASSES, SIZE = 4, 6


class Scores:
    """A model whose outputs are given, one run after the other."""

    def __init__(self, outputs: np.ndarray) -> None:
        self.outputs = iter(outputs)

    def run(self, feeds: Any) -> dict[str, np.ndarray]:
        return {"y": next(self.outputs)[None]}


def evaluation(samples: int, labels: Any = None) -> EvaluationSet:
    data = open_data(np.zeros((samples, 2), np.float32), [Input()])
    return EvaluationSet(data, None if labels is None else np.asarray(labels))


class Input:
    name, dtype, shape = "x", "f32", (1, 2)


def one_hot(classes: Any) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[np.asarray(classes)]


def evaluate(before: np.ndarray, after: np.ndarray, labels: Any = None) -> Accuracy:
    samples = evaluation(len(before), labels)
    return Reference.of(Scores(before), "y", samples).evaluate(Scores(after), samples)


def test_top1_counts_labels_and_agreement_counts_the_original() -> None:
    labels, before, after = [0, 1, 2, 3, 0], [0, 1, 2, 0, 0], [0, 1, 3, 3, 1]
    found = evaluate(one_hot(before), one_hot(after), labels)
    assert (found.metric, found.samples, found.before, found.after, found.drop) == ("top1", 5, 80, 60, 20)
    found = evaluate(one_hot(before), one_hot(after))
    assert (found.metric, found.before, found.after, found.drop) == ("agreement", 100, 40, 60)
    assert "agreement with the original 100.00 % -> 40.00 %" in str(found)


def test_interval_is_that_of_agresti_and_min() -> None:
    """Their adjustment by hand: 30 lost, 10 won of 200 pairs."""
    before = np.r_[np.ones(160, int), np.ones(30, int), np.zeros(10, int)]
    after = np.r_[np.ones(160, int), np.zeros(30, int), np.ones(10, int)]
    found = evaluate(one_hot(before), one_hot(after), np.ones(200, int))
    middle, spread = 20 / 202, 1.959964 * math.sqrt(41 - 20**2 / 202) / 202
    assert found.drop == pytest.approx(10)
    assert found.interval == pytest.approx((100 * (middle - spread), 100 * (middle + spread)), abs=1e-3)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        before, after = rng.random(150) < 0.8, rng.random(150)
        after = np.where(before, after > 0.06, after < 0.12)  # drop: 0.8 * 0.06 - 0.2 * 0.12 = 2.4 points
        found = evaluate(one_hot(before.astype(int)), one_hot(after.astype(int)), np.ones(150, int))
        hits += found.interval[0] <= 2.4 <= found.interval[1]
    assert 0.91 * 400 < hits < 0.99 * 400


def test_equal_models_are_not_certain_to_be_equal() -> None:
    found = evaluate(one_hot([0] * 50), one_hot([0] * 50), [0] * 50)
    assert found.drop == 0
    assert found.interval[0] < 0 < found.interval[1] < 6


def test_other_outputs_are_measured_in_decibel() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(40, 5, 3, 2)).astype(np.float32)
    after = before + rng.normal(0, 0.1, before.shape).astype(np.float32)
    found = evaluate(before, after)
    wide = before.astype(np.float64)
    assert found.metric == "snr"
    assert found.drop is None
    assert found.after == pytest.approx(10 * np.log10((wide**2).sum() / ((after - wide) ** 2).sum()), abs=1e-3)
    assert found.interval[0] < found.after < found.interval[1]
    assert found.interval[1] - found.interval[0] < 2
    assert evaluate(before, before).after == 200
    assert "SNR of the output 200.0 dB" in str(evaluate(before, before))


def test_scores_with_axes_of_one_are_scores() -> None:
    labels = [0, 1, 2]
    scores = one_hot(labels)[:, :, None, None]
    assert evaluate(scores, scores, labels).metric == "top1"


def test_json_and_back() -> None:
    found = evaluate(one_hot([0, 1]), one_hot([0, 0]), [0, 1])
    assert Accuracy.from_dict(found.to_dict()) == found


@pytest.mark.parametrize("suffix", [".npy", ".txt", ".csv"])
def test_labels_from_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"labels{suffix}"
    if suffix == ".npy":
        np.save(path, np.array([3, 0, 2], np.uint8))
    else:
        path.write_text("3\n0\n2\n\n")
    assert read_labels(path).tolist() == [3, 0, 2]
    assert read_labels([3, 0, 2]).tolist() == [3, 0, 2]


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        ("a.txt", b"1\ncat\n", FormatError, r"line 2: 'cat' is not a class index"),
        ("a.txt", b"\xff\xfe\x00", FormatError, "not a readable file of labels"),
        ("a.npy", b"nothing", FormatError, "not a readable file of labels"),
        ("a.csv", b"", CalibrationError, "one label for each sample"),
        ("a.txt", b"1\n-2\n", CalibrationError, "label -2 of sample 1 is negative"),
        ("a.json", b"[]", CalibrationError, r"read from \.npy, \.txt or \.csv"),
        (None, b"", FileError, "No such file"),
    ],
)
def test_bad_files_of_labels(tmp_path: Path, name: str | None, content: bytes, error: type, says: str) -> None:
    path = tmp_path / (name or "missing.txt")
    if name:
        path.write_bytes(content)
    with pytest.raises(error, match=says):
        read_labels(path)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 1], "2 labels for 3 samples"),
        ([0, 1, CLASSES], f"label {CLASSES} of sample 2 is out of range: the model has {CLASSES} classes, 0 to 3"),
        ([[0], [1], [2]], r"\[samples\]; got shape \[3, 1\]"),
        ([0.5, 1.0, 2.0], "whole numbers"),
    ],
)
def test_labels_that_do_not_fit(labels: Any, says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        evaluate(one_hot([0, 1, 2]), one_hot([0, 1, 2]), read_labels(labels))


def test_labels_need_class_scores() -> None:
    with pytest.raises(CalibrationError, match="labels are for class scores"):
        evaluate(np.zeros((2, 3, 3, 3), np.float32), np.zeros((2, 3, 3, 3), np.float32), [0, 1])


def classifier() -> Graph:
    b = Builder(1)
    x = b.node("transpose", [b.input("image", 1, 3, SIZE, SIZE)], (1, SIZE, SIZE, 3), "nhwc", perm=[0, 2, 3, 1])
    y = b.node("reduce_mean", [b.conv(x, 32)], (1, 32), "mean", axes=[1, 2], keepdims=0)
    return b.finish(b.gemm(y, CLASSES, "logits"))


def test_subfolders_are_classes(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, count in (("cat", 2), ("dog", 3)):
        (tmp_path / name).mkdir()
        for index in range(count):
            Image.fromarray(rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)).save(tmp_path / name / f"{index}.png")
    graph = classifier()
    inputs = [graph.tensors["image"]]
    found = open_evaluation(tmp_path, None, inputs, "scale=1/255")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 1, 1, 1]
    assert [feeds["image"].shape for feeds in found.data] == [(1, 3, SIZE, SIZE)] * 5
    reference = Reference.of(engine_runner(graph, []), graph.outputs[0], found)
    assert reference.evaluate(engine_runner(graph, []), found).drop == 0
    with pytest.raises(CalibrationError, match="its subfolders are the classes"):
        open_evaluation(tmp_path, [0] * 5, inputs, "scale=1/255")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CalibrationError, match="empty: a class without pictures"):
        open_evaluation(tmp_path, None, inputs, "scale=1/255")


def test_compress_measures_what_the_file_gives() -> None:
    import whit

    graph, rng = classifier(), np.random.default_rng(5)
    samples = rng.normal(size=(60, 3, SIZE, SIZE)).astype(np.float32)
    with whit.load(compress(graph, recipe="f32").file or b"") as original:
        labels = np.array([original(each[None]).argmax() for each in samples])
    labels[::3] = (labels[::3] + 1) % CLASSES
    report = compress(graph, None, "int8", samples[:16], evaluation=samples, labels=labels)
    assert report.accuracy is not None
    with whit.load(report.file or b"") as model:
        right = sum(model(each[None]).argmax() == label for each, label in zip(samples, labels, strict=True))
    assert report.accuracy.before == pytest.approx(100 * 40 / 60, abs=1e-3)
    assert report.accuracy.after == pytest.approx(100 * int(right) / 60, abs=1e-3)
    assert report.accuracy.metric == "top1"


def test_labels_without_samples() -> None:
    with pytest.raises(InvalidArgumentError, match="labels go with evaluation data"):
        compress(classifier(), None, "f32", labels=[1])


def test_bad_labels_leave_the_file_alone(tmp_path: Path) -> None:
    out = tmp_path / "m.whit"
    out.write_bytes(b"before")
    samples = np.zeros((3, 3, SIZE, SIZE), np.float32)
    with pytest.raises(CalibrationError, match="2 labels for 3 samples"):
        compress(classifier(), out, "f32", evaluation=samples, labels=[0, 1])
    assert out.read_bytes() == b"before"
