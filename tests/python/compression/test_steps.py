"""Steps in recipes: each does to a model what it says, alone and after others, and the file runs in the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_graphs import Builder
from small_onnx import images, small_classifier

import whit
from whit.compression import (
    STEPS,
    Cluster,
    Distill,
    LowRank,
    MergeLayers,
    Prune,
    Quantize,
    Recipe,
    RemoveChannels,
    RemoveLayers,
    Step,
)
from whit.compression.calibrate import engine_runner
from whit.compression.pipeline import _import
from whit.compression.ranges import activation_quantization
from whit.compression.steps import State
from whit.compression.steps.quantize import round_to_nearest
from whit.data import open_data
from whit.errors import CalibrationError, InvalidArgumentError, RecipeError
from whit.ir import Graph, verify
from whit.optimize import optimize
from whit.optimize.base import clone
from whit.report import compare

DATA = images(12)


@pytest.fixture(scope="module")
def original() -> Graph:
    return optimize(_import(small_classifier(), None)[0])


def applied(graph: Graph, *steps: Step) -> State:
    """The steps on a copy of a graph, with a small data set."""
    data = open_data(DATA, [graph.tensors[name] for name in graph.inputs], {})
    state = State(clone(graph), graph, data, callback=lambda *_: None)
    for step in steps:
        step.apply(state)
        verify(state.graph)
    return state


def products(graph: Graph) -> dict[str, np.ndarray]:
    """Weights of convolutions and matrix products by node name."""
    return {
        node.name: graph.constant(node.inputs[1])
        for node in graph.nodes
        if node.op in ("conv", "gemm") and graph.constant(node.inputs[1]) is not None
    }


def outputs(model: Any, recipe: Recipe) -> np.ndarray:
    file = whit.compress(model, None, recipe, DATA, progress=lambda *_: None).file
    session = whit.load(file)
    return np.concatenate([np.asarray(session(image[None])) for image in DATA])


@pytest.mark.parametrize("kind", STEPS)
def test_every_step_makes_a_model_that_runs(kind: str) -> None:
    """With its defaults, alone and before integer arithmetic; outputs stay near enough to be the same model's."""
    wanted = outputs(small_classifier(), Recipe("f32"))
    steps = (STEPS[kind](),) if kind == "quantize" else (STEPS[kind](), Quantize())
    for chosen in (steps[:1], steps):
        got = outputs(small_classifier(), Recipe("test", steps=chosen))
        assert got.shape == wanted.shape
        assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.5, chosen


def test_cluster(original: Graph) -> None:
    graph = applied(original, Cluster(entries=8, min_weight_elements=64)).graph
    for name, weights in products(graph).items():
        limit = 8 if weights.size >= 64 else weights.size
        assert len(np.unique(weights)) <= limit, name
    assert any(len(np.unique(weights)) > 8 for weights in products(original).values())


def test_prune_and_what_follows_keeps_zeros(original: Graph) -> None:
    """The share of zeros is what was asked for, and clustering and rounding leave every one of them."""
    for criterion in ("magnitude", "activation", "compensated"):
        pruned = applied(original, Prune(sparsity=0.75, criterion=criterion, min_weight_elements=64))
        for name, weights in products(pruned.graph).items():
            if weights.size >= 64:
                assert (weights == 0).mean() == pytest.approx(0.75, abs=0.05), (criterion, name)
        after = applied(
            pruned.graph, Cluster(entries=8, min_weight_elements=64), Quantize(activations="f32", bits=4)
        ).graph
        for name, weights in products(pruned.graph).items():
            assert not products(after)[name][weights == 0].any(), (criterion, name)


def test_reconstruction_is_at_least_as_near(original: Graph) -> None:
    """Least squares on the calibration data itself cannot be worse there."""
    plain = Prune(sparsity=0.6, criterion="magnitude", min_weight_elements=64)
    fitted = Prune(sparsity=0.6, criterion="magnitude", min_weight_elements=64, reconstruct=True, damping=1e-6)
    wanted = outputs(small_classifier(), Recipe("f32"))
    errors = [
        float(np.square(outputs(small_classifier(), Recipe("test", steps=(step,))) - wanted).sum())
        for step in (plain, fitted)
    ]
    assert errors[1] < errors[0]


