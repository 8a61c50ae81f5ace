"""Every model of models/, pruned by a recipe: what the file takes, and its accuracy or output error before and after.

One recipe for all, without settings for any of them, and no training: three quarters of the weights of convolutions and
matrix products go, all layers together, as single elements or in blocks of four input channels; those that stay make up
for it. The classifiers are judged by the agreement with the original on samples that calibration did not see; other
outputs by their signal-to-noise ratio.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import whit
from bench.compression import photos
from bench.compression.table import Context, Row
from whit.compression import Prune, Quantize, Recipe
from whit.errors import WhitError
from whit.preprocess import PRESETS, Preprocess

SPARSITY = 0.75
PATTERNS = ("element", "1x4")
#: Samples: for calibration, and others to judge on.
CALIBRATION, JUDGED = 32, 64

#: Samples of a model by its inputs' names.
Samples = dict[str, np.ndarray]


def run(context: Context) -> Row:
    """Compresses each model by recipe int8 and with pruning before it, at storage level coded."""
    details: dict[str, Any] = {}
    failed = []
    for name, samples_of in MODELS.items():
        samples = samples_of(context.shared)
        chosen = {key: values[:CALIBRATION] for key, values in samples.items()}
        judged = {key: values[CALIBRATION : CALIBRATION + JUDGED] for key, values in samples.items()}
        details[name] = found = {"dense": _compress(context.shared / "models" / f"{name}.onnx", (), chosen, judged)}
        for pattern in PATTERNS:
            step = Prune(sparsity=SPARSITY, scope="global", pattern=pattern)
            found[pattern] = _compress(context.shared / "models" / f"{name}.onnx", (step,), chosen, judged)
            print(name, pattern, found[pattern], flush=True)
        failed += [f"{name}: {result['problem']}" for result in found.values() if "problem" in result]
    return Row(
        "pruned_models",
        f"recipes that prune {100 * SPARSITY:.0f} %, elements and 1x4, on every model of models/",
        "work on each",
        "work on each",
        f"work on {len(MODELS)} of {len(MODELS)}" if not failed else "; ".join(failed),
        "no" if failed else "aim",
        details,
    )


def _compress(model: Path, steps: tuple[Prune, ...], samples: Samples, judged: Samples) -> dict[str, Any]:
    recipe = Recipe("pruned" if steps else "dense", storage="coded", steps=(*steps, Quantize()))
    try:
        report = whit.compress(model, None, recipe, samples, evaluation=judged, progress=lambda *_: None)
    except WhitError as problem:
        return {"problem": f"{type(problem).__name__}: {problem}"}
    accuracy = report.accuracy
    assert accuracy is not None, "evaluation data was given"
    zeros = [(layer.sparsity, layer.bytes_before) for layer in report.layers if layer.sparsity is not None]
    return {
        "bytes": report.file_bytes,
        "zeros": round(sum(share * size for share, size in zeros) / sum(size for _, size in zeros), 3),
        "metric": accuracy.metric,
        "before": round(accuracy.before, 2),
        "after": round(accuracy.after, 2),
    }


# --- samples ---


def _photos(name: str, steps: Preprocess) -> Callable[[Path], Samples]:
    return lambda shared: {name: photos.read(shared, steps, slice(None, None, 10))[0]}


def _digits(shared: Path) -> Samples:
    with np.load(shared / "data" / "mnist.npz") as file:
        images = file["x_test"][: CALIBRATION + JUDGED]
    return {"input": (images[:, None].astype(np.float32) / 255 - 0.1307) / 0.3081}


def _sounds(_: Path) -> Samples:
    """Voiced and noisy sounds, loud and quiet, at 16 kHz, with states as they come about."""
    rng = np.random.default_rng(0)
    count, length = CALIBRATION + JUDGED, 576
    time = np.arange(length) / 16000
    sounds = np.empty((count, length), np.float32)
    for index in range(count):
        pitch, loudness = rng.uniform(80, 300), 10 ** rng.uniform(-2.5, -0.3)
        voice = sum(np.sin(2 * np.pi * pitch * (k + 1) * time + rng.uniform(0, 6)) / (k + 1) for k in range(12))
        share = rng.uniform()
        sounds[index] = loudness * (share * voice / 2 + (1 - share) * rng.normal(size=length))
    return {"input": sounds[:, None], "state": rng.normal(0, 0.3, (count, 2, 1, 128)).astype(np.float32)}


def _text(height: int, width: int) -> Preprocess:
    return Preprocess(resize=(height, width), scale=1 / 255, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


_SMALL = Preprocess(
    resize=(32, 32), scale=PRESETS["imagenet"].scale, mean=PRESETS["imagenet"].mean, std=PRESETS["imagenet"].std
)
MODELS: dict[str, Callable[[Path], Samples]] = {
    "ccexam_mnist": _digits,
    "efficientnet_lite0": _photos("input", PRESETS["tf"]),
    "mobilenet_v2": _photos("input", PRESETS["imagenet"]),
    "ppocr_cls": _photos("x", _text(48, 192)),
    "ppocrv4_det": _photos("x", _text(320, 320)),
    "resnet20_cifar10": _photos("input", _SMALL),
    "resnet20_cifar10_raw": _photos("input", _SMALL),
    "silero_vad_openvino_16k": _sounds,
}
