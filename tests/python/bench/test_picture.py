"""What becomes a bar; how bars are drawn is the suite's."""

from xml.etree import ElementTree

import pytest

from bench import picture
from bench.report import Row
from bench.samples import Summary
from bench.startup import Startup

_SVG = "{http://www.w3.org/2000/svg}"


def _row(case, contender, milliseconds, variant="s8", **rest):
    row = Row(case, "s8", rest.pop("threads", 1), "", contender, variant, **rest)
    if milliseconds:
        row.set(Summary(milliseconds / 1e3, milliseconds / 2e3, milliseconds / 5e2, 25))
    return row


def _drawn(svg):
    root = ElementTree.fromstring(svg)
    bars = [rect for rect in root.iter(f"{_SVG}rect") if rect.get("class", "").startswith("s") and rect.get("x")]
    bars = [rect for rect in bars if rect.get("height") != "10"]  # not the legend
    ranges = [line for line in root.iter(f"{_SVG}line") if line.get("class") == "range"]
    return bars, ranges, [text.text for text in root.iter(f"{_SVG}text")]


def test_one_picture_a_table_and_a_bar_for_the_best_variant_of_each():
    rows = [
        _row("net", "whit", 2),
        _row("net", "other", 8, "slow"),
        _row("net", "other", 4, "fast"),
        _row("net", "third", None, error="no such operator"),
        _row("net", "whit", 1, threads=2),
    ]
    drawn = picture.of_tables("models", rows)
    assert set(drawn) == {"models-s8-1t", "models-s8-2t"}
    bars, ranges, texts = _drawn(drawn["models-s8-1t"])
    assert [bar.get("class") for bar in bars] == ["s0", "s1"]
    assert len(ranges) == 2
    assert {"whit", "other", "third", "net", "2", "4"} <= set(texts)
    assert "8" not in texts


@pytest.mark.parametrize(("stem", "value"), [("models", "2"), ("gemm", "2000")])
def test_networks_in_milliseconds_layers_in_microseconds(stem, value):
    (drawn,) = picture.of_tables(stem, [_row("a", "whit", 2)]).values()
    assert value in _drawn(drawn)[2]


def test_nobody_timed_no_picture():
    assert picture.of_tables("models", [_row("net", "whit", None, error="x")]) == {}


def test_startup_has_a_picture_for_each_time():
    row = Startup("net", 1, "whit", "int8", import_ms=2.0, first_ms=5.0)
    row.spread = {"import_ms": [1.5, 3.0], "first_ms": [4.0, 6.0]}
    drawn = picture.of_startup("startup", [row])
    assert set(drawn) == {"startup-import", "startup-first"}
    bars, ranges, texts = _drawn(drawn["startup-first"])
    assert len(bars) == len(ranges) == 1
    assert "whit int8" in texts
