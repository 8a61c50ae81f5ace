"""EfficientNet-Lite0 in s8 with 4-bit weights in its 1x1 convolutions and its classifier, without training.

Layers are rounded one after the other, and each makes up on calibration photos for its own rounding and for what the
layers before did (GPTQ); the other layers have 8 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import whit
from bench.accuracy import CALIBRATION_STEP, MODELS, onnx_classifier
from bench.compression import photos
from bench.compression.table import Context, Row, verdict
from whit.compression import Quantize, Recipe
from whit.compression.pipeline import apply, prepare
from whit.format import write

MODEL = "efficientnet_lite0"
LAYERS = ("@1x1", "@gemm")
#: Points of top-1.
LEAST, AIM = 3.0, 1.5
RECIPE = Recipe(
    "4 bits in 1x1 layers",
    storage="coded",
    steps=(
        Quantize(
            range="mse", rounding="sequential", equalize=False, overrides={pattern: {"bits": 4} for pattern in LAYERS}
        ),
    ),
)


def run(context: Context) -> Row:
    """Calibrates on every tenth photo and judges on the 900 others, as bench/accuracy.py does."""
    steps = MODELS[MODEL]
    images, classes = photos.read(context.shared, steps)
    tested = np.flatnonzero(np.arange(len(images)) % CALIBRATION_STEP != 0)
    model = context.shared / "models" / f"{MODEL}.onnx"
    _, graph = apply(prepare(model, RECIPE, images[::CALIBRATION_STEP], preprocess=steps), RECIPE, errors=False)
    file = write(graph, RECIPE.storage)
    original = onnx_classifier(model)

    def right(classifier: Any) -> int:
        return sum(int(np.asarray(classifier(images[i : i + 1])).argmax() == classes[i]) for i in tested)

    with whit.load(file) as loaded:
        before, after = right(original), right(loaded)
    drop = 100 * (before - after) / len(tested)
    return Row(
        "efficientnet_int4",
        f"EfficientNet-Lite0 s8 with 4-bit weights in 1x1 layers, no training: points of top-1 below f32 "
        f"({100 * before / len(tested):.1f} %) on {len(tested)} photos",
        f"{LEAST:g}",
        f"{AIM:g}",
        f"{drop:.2f} ({len(file) / 1e6:.2f} MB)",
        verdict(-drop, -LEAST, -AIM),
        {"photos": len(tested), "right, f32": before, "right": after, "bytes": len(file), "recipe": RECIPE.to_dict()},
    )
