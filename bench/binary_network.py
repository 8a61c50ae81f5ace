"""A network of +1 and -1 from nothing: trained on Fashion-MNIST, exported, and run in bits with the same predictions.

    apt-get install dataset-fashion-mnist && pip install '.[compress,train]'
    python -m bench.binary_network [--epochs 10] [--threads N] [--work build/bench/binary_network]

The middle convolutions multiply signs by signs (Hubara et al., "Binarized Neural Networks", 2016), with a scale for
each output channel (Rastegari et al., "XNOR-Net", 2016) and batch norms that become thresholds; the first and the last
layer are f32. The same network with relu in place of the signs is trained beside it, in as many epochs, for f32 and s8.

The last 5,000 training pictures are held out: the epoch that does best on them is exported. The 10,000 test pictures
are looked at once, in the end. Times need a quiet machine.
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import whit
import whit.train
from bench.machine import ROOT
from whit.compression import Recipe
from whit.ir import Graph, LinearCodes
from whit.suite.builder import GraphBuilder
from whit.train import BatchNormalization, SignQuantization, TorchGraph, WeightQuantization

Array = np.ndarray[Any, np.dtype[Any]]

PACKAGE = "dataset-fashion-mnist"
FOLDER = Path("/usr/share/datasets/fashion-mnist")
HELD_OUT = 5_000
#: Channels of the middle convolutions, all 3x3; "pool" halves the picture.
MIDDLE: tuple[int | str, ...] = (64, "pool", 128, 128, "pool", 256)
#: What an f32 sum of products may be off by, relative to the sum of magnitudes (docs/NUMERICS.md).
_EPSILON = 2.0**-23


@dataclass(frozen=True)
class Pictures:
    """f32 [N, 1, 28, 28], multiples of 1/256 below 1, and classes."""

    images: Array
    labels: Array

    def accuracy(self, predictions: Array) -> float:
        """Of predicted classes, in percent."""
        return 100 * float((predictions == self.labels).mean())


def read(folder: Path, part: str) -> Pictures:
    """The pictures of "train" or "t10k".

    Raises:
        FileNotFoundError: they are not there; the message says how to get them.
        ValueError: a file is not what its name says.
    """
    arrays = []
    for name, header in ((f"{part}-images-idx3-ubyte.gz", 16), (f"{part}-labels-idx1-ubyte.gz", 8)):
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: apt-get install {PACKAGE}, or --data DIR with its files")
        data = gzip.decompress(path.read_bytes())
        shape = np.frombuffer(data[4:header], ">u4")
        values = np.frombuffer(data, np.uint8, offset=header)
        if len(data) < header or int(np.prod(shape)) != values.size:
            raise ValueError(f"{path} is damaged: it holds {values.size} bytes for {shape.tolist()}")
        arrays.append(values.reshape(shape.tolist()))
    images, labels = arrays
    return Pictures((images[:, None].astype(np.float32) / 256), labels.astype(np.int64))


def network(*, binary: bool, middle: Sequence[int | str], seed: int) -> Graph:
    """The network with random weights; f32, with relu, unless `binary`."""
    b = GraphBuilder("binary" if binary else "f32", "f32", seed)
    x = b.conv(b.input(1, 28, 28), 64, 5, stride=2, activation=None if binary else "relu")
    last = max(place for place, each in enumerate(middle) if each != "pool")
    for place, channels in enumerate(middle):
        if isinstance(channels, str):
            x = b.max_pool(x, 3, 2)
            continue
        x = b.conv(
            b.unary("binarize", x) if binary else x,
            channels,
            3,
            activation=None if binary and place != last else "relu",
        )
    b.output(b.linear(b.mean(x), 10))
    return b.graph


def train(graph: Graph, data: Pictures, held: Pictures, **options: Any) -> tuple[Graph, float]:
    """The network of the epoch that does best on what is held out, and how well that does."""
    convolutions = [node.name for node in graph.nodes if node.op == "conv"]
    techniques = [BatchNormalization(layers=("conv*",)), WeightQuantization(layers=("gemm*",), begin=0.5)]
    if any(node.op == "binarize" for node in graph.nodes):
        techniques.append(SignQuantization(layers=tuple(convolutions[1:]), kind="binary", begin=0.0))
    best: list[tuple[float, Graph]] = []
    start = time.monotonic()

    def each_epoch(epoch: int, mirror: TorchGraph, loss: float) -> None:
        trained = mirror.to_graph()
        accuracy = held.accuracy(predictions(whit.train.predict(trained, held.images)))
        if not best or accuracy >= best[0][0]:
            best[:] = [(accuracy, trained)]
        print(f"{graph.name}: epoch {epoch:2}  loss {loss:.4f}  held out {accuracy:.2f} %  {_since(start)}", flush=True)

    whit.train.fine_tune(
        graph,
        data.images,
        data.labels,
        techniques=techniques,
        augment=flip,
        each_epoch=each_epoch,
        sign_gradient="polynomial",
        progress=lambda *_: None,
        **options,
    )
    return best[0][1], best[0][0]


def keep_memory() -> None:
    """Lets the C library keep what is freed, up to 32 MiB a piece: else each tensor has new pages to be cleared."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc
        mallopt(-3, 32 << 20)
        mallopt(-1, 1 << 30)


