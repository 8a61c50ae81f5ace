"""Pruning, rounding and clustering while a network trains."""

from __future__ import annotations

import numpy as np
import pytest
import tasks
import torch

import whit
from whit import InvalidArgumentError
from whit.compression.weights.linear import find_linear_grid
from whit.train import (
    ActivationQuantization,
    Clustering,
    EntropyQuantization,
    Pruning,
    SignQuantization,
    WeightQuantization,
    fine_tune,
    l1,
    predict,
    rate,
)
from whit.train.apply import attach
from whit.train.entropy import even_steps, laplace_bits, sensitivity
from whit.train.mirror import TorchGraph
from whit.train.schedules import cubic_sparsity
from whit.train.transforms import Prune

OPTIONS = {"epochs": 10, "batch_size": 32, "learning_rate": 1e-2}


def accuracy(graph) -> float:
    x, y = tasks.points(seed=1)
    return float((predict(graph, x).argmax(axis=1) == y).mean())


def test_the_cubic_schedule() -> None:
    """Zhu and Gupta 2017, equation 1: with t_0 = 10, n dt = 40, s_i = 0.1, s_f = 0.9."""
    for step in range(10, 51, 5):
        wanted = 0.9 + (0.1 - 0.9) * (1 - (step - 10) / 40) ** 3
        assert cubic_sparsity(step, 10, 50, 0.1, 0.9) == pytest.approx(wanted, abs=1e-12)
    assert cubic_sparsity(0, 10, 50, 0.1, 0.9) == 0.1
    assert cubic_sparsity(99, 10, 50, 0.1, 0.9) == 0.9
    assert cubic_sparsity(5, 5, 5, 0.0, 0.5) == 0.5


@pytest.mark.parametrize("granularity", ["element", "channel", "1x4", "4x1"])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("importance", ["magnitude", "gradient", "taylor"])
def test_pruning_reaches_its_sparsity_and_retrains(importance: str, scope: str, granularity: str) -> None:
    x, y = tasks.points()
    technique = Pruning(
        sparsity=0.5, end=0.6, every=5, importance=importance, scope=scope, granularity=granularity, layers=("gemm0",)
    )
    result = fine_tune(tasks.mlp(), x, y, techniques=technique, **OPTIONS)
    (zeros,) = [value for name, value in result.sparsity.items() if "_2" not in name and value > 0]
    assert zeros == pytest.approx(0.5, abs=0.01)
    assert accuracy(result.graph) > 0.75
    weights = result.graph.tensors[result.graph.nodes[0].inputs[1]].data
    if granularity == "channel":
        assert sorted(set((weights == 0).mean(axis=1))) == [0, 1]
    if granularity == "1x4":
        assert set((weights == 0).reshape(-1, 4).mean(axis=1)) == {0, 1}
    if granularity == "4x1":
        whole = weights[: len(weights) // 4 * 4].reshape(-1, 4, weights.shape[1])
        assert set((whole == 0).mean(axis=1).ravel()) == {0, 1}
    assert result.graph.tensors[result.graph.nodes[1].inputs[1]].data.all()


def works_of(technique: Pruning, total: int = 100) -> tuple[TorchGraph, list]:
    mirror = TorchGraph(tasks.mlp())
    return mirror, attach(mirror, [technique], total, lambda batches: None)


def masks(mirror: TorchGraph) -> list[torch.Tensor]:
    return [mirror.transforms(name)[0].mask.clone() for name in mirror.weights]


def test_the_mask_follows_the_schedule() -> None:
    """At every step the zeros are those of the cubic curve; magnitude keeps the largest weights."""
    mirror, (work,) = works_of(Pruning(sparsity=0.8, begin=0.1, end=0.6, every=10))
    for step in range(100):
        work.before(step)
        due = min(max(step - step % 10, 10), 60)
        for name, mask in zip(mirror.weights, masks(mirror), strict=True):
            share = cubic_sparsity(due, 10, 60, 0.0, 0.8) if step >= 10 else 0.0
            assert int((~mask).sum()) == round(share * mask.numel())
            sizes = mirror.parameter(name).detach().abs().reshape(-1)
            if not mask.all():
                assert sizes[mask].min() >= sizes[~mask].max()


def test_gradients_and_taylor_scores_are_those_of_the_formulas() -> None:
    """Molchanov 2017: |sum of g w|, Molchanov 2019: (sum of g w)^2, added up over the steps."""
    for importance in ("gradient", "taylor"):
        mirror, (work,) = works_of(Pruning(sparsity=0.5, importance=importance, granularity="channel"))
        name = mirror.weights[0]
        weight = mirror.parameter(name)
        wanted = torch.zeros(weight.shape[0])
        for step in range(3):
            weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step))
            product = (weight * weight.grad).detach().sum(dim=1)
            wanted += product.abs() if importance == "gradient" else product.square()
            work.after_backward(step)
        torch.testing.assert_close(mirror.transforms(name)[0].score, wanted)
        work.before(50)
        kept = mirror.transforms(name)[0].mask
        assert wanted[kept].min() >= wanted[~kept].max()