def test_in_turn_makes_up_for_earlier_layers(original: Graph) -> None:
    """Outputs are nearer than when each layer is pruned for itself, at the same share of zeros."""
    wanted, errors = outputs(small_classifier(), Recipe("f32")), {}
    for sequential in (False, True):
        step = Prune(sparsity=0.6, sequential=sequential, min_weight_elements=64)
        for name, weights in products(applied(original, step).graph).items():
            assert weights.size < 64 or (weights == 0).mean() == pytest.approx(0.6, abs=0.05), name
        errors[sequential] = float(np.square(outputs(small_classifier(), Recipe("t", steps=(step,))) - wanted).sum())
    assert errors[True] < errors[False]


def test_patterns_of_zeros(original: Graph) -> None:
    graph = applied(original, Prune(pattern="2:4", criterion="magnitude", min_weight_elements=64)).graph
    for weights in products(graph).values():
        rows = weights.reshape(len(weights), -1)
        if weights.size >= 64 and rows.shape[1] % 4 == 0:
            assert ((rows.reshape(len(rows), -1, 4) != 0).sum(axis=2) <= 2).all()


@pytest.mark.parametrize("criterion", ["magnitude", "activation", "compensated"])
@pytest.mark.parametrize("scope", ["global", "sensitivity"])
def test_layers_share_the_zeros_out(original: Graph, criterion: str, scope: str) -> None:
    """The share of all is what was asked for, not that of each; with layers that keep their own."""
    overrides = {"@gemm": {"sparsity": 0.25}, "@grouped": {"sparsity": 0.0}}
    step = Prune(sparsity=0.6, overrides=overrides, criterion=criterion, scope=scope, min_weight_elements=64)
    found = {name: weights for name, weights in products(applied(original, step).graph).items() if weights.size >= 64}
    grouped = [node.name for node in original.nodes if node.attributes.get("group", 1) != 1]
    (gemm,) = [node.name for node in original.nodes if node.op == "gemm"]
    assert all((found.pop(name) == 0).mean() == 0 for name in grouped)
    assert (found.pop(gemm) == 0).mean() == pytest.approx(0.25, abs=0.02)
    shares = [float((weights == 0).mean()) for weights in found.values()]
    total = sum(int((weights == 0).sum()) for weights in found.values())
    assert total == pytest.approx(0.6 * sum(weights.size for weights in found.values()), rel=0.03)
    assert max(shares) - min(shares) > 0.05


@pytest.mark.parametrize("scope", ["global", "sensitivity"])
def test_shared_zeros_cost_less(scope: str) -> None:
    """On the outputs, against the same share in each layer."""
    wanted, errors = outputs(small_classifier(), Recipe("f32")), {}
    for name in ("layer", scope):
        step = Prune(sparsity=0.6, scope=name, layers=("@conv",), min_weight_elements=64)
        errors[name] = float(np.square(outputs(small_classifier(), Recipe("t", steps=(step,))) - wanted).sum())
    assert errors[scope] < errors["layer"]


def test_sensitivity_spares_what_outputs_depend_on() -> None:
    """Two layers side by side; what one gives is multiplied by a thousandth."""
    b = Builder(1)
    x = b.input("x", 1, 4, 4, 16)
    weak, strong = b.conv(x, 16, 1, name="weak"), b.conv(x, 16, 1, name="strong")
    weak = b.node("mul", [weak, b.constant("little", [1e-3])], b.shape(weak), "scaled")
    graph = b.finish(b.node("add", [weak, strong], b.shape(strong), "sum"))
    data = np.random.default_rng(0).normal(size=(6, 1, 4, 4, 16)).astype(np.float32)
    state = State(clone(graph), graph, open_data(data[:, 0], [graph.tensors["x"]]), callback=lambda *_: None)
    Prune(sparsity=0.45, scope="sensitivity", criterion="magnitude").apply(state)
    found = {name: float((weights == 0).mean()) for name, weights in products(state.graph).items()}
    assert found["weak"] == pytest.approx(0.9, abs=0.01)
    assert found["strong"] == 0


@pytest.mark.parametrize("criterion", ["activation", "compensated"])
def test_biases_take_the_mean(original: Graph, criterion: str) -> None:
    """Of the first layer, whose inputs pruning does not change."""
    (name, *_) = products(original)
    means = {}
    for correct in (None, False, True):
        step = Prune(
            sparsity=0.7, criterion=criterion, bias_correction=bool(correct), layers=(name,), min_weight_elements=64
        )
        graph = original if correct is None else applied(original, step).graph
        node = next(node for node in graph.nodes if node.name == name)
        sums = clone(graph)
        next(n for n in sums.nodes if n.name == name).attributes.update(clamp_min=-np.inf, clamp_max=np.inf)
        runner = engine_runner(sums, [node.outputs[0]])
        data = open_data(DATA, [graph.tensors[each] for each in graph.inputs], {})
        means[correct] = np.mean([runner.run(feeds)[node.outputs[0]] for feeds in data], axis=(0, 1, 2, 3))
    off = {correct: np.abs(means[correct] - means[None]).max() for correct in (False, True)}
    assert off[False] > 0.01
    assert off[True] < 1e-4