def flip(batch: Any, generator: Any) -> Any:
    """Mirrors half of the pictures."""
    chosen = torch.rand(len(batch), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None], batch.flip(3), batch)


def predictions(logits: Array) -> Array:
    """Classes of logits [N, classes]."""
    return np.asarray(logits.argmax(axis=1))


def make_sums_exact(graph: Graph) -> None:
    """Rounds the first layer so that its sums are exact in f32, in whatever order they are added up; in place.

    Pixels are multiples of 2^-8. Weights become multiples of 2^e, at most 127 of them, with an e for each channel, and
    the bias one of 2^(e - 8): every partial sum is a multiple of that too, and none comes near 2^24 of them.
    """
    node = next(node for node in graph.nodes if node.op == "conv")
    weights, bias = graph.tensors[node.inputs[1]], graph.tensors[node.inputs[2]]
    assert weights.data is not None
    assert bias.data is not None
    rows = weights.data.reshape(len(weights.data), -1)
    step = np.exp2(np.ceil(np.log2(np.maximum(np.abs(rows).max(axis=1), 2.0**-40) / 127))).astype(np.float32)
    codes = np.rint(rows / step[:, None]).astype(np.int8)
    grains = np.rint(bias.data / step * 256)
    if (np.abs(grains) + 255 * np.abs(codes.astype(np.int64)).sum(axis=1)).max() >= 2**24:
        raise ValueError("the bias of the first layer is too large for exact sums")
    weights.codes = LinearCodes(codes.reshape(weights.data.shape), step, np.zeros(len(step), np.int32))
    weights.data = weights.codes.dequantize()
    bias.data = (grains * (step / 256)).astype(np.float32)


def check_plan(model: whit.Model, layers: int) -> None:
    """Raises AssertionError unless the middle convolutions multiply bits and write bits, all but the last of them."""
    kernels = model.kernels()
    convolutions = [each["kernel"] for each in kernels if each["op"] == "conv"]
    in_bits = [kernel.startswith("gemm_b1") for kernel in convolutions]
    assert in_bits == [False, *[True] * layers], f"kernels of the convolutions: {', '.join(convolutions)}"
    passes = [each["name"] for each in kernels if each["op"] == "binarize"]
    assert len(passes) == 1, f"thresholds outside of the convolutions: {', '.join(passes)}"


def run(model: whit.Model, images: Array) -> Array:
    """Logits of pictures, one at a time."""
    return np.concatenate([np.asarray(model(images[i : i + 1])) for i in range(len(images))])


def logits_bound(graph: Graph, images: Array) -> float:
    """How far logits of two right implementations may be apart.

    All is equal up to the last convolution: sums of signs are whole numbers, and each scale and shift is one rounded
    product and one rounded sum. Then means m of n numbers of one sign are within n eps m of what they should be, and
    each logit is a product of k means, within eps (k + 1) 2 max|m| max|w| (docs/NUMERICS.md).
    """
    gemm = next(node for node in graph.nodes if node.op == "gemm")
    mean = next(node for node in graph.nodes if node.op == "reduce_mean")
    weights, shape = graph.constant(gemm.inputs[1]), graph.tensors[mean.inputs[0]].shape
    assert weights is not None
    assert shape is not None
    pixels = int(np.prod([size for size in shape[1:3] if isinstance(size, int)]))
    largest = float(np.abs(whit.train.predict(graph, images, output=gemm.inputs[0])).max())
    means = 2 * pixels * _EPSILON * largest * float(np.abs(weights).sum(axis=1).max())
    products = 2 * _EPSILON * (weights.shape[1] + 1) * 2 * largest * float(np.abs(weights).max())
    return float(means + products)


