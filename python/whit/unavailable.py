"""What to say where whit's extension module cannot be loaded."""

from __future__ import annotations

import importlib.machinery
import platform
import struct
from pathlib import Path

__all__ = ["extension_error"]


def extension_error(problem: ImportError) -> ImportError:
    """An ImportError that says which extension module there is, which one this Python takes, and what to do.

    Args:
        problem: what Python says, which for a module of another machine or version is not helpful.
    """
    suffixes = importlib.machinery.EXTENSION_SUFFIXES
    found = sorted(path.name for path in Path(__file__).parent.glob("_core*.so"))
    fitting = [name for name in found if any(name == f"_core{suffix}" for suffix in suffixes)]
    if not found:
        reason = "there is none in this installation"
    elif fitting:
        reason = f"{fitting[0]} does not load here: {problem}"
    else:
        reason = f"{' '.join(found)} was made for another machine or Python; wanted _core{suffixes[0]}"
    # The size of a pointer decides, not the machine's name: a 32-bit Python may run on a 64-bit kernel.
    here = f"{platform.python_implementation()} {platform.python_version()}, {struct.calcsize('P') * 8} bit"
    return ImportError(
        f"whit has no extension module for this Python ({here}, {platform.machine()}): {reason}. There are wheels for "
        "CPython 3.10 and newer on Linux x86_64, aarch64 and armv7l (glibc 2.17 or musl 1.2, and newer): "
        "`pip install --force-reinstall --no-deps whit`. Elsewhere build it from source, with a C++20 compiler and "
        "CMake: `pip install --force-reinstall --no-deps --no-binary whit whit`",
        name="whit._core",
    )