def test_blocks_are_of_one_tap() -> None:
    """3 x 3 taps of 6 channels: four of one tap and the other two, as sparse kernels take them."""
    b = Builder(2)
    graph = b.finish(b.conv(b.input("x", 1, 6, 6, 6), 8, name="conv"))
    data = np.random.default_rng(0).normal(size=(6, 6, 6, 6)).astype(np.float32)
    for criterion in ("magnitude", "compensated"):
        state = State(clone(graph), graph, open_data(data, [graph.tensors["x"]]), callback=lambda *_: None)
        Prune(sparsity=0.5, pattern="1x4", criterion=criterion).apply(state)
        zeros = products(state.graph)["conv"] == 0
        for part in (zeros[..., :4], zeros[..., 4:]):
            assert (part.all(axis=-1) == part.any(axis=-1)).all(), criterion
        assert zeros.mean() == pytest.approx(0.5, abs=0.1)


def test_compensated_rounding_is_nearer(original: Graph) -> None:
    """At 3 bits, on the outputs of the model."""
    wanted = outputs(small_classifier(), Recipe("f32"))
    ways = ("nearest", "compensated", "sequential")
    steps = [Quantize(activations="f32", bits=3, min_weight_elements=64, rounding=way) for way in ways]
    errors = {
        step.rounding: float(np.square(outputs(small_classifier(), Recipe("t", steps=(step,))) - wanted).sum())
        for step in steps
    }
    assert errors["compensated"] < 0.8 * errors["nearest"]
    assert errors["sequential"] < 0.8 * errors["nearest"]


@pytest.mark.parametrize("activations", ["f32", "s8"])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7, 8])
def test_bits(original: Graph, bits: int, activations: str) -> None:
    """Codes span what the bits hold, not less and not more."""
    graph = applied(original, Quantize(activations=activations, bits=bits, min_weight_elements=64)).graph
    found = [weights for weights in products(graph).values() if weights.dtype == np.int8]
    assert found
    limit = 2 ** (bits - 1) - 1
    assert max(int(np.abs(weights.astype(int)).max()) for weights in found) == limit


def test_groups_and_asymmetric_weights_carry_their_codes(original: Graph) -> None:
    step = Quantize(
        activations="f32", bits=4, granularity="group", group_size=16, symmetric=False, min_weight_elements=64
    )
    graph = applied(original, step).graph
    codes = {
        name: graph.tensors[node.inputs[1]].codes for node in graph.nodes for name in [node.name] if node.op == "conv"
    }
    coded = {name: code for name, code in codes.items() if code is not None}
    assert coded
    for name, code in coded.items():
        assert code.group == 16
        assert code.codes.max() <= 15
        np.testing.assert_array_equal(code.dequantize(), products(graph)[name])


@pytest.mark.parametrize("rounding", ["nearest", "compensated", "sequential"])
def test_groups_of_layers_that_round_their_rows(original: Graph, rounding: str) -> None:
    """Fully connected layers have s8 weights with scales in f16, the others codes that the file stores."""
    step = Quantize(
        activations="dynamic", bits=4, granularity="group", range="mse", rounding=rounding, min_weight_elements=64
    )
    graph = applied(original, step).graph
    layers = [
        node for node in graph.nodes if node.op in ("conv", "gemm") and node.inputs[1].endswith(("_s8", "rounded"))
    ]
    assert {node.op for node in layers} == {"conv", "gemm"}
    for node in layers:
        tensor = graph.tensors[node.inputs[1]]
        assert tensor.data is not None
        if node.op == "conv":
            assert tensor.dtype == "f32"
            assert tensor.codes is not None
            assert tensor.codes.group == 32
            continue
        assert node.attributes["dynamic"] == 1
        assert tensor.quantization is not None
        assert tensor.quantization.group == 32
        assert abs(tensor.data.astype(int)).max() == 7
        rounded = tensor.data * tensor.quantization.spread(tensor.quantization.scale, tensor.data.shape)
        given = next(other for other in original.nodes if other.name == node.name)
        weights = original.constant(given.inputs[1])
        assert weights is not None
        assert np.square(rounded - weights).sum() < 0.05 * np.square(weights).sum()