def test_before_the_first_gradient_magnitudes_decide() -> None:
    mirror, (work,) = works_of(Pruning(sparsity=0.5, initial=0.3, importance="taylor"))
    work.before(0)
    for name, mask in zip(mirror.weights, masks(mirror), strict=True):
        sizes = mirror.parameter(name).detach().abs().reshape(-1)
        assert sizes[mask].min() >= sizes[~mask].max()


def test_global_magnitudes_are_those_of_lamp() -> None:
    """Lee 2021: w^2 over the sum of the squares of the layer that are not smaller: a layer's scale does not matter."""
    mirror, (work,) = works_of(Pruning(sparsity=0.9, scope="global", begin=0.0, end=0.0))
    weights = [mirror.parameter(name) for name in mirror.weights]
    with torch.no_grad():
        weights[1].mul_(1e-3)
    work.before(0)
    scores = []
    for weight in weights:
        squares = np.square(weight.detach().numpy().astype(np.float64).ravel())
        scores.append(squares / np.array([squares[squares >= each].sum() for each in squares]))
    bound = np.sort(np.concatenate(scores))[::-1][round(0.1 * sum(map(len, scores))) - 1]
    for score, mask in zip(scores, masks(mirror), strict=True):
        np.testing.assert_array_equal(mask.numpy(), score >= bound * (1 - 1e-9))
        assert 0.02 < mask.double().mean() < 0.5


def test_global_pruning_by_taylor_takes_the_least_of_all_and_leaves_every_layer_something() -> None:
    mirror, (work,) = works_of(Pruning(sparsity=0.9, scope="global", importance="taylor", begin=0.0, end=0.5))
    first, second = (mirror.parameter(name) for name in mirror.weights)
    first.grad, second.grad = torch.ones_like(first), torch.full_like(second, 1e-6)
    work.after_backward(0)
    work.before(50)
    one, two = masks(mirror)
    assert int(two.sum()) == 1
    assert int(one.sum()) == pytest.approx(0.1 * (first.numel() + second.numel()), abs=1)


def test_sparsity_of_each_layer_by_pattern() -> None:
    x, y = tasks.points(64)
    result = fine_tune(
        tasks.mlp(), x, y, techniques=Pruning(sparsity={"gemm1": 0.25, "*": 0.75}, begin=0.0, end=0.0), epochs=1
    )
    assert list(result.sparsity.values()) == [0.75, 0.25]


@pytest.mark.parametrize("scale", ["minmax", "mse", "learned"])
def test_what_training_saw_is_what_is_exported(scale: str) -> None:
    """The graph's weights are their codes' values to the bit; minmax needs no codes: compression finds the same."""
    x, y = tasks.points()
    technique = WeightQuantization(bits=4, begin=0.3, scale=scale)
    result = fine_tune(tasks.mlp(), x, y, techniques=technique, **OPTIONS)
    assert accuracy(result.graph) > 0.8
    for name, codes in result.codes.items():
        data = result.graph.tensors[name].data
        np.testing.assert_array_equal(codes.dequantize(), data, strict=True)
        assert np.abs(codes.codes).max() <= 7
        if scale == "minmax":
            again = find_linear_grid(data, bits=4).encode(data)
            np.testing.assert_array_equal(again.codes, codes.codes, strict=True)
            np.testing.assert_allclose(again.dequantize(), data, rtol=2e-7)


def test_rounding_in_training_beats_rounding_after() -> None:
    """Two bits: three values a weight."""
    x, y = tasks.points()
    trained = fine_tune(tasks.mlp(), x, y, **OPTIONS).graph
    rounded = fine_tune(trained, x, y, techniques=WeightQuantization(bits=2, begin=1.0), epochs=1, learning_rate=1e-9)
    aware = fine_tune(trained, x, y, techniques=WeightQuantization(bits=2, begin=0.0), **OPTIONS)
    assert accuracy(aware.graph) > accuracy(rounded.graph) + 0.03


