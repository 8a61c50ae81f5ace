"""Makes the builders of the optimiser's and the engine's tests importable; one thread, so that runs repeat."""

from __future__ import annotations

import pathlib
import sys

import torch

_TESTS = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(_TESTS / "optimize"), str(_TESTS / "engine"), str(pathlib.Path(__file__).parent)]

torch.set_num_threads(1)
