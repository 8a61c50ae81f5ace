"""Compression: recipes, calibration, steps, and the pipeline that applies them."""

from whit.compression.pipeline import compress
from whit.compression.recipe import PRESETS, Recipe
from whit.compression.result import LayerReport, Report
from whit.compression.steps import (
    STEPS,
    Calibration,
    Cluster,
    Distill,
    LowRank,
    MergeLayers,
    Prune,
    Quantize,
    RemoveChannels,
    RemoveLayers,
    Step,
)

__all__ = [
    "PRESETS",
    "STEPS",
    "Calibration",
    "Cluster",
    "Distill",
    "LayerReport",
    "LowRank",
    "MergeLayers",
    "Prune",
    "Quantize",
    "Recipe",
    "RemoveChannels",
    "RemoveLayers",
    "Report",
    "Step",
    "compress",
]
