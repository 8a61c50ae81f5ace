"""MobileNetV2 by the preset `small`: few bits, no training."""

from __future__ import annotations

from typing import Any

import numpy as np

import whit
from bench.accuracy import CALIBRATION_STEP, MODELS, onnx_classifier
from bench.compression import photos
from bench.compression.table import Context, Row
from whit.compression import Recipe

MODEL = "mobilenet_v2"
#: At least: points of top-1 lost, times smaller; then what is aimed at.
LEAST, AIM = (2.0, 6.0), (1.0, 8.0)


def run(context: Context) -> Row:
    """Calibrates on every tenth photo and judges on the 900 others, as bench/accuracy.py does."""
    steps = MODELS[MODEL]
    images, classes = photos.read(context.shared, steps)
    everything = np.arange(len(images))
    tested = everything[everything % CALIBRATION_STEP != 0]
    model, path = context.shared / "models" / f"{MODEL}.onnx", context.work / f"{MODEL}.whit"
    chosen = Recipe.of("small")
    whit.compress(model, path, chosen, images[::CALIBRATION_STEP], preprocess=steps)
    loaded, original = whit.load(path), onnx_classifier(model)

    def right(classifier: Any) -> int:
        return sum(int(classifier(images[i : i + 1]).argmax() == classes[i]) for i in tested)

    before, after = right(original), right(lambda image: np.asarray(loaded(image))[0])
    drop = 100 * (before - after) / len(tested)
    factor = model.stat().st_size / path.stat().st_size

    def meets(limits: tuple[float, float]) -> bool:
        return drop <= limits[0] and factor >= limits[1]

    return Row(
        "mobilenet_v2",
        f"MobileNetV2, recipe {chosen.name}, no training: top-1 on 900 photos, size against the f32 file",
        f"within {LEAST[0]:g} points of f32 at {LEAST[1]:g} times smaller",
        f"{AIM[0]:g} at {AIM[1]:g} times",
        f"{drop:.2f} points at {factor:.2f} times",
        "aim" if meets(AIM) else "least" if meets(LEAST) else "no",
        {
            "right, f32": before,
            "right": after,
            "photos": len(tested),
            "bytes, f32": model.stat().st_size,
            "bytes": path.stat().st_size,
            "recipe": chosen.to_dict(),
        },
    )
