"""Fixtures for all Python tests."""

from __future__ import annotations

import os
import pathlib
import sys

import pytest

# Test helpers (reference.py and the like) are modules next to this file.
sys.path.insert(0, str(pathlib.Path(__file__).parent))

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder with real models and photos beside the checkout; tests that need it skip where it is absent."""
    folder = pathlib.Path(os.environ.get("WHIT_SHARED", _ROOT.parent / "shared"))
    if not (folder / "models").is_dir():
        pytest.skip(f"no models in {folder}")
    return folder
