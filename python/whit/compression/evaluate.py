"""How good a model is on evaluation data, and how sure one can be of a difference between two.

With labels the metric is top-1: how often the largest score is at the label. Without labels it is the agreement with
the original model's choice, and where outputs are no class scores, their signal-to-noise ratio against the original's.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whit.compression.calibrate import Runner
from whit.compression.error import MAX_SNR_DB
from whit.data import Dataset, InputInfo, PreprocessLike, open_data
from whit.errors import CalibrationError, FileError, FormatError
from whit.preprocess import IMAGE_SUFFIXES
from whit.progress import ProgressCallback, progress

__all__ = ["Accuracy", "EvaluationSet", "Reference", "open_evaluation", "read_labels"]

#: Standard deviations of a normal distribution that hold 95 % of it.
_Z = 1.959964


@dataclass(frozen=True)
class EvaluationSet:
    """Samples, and what they show where that is known.

    Attributes:
        data: the feeds.
        labels: s64 [samples], the index of the right class; None if unknown.
    """

    data: Dataset
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Accuracy:
    """A compressed model beside its original on the same samples.

    Attributes:
        metric: "top1": per cent of samples whose largest score is at the label; "agreement": per cent where it is where
            the original's is; "snr": signal-to-noise ratio of the output, in decibel.
        samples: how many.
        before, after: of the original and of the compressed model. 100 and 200 where the original is the measure.
        drop: before - after in points; None for "snr".
        interval: of 95 % confidence: of the drop, for "snr" of `after`.
    """

    metric: str
    samples: int
    before: float
    after: float
    drop: float | None
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "interval": list(self.interval)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Accuracy:
        """The reverse of `to_dict`."""
        low, high = values["interval"]
        return cls(**{**values, "interval": (low, high)})

    def __str__(self) -> str:
        low, high = self.interval
        if self.drop is None:
            return f"SNR of the output {self.after:.1f} dB (95 %: {low:.1f} to {high:.1f}), {self.samples} samples"
        what = "top-1" if self.metric == "top1" else "agreement with the original"
        return (
            f"{what} {self.before:.2f} % -> {self.after:.2f} %, drop {self.drop:.2f} points "
            f"(95 %: {low:.2f} to {high:.2f}), {self.samples} samples"
        )


@dataclass(frozen=True)
class Reference:
    """What the original gives on an evaluation set; compressed models are compared with it.

    Attributes:
        output: the name of the output that is looked at, the model's first.
        classes: its choices, s64 [samples]; None where the output is no class scores.
        outputs: its values for each run, where it is no class scores.
    """

    output: str
    classes: np.ndarray | None
    outputs: tuple[np.ndarray, ...] = ()

    @classmethod
    def of(
        cls, runner: Runner, output: str, evaluation: EvaluationSet, callback: ProgressCallback | None = None
    ) -> Reference:
        """Runs the original.

        Raises:
            CalibrationError: labels that do not fit: their count, their range, or a model without class scores.
        """
        results = [
            np.array(runner.run(feeds)[output])
            for feeds in progress(evaluation.data, len(evaluation.data), "evaluate: original", callback)
        ]
        scores = [_scores(each) for each in results]
        if evaluation.labels is None:
            if any(each is None for each in scores):
                return cls(output, None, tuple(results))
            return cls(output, _choices(scores))
        if any(each is None for each in scores):
            raise CalibrationError(
                f"labels are for class scores, [samples, classes]; output {output!r} has shape "
                f"{list(results[0].shape)}. Leave the labels out: the signal-to-noise ratio is then measured"
            )
        classes = _choices(scores)
        _check_labels(evaluation.labels, len(classes), min(each.shape[1] for each in scores if each is not None))
        return cls(output, classes)

    def evaluate(self, runner: Runner, evaluation: EvaluationSet, callback: ProgressCallback | None = None) -> Accuracy:
        """Runs a compressed model with the same inputs and outputs."""
        runs = progress(evaluation.data, len(evaluation.data), "evaluate", callback)
        if self.classes is None:
            powers = [
                _powers(before, runner.run(feeds)[self.output])
                for before, feeds in zip(self.outputs, runs, strict=True)
            ]
            return _snr(np.array(powers))
        classes = _choices([_scores(np.asarray(runner.run(feeds)[self.output])) for feeds in runs])
        if evaluation.labels is None:
            return _paired("agreement", np.ones(len(classes), bool), classes == self.classes)
        return _paired("top1", self.classes == evaluation.labels, classes == evaluation.labels)


def open_evaluation(
    source: Any, labels: Any, inputs: Sequence[InputInfo], preprocess: PreprocessLike = None
) -> EvaluationSet:
    """Opens evaluation data.

    Args:
        source: as `whit.data.open_data` takes it; or a folder with one subfolder of pictures per class (in the order of
            their names: the first is class 0), which gives the labels too.
        labels: as `read_labels` takes them; None if there are none.
        inputs: of the model, as for `open_data`.
        preprocess: how pictures become arrays, as for `open_data`.

    Raises:
        CalibrationError: unusable data or labels.
        FileError, FormatError: a file of labels that cannot be read.
    """
    folders = _class_folders(source)
    if folders:
        if labels is not None:
            raise CalibrationError(
                f"{source}: its subfolders are the classes; leave the labels out, or give a folder of pictures alone"
            )
        paths = [path for _, found in folders for path in found]
        numbers = [index for index, (_, found) in enumerate(folders) for _ in found]
        return EvaluationSet(open_data(paths, inputs, preprocess), np.array(numbers, np.int64))
    return EvaluationSet(open_data(source, inputs, preprocess), None if labels is None else read_labels(labels))


def read_labels(labels: Any) -> np.ndarray:
    """Labels from an array or list of whole numbers, a .npy file, or a text file (.txt, .csv) with one on each line.

    Returns:
        s64 [samples].

    Raises:
        FileError: the file cannot be read.
        FormatError: it does not hold labels (says which line).
        CalibrationError: no whole numbers, not one-dimensional, empty, or negative.
    """
    if isinstance(labels, (str, os.PathLike)):
        path = Path(labels)
        return _checked(_read_file(path), str(path))
    return _checked(np.asarray(labels), "labels")


def _read_file(path: Path) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".txt", ".csv"):
        raise CalibrationError(f"{path}: labels are read from .npy, .txt or .csv")
    try:
        if suffix == ".npy":
            with path.open("rb") as file:
                return np.asarray(np.load(file, allow_pickle=False))
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as problem:
        raise FileError(f"{path}: {problem.strerror or problem}") from problem
    except (ValueError, EOFError) as problem:
        raise FormatError(f"{path}: not a readable file of labels: {problem}") from problem
    numbers = []
    for index, line in enumerate(lines, 1):
        if line.strip():
            try:
                numbers.append(int(line))
            except ValueError:
                raise FormatError(
                    f"{path}, line {index}: {line!r:.60} is not a class index; wanted one whole number on each line"
                ) from None
    return np.array(numbers, np.int64)


def _checked(labels: np.ndarray, where: str) -> np.ndarray:
    if labels.dtype.kind not in "iu" and labels.size:
        raise CalibrationError(f"{where}: labels are whole numbers, the indices of classes; got {labels.dtype}")
    if labels.ndim != 1 or labels.size == 0:
        raise CalibrationError(f"{where}: wanted one label for each sample, [samples]; got shape {list(labels.shape)}")
    labels = labels.astype(np.int64)
    if labels.min() < 0:
        raise CalibrationError(f"{where}: label {labels.min()} of sample {labels.argmin()} is negative")
    return labels


def _check_labels(labels: np.ndarray, samples: int, classes: int) -> None:
    if len(labels) != samples:
        raise CalibrationError(
            f"{len(labels)} labels for {samples} samples; there must be one for each, in the order of the samples"
        )
    if labels.max() >= classes:
        raise CalibrationError(
            f"label {labels.max()} of sample {labels.argmax()} is out of range: the model has {classes} classes, "
            f"0 to {classes - 1}"
        )


def _class_folders(source: Any) -> list[tuple[str, list[Path]]]:
    """Subfolders with pictures of a folder that has none of its own, sorted by name."""
    if not isinstance(source, (str, os.PathLike)) or not Path(source).is_dir():
        return []
    entries = sorted(path for path in Path(source).iterdir() if not path.name.startswith("."))
    if any(path.suffix.lower() in IMAGE_SUFFIXES | {".npy"} for path in entries if path.is_file()):
        return []
    folders = []
    for folder in entries:
        if folder.is_dir():
            found = sorted(
                path
                for path in folder.iterdir()
                if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
            )
            if not found:
                raise CalibrationError(f"{folder}: a class without pictures")
            folders.append((folder.name, found))
    return folders


def _scores(output: np.ndarray) -> np.ndarray | None:
    """As [samples, classes], or None if it is something else."""
    if output.ndim > 2 and all(size == 1 for size in output.shape[2:]):
        output = output.reshape(output.shape[:2])
    if output.ndim == 1:
        output = output[None]
    return output if output.ndim == 2 and output.shape[1] > 1 else None


def _choices(scores: Sequence[np.ndarray | None]) -> np.ndarray:
    return np.concatenate([each.argmax(1) for each in scores if each is not None])


def _paired(metric: str, before: np.ndarray, after: np.ndarray) -> Accuracy:
    """Two yes-or-no outcomes of each sample.

    The interval is that of Agresti and Min (2005), "Simple improved confidence intervals for comparing matched
    proportions": half a sample is added to each of the four outcomes of a pair.
    """
    samples = len(before)
    lost, won = int((before & ~after).sum()) + 0.5, int((after & ~before).sum()) + 0.5
    count = samples + 2
    middle = (lost - won) / count
    spread = _Z * math.sqrt(max(lost + won - (lost - won) ** 2 / count, 0.0)) / count
    drop = float(before.mean()) - float(after.mean())
    # Half a sample in each cell draws the middle to 0: the interval holds the drop itself nevertheless.
    low, high = min(middle - spread, drop), max(middle + spread, drop)
    percents = [round(100 * float(value), 4) for value in (before.mean(), after.mean(), drop, low, high)]
    return Accuracy(metric, samples, percents[0], percents[1], percents[2], (percents[3], percents[4]))


def _powers(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Of signal and noise."""
    wide = before.astype(np.float64)
    return float(np.square(wide).sum()), float(np.square(after - wide).sum())


def _snr(powers: np.ndarray) -> Accuracy:
    """From signal and noise of each run, f64 [runs, 2]; the interval is the jackknife's (Efron 1982, chapter 3)."""
    count = len(powers)
    total = powers.sum(0)
    after = _decibel(*total)
    low = high = after
    if count > 1:
        without = np.array([_decibel(*(total - each)) for each in powers])
        spread = _Z * math.sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))
        low, high = after - spread, after + spread
    low, high = max(low, -MAX_SNR_DB), min(high, MAX_SNR_DB)
    return Accuracy("snr", count, MAX_SNR_DB, round(after, 4), None, (round(low, 4), round(high, 4)))


def _decibel(signal: float, noise: float) -> float:
    if not noise > 0:  # also what is left of rounding
        return MAX_SNR_DB if noise == noise else -MAX_SNR_DB
    if not signal > 0 or not math.isfinite(noise):
        return -MAX_SNR_DB
    return float(np.clip(10 * math.log10(signal / noise), -MAX_SNR_DB, MAX_SNR_DB))
