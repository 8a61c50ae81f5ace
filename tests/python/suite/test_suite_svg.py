"""The pictures: well-formed, to scale, escaped."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from suite_support import result, suite

from whit.draw.svg import Panel, Row, bar_chart
from whit.suite.charts import chart, comparison_chart

SVG = "{http://www.w3.org/2000/svg}"


def _bars(picture, series=0):
    """Widths of the bars, the square of the legend left out."""
    rects = ElementTree.fromstring(picture).iter(f"{SVG}rect")
    return [float(r.get("width")) for r in rects if r.get("class") == f"s{series}" and r.get("height") != "10"]


def _texts(picture):
    return [text.text for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def _chart(*values, log=False, series=("a",)):
    return bar_chart("t", series, [Panel("p", "ms", [Row(f"row {i}", v) for i, v in enumerate(values)], log)])


def test_bars_are_to_scale():
    one, two, half = _bars(_chart([10.0], [20.0], [5.0]))
    assert two == pytest.approx(2 * one, abs=0.2)
    assert half == pytest.approx(one / 2, abs=0.2)


def test_log_axis_gives_every_factor_of_ten_one_length():
    one, ten, hundred = _bars(_chart([1.5], [15.0], [150.0], log=True))
    assert hundred - ten == pytest.approx(ten - one, abs=0.2)
    picture = _chart([1.5], [15.0], [150.0], log=True)
    assert {"1", "10", "100", "1000"} <= set(_texts(picture))


def test_all_inside_the_page():
    for values in ([3e-9], [0.0], [123456.0], [1.0]):
        root = ElementTree.fromstring(_chart(values, series=("a",)))
        width, height = float(root.get("width")), float(root.get("height"))
        assert root.get("viewBox") == f"0 0 {width:.0f} {height:.0f}"
        for rect in root.iter(f"{SVG}rect"):
            assert float(rect.get("x", 0)) + float(rect.get("width")) <= width
            assert float(rect.get("y", 0)) + float(rect.get("height")) <= height


def test_values_that_are_missing_have_no_bar():
    picture = _chart([1.0, None], [None, None], [float("inf"), 2.0], series=("a", "b"))
    assert len(_bars(picture)) == 1
    assert len(_bars(picture, 1)) == 1
    assert "row 1" not in _texts(picture)
    assert "p [ms]" not in _texts(_chart([None]))
    assert len(_bars(_chart([0.0], [1.0], log=True))) == 1


def test_text_is_escaped_and_long_labels_are_cut():
    picture = bar_chart("<&>\x00", ("a",), [Panel("]]>", "u", [Row("<script>" * 20, [1.0])])], 'n"ote')
    texts = _texts(picture)
    assert texts[0] == "<&>?"
    assert "<script" not in picture
    assert any(text.startswith("<script>") and text.endswith("...") for text in texts)


def test_light_and_dark_and_nothing_from_elsewhere():
    picture = _chart([1.0])
    assert "prefers-color-scheme:dark" in picture
    assert picture.count("http") == 1  # the namespace
    assert _chart([1.0]) == picture


def test_wrong_number_of_values():
    with pytest.raises(ValueError, match="2 values for 1 series"):
        _chart([1.0, 2.0])


def test_chart_of_one_machine():
    picture = chart(
        suite(
            *(result(ms=10 / n, threads=n) for n in (1, 2, 4)),
            result("gemv 10x10", group="gemv", ms=0.5),
            result("add", group="elementwise", gops=None),
            cpu="A & B <Cortex>",
        )
    )
    texts = _texts(picture)
    assert "whit 0.1.0 on A & B <Cortex>" in texts
    assert {"1 thread", "2 threads", "4 threads", "mobilenet_v1 s8", "gemv 10x10 s8", "add s8"} <= set(texts)
    network, layer, elementwise = _bars(picture)
    (two,), (four,) = _bars(picture, 1), _bars(picture, 2)
    assert (two, four) == (pytest.approx(network / 2, abs=0.2), pytest.approx(network / 4, abs=0.2))
    assert layer > 0
    assert elementwise > 0


def test_chart_of_two_machines():
    a = suite(result(ms=10), result("resnet18", ms=40), result(ms=3, threads=4))
    b = suite(result(ms=5), result(ms=2, threads=4), cpu="Cortex-A76")
    picture = comparison_chart(a, b, ("a.json", "b.json"))
    assert "mobilenet_v1 s8, 1T" in _texts(picture)
    assert "B: b.json (Cortex-A76, neon)" in _texts(picture)
    assert not any(text.startswith("resnet18") for text in _texts(picture))
    assert _bars(picture)[0] == pytest.approx(2 * _bars(picture, 1)[0], abs=0.2)


def test_a_range_is_a_line_over_its_bar_on_the_axis():
    panel = Panel("p", "ms", [Row("a", [10.0], [(1.0, 100.0)]), Row("b", [10.0], [None])], log=True)
    root = ElementTree.fromstring(bar_chart("t", ["s"], [panel]))
    (line,) = (line for line in root.iter(f"{SVG}line") if line.get("class") == "range")
    low, high = float(line.get("x1")), float(line.get("x2"))
    (bar, _) = (rect for rect in root.iter(f"{SVG}rect") if rect.get("class") == "s0" and rect.get("height") != "10")
    end = float(bar.get("x")) + float(bar.get("width"))
    assert low == pytest.approx(float(bar.get("x")), abs=0.2)
    assert end == pytest.approx((low + high) / 2, abs=0.2)
    with pytest.raises(ValueError, match="ranges"):
        bar_chart("t", ["s"], [Panel("p", "ms", [Row("a", [1.0], [None, None])])])
