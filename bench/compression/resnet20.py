"""ResNet-20 distilled into few bits, without labels and without photos of those it is judged on.

Weights are rounded from the start, to steps that begin where all of them together harm least for their bits and are
learned from there on (whit.train.EntropyQuantization); the original is the teacher, of its logits (Hinton et al., 2015)
and of what each of its blocks gives (Romero et al., "FitNets", 2015). The details say besides what compression without
training reaches, at several sizes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import whit
import whit.train
from bench.accuracy import Classifier, onnx_classifier
from bench.compression import photos, stamps
from bench.compression.pictures import pictures, vary
from bench.compression.store import store
from bench.compression.table import Context, Row, verdict
from whit.compression import Quantize, Recipe
from whit.preprocess import PRESETS, Preprocess

LEAST, AIM = 55_000, 40_000
AGREEMENT = 95.0
PICTURES, HELD_OUT = 30_000, 1_000
EPOCHS = 6
AVERAGE_BITS = 1.44
#: Without training: bits of the three stages, and how many pictures these are calibrated on.
BITS = ((8, 8, 8), (5, 5, 5), (4, 4, 4), (5, 4, 3), (4, 3, 2))
CALIBRATION = 300

STEPS = Preprocess(
    resize=(32, 32), scale=PRESETS["imagenet"].scale, mean=PRESETS["imagenet"].mean, std=PRESETS["imagenet"].std
)
_BLOCKS = [
    f"/layer{stage}/layer{stage}.{block}/Add_output_0_channels_last" for stage in (1, 2, 3) for block in range(3)
]


def run(context: Context) -> Row:
    """Trains on made-up pictures and crops, and compares the file in the engine with the original on 1000 photos."""
    model = context.shared / "models" / "resnet20_cifar10.onnx"
    made = normalised(_cached(context))
    original = onnx_classifier(model)
    judged, _ = photos.read(context.shared, STEPS)
    curve = [untrained(model, bits, made, original, judged, context.work / "untrained.whit") for bits in BITS]
    checkpoint = context.work / "resnet20.checkpoint"
    result = whit.train.distill(
        model,
        None,
        made[:PICTURES],
        temperature=4.0,
        features=[(name, name) for name in _BLOCKS],
        feature_weight=0.5,
        augment=vary,
        techniques=[whit.train.EntropyQuantization(average_bits=AVERAGE_BITS)],
        epochs=EPOCHS,
        batch_size=64,
        learning_rate=5e-3,
        relative=True,
        seed=context.seed,
        threads=context.threads,
        checkpoint=checkpoint,
    )
    checkpoint.unlink()
    path = context.work / "resnet20.whit"
    size = store(result, path, "resnet20")
    held = agreement(path, original, made[PICTURES:])
    reached = agreement(path, original, judged)
    return Row(
        "resnet20",
        f"ResNet-20 distilled without labels, agreement at least {AGREEMENT:g} % on 1000 photos that it never saw",
        f"at most {LEAST / 1000:g} KB",
        f"{AIM / 1000:g} KB",
        f"{size / 1000:.1f} KB, {reached:.1f} % agree",
        verdict(-size, -LEAST, -AIM, holds=reached >= AGREEMENT),
        {
            "bytes": size,
            "agreement on photos, percent": reached,
            "agreement on held-out training pictures, percent": held,
            "without training": curve,
            "losses": [round(loss, 4) for loss in result.losses],
            "zeros": {name: round(share, 4) for name, share in result.sparsity.items()},
        },
    )


def untrained(
    model: Path, bits: tuple[int, int, int], made: np.ndarray, original: Classifier, judged: np.ndarray, path: Path
) -> dict[str, object]:
    """Size and agreement of the model rounded to so many bits in each stage, layer after layer, computed in f32."""
    step = Quantize(
        activations="f32",
        bits=max(6, bits[0]),
        range="mse",
        scale_bits=8,
        rounding="sequential",
        equalize=False,
        overrides={f"/layer{stage}*": {"bits": each} for stage, each in enumerate(bits, 1)},
    )
    recipe = Recipe("rounded", storage="archive", steps=(step,))
    report = whit.compress(model, path, recipe, data=made[:CALIBRATION])
    return {
        "bits": list(bits),
        "bytes": report.file_bytes,
        "agreement on photos, percent": agreement(path, original, judged),
        "agreement on held-out training pictures, percent": agreement(path, original, made[PICTURES:]),
    }


def _cached(context: Context) -> np.ndarray:
    """The pictures, kept in the folder for work."""
    path = context.work / f"photos-and-stamps-{PICTURES + HELD_OUT}-{context.seed}.npy"
    if not path.exists():
        np.save(path, pictures(PICTURES + HELD_OUT, context.seed, stamps.fetch(context.work)))
    return np.asarray(np.load(path))


def normalised(pixels: np.ndarray) -> np.ndarray:
    """u8 [N, 32, 32, 3] as the network wants them, f32 [N, 3, 32, 32]."""
    scale, mean, std = (np.asarray(each, np.float32) for each in (STEPS.scale, STEPS.mean, STEPS.std))
    scaled = (pixels * scale - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


def agreement(path: Path, original: Classifier, images: np.ndarray) -> float:
    """How often the file chooses the class that the original does, in percent."""
    loaded = whit.load(path)
    same = sum(
        int(np.asarray(loaded(images[i : i + 1])).argmax() == original(images[i : i + 1]).argmax())
        for i in range(len(images))
    )
    return 100 * same / len(images)
