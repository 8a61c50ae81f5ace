"""Makes the models of the engine's tests importable."""

from __future__ import annotations

import pathlib
import sys

import pytest

_HERE = pathlib.Path(__file__).parent
for folder in ("optimize", "engine"):
    sys.path.insert(0, str(_HERE.parent / folder))


@pytest.fixture
def conv_file(tmp_path):
    """A convolutional network, image [n, h, w, 3] -> scores [n, 5]."""
    from session_models import convnet

    from whit.format import write

    path = tmp_path / "conv.whit"
    path.write_bytes(write(convnet()[0]))
    return path
