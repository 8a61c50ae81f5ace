"""The state of the machine, on a made-up sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from whit.cli import system
from whit.cli.common import print_json, size_text, table

_QUIET = {
    "governor": "performance",
    "frequency_mhz": 1500,
    "temperature_c": 50.0,
    "throttle_events": 3,
    "firmware_flags": 0,
    "load_1m": 0.5,
}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_state_reads_what_is_there(tmp_path):
    cpu = tmp_path / "devices/system/cpu/cpu0"
    _write(cpu / "cpufreq/scaling_governor", "ondemand\n")
    _write(cpu / "cpufreq/scaling_cur_freq", "1800000\n")
    _write(cpu / "thermal_throttle/package_throttle_count", "7\n")
    _write(tmp_path / "class/thermal/thermal_zone0/temp", "48312\n")
    _write(tmp_path / "class/thermal/thermal_zone1/temp", "51000\n")
    _write(tmp_path / "class/thermal/thermal_zone2/temp", "broken\n")
    _write(tmp_path / "devices/platform/soc/soc:firmware/get_throttled", "50005\n")
    state = system.state(tmp_path)
    assert state.pop("load_1m") >= 0
    assert state == {
        "governor": "ondemand",
        "frequency_mhz": 1800,
        "temperature_c": 51.0,
        "throttle_events": 7,
        "firmware_flags": 0x50005,
    }
    assert system.state_text(state) == (
        "governor ondemand, 1800 MHz, 51.0 C, 7 throttle events, firmware flags 0x50005"
    )


def test_state_of_a_system_that_does_not_tell(tmp_path):
    state = system.state(tmp_path)
    assert set(state) == set(_QUIET)
    assert {key for key, value in state.items() if value is not None} <= {"load_1m"}
    assert system.disturbances(state, state) == []


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        ({}, {}, []),
        ({}, {"throttle_events": 4}, ["the CPU was throttled during the run"]),
        ({}, {"temperature_c": 80.0}, ["the CPU was at 80 C or hotter"]),
        ({"temperature_c": 90.0}, {}, ["the CPU was at 80 C or hotter"]),
        ({}, {"frequency_mhz": 1200}, ["the clock fell from 1500 to 1200 MHz"]),
        ({}, {"frequency_mhz": 1200, "governor": "ondemand"}, []),
        ({}, {"firmware_flags": 0x4}, ["firmware: throttled"]),
        ({"firmware_flags": 0x1}, {}, ["firmware: under-voltage"]),
        # Throttled and back to normal within the run: the history bit tells. An old one says nothing.
        ({}, {"firmware_flags": 0x40000}, ["firmware: throttled"]),
        ({"firmware_flags": 0x40000}, {"firmware_flags": 0x40000}, []),
    ],
)
def test_disturbances(before, after, reasons):
    assert system.disturbances({**_QUIET, **before}, {**_QUIET, **after}) == reasons


def test_table_sets_numbers_and_sizes_right():
    rows = [("a", 1, "12.0 kB"), ("bb", -20.5, "9 B")]
    assert table(("name", "n", "size"), rows).splitlines() == [
        "name        n     size",
        "----  -------  -------",
        "a           1  12.0 kB",
        "bb    -20.500      9 B",
    ]
    assert table(("name", "n"), [("a", 1)], markdown=True).splitlines() == [
        "| name |   n |",
        "| ---- | --: |",
        "| a    |   1 |",
    ]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3_740_000, "3.7 MB"), (2.5e9, "2.50 GB")]
)
def test_size_text(size, text):
    assert size_text(size) == text


def test_json_has_no_nan(capsys):
    print_json({"a": [float("nan"), float("-inf"), 1.5], "b": (1, "x")})
    assert "".join(capsys.readouterr().out.split()) == '{"a":[null,null,1.5],"b":[1,"x"]}'
