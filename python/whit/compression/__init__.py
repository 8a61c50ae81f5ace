"""Compression: recipes, calibration, quantisation, and the pipeline that applies them."""

from whit.compression.pipeline import compress
from whit.compression.recipe import PRESETS, Calibration, Recipe
from whit.compression.result import LayerReport, Report

__all__ = ["PRESETS", "Calibration", "LayerReport", "Recipe", "Report", "compress"]