@pytest.mark.parametrize("kind", ["ternary", "binary"])
def test_signs_in_training_beat_signs_after(kind: str) -> None:
    """One magnitude a channel; what is exported is what training saw, to the bit."""
    x, y = tasks.points()
    trained = fine_tune(tasks.mlp(), x, y, **OPTIONS).graph
    after = fine_tune(trained, x, y, techniques=SignQuantization(kind=kind, begin=1.0), epochs=1, learning_rate=1e-9)
    aware = fine_tune(trained, x, y, techniques=SignQuantization(kind=kind, begin=0.0), **OPTIONS)
    assert accuracy(aware.graph) > accuracy(after.graph) + 0.03
    assert len(aware.codes) == 2
    for name, codes in aware.codes.items():
        np.testing.assert_array_equal(codes.dequantize(), aware.graph.tensors[name].data, strict=True)
        assert set(np.unique(codes.codes).tolist()) == ({-1, 0, 1} if kind == "ternary" else {-1, 1})


def test_files_compute_what_training_saw() -> None:
    """Weights and activations rounded in training: the f32 file agrees to rounding, the s8 file in its answers."""
    x, y = tasks.pictures()
    graph = tasks.cnn()
    products = [node for node in graph.nodes if node.op in ("conv", "gemm")]
    names = {name: name for node in products for name in (node.inputs[0], *node.inputs[3:])}
    techniques = [WeightQuantization(begin=0.3), ActivationQuantization(begin=0.3, batches=8, tensors=names)]
    result = fine_tune(graph, x, y, techniques=techniques, epochs=10, batch_size=32, learning_rate=2e-2)
    assert set(result.ranges) == set(names)
    for low, high in result.ranges.values():
        assert low <= 0 < high
    unseen, labels = tasks.pictures(seed=1)
    wanted = predict(result.graph, unseen)
    assert (wanted.argmax(axis=1) == labels).mean() > 0.9
    for recipe, agree in (("int8-weights", 1.0), ("int8", 0.98)):
        report = whit.compress(result.graph, None, recipe, x if recipe == "int8" else None)
        with whit.load(report.file) as model:
            got = np.concatenate([model(sample[None]) for sample in unseen])
        assert (got.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= agree
        if recipe == "int8-weights":
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_clustered_weights_have_few_values_and_zeros_stay() -> None:
    x, y = tasks.points()
    techniques = [Clustering(entries=8, begin=0.6), Pruning(sparsity=0.6, end=0.5)]  # attached in the right order
    result = fine_tune(tasks.mlp(), x, y, techniques=techniques, **OPTIONS)
    for name, zeros in result.sparsity.items():
        assert len(np.unique(result.graph.tensors[name].data)) <= 8
        assert zeros == pytest.approx(0.6, abs=0.01)
    assert accuracy(result.graph) > 0.8


def test_all_techniques_at_once() -> None:
    x, y = tasks.points()
    techniques = [
        Pruning(sparsity=0.7, end=0.5, importance="taylor", scope="global"),
        WeightQuantization(bits=4, begin=0.6),
        ActivationQuantization(begin=0.6),
    ]
    result = fine_tune(tasks.mlp(), x, y, techniques=techniques, regularizer=rate(1e-3), **OPTIONS)
    data = np.concatenate([result.graph.tensors[name].data.ravel() for name in result.codes])
    assert (data == 0).mean() >= 0.69
    assert accuracy(result.graph) > 0.75
    assert len(result.ranges) == 2


# --- entropy-constrained rounding ---


def entropy(codes: np.ndarray) -> float:
    """Bits a value, of values told apart by their frequencies alone."""
    counts = np.unique(codes, return_counts=True)[1] / codes.size
    return float(-(counts * np.log2(counts)).sum())


def test_steps_share_bits_out_by_reverse_water_filling() -> None:
    """All layers' noise does the same harm a weight, and together they take the bits that are wanted."""
    random = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(64, size, generator=random) for name, size in (("a", 100), ("b", 900))}
    told = {"a": 40.0, "b": 10.0}
    steps = even_steps(weights, told, 2.5)
    harm = [steps[name] ** 2 * told[name] / weights[name].numel() for name in weights]
    assert harm[0] == pytest.approx(harm[1], rel=1e-6)
    bits = sum(float(laplace_bits(torch.round(w / steps[name])).sum()) for name, w in weights.items())
    assert bits / 64_000 == pytest.approx(2.5, abs=0.01)


def test_sensitivity_is_what_noise_does_to_the_results() -> None:
    """For results a x + b y the change by noise of variance v on a is v x^2, relative to the results."""
    a, b = torch.ones(2000), torch.ones(2000)
    told = sensitivity({"a": a, "b": b}, lambda: [3 * a + b])
    assert told["a"] == pytest.approx(9 / 16, rel=0.1)
    assert told["b"] == pytest.approx(1 / 16, rel=0.1)
    assert torch.equal(a, torch.ones(2000))  # put back


