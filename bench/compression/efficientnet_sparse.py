"""EfficientNet-Lite0 in s8 with three quarters of its 1x1 layers' weights 0: the file, and what it costs.

No training: layers are pruned one after the other, those that stay make up for those that go and for what the layers
before did (least squares on calibration photos), and how much of each layer goes follows from what pruning it alone
does to the logits. Its 1x1 layers are the 1x1 convolutions and the classifier, which is one on a single pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import whit
from bench.accuracy import CALIBRATION_STEP, MODELS, onnx_classifier
from bench.compression import photos
from bench.compression.table import Context, Row, verdict
from whit.compression import Prune, Quantize, Recipe
from whit.compression.pipeline import apply, prepare
from whit.format import write

MODEL = "efficientnet_lite0"
SPARSITY = 0.75
LAYERS = ("@1x1", "@gemm")
#: Per cent of the dense s8 file at the same level.
LEAST, AIM = 45.0, 35.0
LEVELS = ("packed", "coded", "archive")
#: The level of the row.
LEVEL = "coded"


#: The first one is the row's.
PATTERNS = ("element", "1x4")


def recipe_of(pattern: str) -> Recipe:
    """Prunes and quantises."""
    prune = Prune(layers=LAYERS, sparsity=SPARSITY, scope="sensitivity", pattern=pattern, sequential=True)
    return Recipe(pattern, steps=(prune, Quantize()))


def run(context: Context) -> Row:
    """Calibrates on every tenth photo and judges on the 900 others, as bench/accuracy.py does."""
    steps = MODELS[MODEL]
    images, classes = photos.read(context.shared, steps)
    tested = np.flatnonzero(np.arange(len(images)) % CALIBRATION_STEP != 0)
    model = context.shared / "models" / f"{MODEL}.onnx"

    def measured(recipe: Recipe) -> dict[str, Any]:
        _, graph = apply(prepare(model, recipe, images[::CALIBRATION_STEP], preprocess=steps), recipe, errors=False)
        files = {level: write(graph, level) for level in LEVELS}
        with whit.load(files[LEVEL]) as loaded:
            right = sum(int(np.asarray(loaded(images[i : i + 1])).argmax() == classes[i]) for i in tested)
        found = {"bytes": {level: len(file) for level, file in files.items()}, "right": right}
        print(recipe.name, found, flush=True)
        return found

    original = onnx_classifier(model)
    before = sum(int(original(images[i : i + 1]).argmax() == classes[i]) for i in tested)
    dense = measured(Recipe("dense", steps=(Quantize(),)))
    details: dict[str, Any] = {"photos": len(tested), "right, f32": before, "dense": dense}
    texts, shares = [], []
    for pattern in PATTERNS:
        found = details[pattern] = measured(recipe_of(pattern))
        shares.append(100 * found["bytes"][LEVEL] / dense["bytes"][LEVEL])
        texts.append(f"{shares[-1]:.1f} % ({pattern}, top-1 {100 * found['right'] / len(tested):.1f} %)")
    return Row(
        "efficientnet_sparse",
        f"EfficientNet-Lite0 s8, 1x1 layers pruned {100 * SPARSITY:.0f} %, no training: file against the dense s8 file "
        f"(level {LEVEL}); top-1 on {len(tested)} photos, f32 {100 * before / len(tested):.1f} %, dense s8 "
        f"{100 * dense['right'] / len(tested):.1f} %",
        f"{LEAST:g} %",
        f"{AIM:g} %",
        ", ".join(texts),
        verdict(-shares[0], -LEAST, -AIM),
        details,
    )