def test_scales_in_f16_have_their_limits(original: Graph) -> None:
    step = Quantize(activations="dynamic", bits=4, granularity="group")
    weights = np.zeros((2, 64), np.float32)
    weights[1, 0], weights[1, 40] = 1e-9, 7e-3
    codes = round_to_nearest(step, original.nodes[0], weights)
    assert codes.scale.tolist() == [[2.0**-24, 2.0**-24], [2.0**-24, float(np.float16(1e-3))]]
    weights[0, 0] = 7 * 65504.0
    assert round_to_nearest(step, original.nodes[0], weights).scale[0, 0] == 65504
    weights[0, 0] = 1e6
    with pytest.raises(RecipeError, match="too large for scales in f16"):
        round_to_nearest(step, original.nodes[0], weights)


def test_scales_have_the_bits_that_were_asked_for(original: Graph) -> None:
    graph = applied(original, Quantize(activations="f32", bits=5, scale_bits=6)).graph
    scales = [tensor.quantization.scale for tensor in graph.tensors.values() if tensor.quantization is not None]
    assert scales
    for scale in scales:
        fraction, _ = np.frexp(scale)
        np.testing.assert_array_equal(fraction * 64, np.rint(fraction * 64))


def test_logarithmic_weights_are_powers_of_two(original: Graph) -> None:
    graph = applied(original, Quantize(grid="logarithmic", bits=4)).graph
    for weights in products(graph).values():
        if weights.dtype == np.int8:
            assert set(np.unique(np.abs(weights.astype(int)))) <= {0, 1, 2, 4, 8, 16, 32, 64}


@pytest.mark.parametrize(("grid", "values"), [("ternary", {-1, 0, 1}), ("binary", {-1, 1})])
@pytest.mark.parametrize("rounding", ["nearest", "compensated"])
def test_signs(original: Graph, grid: str, values: set[int], rounding: str) -> None:
    """Every layer's weights become signs of s8, whether integers compute or f32 does."""
    for activations in ("s8", "f32"):
        step = Quantize(activations=activations, grid=grid, range="mse", rounding=rounding)
        found = [w for w in products(applied(original, step).graph).values() if w.dtype == np.int8]
        assert found
        for weights in found:
            assert set(np.unique(weights).tolist()) == values


def test_overrides_reach_single_layers(original: Graph) -> None:
    first = next(iter(products(original)))
    step = Quantize(activations="f32", bits=8, overrides={first: {"bits": 2}}, min_weight_elements=64)
    weights = products(applied(original, step).graph)
    assert np.abs(weights[first].astype(int)).max() == 1
    assert any(np.abs(other.astype(int)).max() == 127 for name, other in weights.items() if name != first)


def test_removed_channels_are_gone(original: Graph) -> None:
    before, state = products(original), applied(original, RemoveChannels(share=0.5, multiple=1))
    after = products(state.graph)
    assert sum(weights.size for weights in after.values()) < 0.6 * sum(weights.size for weights in before.values())
    assert any("channels removed" in note for note in state.notes)
    skipped = applied(original, RemoveChannels(share=0.5, multiple=1, skip=("*",)))
    assert {name: weights.shape for name, weights in products(skipped.graph).items()} == {
        name: weights.shape for name, weights in before.items()
    }


def test_low_rank_says_what_it_did(original: Graph) -> None:
    state = applied(original, LowRank(energy=0.7, min_weight_elements=64))
    done = [note for note in state.notes if "form of rank" in note]
    left = [reason for reason in state.reasons.values() if reason.startswith("low rank")]
    assert len(done) + len(left) == sum(weights.size >= 64 for weights in products(original).values())
    assert len(products(state.graph)) > len(products(original)) or not done


def test_layers_that_do_nothing_go(original: Graph) -> None:
    """A threshold of 0 removes none, one of 1 some; skipped ones stay."""
    assert not applied(original, RemoveLayers(threshold=0)).notes
    state = applied(original, RemoveLayers(threshold=1.0))
    assert state.notes
    assert not applied(original, RemoveLayers(threshold=1.0, skip=("*",))).notes


