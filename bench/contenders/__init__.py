"""The runtimes that are compared, one file each: every `Contender` with a name takes part."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from bench.contenders.base import Contender


def contenders() -> dict[str, Contender]:
    """name -> contender, whit first."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    found = [contender for module in modules for contender in defined_in(module)]
    return {one.name: one for one in sorted(found, key=lambda one: (one.name != "whit", one.name))}


def defined_in(module: ModuleType) -> list[Contender]:
    """The contenders of one file."""
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    return [kind() for kind in kinds if issubclass(kind, Contender) and hasattr(kind, "name")]
