"""Training within a recipe: the original teaches what the steps before left of it, on unlabelled calibration data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from whit.compression.settings import choice, count, flag, number
from whit.compression.steps.base import State, Step
from whit.compression.steps.products import weighted_layers
from whit.errors import RecipeError

if TYPE_CHECKING:
    from whit.train.techniques import Technique

__all__ = ["Distill"]


@dataclass(frozen=True)
class Distill(Step):
    """Trains the model to answer as the original does (`whit.train.distill`); needs torch.

    Weights that are 0 stay so. Pruning, clustering and rounding that are asked for here happen while it trains, and
    what they leave is what the file holds: steps after this one round to the very same values.

    Attributes:
        epochs, batch_size: of the training (Adam, cosine schedule).
        learning_rate: relative to the size of each tensor: folded batch norms leave very different ones.
        temperature: of the soft labels.
        sparsity: if not 0, weights are pruned gradually to this share of zeros.
        importance: what is pruned first: "magnitude", "gradient" or "taylor".
        scope: of the sparsity: each "layer", or "global".
        pattern: what is pruned as one: "element", "channel", or "1x4", "4x1", "8x1": blocks of output x input channels.
        entries: if not 0, weights share so many values of a palette, which are trained.
        bits: if not 0, weights are rounded to so many bits, with straight-through gradients.
        signs: weights become a sign and a scale ("binary"), and small ones 0 ("ternary").
        granularity: what shares a scale when weights are rounded.
        average_bits: if not 0, weights are rounded to steps so wide that storage "archive" takes about so many bits a
            weight, all layers together (`whit.train.EntropyQuantization`).
        activations: what layers read is rounded to s8 as well while training; a quantize step takes these ranges over.
    """

    epochs: int = count(10, low=1)
    batch_size: int = count(32, low=1)
    learning_rate: float = number(5e-3, low=0, above=True)
    temperature: float = number(4.0, low=0, high=1e5, above=True)
    sparsity: float = number(0, low=0, high=0.999)
    importance: str = choice("magnitude", "gradient", "taylor")
    scope: str = choice("layer", "global")
    pattern: str = choice("element", "channel", "1x4", "4x1", "8x1")
    entries: int = count(0, high=256)
    bits: int = count(0, high=8)
    signs: str = choice("none", "ternary", "binary")
    granularity: str = choice("channel", "tensor")
    average_bits: float = number(0, low=0, high=8)
    activations: bool = flag(False)

    kind = "distill"
    needs_data = True
    trains = True

    def check(self) -> None:
        if 0 < self.average_bits < 0.1:
            raise RecipeError(f"distill.average_bits must be 0 or at least 0.1; got {self.average_bits:g}")
        if sum(map(bool, (self.bits, self.entries, self.signs != "none", self.average_bits))) > 1:
            raise RecipeError("distill rounds in one way: give one of bits, entries, signs and average_bits")
        if any("average_bits" in values for values in self.overrides.values()):
            raise RecipeError("distill.average_bits is shared out among all layers: not for some of them (overrides)")
        if any("pattern" in values for values in self.overrides.values()):
            raise RecipeError("distill.pattern is the same for all layers: not for some of them (overrides)")

    def apply(self, state: State) -> None:
        from whit import train

        assert state.data is not None, "recipes that need data are refused without"
        result = train.distill(
            state.reference,
            state.graph,
            state.data,
            techniques=self._techniques(state),
            temperature=self.temperature,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            relative=True,
            seed=state.seed,
            checkpoint=state.next_checkpoint(),
            progress=state.callback,
        )
        state.graph, state.ranges = result.graph, dict(result.ranges)
        state.notes.append(f"distilled: loss {result.losses[0]:.4g} at first, {result.losses[-1]:.4g} in the end")

    def _techniques(self, state: State) -> list[Technique]:
        from whit import train

        layers = {node.name: (settings, weights) for node, settings, weights in weighted_layers(state, self)}
        found: list[Technique] = []
        kept = tuple(name for name, (_, weights) in layers.items() if (weights == 0).mean() > 0)
        sparsity = {name: settings.sparsity for name, (settings, _) in layers.items() if settings.sparsity}
        if self.scope == "global" and self.sparsity:
            found.append(
                train.Pruning(
                    tuple(layers),
                    sparsity=self.sparsity,
                    importance=self.importance,
                    scope="global",
                    granularity=self.pattern,
                )
            )
        elif sparsity:
            found.append(
                train.Pruning(tuple(sparsity), sparsity=sparsity, importance=self.importance, granularity=self.pattern)
            )
        elif kept:
            zeros = {name: float((layers[name][1] == 0).mean()) for name in kept}
            found.append(train.Pruning(kept, sparsity=zeros, end=0.0))
        entries = {name: settings.entries for name, (settings, _) in layers.items() if settings.entries}
        if entries:
            found.append(train.Clustering(tuple(entries), entries=entries))
        bits = {name: settings.bits for name, (settings, _) in layers.items() if settings.bits}
        if bits:
            found.append(train.WeightQuantization(tuple(bits), bits=bits, granularity=self.granularity))
        signs = {name: settings.signs for name, (settings, _) in layers.items() if settings.signs != "none"}
        if signs:
            found.append(train.SignQuantization(tuple(signs), kind=signs, granularity=self.granularity))
        if self.average_bits:
            found.append(train.EntropyQuantization(tuple(layers), average_bits=self.average_bits))
        if self.activations:
            found.append(train.ActivationQuantization(tuple(layers)))
        return found
