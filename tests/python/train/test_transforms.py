"""Masks, rounding and palettes: the same values as compression gives, and the gradients of the published formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import whit
from whit.compression.ranges import activation_quantization
from whit.compression.weights.linear import find_linear_grid
from whit.compression.weights.signs import find_sign_grid
from whit.train.activations import FakeQuantizeActivation
from whit.train.rounding import least_squares
from whit.train.transforms import FakeQuantize, Palette, Prune, Signs

RANDOM = np.random.default_rng(7)


def weights(*shape: int) -> torch.Tensor:
    values = RANDOM.standard_normal(shape) * RANDOM.uniform(0.1, 2, (shape[0], *[1] * (len(shape) - 1)))
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


# --- rounding of weights ---


def test_eight_bits_are_those_of_the_int8_recipe() -> None:
    """Round half to even of w / scale in double, the largest magnitude of a channel 127 steps (docs/NUMERICS.md)."""
    w = weights(6, 3, 3, 5)
    codes = FakeQuantize((6, 3, 3, 5), 8).codes(w)
    rows = w.detach().numpy().reshape(6, -1).astype(np.float64)
    scale = (np.abs(rows).max(axis=1) / 127).astype(np.float32)
    np.testing.assert_array_equal(codes.scale, scale, strict=True)
    steps = np.rint(rows / scale[:, None].astype(np.float64)).astype(np.int8)
    np.testing.assert_array_equal(codes.codes.reshape(6, -1), steps, strict=True)


@pytest.mark.parametrize("granularity", ["tensor", "channel", 4, 7])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_values_equal_those_of_compression(bits: int, symmetric: bool, granularity: str | int) -> None:
    """To the bit, in training, as codes, and as compression quantises the same weights."""
    w = weights(5, 2, 9)
    transform = FakeQuantize((5, 2, 9), bits, symmetric=symmetric, granularity=granularity)
    data = w.detach().numpy()
    wanted = find_linear_grid(data, bits=bits, symmetric=symmetric, granularity=granularity).encode(data)
    codes = transform.codes(w)
    for name in ("codes", "scale", "zero_point"):
        np.testing.assert_array_equal(getattr(codes, name), getattr(wanted, name), strict=True)
    assert codes.group == wanted.group
    assert transform(w).detach().numpy().tobytes() == wanted.dequantize().tobytes()
    np.testing.assert_array_equal(codes.dequantize(), wanted.dequantize(), strict=True)


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("kind", ["ternary", "binary"])
def test_signs_equal_those_of_compression(kind: str, granularity: str) -> None:
    """Codes to the bit; scales, whose sums are in another order, within the rounding to f32. Gradients pass."""
    w = weights(5, 2, 9)
    data = w.detach().numpy()
    wanted = find_sign_grid(data, kind=kind, granularity=granularity, method="twn").encode(data)
    transform = Signs((5, 2, 9), kind, granularity=granularity)
    codes = transform.codes(w)
    np.testing.assert_array_equal(codes.codes, wanted.codes, strict=True)
    np.testing.assert_allclose(codes.scale, wanted.scale, rtol=2e-7)
    values = transform(w)
    assert values.detach().numpy().tobytes() == codes.dequantize().tobytes()
    values.square().sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), 2 * values.detach().numpy())


def test_signs_of_zeros_are_finite() -> None:
    for kind, wanted in (("ternary", 0.0), ("binary", 2.0**-40)):
        assert Signs((2, 3), kind)(torch.zeros(2, 3)).tolist() == [[wanted] * 3] * 2


def test_halves_round_to_even() -> None:
    w = torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]])
    assert FakeQuantize((1, 6), 8)(w).tolist() == [[127.0, 0.0, 2.0, 2.0, 0.0, -2.0]]


def test_the_gradient_passes_straight_through() -> None:
    """Bengio 2013: that of the identity, where nothing is clipped; 0 where something is."""
    w = weights(3, 8)
    out = FakeQuantize((3, 8), 4)(w)
    sent = torch.randn_like(out)
    out.backward(sent)
    assert torch.equal(w.grad, sent)  # minmax clips nothing

    narrow = FakeQuantize((3, 8), 4, scale="mse")
    w.grad = None
    narrow.scale.copy_(w.detach().abs().amax(dim=1, keepdim=True) / 20)  # codes end at 7: a part is clipped
    out = narrow(w)
    out.backward(sent)
    inside = torch.round(w.detach() / narrow.scale).abs() <= 7
    assert 0 < int(inside.sum()) < inside.numel()
    assert torch.equal(w.grad, sent * inside)


def test_the_learned_step_has_the_gradient_of_lsq() -> None:
    """Esser 2020, equation 3 and the scaling of section 2.2, written out here."""
    w = weights(4, 16)
    transform = FakeQuantize((4, 16), 3, scale="learned")
    transform.fit(w)
    out = transform(w)
    sent = torch.randn_like(out)
    out.backward(sent)
    exact = transform.log_scale.detach().exp()
    s, top = transform.grid(w).scale.detach(), 3
    assert torch.equal(s, exact.half().float())  # 11 bits; the gradient goes straight through
    v = w.detach() / s
    slope = torch.where(v.abs() < top + 0.5, torch.round(v) - v, torch.sign(v) * top)
    wanted = (sent * slope).sum(dim=1, keepdim=True) / np.sqrt(16 * top) * exact  # the last: of the logarithm
    torch.testing.assert_close(transform.log_scale.grad, wanted, rtol=1e-4, atol=1e-6)


def test_least_squares_beats_the_full_range() -> None:
    """The range that is found has no larger error than any other share of the full one that was asked for."""
    x = weights(3, 200).detach()
    x[:, 0] *= 8  # an outlier
    for symmetric in (True, False):
        grid, full = least_squares(x, 3, symmetric), FakeQuantize((3, 200), 3, symmetric=symmetric)
        found = FakeQuantize((3, 200), 3, symmetric=symmetric, scale="mse")
        found.fit(x)
        error, before = ((each(x) - x).square().sum(dim=1) for each in (found, full))
        assert bool((error < before).all())
        assert torch.equal(found.grid(x).scale, grid.scale)


@pytest.mark.parametrize(
    "options", [{"bits": 1}, {"bits": 9}, {"granularity": 0}, {"granularity": "row"}, {"scale": "x"}]
)
def test_settings_out_of_range(options: dict) -> None:
    with pytest.raises(whit.InvalidArgumentError, match=next(iter(options))):
        FakeQuantize((2, 2), **options)


# --- activations ---


def test_activations_are_rounded_as_quantize_linear_does() -> None:
    x = torch.tensor(RANDOM.standard_normal((4, 50)) * 3 + 1, dtype=torch.float32)
    module = FakeQuantizeActivation()
    module.active = False
    module(x[:2])
    module(x[2:])
    assert module.range == (float(x.min()), float(x.max()))
    module.active, module.observing = True, False
    wanted = activation_quantization(*module.range)
    assert module.quantization() == (float(wanted.scale[0]), int(wanted.zero_point[0]))
    steps = np.rint(x.numpy() / wanted.scale[0]) + wanted.zero_point[0]
    steps = np.clip(steps, -128, 127) - wanted.zero_point[0]
    np.testing.assert_array_equal(module(x).numpy(), steps.astype(np.float32) * wanted.scale[0], strict=True)


def test_activations_beyond_the_range_are_clipped_and_get_no_gradient() -> None:
    module = FakeQuantizeActivation()
    module(torch.tensor([-1.0, 3.0]))
    module.observing = False
    x = torch.tensor([-5.0, -1.0, 0.0, 2.9, 40.0], requires_grad=True)
    y = module(x)
    y.backward(torch.ones(5))
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert y[0].item() == pytest.approx(-1, abs=0.02)
    assert y[2].item() == 0
    assert y[4].item() == pytest.approx(3, abs=0.02)


def test_a_moving_average_follows_the_extremes() -> None:
    module = FakeQuantizeActivation(momentum=0.75)
    module(torch.tensor([-1.0, 2.0]))
    module(torch.tensor([-3.0, 4.0]))
    assert module.range == (-1.5, 2.5)
    module.eval()
    module(torch.tensor([-100.0, 100.0]))  # nothing is learned outside of training
    assert module.range == (-1.5, 2.5)


# --- masks ---


@pytest.mark.parametrize(
    ("granularity", "groups"),
    [("element", 2 * 3 * 6), ("channel", 2), ("1x4", 2 * 3 * 2), ("4x1", 3 * 6), ("2x4", 3 * 2)],
)
def test_masks_are_exactly_zero_and_stop_gradients(granularity: str, groups: int) -> None:
    w = weights(2, 3, 6)
    transform = Prune((2, 3, 6), granularity)
    assert transform.mask.shape == (groups,)
    keep = torch.zeros(groups, dtype=torch.bool)
    keep[1] = True
    transform.keep(keep)
    out = transform(w)
    out.backward(torch.ones_like(out))
    alive = transform.elements()
    assert torch.equal(out != 0, alive)
    assert torch.equal(w.grad, alive.float())
    assert transform.sparsity == pytest.approx(1 - alive.float().mean().item())
    first = alive.reshape(2, -1)
    if granularity == "1x4":  # the second block of a row of 6: its last two
        assert first[0].nonzero().ravel().tolist() == [4, 5]
    if granularity == "4x1":  # both rows, in one place
        assert first.sum(dim=1).tolist() == [1, 1]
        assert first[0].nonzero().ravel().tolist() == first[1].nonzero().ravel().tolist() == [1]
    if granularity == "channel":
        assert first.tolist() == [[False] * 18, [True] * 18]
    assert not np.signbit(out.detach().numpy()[~alive.numpy()]).any()  # one kind of zero, for equal bytes


# --- palettes ---


def test_the_gradient_of_a_centroid_is_the_sum_over_its_members() -> None:
    """Deep Compression, section 3.3."""
    w = weights(4, 30)
    transform = Palette((4, 30), 5)
    transform.fit(w)
    out = transform(w)
    assert len(out.unique()) == 5
    sent = torch.randn_like(out)
    out.backward(sent)
    wanted = [float(sent[transform.codes == k].double().sum()) for k in range(5)]
    np.testing.assert_allclose(transform.palettes.grad[0].numpy(), wanted, rtol=1e-5)
    assert w.grad is None


def test_palettes_are_means_of_what_is_nearest() -> None:
    """A fixed point of k-means."""
    w = weights(4, 60).detach()
    transform = Palette((4, 60), 6)
    transform.fit(w)
    (palette,) = transform.palettes.detach()
    nearest = (w[..., None] - palette).abs().argmin(dim=-1)
    assert torch.equal(nearest, transform.codes)
    for k in range(6):
        assert palette[k].item() == pytest.approx(w[nearest == k].mean().item(), rel=1e-5)


def test_pruned_weights_stay_zero_in_a_palette() -> None:
    w = weights(4, 30).detach()
    w[:, ::2] = 0
    transform = Palette((4, 30), 4)
    transform.fit(w)
    out = transform(w)
    assert torch.equal(out == 0, w == 0)
    out.backward(torch.ones_like(out))
    assert transform.palettes.grad[0, 0] == 0
    assert len(out.detach().unique()) == 4


def test_a_palette_of_fewer_values_than_entries() -> None:
    w = torch.tensor([[1.0, 1.0, -2.0, 0.0]])
    transform = Palette((1, 4), 8)
    transform.fit(w)
    assert torch.equal(transform(w), w)


def test_every_so_many_channels_have_a_palette_of_their_own() -> None:
    w = weights(5, 40).detach()
    transform = Palette((5, 40), 4, channels=2)
    transform.fit(w)
    out = transform(w).detach()
    for part in range(3):
        rows = slice(2 * part, 2 * part + 2)
        alone = Palette(tuple(w[rows].shape), 4)
        alone.fit(w[rows])
        assert torch.equal(out[rows], alone(w[rows]))