def times(models: dict[str, whit.Model], image: Array, rounds: int = 30, runs: int = 30) -> dict[str, float]:
    """Median microseconds of an inference, sampled in turns."""
    found: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            model(image)
            start = time.perf_counter()
            for _ in range(runs):
                model(image)
            found[name].append(1e6 * (time.perf_counter() - start) / runs)
    return {name: statistics.median(values) for name, values in found.items()}


def judge(graphs: dict[str, Graph], data: Pictures, test: Pictures, work: Path) -> tuple[str, float]:
    """Exports the networks, checks the binary one; a table of them all, and how often that is right, in percent.

    Raises:
        AssertionError: the file does not run in bits, or does not predict what was trained.
    """
    make_sums_exact(graphs["binary"])
    recipes: dict[str, tuple[str, Recipe]] = {
        "f32": ("f32", Recipe("f32")),
        "s8": ("f32", Recipe.of("int8")),
        "binary": ("binary", Recipe("binary", storage="packed")),
    }
    models, sizes, logits, reached = {}, {}, {}, {}
    for name, (source, recipe) in recipes.items():
        path = work / f"{name}.whit"
        needed = data.images[:200] if recipe.needs_data else None
        sizes[name] = whit.compress(graphs[source], path, recipe, needed, progress=lambda *_: None).file_bytes
        models[name] = whit.load(path, threads=1)
        logits[name] = run(models[name], test.images)
        reached[name] = test.accuracy(predictions(logits[name]))
    check_plan(models["binary"], sum(each != "pool" for each in MIDDLE))
    mirror, bound = whit.train.predict(graphs["binary"], test.images), logits_bound(graphs["binary"], test.images)
    apart = float(np.abs(mirror - logits["binary"]).max())
    same = int((predictions(mirror) == predictions(logits["binary"])).sum())
    assert same == len(test.labels), f"{same} of {len(test.labels)} predictions are those of the mirror"
    assert apart <= bound, f"logits are {apart:g} from the mirror's, more than {bound:g}"
    micros = times(models, test.images[:1])
    lines = ["network   accuracy       file   of f32    of s8  microseconds"]
    for name in recipes:
        shares = [f"{100 * sizes[name] / sizes[other]:.1f} %" for other in ("f32", "s8")]
        lines.append(
            f"{name:8}  {reached[name]:6.2f} %  {sizes[name] / 1000:6.1f} kB  {shares[0]:>7}  {shares[1]:>7}  "
            f"{micros[name]:12.1f}"
        )
    said = (
        f"{same} of {len(test.labels)} predictions of binary.whit are those of its mirror in torch; logits differ "
        f"by at most {apart:.2g} (bound {bound:.2g}). One thread, {models['binary'].isa}; times need a quiet machine."
    )
    return "\n".join([*lines, said]), reached["binary"]


def main(arguments: list[str] | None = None) -> int:
    """Returns an exit code: 2 without data, 1 where the binary network is right less often than 90 %."""
    options = _parser().parse_args(arguments)
    try:
        everything, test = read(options.data, "train"), read(options.data, "t10k")
    except FileNotFoundError as error:
        print(f"bench.binary_network: {error}", file=sys.stderr)
        return 2
    keep_memory()
    options.work.mkdir(parents=True, exist_ok=True)
    data = Pictures(everything.images[:-HELD_OUT], everything.labels[:-HELD_OUT])
    held = Pictures(everything.images[-HELD_OUT:], everything.labels[-HELD_OUT:])
    settings = {"epochs": options.epochs, "batch_size": 128, "seed": options.seed, "threads": options.threads}
    start = time.monotonic()
    graphs, reached = {}, {}
    for name, rate in (("binary", 5e-3), ("f32", 2e-3)):
        graph = network(binary=name == "binary", middle=MIDDLE, seed=options.seed + 1)
        graphs[name], reached[name] = train(graph, data, held, learning_rate=rate, **settings)
    best = ", ".join(f"{name} {accuracy:.2f} %" for name, accuracy in reached.items())
    print(f"trained in {_since(start)}, {time.process_time() / 60:.1f} min of CPU time; best on held out: {best}")
    table, accuracy = judge(graphs, data, test, options.work)
    print(table)
    return int(accuracy < 90)


def _since(start: float) -> str:
    return f"{(time.monotonic() - start) / 60:.1f} min"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.binary_network", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=FOLDER, help=f"folder of Debian's {PACKAGE}")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "bench" / "binary_network", help="for the files")
    parser.add_argument("--epochs", type=int, default=10, help="of each network")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of training")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
