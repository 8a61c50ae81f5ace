"""What Linux tells about a CPU that may slow down: governor, temperature, throttling. Absent facts are left out."""

from __future__ import annotations

import platform
import resource
from pathlib import Path
from typing import Any

__all__ = ["cpu_name", "disturbances", "peak_rss_bytes", "state"]

_CPU = Path("/sys/devices/system/cpu")
#: From here on the boards of the Raspberry Pi family slow down (raspberrypi.com documentation, "Frequency management
#: and thermal control": soft limit 60 C on some models, hard limit 80 to 85 C).
_HOT_CELSIUS = 80.0


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def cpu_name() -> str:
    """The model name that the system gives, else the machine type."""
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    board = _read(Path("/proc/device-tree/model"))
    return board.strip("\0") if board else platform.machine()


def state() -> dict[str, Any]:
    """Facts among: governor, frequency_mhz, temperature_c, throttled (count of throttle events since boot or the
    Raspberry Pi firmware's flags as a number), load_1m.
    """
    facts: dict[str, Any] = {}
    governor = _read(_CPU / "cpu0/cpufreq/scaling_governor")
    if governor:
        facts["governor"] = governor
    frequency = _read(_CPU / "cpu0/cpufreq/scaling_cur_freq")
    if frequency and frequency.isdigit():
        facts["frequency_mhz"] = int(frequency) // 1000
    temperatures = [_read(path) for path in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    degrees = [int(text) / 1000 for text in temperatures if text and text.lstrip("-").isdigit()]
    if degrees:
        facts["temperature_c"] = max(degrees)
    flags = _read(Path("/sys/devices/platform/soc/soc:firmware/get_throttled"))
    events = _read(_CPU / "cpu0/thermal_throttle/package_throttle_count")
    if flags:
        facts["throttled"] = int(flags, 16)
    elif events and events.isdigit():
        facts["throttled"] = int(events)
    load = _read(Path("/proc/loadavg"))
    if load:
        facts["load_1m"] = float(load.split()[0])
    return facts


def disturbances(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Why a measurement between two states must not be trusted; empty if nothing speaks against it."""
    reasons = []
    if after.get("throttled", 0) != before.get("throttled", 0):
        reasons.append("the CPU was throttled during the run")
    if max(before.get("temperature_c", 0.0), after.get("temperature_c", 0.0)) >= _HOT_CELSIUS:
        reasons.append(f"the CPU was at {_HOT_CELSIUS:.0f} C or hotter")
    start, end = before.get("frequency_mhz", 0), after.get("frequency_mhz", 0)
    if after.get("governor") == "performance" and start and end < 0.9 * start:
        reasons.append(f"the clock fell from {start} to {end} MHz")
    return reasons


def peak_rss_bytes() -> int:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
