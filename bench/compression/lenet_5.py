"""LeNet-5 as Caffe has it: two convolutions, each with pooling, and two dense layers."""

from __future__ import annotations

from torch import nn

from bench.compression.lenet import Lenet
from bench.compression.lenet import run as run_lenet
from bench.compression.table import Context, Row

LENET = Lenet(
    row="lenet_5",
    title="LeNet-5",
    flat=False,
    parameters=431_080,
    kilobytes=1720,
    error=0.74,
    least=100,
    aim=150,
    dense_epochs=8,
    small_epochs=16,
    sparsity={"0.*": 0.3, "2.*": 0.87, "5.*": 0.989, "7.*": 0.82},
    bits={"*": 4},
    learning_rate=1e-3,
    label_weight=0.5,
)


def run(context: Context) -> Row:
    return run_lenet(LENET, layers, context)


def layers() -> list[nn.Module]:
    convolutions = [nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2)]
    return [*convolutions, nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)]
