"""The steps that recipes are made of: one file per technique, listed here alone."""

from __future__ import annotations

from whit.compression.steps.base import State, Step
from whit.compression.steps.cluster import Cluster
from whit.compression.steps.distill import Distill
from whit.compression.steps.low_rank import LowRank
from whit.compression.steps.prune import Prune
from whit.compression.steps.quantize import Calibration, Quantize
from whit.compression.steps.structure import MergeLayers, RemoveChannels, RemoveLayers

__all__ = [
    "STEPS",
    "Calibration",
    "Cluster",
    "Distill",
    "LowRank",
    "MergeLayers",
    "Prune",
    "Quantize",
    "RemoveChannels",
    "RemoveLayers",
    "State",
    "Step",
]

#: Steps by the name that recipes use.
STEPS: dict[str, type[Step]] = {
    step.kind: step for step in (MergeLayers, RemoveLayers, RemoveChannels, LowRank, Prune, Distill, Cluster, Quantize)
}
