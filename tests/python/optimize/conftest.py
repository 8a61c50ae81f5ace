"""Passes are verified against the C++ operator list, also where the extension module is not built."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "python"))
_TYPES = {"INT": "int", "FLOAT": "float", "STRING": "string", "INTS": "ints", "FLOATS": "floats"}


def parse_operators(text: str) -> list[dict[str, Any]]:
    """csrc/model/op_list.inc as `whit._core.operators()` gives it (without defaults)."""
    operators = []
    for line in re.findall(r"^WHIT_OP\((.*)\)$", text, re.MULTILINE):
        name, *counts, attributes = (part.strip() for part in line.split(",", 5))
        operators.append(
            {
                "name": name,
                **dict(
                    zip(
                        ("min_inputs", "max_inputs", "min_outputs", "max_outputs"),
                        map(int, counts),
                        strict=True,
                    )
                ),
                "attributes": [
                    {"name": attribute, "type": _TYPES[kind], "required": not optional, "default": None}
                    for kind, optional, attribute in re.findall(r"([A-Z]+?)(_OR)?\((\w+)", attributes)
                ],
            }
        )
    return operators


try:
    import whit._core  # noqa: F401
except ImportError:
    for name in [name for name in sys.modules if name.split(".")[0] == "whit"]:
        del sys.modules[name]
    package, core = ModuleType("whit"), ModuleType("whit._core")
    package.__path__ = [str(ROOT / "python" / "whit")]
    operators = parse_operators((ROOT / "csrc" / "model" / "op_list.inc").read_text())
    core.operators = lambda: operators  # type: ignore[attr-defined]
    package._core = core  # type: ignore[attr-defined]
    sys.modules |= {"whit": package, "whit._core": core}