def test_entropy_quantization_learns_with_few_bits() -> None:
    x, y = tasks.points()
    technique = EntropyQuantization(average_bits=1.5)
    result = fine_tune(tasks.mlp(), x, y, techniques=[technique], **OPTIONS)
    sizes = {name: codes.codes.size for name, codes in result.codes.items()}
    bits = sum(entropy(result.codes[name].codes) * size for name, size in sizes.items()) / sum(sizes.values())
    assert bits < 1.5 * 1.2  # coders see the frequencies of a layer; the estimate those of a channel
    assert accuracy(result.graph) > 0.75
    for name, codes in result.codes.items():
        assert np.array_equal(codes.dequantize(), result.graph.tensors[name].data)
        assert np.array_equal(codes.scale, codes.scale.astype(np.float16).astype(np.float32))
    with pytest.raises(InvalidArgumentError, match=r"average_bits must be in 0\.1\.\.8"):
        EntropyQuantization(average_bits=9)


# --- regularisers ---


def test_l1_is_the_sum_of_magnitudes() -> None:
    mirror = TorchGraph(tasks.mlp())
    wanted = sum(np.abs(mirror.graph.tensors[name].data).sum() for name in mirror.weights)
    assert float(l1(0.5)(mirror).detach()) == pytest.approx(0.5 * wanted, rel=1e-5)


def test_rate_is_the_entropy_of_rounded_laplace_numbers() -> None:
    """On weights that are Laplace distributed the estimate is their empirical entropy."""
    random = np.random.default_rng(0)
    mirror = TorchGraph(tasks.mlp(hidden=4096))
    step = 0.05
    with torch.no_grad():
        for name in mirror.weights:
            weight = mirror.parameter(name)
            weight.copy_(torch.from_numpy(random.laplace(0, 0.1, tuple(weight.shape)).astype(np.float32)))
    total, count = 0.0, 0
    for name in mirror.weights:
        values = mirror.parameter(name).detach().numpy()
        codes = np.rint(values / (step * np.abs(values).max()))
        _, counts = np.unique(codes, return_counts=True)
        total -= float((counts * np.log2(counts / values.size)).sum())
        count += values.size
    estimate = float(rate(1.0, step=step)(mirror).detach())
    assert estimate == pytest.approx(total / count, rel=0.05)


@pytest.mark.parametrize("make", [l1, rate])
def test_regularisers_make_weights_small(make) -> None:
    x, y = tasks.points()
    strength = 2e-3 if make is l1 else 0.3
    plain = fine_tune(tasks.mlp(), x, y, **OPTIONS).graph
    drawn = fine_tune(tasks.mlp(), x, y, regularizer=make(strength), **OPTIONS).graph
    sizes = []
    for graph in (plain, drawn):
        weights = graph.tensors[graph.nodes[0].inputs[1]].data
        sizes.append(float((np.abs(weights) < 0.05 * np.abs(weights).max()).mean()))
    assert sizes[1] > 1.5 * sizes[0]
    assert accuracy(drawn) > 0.75


# --- what is wrong ---


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pruning(sparsity=1.0), "sparsity must be at least 0 and below 1"),
        (lambda: Pruning(begin=0.6, end=0.5), r"end must be in 0\.6\.\.1"),
        (lambda: Pruning(importance="luck"), "importance must be one of"),
        (lambda: Pruning(scope="global", sparsity={"*": 0.5}), "has one sparsity for all layers"),
        (lambda: Pruning(granularity="row"), "granularity must be one of"),
        (lambda: Pruning(every=-1), "every must be"),
        (lambda: ActivationQuantization(batches=0), "batches must be at least 1"),
    ],
)
def test_settings_that_make_no_sense(make, message: str) -> None:
    with pytest.raises(whit.InvalidArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    ("technique", "message"),
    [
        (Pruning(layers="conv*"), "no layer matches"),
        (Pruning(sparsity={"gemm0": 0.5, "gemm7": 0.5}), "no layer matches 'gemm7'"),
        (WeightQuantization(bits=12), r"bits must be a whole number in 2\.\.8"),
        (WeightQuantization(bits={"gemm0": 4.5}), r"bits must be a whole number in 2\.\.8"),
        (SignQuantization(kind="unary"), "kind must be ternary or binary"),
        (SignQuantization(granularity="group"), "granularity must be tensor or channel"),
        (Clustering(entries=1), r"entries must be a whole number in 2\.\.256"),
        (ActivationQuantization(tensors={"nothing": "a"}), "'nothing' is not an f32 tensor"),
        ("prune", "is no technique"),
    ],
)
def test_techniques_that_do_not_fit_the_model(technique, message: str) -> None:
    x, y = tasks.points(8)
    with pytest.raises(whit.InvalidArgumentError, match=message):
        fine_tune(tasks.mlp(), x, y, techniques=[technique], epochs=1)


def test_prune_is_importable_from_the_package() -> None:
    assert whit.train.Prune is Prune
