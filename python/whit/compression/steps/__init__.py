"""The steps that recipes are made of: one file per technique, listed here alone."""

from __future__ import annotations

from whit.compression.steps.base import State, Step
from whit.compression.steps.quantize import Calibration, Quantize

__all__ = ["STEPS", "Calibration", "Quantize", "State", "Step"]

#: Steps by the name that recipes use.
STEPS: dict[str, type[Step]] = {step.kind: step for step in (Quantize,)}
