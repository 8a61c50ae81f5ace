"""Training: fine-tuning, distillation, gradual pruning and quantisation-aware training of whit's graphs, in torch.

import whit.train

result = whit.train.distill("model.onnx", None, images, techniques=[whit.train.WeightQuantization(bits=4)])
whit.compress(result.graph, "model.whit", recipe="int8-weights")
"""

from __future__ import annotations

from whit.errors import InvalidArgumentError

try:
    import torch  # noqa: F401
except ImportError as error:
    raise InvalidArgumentError(f"training needs torch ({error}): pip install 'whit[train]'") from error

from whit.train.api import TrainResult, distill, fine_tune, predict
from whit.train.mirror import TorchGraph
from whit.train.modules import from_torch
from whit.train.options import Options
from whit.train.regularizers import l1, rate
from whit.train.techniques import (
    ActivationQuantization,
    BatchNormalization,
    Binarization,
    Clustering,
    EntropyQuantization,
    Pruning,
    SignQuantization,
    WeightQuantization,
)
from whit.train.transforms import FakeQuantize, Palette, Prune, Signs

__all__ = [
    "ActivationQuantization",
    "BatchNormalization",
    "Binarization",
    "Clustering",
    "EntropyQuantization",
    "FakeQuantize",
    "Options",
    "Palette",
    "Prune",
    "Pruning",
    "SignQuantization",
    "Signs",
    "TorchGraph",
    "TrainResult",
    "WeightQuantization",
    "distill",
    "fine_tune",
    "from_torch",
    "l1",
    "predict",
    "rate",
]
