"""ResNet-20 distilled into few bits, without labels and without photos of those it is judged on.

Gradual pruning (Zhu and Gupta, 2017) while the weights that stay are rounded with learned steps (Esser et al., "Learned
Step Size Quantization", 2020); the original is the teacher, of its logits (Hinton et al., 2015) and of what each of its
blocks gives (Romero et al., "FitNets", 2015). The last stage has three quarters of the weights and the fewest bits.
"""

from __future__ import annotations

import numpy as np

import whit
import whit.train
from bench.accuracy import onnx_classifier
from bench.compression import photos
from bench.compression.pictures import pictures, vary
from bench.compression.store import store
from bench.compression.table import Context, Row, verdict
from whit.preprocess import PRESETS, Preprocess

LEAST, AIM = 55_000, 40_000
AGREEMENT = 95.0
PICTURES, HELD_OUT = 20_000, 1_000
EPOCHS = 30

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
    checkpoint = context.work / "resnet20.checkpoint"
    result = whit.train.distill(
        model,
        None,
        made[:PICTURES],
        temperature=4.0,
        features=[(name, name) for name in _BLOCKS],
        feature_weight=0.3,
        augment=vary,
        techniques=[
            whit.train.Pruning(
                layers=("/layer*",), sparsity={"/layer1*": 0.3, "/layer2*": 0.5, "*": 0.75}, initial=0.3, end=0.4
            ),
            whit.train.WeightQuantization(
                bits={"/conv1*": 6, "/layer1*": 4, "/layer2*": 3, "/layer3*": 3, "*": 6},
                granularity="tensor",
                scale="learned",
                begin=0.3,
            ),
        ],
        epochs=EPOCHS,
        batch_size=64,
        learning_rate=1e-3,
        seed=context.seed,
        threads=context.threads,
        checkpoint=checkpoint,
    )
    checkpoint.unlink()
    path = context.work / "resnet20.whit"
    size = store(result, path, "resnet20")
    original = onnx_classifier(model)
    held = agreement(path, original, made[PICTURES:])
    judged, _ = photos.read(context.shared, STEPS)
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
            "losses": [round(loss, 4) for loss in result.losses],
            "zeros": {name: round(share, 4) for name, share in result.sparsity.items()},
        },
    )


def _cached(context: Context) -> np.ndarray:
    """The pictures, kept in the folder for work."""
    path = context.work / f"pictures-{PICTURES + HELD_OUT}-{context.seed}.npy"
    if not path.exists():
        np.save(path, pictures(PICTURES + HELD_OUT, context.seed))
    return np.asarray(np.load(path))


def normalised(pixels: np.ndarray) -> np.ndarray:
    """u8 [N, 32, 32, 3] as the network wants them, f32 [N, 3, 32, 32]."""
    scaled = (pixels * np.float32(STEPS.scale) - np.float32(STEPS.mean)) / np.float32(STEPS.std)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


def agreement(path: object, original: object, images: np.ndarray) -> float:
    """How often the file chooses the class that the original does, in percent."""
    loaded = whit.load(path)
    same = sum(
        int(np.asarray(loaded(images[i : i + 1])).argmax() == original(images[i : i + 1]).argmax())
        for i in range(len(images))
    )
    return 100 * same / len(images)
