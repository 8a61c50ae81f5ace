from xml.etree import ElementTree

import pytest

from bench.picture import Bar, bars

_SVG = "{http://www.w3.org/2000/svg}"


def test_pictures_are_well_formed_and_logarithmic():
    groups = {"net <1>": {"whit": Bar(1, 0.9, 1.1), "a & b": Bar(10, 10, 10)}, "net 2": {"a & b": Bar(100, 90, 100)}}
    root = ElementTree.fromstring(bars("speed <s8>", "ms", groups, ["whit", "a & b"]))
    assert root.tag == f"{_SVG}svg"
    texts = [text.text for text in root.iter(f"{_SVG}text")]
    for wanted in ("speed <s8>", "net <1>", "net 2", "a & b", "whit", "0.1", "1", "10", "100", "ms"):
        assert wanted in texts
    drawn = [rect for rect in root.iter(f"{_SVG}rect") if rect.get("height") == "10" and rect.get("width") != "10"]
    widths = [float(rect.get("width")) for rect in drawn]
    assert len(widths) == 3
    assert widths[1] / widths[0] == pytest.approx(2, abs=0.01)
    assert widths[2] / widths[0] == pytest.approx(3, abs=0.01)
    assert drawn[1].get("fill") == drawn[2].get("fill") != drawn[0].get("fill")
    bottom = max(float(rect.get("y")) + float(rect.get("height")) for rect in drawn)
    assert bottom < float(root.get("height"))


@pytest.mark.parametrize("groups", [{}, {"a": {"b": Bar(0, 0, 0)}}])
def test_a_logarithm_needs_values_above_0(groups):
    with pytest.raises(ValueError, match="above 0"):
        bars("", "", groups, ["b"])
