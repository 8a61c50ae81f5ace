"""Networks of +1 and -1: trained from nothing or made of others, and the same in the engine as in torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tasks
import torch
from builder import Builder
from torch import nn

import whit
from whit.compression import Recipe
from whit.ir import Graph, LinearCodes
from whit.optimize import optimize
from whit.train import (
    BatchNormalization,
    Binarization,
    SignQuantization,
    TorchGraph,
    WeightQuantization,
    distill,
    fine_tune,
    predict,
)
from whit.train.apply import attach
from whit.train.binarization import binarized
from whit.train.checkpoint import graph_digest
from whit.train.modules import in_numbers, to_graph
from whit.train.normalization import BatchNorm
from whit.train.rounding import scaled_codes
from whit.train.signs import binarize

OPTIONS = {"batch_size": 32, "learning_rate": 1e-2}
RELU = {"clamp_min": 0.0, "clamp_max": float("inf")}


def network(*, signs: bool, seed: int = 0) -> Graph:
    """[N, 8, 8, 1] to 4 logits: a layer of numbers, two of 16 to 16 channels, a mean, a layer of numbers.

    With `signs` the two in the middle read +1 and -1, else each layer ends in a relu and the third adds the first.
    """
    b = Builder(seed)
    more = {} if signs else RELU
    a = b.conv(b.input("image", 1, 8, 8, 1), 16, 3, **more)
    x = b.conv(b.node("binarize", a) if signs else a, 16, 3, **more)
    if signs:
        x = b.conv(b.node("binarize", pool(b, x)), 16, 3, **RELU)
    else:
        w, bias = b.random_constant(16, 3, 3, 16, scale=0.2), b.random_constant(16)
        x = pool(b, b.node("conv", x, w, bias, a, **Builder.conv_attributes(2, 3), **RELU))
    mean = b.node("reduce_mean", x, axes=[1, 2], keepdims=0)
    return b.finish(b.gemm(mean, tasks.CLASSES))


def pool(b: Builder, x: str) -> str:
    return b.node("max_pool", x, kernel_shape=[2, 2], strides=[2, 2], dilations=[1, 1], pads=[0] * 4, ceil_mode=0)


def middle(graph: Graph) -> tuple[str, ...]:
    return tuple(node.name for node in graph.nodes if node.op == "conv")[1:]


def accuracy(graph: Graph) -> float:
    x, y = tasks.pictures(seed=1)
    return float((predict(graph, x).argmax(axis=1) == y).mean())


def check_export(graph: Graph, folder: Path, convolutions: int) -> None:
    """The file computes so many convolutions in bits, and predicts what the graph does in torch."""
    x, _ = tasks.pictures(256, seed=2)
    path = folder / "model.whit"
    whit.compress(graph, path, Recipe("bits", storage="packed"))
    with whit.load(path) as model:
        kernels = [each["kernel"] for each in model.kernels() if each["op"] == "conv"]
        got = np.concatenate([np.asarray(model(sample[None])) for sample in x])
    assert sum(kernel.startswith("gemm_b1") for kernel in kernels) == convolutions
    wanted = predict(graph, x)
    np.testing.assert_array_equal(got.argmax(axis=1), wanted.argmax(axis=1))
    np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())


# --- from nothing ---


@pytest.mark.parametrize("gradient", ["clip", "polynomial"])
def test_a_binary_network_learns_from_nothing(gradient: str, tmp_path: Path) -> None:
    """From random weights and labels; the file has thresholds in place of the batch norms."""
    x, y = tasks.pictures(512)
    graph = network(signs=True)
    techniques = [SignQuantization(layers=middle(graph), kind="binary", begin=0.0), BatchNormalization(layers="conv*")]
    result = fine_tune(graph, x, y, techniques=techniques, epochs=8, sign_gradient=gradient, **OPTIONS)
    assert accuracy(graph) < 0.5
    assert accuracy(result.graph) > 0.9
    check_export(result.graph, tmp_path, convolutions=2)
    assert sum(node.op == "binarize" for node in optimize(result.graph).nodes) == 1


def test_gradients_of_the_sign() -> None:
    """At points inside, outside and on the edges."""
    x = torch.tensor([-2.0, -1.0, -0.25, -0.0, 0.0, 0.5, 1.0, 1.5, float("nan")], requires_grad=True)
    slopes = {"clip": [0, 1, 1, 1, 1, 1, 1, 0, 0], "polynomial": [0, 0, 1.5, 2, 2, 1, 0, 0, float("nan")]}
    for gradient, wanted in slopes.items():
        signs = binarize(x, gradient)
        assert signs.tolist() == [-1, -1, -1, 1, 1, 1, 1, 1, 1]
        (found,) = torch.autograd.grad(signs, x, torch.full_like(x, 3.0))
        np.testing.assert_array_equal(found.numpy(), 3 * np.array(wanted, np.float32))


def test_modules_with_signs_are_trained_in_numbers() -> None:
    """Also those whose weights are binary already: `optimize` would make bits of them, which have no gradient."""

    class Signs(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.where(x < 0, -1.0, 1.0)

    module = nn.Sequential(nn.Linear(12, 32), Signs(), nn.Linear(32, tasks.CLASSES))
    with torch.no_grad():
        module[2].weight.copy_(module[2].weight.sign())
    x, y = tasks.points()
    graph = to_graph(module, x, "test")
    assert {tensor.dtype for tensor in graph.tensors.values()} == {"f32"}
    assert len(TorchGraph(graph).weights) == 2
    assert any(tensor.dtype == "b1" for tensor in optimize(graph).tensors.values())
    result = fine_tune(module, x, y, epochs=10, **OPTIONS)
    assert result.losses[-1] < 0.5 * result.losses[0]


# --- the same signs in torch and in the engine ---


def test_signs_are_those_of_the_engine() -> None:
    """Scales that are no powers of two, and shifts that sums hit exactly: a rounding elsewhere would flip bits."""
    b = Builder(5)
    signs = b.node("binarize", b.input("x", 8, 6, 6, 64))
    for _ in range(3):
        scale = b.random.uniform(0.01, 0.1, 64).astype(np.float32)
        weights = b.random.choice([-1, 1], (64, 3, 3, 64)).astype(np.float32) * scale[:, None, None, None]
        bias = (-b.random.integers(-20, 20, 64).astype(np.float32) * 2) * scale
        x = b.node("conv", signs, b.constant(weights), b.constant(bias), **Builder.conv_attributes(2, 3))
        signs = b.node("binarize", x)
    graph = b.finish(x)
    wanted = TorchGraph(graph)(torch.from_numpy(b.feeds["x"]))[x].detach().numpy()
    with whit.load(whit.compress(graph, recipe="f32").file) as model:
        assert all(each["kernel"].startswith("gemm_b1") for each in model.kernels() if each["op"] == "conv")
        np.testing.assert_array_equal(np.asarray(model(b.feeds["x"])), wanted)


def test_a_residual_is_added_behind_the_bits() -> None:
    b = Builder(6)
    x = b.input("x", 1, 6, 6, 16)
    weights = b.constant(b.random.choice([-0.5, 0.5], (16, 3, 3, 16)).astype(np.float32))
    more = {**Builder.conv_attributes(2, 3), "clamp_min": -1.0, "clamp_max": 2.0}
    y = b.node("conv", b.node("binarize", x), weights, b.random_constant(16), x, **more)
    graph = b.finish(y)
    with whit.load(whit.compress(optimize(graph), recipe="f32").file) as model:  # optimised twice
        assert [each["kernel"][:7] for each in model.kernels() if each["op"] == "conv"] == ["gemm_b1"]
        got = np.asarray(model(b.feeds["x"]))
    np.testing.assert_array_equal(got, predict(graph, b.feeds["x"]))
    np.testing.assert_allclose(got, b.values[y], atol=1e-6)


# --- batch norms ---


def test_a_batch_norm_is_torch_s() -> None:
    ours, torchs = BatchNorm(5, 0.2), nn.BatchNorm2d(5, momentum=0.2)
    for seed in range(3):
        x = torch.randn(4, 3, 3, 5, generator=torch.Generator().manual_seed(seed)) * 3 + 1
        torch.testing.assert_close(ours(x), torchs(x.movedim(-1, 1)).movedim(1, -1))
    torch.testing.assert_close(ours.mean, torchs.running_mean)
    torch.testing.assert_close(ours.variance, torchs.running_var)
    torch.testing.assert_close(ours.eval()(x), torchs.eval()(x.movedim(-1, 1)).movedim(1, -1))


def test_batch_norms_are_part_of_the_result() -> None:
    """Before a residual and a relu; what the mirror gives in evaluation mode is what its graph gives."""
    x, y = tasks.pictures(64)
    mirrors: list[TorchGraph] = []
    result = fine_tune(
        tasks.cnn(),
        x,
        y,
        techniques=BatchNormalization(),
        epochs=1,
        each_epoch=lambda *a: mirrors.append(a[1]),
        **OPTIONS,
    )
    with torch.no_grad():
        (wanted,) = mirrors[0](torch.from_numpy(x)).values()
    np.testing.assert_allclose(predict(result.graph, x), wanted.numpy(), rtol=1e-4, atol=1e-4)
    assert {node.op for node in result.graph.nodes} == {node.op for node in tasks.cnn().nodes}


def test_preserving_batch_norms_change_nothing_at_the_start() -> None:
    x, y = tasks.pictures(512)
    trained = fine_tune(tasks.cnn(), x, y, epochs=4, **OPTIONS).graph
    options = {"epochs": 1, "batch_size": 64, "learning_rate": 1e-9}
    kept = fine_tune(trained, x, y, techniques=BatchNormalization(preserve=True), **options).graph
    lost = fine_tune(trained, x, y, techniques=BatchNormalization(), **options).graph
    wanted = predict(trained, x)
    assert np.abs(predict(kept, x) - wanted).max() < 0.1 * np.abs(wanted).max()
    assert np.abs(predict(lost, x) - wanted).max() > 0.3 * np.abs(wanted).max()


def test_codes_of_normalised_weights_are_those_of_the_graph() -> None:
    x, y = tasks.pictures(64)
    techniques = [
        BatchNormalization(),
        SignQuantization(layers="conv1*", kind="binary", begin=0.0),
        WeightQuantization(layers=("conv0*", "gemm*"), bits=4, begin=0.0, granularity="tensor"),
    ]
    result = fine_tune(tasks.cnn(), x, y, techniques=techniques, epochs=1, **OPTIONS)
    assert len(result.codes) == 3
    for name, codes in result.codes.items():
        assert codes.scale.shape == (len(codes.codes),)
        np.testing.assert_array_equal(codes.dequantize(), result.graph.tensors[name].data)


def test_codes_times_a_factor() -> None:
    codes = LinearCodes(np.array([[3, -127], [0, 5]], np.int8), np.array([0.5], np.float32), np.zeros(1, np.int32))
    found = scaled_codes(codes, np.array([2.0, -4.0]))
    assert found is not None
    np.testing.assert_array_equal(found.codes, [[3, -127], [0, -5]])
    np.testing.assert_array_equal(found.dequantize(), [[3, -127], [0, -10]])
    groups = LinearCodes(codes.codes, np.array([[1, 2], [3, 4]], np.float32), np.zeros((2, 2), np.int32), 1)
    found = scaled_codes(groups, np.array([2.0, -4.0]))
    assert found is not None
    np.testing.assert_array_equal(found.dequantize(), groups.dequantize() * [[2], [-4]])
    assert scaled_codes(LinearCodes(codes.codes, codes.scale, np.ones(1, np.int32)), np.ones(2)) is None


# --- networks that were not made for it ---


@pytest.mark.parametrize("scale", ["tensor", "channel"])
def test_a_network_becomes_binary(scale: str, tmp_path: Path) -> None:
    """Its two middle layers, one of which adds a residual, learn from the original without labels."""
    x, y = tasks.pictures(512)
    original = fine_tune(network(signs=False), x, y, techniques=BatchNormalization(), epochs=4, **OPTIONS).graph
    assert accuracy(original) > 0.9
    techniques = [Binarization(scale=scale), BatchNormalization(layers=middle(original), preserve=True)]
    result = distill(original, None, x, techniques=techniques, epochs=6, **OPTIONS)
    assert accuracy(result.graph) > 0.9
    check_export(result.graph, tmp_path, convolutions=2)
    for node in result.graph.nodes:
        if node.name in middle(original):
            rows = np.abs(result.graph.tensors[node.inputs[1]].data).reshape(16, -1)
            np.testing.assert_array_equal(rows, np.broadcast_to(rows[:, :1], rows.shape))


def test_a_relu_that_nobody_else_reads_is_left_out() -> None:
    """The first layer's is also the residual of the third, the second's is read by the third alone."""
    graph, _ = binarized(network(signs=False), Binarization())
    first, second, third = (node for node in graph.nodes if node.op == "conv")
    assert first.attributes["clamp_min"] == third.attributes["clamp_min"] == 0
    assert second.attributes["clamp_min"] == -np.inf
    assert [graph.producer(node.inputs[0]).op for node in (second, third)] == ["binarize", "binarize"]


def test_shifts_and_scales_begin_as_what_the_layer_reads() -> None:
    """-E[x] of each channel, and E|w| E|x - E[x]|; one pass over all samples."""
    x, _ = tasks.pictures(64)
    graph = network(signs=False)
    prepared, technique = binarized(graph, Binarization(scale="tensor", batches=7))
    mirror = TorchGraph(prepared)

    def calibrate(batches: int, keep: tuple[str, ...] = ()) -> list[torch.Tensor]:
        assert batches == 7
        with torch.no_grad():
            return [mirror(torch.from_numpy(x), keep)[name] for name in keep]

    (work,) = attach(mirror, [technique], 10, calibrate)
    work.before(0)
    node = next(node for node in mirror.graph.nodes if node.name == middle(graph)[0])
    source = predict(graph, x, output=graph.nodes[0].outputs[0])
    mean = source.mean(axis=(0, 1, 2))
    shifts = mirror.graph.producer(mirror.graph.producer(node.inputs[0]).inputs[0]).inputs[1]
    np.testing.assert_allclose(mirror.parameter(shifts).detach().numpy(), -mean, rtol=1e-5)
    weights = graph.tensors[node.inputs[1]].data
    scale = np.abs(weights).mean(axis=(1, 2, 3)) * np.abs(source - mean).mean()
    np.testing.assert_allclose(np.abs(mirror.value(node.inputs[1]).detach().numpy())[:, 1, 2, 3], scale, rtol=1e-5)


def test_layers_of_signs_stay_as_they_are() -> None:
    """A network with binary layers gets another one; the result computes all of them in bits."""
    x, y = tasks.pictures(64)
    b = Builder()
    h = b.conv(b.node("binarize", b.conv(b.input("image", 1, 8, 8, 1), 16, 3)), 16, 3)
    h = b.conv(b.clip(h, 0, np.inf), 16, 3)
    graph = b.finish(b.gemm(b.node("reduce_mean", h, axes=[1, 2], keepdims=0), tasks.CLASSES))
    signs = SignQuantization(layers="conv2", kind="binary", begin=0.0)
    trained = fine_tune(graph, x, y, techniques=[Binarization(), signs], epochs=1, **OPTIONS).graph
    kinds = [node.op for node in optimize(trained).nodes if node.op in ("binarize", "conv", "add")]
    assert kinds == ["conv", "binarize", "conv", "conv"]
    b1 = [tensor for tensor in optimize(trained).tensors.values() if tensor.dtype == "b1"]
    assert len(b1) == 2


def _chain(group: int = 1, channels: int = 16, **more: object) -> Graph:
    b = Builder()
    x = b.conv(b.input("x", 1, 6, 6, 4), channels, 3)
    return b.finish(b.conv(x, channels, 3, group=group, **more))


@pytest.mark.parametrize(
    ("graph", "layers", "says"),
    [
        (_chain(), "conv0", "is the first layer"),
        (_chain(group=16), "conv1", r"has 16 groups \(depthwise\)"),
        (_chain(channels=12), "conv1", "reads 12 channels: bits need a multiple of 8"),
        (_chain(activation="hard_swish"), "conv1", "an activation other than a clamp"),
        (_chain(channels=4), "*", "reads 4 channels"),
    ],
)
def test_layers_that_cannot_be_binary(graph: Graph, layers: str, says: str) -> None:
    x = np.zeros((4, 6, 6, 4), np.float32)
    with pytest.raises(whit.UnsupportedOperatorError, match=says) as error:
        distill(graph, None, x, techniques=Binarization(layers=layers), epochs=1)
    assert "conv1" in [name for name, _, _ in error.value.nodes] or layers == "conv0"


def test_settings_that_make_no_sense() -> None:
    for make, says in (
        (lambda: Binarization(scale="row"), "scale must be one of"),
        (lambda: Binarization(begin=0.5), "is there from the start"),
        (lambda: Binarization(batches=0), "batches must be at least 1"),
        (lambda: BatchNormalization(momentum=2), "momentum must be in"),
        (lambda: BatchNormalization(begin=0.1), "is there from the start"),
        (lambda: whit.train.Options(sign_gradient="none"), "sign_gradient must be one of clip, polynomial"),
    ):
        with pytest.raises(whit.InvalidArgumentError, match=says):
            make()
    x = np.zeros((4, 6, 6, 4), np.float32)
    with pytest.raises(whit.InvalidArgumentError, match="no layer matches 'conv7'"):
        distill(_chain(), None, x, techniques=Binarization(layers=("conv1", "conv7")), epochs=1)
    twice = [BatchNormalization(layers="conv1"), BatchNormalization(layers="conv*")]
    with pytest.raises(whit.InvalidArgumentError, match=r"'conv1' .* cannot be normalised"):
        distill(_chain(), None, x, techniques=twice, epochs=1)


# --- the loop ---


def test_each_epoch_sees_the_network_as_it_is() -> None:
    """In evaluation mode; the last one is the result; it changes nothing."""
    x, y = tasks.points(128)
    seen: list[tuple[int, str, float]] = []

    def each_epoch(epoch: int, mirror: TorchGraph, loss: float) -> None:
        assert not mirror.training
        assert not torch.is_grad_enabled()
        seen.append((epoch, graph_digest(mirror.to_graph()), loss))

    options = {"techniques": BatchNormalization(layers="gemm0"), "epochs": 3, **OPTIONS}
    result = fine_tune(tasks.mlp(), x, y, each_epoch=each_epoch, **options)
    assert [epoch for epoch, _, _ in seen] == [1, 2, 3]
    assert [loss for _, _, loss in seen] == list(result.losses)
    assert len({digest for _, digest, _ in seen}) == 3
    assert seen[-1][1] == graph_digest(result.graph) == graph_digest(fine_tune(tasks.mlp(), x, y, **options).graph)


def test_a_stopped_training_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    """Moving averages, shifts and scales are in the checkpoint."""
    x, y = tasks.pictures(128)
    original = network(signs=False)
    techniques = [Binarization(), BatchNormalization(preserve=True)]

    def train(stop: int, path: Path | None) -> str:
        def each_epoch(epoch: int, mirror: TorchGraph, loss: float) -> None:
            if epoch == stop:
                raise KeyboardInterrupt

        result = fine_tune(
            original,
            x,
            y,
            techniques=techniques,
            epochs=3,
            checkpoint=path,
            checkpoint_every=3,
            each_epoch=each_epoch,
            **OPTIONS,
        )
        return graph_digest(result.graph)

    with pytest.raises(KeyboardInterrupt):
        train(2, tmp_path / "c")
    assert train(0, tmp_path / "c") == train(0, None)


def test_graphs_stay_as_they_were() -> None:
    graph = network(signs=False)
    before = graph_digest(graph)
    binarized(graph, Binarization())
    in_numbers(graph)
    assert graph_digest(graph) == before
