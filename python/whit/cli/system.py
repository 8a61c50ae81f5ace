"""What Linux tells about a CPU that may slow down: governor, clock, temperature, throttling."""

from __future__ import annotations

import platform
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["cpu_name", "disturbances", "peak_rss_bytes", "state", "state_text"]

_SYS = Path("/sys")
#: From here on the boards of the Raspberry Pi family slow down (raspberrypi.com documentation, "Frequency management
#: and thermal control": soft limit 60 C on some models, hard limit 80 to 85 C).
_HOT_CELSIUS = 80.0
#: Bits of the Raspberry Pi firmware's get_throttled that say what is so now; the bits from 16 up say what once was.
_FIRMWARE_NOW = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def _number(text: str | None, base: int = 10) -> int | None:
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None


def cpu_name() -> str:
    """The model name that the system gives, else the machine type."""
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    board = _read(Path("/proc/device-tree/model"))
    return board.strip("\0") if board else platform.machine()


def state(sys: Path = _SYS) -> dict[str, Any]:
    """The machine now; None for what the system does not tell.

    Args:
        sys: where sysfs is mounted.

    Returns:
        governor: of the first CPU; frequency_mhz: its clock; temperature_c: of the hottest zone; throttle_events: since
        boot, counted by the CPU; firmware_flags: the Raspberry Pi firmware's get_throttled; load_1m: programs that
        wanted a CPU in the last minute, this one among them.
    """
    cpu = sys / "devices/system/cpu/cpu0"
    frequency = _number(_read(cpu / "cpufreq/scaling_cur_freq"))
    zones = [_number(_read(path)) for path in sorted((sys / "class/thermal").glob("thermal_zone*/temp"))]
    load = _read(Path("/proc/loadavg"))
    return {
        "governor": _read(cpu / "cpufreq/scaling_governor"),
        "frequency_mhz": None if frequency is None else frequency // 1000,
        "temperature_c": max((value / 1000 for value in zones if value is not None), default=None),
        "throttle_events": _number(_read(cpu / "thermal_throttle/package_throttle_count")),
        "firmware_flags": _number(_read(sys / "devices/platform/soc/soc:firmware/get_throttled"), 16),
        "load_1m": float(load.split()[0]) if load else None,
    }


def state_text(facts: Mapping[str, Any]) -> str:
    """One line of what `state` found."""
    forms = {
        "governor": "governor {}",
        "frequency_mhz": "{} MHz",
        "temperature_c": "{:.1f} C",
        "throttle_events": "{} throttle events",
        "firmware_flags": "firmware flags {:#x}",
        "load_1m": "load {}",
    }
    return ", ".join(form.format(facts[name]) for name, form in forms.items() if facts.get(name) is not None) or "?"


def disturbances(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Why a measurement between two states must not be trusted; empty if nothing speaks against it."""
    reasons = []
    if before["throttle_events"] != after["throttle_events"]:
        reasons.append("the CPU was throttled during the run")
    flags, old = after["firmware_flags"] or 0, before["firmware_flags"] or 0
    # A bit of history that is new rose during the run, even if its present bit is gone again.
    happened = flags & 0xF | old & 0xF | (flags & ~old) >> 16
    reasons += [f"firmware: {text}" for bit, text in _FIRMWARE_NOW.items() if happened >> bit & 1]
    if max(before["temperature_c"] or 0.0, after["temperature_c"] or 0.0) >= _HOT_CELSIUS:
        reasons.append(f"the CPU was at {_HOT_CELSIUS:.0f} C or hotter")
    start, end = before["frequency_mhz"], after["frequency_mhz"]
    if after["governor"] == "performance" and start and end and end < 0.9 * start:
        reasons.append(f"the clock fell from {start} to {end} MHz")
    return reasons


def peak_rss_bytes() -> int:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