def test_what_was_trained_is_what_is_stored(original: Graph) -> None:
    """Distilled under rounding, then quantised: the very values that training saw, and pruned weights stay 0."""
    pruned = applied(original, Prune(sparsity=0.5, criterion="magnitude", min_weight_elements=64)).graph
    trained = applied(pruned, Distill(epochs=2, batch_size=4, bits=4)).graph
    stored = applied(trained, Quantize(activations="f32", bits=8, min_weight_elements=1)).graph
    for name, weights in products(trained).items():
        tensor = stored.tensors[next(node.inputs[1] for node in stored.nodes if node.name == name)]
        assert tensor.quantization is not None
        assert np.abs(tensor.data.astype(int)).max() <= 7
        shape = [-1] + [1] * (weights.ndim - 1)
        np.testing.assert_array_equal(
            tensor.data.astype(np.float32) * tensor.quantization.scale.reshape(shape), weights
        )
        assert not weights[products(pruned)[name] == 0].any()
    assert not np.array_equal(products(pruned)[name], products(trained)[name])


def test_what_was_trained_is_what_is_computed_with(original: Graph) -> None:
    """With everything on its default, in integers: equalisation and calibration leave what training rounded."""
    trained = applied(original, Distill(epochs=2, batch_size=4, bits=4, activations=True))
    weights = products(trained.graph)
    Quantize().apply(trained)
    for node in trained.graph.nodes:
        if node.name not in weights:
            continue
        tensor = trained.graph.tensors[node.inputs[1]]
        shape = [-1] + [1] * (tensor.data.ndim - 1)
        values = tensor.data.astype(np.float32) * tensor.quantization.scale.reshape(shape)
        np.testing.assert_array_equal(values, weights[node.name], err_msg=node.name)
    found = {name: trained.graph.tensors[name].quantization for name in trained.ranges if name in trained.graph.tensors}
    assert len(found) >= 3
    for name, quantization in found.items():
        wanted = activation_quantization(*trained.ranges[name])
        np.testing.assert_array_equal(quantization.scale, wanted.scale, err_msg=name)
        np.testing.assert_array_equal(quantization.zero_point, wanted.zero_point, err_msg=name)


