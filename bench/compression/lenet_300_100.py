"""LeNet-300-100: three dense layers."""

from __future__ import annotations

from torch import nn

from bench.compression.lenet import Lenet
from bench.compression.lenet import run as run_lenet
from bench.compression.table import Context, Row

LENET = Lenet(
    row="lenet_300_100",
    title="LeNet-300-100",
    flat=True,
    parameters=266_610,
    kilobytes=1070,
    error=1.58,
    least=50,
    aim=70,
    dense_epochs=20,
    small_epochs=30,
    sparsity={"0.*": 0.975, "2.*": 0.92, "4.*": 0.75},
    bits={"*": 3},
)


def run(context: Context) -> Row:
    return run_lenet(LENET, layers, context)


def layers() -> list[nn.Module]:
    return [nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)]
