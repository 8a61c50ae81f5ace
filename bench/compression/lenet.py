"""Both LeNets: a dense network is trained, then pruned and rounded while it learns from itself and from the labels.

Han et al., "Deep Compression", 2016, with what came later: gradual pruning along a cubic curve (Zhu and Gupta, 2017),
steps of the grid that are learned (Esser et al., 2020), distillation from the dense network (Hinton et al., 2015),
distorted digits (Simard et al., 2003), and an adaptive binary arithmetic coder (Wiedemann et al., "DeepCABAC", 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

import whit
import whit.train
from bench.compression import mnist
from bench.compression.store import store
from bench.compression.table import Context, Row, verdict


@dataclass(frozen=True)
class Lenet:
    """One of the two networks, and how it is made small.

    Attributes:
        row, title: of the row.
        flat: images go in as [784], not [1, 28, 28].
        parameters: it must have, biases too.
        kilobytes: the size in f32 that is published, in 1000 bytes.
        error: what is allowed on the test images, in percent.
        least, aim: how many times smaller.
        dense_epochs: of the dense network.
        small_epochs: of pruning and rounding.
        sparsity, bits: by layer.
        learning_rate: of both trainings.
        label_weight: the labels' share of the loss while it becomes small; the rest is the dense network's.
    """

    row: str
    title: str
    flat: bool
    parameters: int
    kilobytes: int
    error: float
    least: float
    aim: float
    dense_epochs: int
    small_epochs: int
    sparsity: Mapping[str, float]
    bits: Mapping[str, int]
    learning_rate: float = 2e-3
    label_weight: float = 0.3


def run(lenet: Lenet, make: Callable[[], list[Any]], context: Context) -> Row:
    """Trains, stores and judges; `make` gives the layers once the random numbers are seeded."""
    digits = mnist.load(context.shared)
    images = digits.images.reshape(-1, 784) if lenet.flat else digits.images
    torch.manual_seed(context.seed)
    module = torch.nn.Sequential(*make())
    count = sum(parameter.numel() for parameter in module.parameters())
    if count != lenet.parameters:
        raise AssertionError(f"{lenet.title} has {count} parameters, not {lenet.parameters}")
    common: dict[str, Any] = {
        "batch_size": 128,
        "learning_rate": lenet.learning_rate,
        "seed": context.seed,
        "threads": context.threads,
        "augment": mnist.distort,
    }
    dense = whit.train.fine_tune(
        whit.from_torch(module, images[:1]), images, digits.labels, epochs=lenet.dense_epochs, **common
    )
    small = whit.train.distill(
        dense.graph,
        None,
        images,
        labels=digits.labels,
        label_weight=lenet.label_weight,
        temperature=2.0,
        techniques=[
            whit.train.Pruning(sparsity=lenet.sparsity, end=0.6),
            whit.train.WeightQuantization(bits=lenet.bits, granularity="tensor", scale="learned", begin=0.6),
        ],
        epochs=lenet.small_epochs,
        **common,
    )
    path = context.work / f"{lenet.row}.whit"
    size = store(small, path, lenet.row)

    def errors(pictures: Any, labels: Any) -> float:
        return mnist.error_percent(path, pictures.reshape(-1, 784) if lenet.flat else pictures, labels)

    held, tested = errors(digits.held_images, digits.held_labels), errors(digits.test_images, digits.test_labels)
    factor = lenet.kilobytes * 1000 / size
    return Row(
        lenet.row,
        f"{lenet.title} on MNIST, whole file against {lenet.kilobytes} KB, test error at most {lenet.error:g} %",
        f"{lenet.least:g} times smaller",
        f"{lenet.aim:g}",
        f"{factor:.1f} times ({size / 1000:.1f} KB), error {tested:.2f} %",
        verdict(factor, lenet.least, lenet.aim, holds=tested <= lenet.error),
        {
            "bytes": size,
            "test error, percent": tested,
            "held-out error, percent": held,
            "nonzero weights": {name: int((codes.codes != 0).sum()) for name, codes in small.codes.items()},
        },
    )