def test_needs_data() -> None:
    assert not Cluster().needs_data
    assert Cluster(overrides={"a": {"weighted": True}}).needs_data
    assert not Prune(criterion="magnitude").needs_data
    assert not Prune(criterion="magnitude", scope="global").needs_data
    assert Prune(criterion="magnitude", scope="sensitivity").needs_data
    assert RemoveChannels(criterion="activity").needs_data
    assert Prune().needs_data
    assert LowRank().needs_data
    assert not LowRank(data_aware=False).needs_data
    assert RemoveLayers().needs_data
    assert not MergeLayers().needs_data
    assert Quantize(activations="f32", rounding="compensated").needs_data
    assert not Quantize(activations="f32").needs_data
    with pytest.raises(CalibrationError, match="needs calibration data"):
        whit.compress(small_classifier(), None, Recipe("mine", steps=(Prune(),)))


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        (Quantize, {"granularity": "group"}, "by channel or by tensor"),
        (Quantize, {"symmetric": False}, "symmetric weights"),
        *[
            (
                Quantize,
                {"activations": "dynamic", "granularity": "group", "bits": 4, **change},
                "weights of at most 4 bits",
            )
            for change in ({"bits": 5}, {"group_size": 64}, {"symmetric": False}, {"grid": "logarithmic", "bits": 3})
        ],
        (Quantize, {"grid": "logarithmic"}, "8 bits of powers of two"),
        (Quantize, {"grid": "logarithmic", "bits": 4, "range": "kl"}, "range minmax or mse"),
        (Quantize, {"grid": "ternary", "granularity": "tensor", "range": "percentile"}, "range minmax or mse"),
        (Quantize, {"grid": "binary", "interval": 0.5}, "no interval"),
        (Quantize, {"grid": "binary", "activations": "f32", "granularity": "group"}, "a binary grid"),
        (Quantize, {"activations": "f32", "granularity": "group", "range": "kl"}, "use 'mse'"),
        (Quantize, {"bits": 9}, "2..8"),
        (Quantize, {"rounding": "sequential"}, "set equalize = false"),
        (Quantize, {"overrides": {"a": {"symmetric": False}}}, "symmetric weights"),
        (Prune, {"pattern": "4"}, "'RxC' or 'N:M'"),
        (Prune, {"sparsity": 1.5}, "at most 1"),
        (Cluster, {"entries": 1}, "2..256"),
        (LowRank, {"energy": 0}, "above 0"),
        (RemoveChannels, {"multiple": 0}, "1..1024"),
        (RemoveChannels, {"overrides": {"a": {"scope": "global"}}}, "share alone"),
        (Prune, {"overrides": {"a": {"sequential": True}}}, "the same for all layers"),
        (Prune, {"overrides": {"a": {"scope": "global"}}}, "the same for all layers"),
        (Prune, {"pattern": "0:4"}, "keeps nothing"),
        (Prune, {"pattern": "2:4", "scope": "global"}, "use scope 'layer'"),
        (Prune, {"scope": "network"}, "one of layer, global, sensitivity"),
        (Distill, {"bits": 4, "average_bits": 2.0}, "one of bits, entries, signs and average_bits"),
        (Distill, {"entries": 4, "signs": "binary"}, "one of bits, entries, signs and average_bits"),
        (Distill, {"overrides": {"a": {"pattern": "1x4"}}}, "the same for all layers"),
        (Distill, {"average_bits": 0.01}, r"0 or at least 0\.1"),
        (Distill, {"overrides": {"a": {"average_bits": 2.0}}}, "shared out among all layers"),
    ],
)
def test_refuses(kind: type[Step], values: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        kind(**values)


def test_reports_and_comparisons_of_models_with_fewer_channels(tmp_path) -> None:
    """Tensors that changed their shape are left out; the others and the outputs are compared."""
    recipe = Recipe(steps=(RemoveChannels(share=0.3, multiple=1), Quantize()))
    report = whit.compress(small_classifier(), tmp_path / "m.whit", recipe, DATA, progress=lambda *_: None)
    assert "recipe remove_channels + quantize," in str(report)
    assert report.layers[-1].snr_db is not None
    assert any(layer.snr_db is None for layer in report.layers)
    comparison = compare(small_classifier(), tmp_path / "m.whit", DATA, progress_callback=lambda *_: None)
    wanted = [output.name for output in whit.load(tmp_path / "m.whit").outputs]
    assert [output.name for output in comparison.outputs] == wanted


def test_distills_into_few_bits(original: Graph) -> None:
    """As whole numbers of steps whose frequencies say that a coder needs about as many bits as were wanted."""
    trained = applied(original, Distill(epochs=2, batch_size=4, average_bits=1.5)).graph
    bits = weights = 0
    for node in trained.nodes:
        codes = trained.tensors[node.inputs[1]].codes if node.op in ("conv", "gemm") else None
        if codes is not None:
            counts = np.unique(codes.codes, return_counts=True)[1]
            bits += float((counts * -np.log2(counts / codes.codes.size)).sum())
            weights += codes.codes.size
    assert weights > 1000
    assert bits / weights < 1.5 * 1.3  # all of a layer by one table; the estimate has one for every channel


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("steps", [1, 2])
def test_a_killed_distillation_goes_on(steps: int, tmp_path: Path) -> None:
    """Stopped in the last of its trainings, then called again: the same bytes, and nothing is trained twice."""
    recipe = Recipe("mine", steps=(*(Distill(epochs=4, batch_size=4, bits=4),) * steps, Quantize()))
    bars: list[list[tuple[int, int]]] = [[]]

    def watch(label: str, done: int, total: int) -> None:
        if label == "distill":
            bars[-1] += [(done, total)] if done else []
            if killed and len(bars[-1]) == 12 * (steps - 1) + 8:
                raise _KilledError

    def run(checkpoint: Path | None) -> bytes | None:
        return whit.compress(small_classifier(), None, recipe, DATA, checkpoint=checkpoint, progress=watch).file

    killed = False
    whole = run(None)
    assert len(bars[-1]) == 12 * steps  # an epoch is three steps
    bars.append([])
    killed = True
    with pytest.raises(_KilledError):
        run(tmp_path / "c")
    assert {path.name for path in tmp_path.iterdir()} == {"c", *(["c.2"] if steps == 2 else [])}
    bars.append([])
    killed = False
    assert run(tmp_path / "c") == whole
    assert len(bars[-1]) <= 6  # from the last whole epoch
    bars.append([])
    assert run(tmp_path / "c") == whole
    assert bars[-1] == []


@pytest.mark.parametrize(
    ("recipe", "name", "says"),
    [
        ("int8", "c", "no step that trains"),
        (Recipe("mine", steps=(Distill(),)), "none/c", "its folder does not exist"),
        (Recipe("mine", steps=(Distill(),)), "", "is a folder"),
        (Recipe("mine", steps=(Distill(),)), "out.whit", "give the checkpoint another name"),
    ],
)
def test_useless_checkpoints(recipe: str | Recipe, name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        whit.compress(small_classifier(), tmp_path / "out.whit", recipe, DATA, checkpoint=tmp_path / name)
