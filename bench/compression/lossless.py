"""An s8 network stored with nothing lost: the level `archive` beside xz."""

from __future__ import annotations

import io
import lzma

import numpy as np

import whit
from bench.accuracy import CALIBRATION_STEP, MODELS
from bench.compression import photos
from bench.compression.table import Context, Row, verdict
from whit.compression import Recipe
from whit.compression.pipeline import apply, prepare
from whit.format import write

MODEL = "efficientnet_lite0"
LEAST, AIM = 3.0, 8.0


def run(context: Context) -> Row:
    """EfficientNet-Lite0 by recipe int8, dense and at level archive; the dense file through xz -9."""
    dense, archive = files(context, "dense", "archive")
    plain = lzma.compress(dense, preset=9)
    extreme = lzma.compress(dense, preset=9 | lzma.PRESET_EXTREME)
    # The same integers in both: the file says what it said before.
    image = np.random.default_rng(context.seed).normal(size=(1, 3, 224, 224)).astype(np.float32)
    same = [np.asarray(whit.load(io.BytesIO(file))(image)) for file in (dense, archive)]
    if not np.array_equal(*same):
        raise AssertionError("the archive does not compute what the dense file does")
    smaller = 100 * (1 - len(archive) / len(plain))
    against_extreme = 100 * (1 - len(archive) / len(extreme))
    return Row(
        "lossless",
        "lossless: s8 EfficientNet-Lite0, level archive, against xz -9 of the dense s8 file",
        f"{LEAST:g} % smaller than xz",
        f"{AIM:g} %",
        f"{smaller:.2f} % smaller ({against_extreme:.2f} % than xz -9e)",
        verdict(smaller, LEAST, AIM),
        {"dense": len(dense), "archive": len(archive), "xz -9": len(plain), "xz -9e": len(extreme)},
    )


def files(context: Context, *levels: str) -> list[bytes]:
    """The network by recipe int8, calibrated on every tenth photo, stored at these levels."""
    steps = MODELS[MODEL]
    samples, _ = photos.read(context.shared, steps, slice(None, None, CALIBRATION_STEP))
    recipe = Recipe.of("int8")
    model = context.shared / "models" / f"{MODEL}.onnx"
    _, graph = apply(prepare(model, recipe, samples, preprocess=steps), recipe, errors=False)
    return [write(graph, level) for level in levels]
