"""Points where they belong, text escaped, pages complete."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from whit.draw.page import cells, facts, page, preformatted, section
from whit.draw.scatter import Dot, Plot, scatter_chart

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<b>&"'


def elements(picture: str, kind: str, style: str | None = None) -> list[ElementTree.Element]:
    found = ElementTree.fromstring(picture).iter(f"{SVG}{kind}")
    return [element for element in found if style is None or element.get("class") == style]


def chart(dots: list[Dot], **options: object) -> str:
    return scatter_chart("t", ("a", "b"), [Plot("p", "x", "y", dots, **options)])  # type: ignore[arg-type]


def centres(picture: str) -> list[tuple[float, float]]:
    circles = [c for c in elements(picture, "circle") if c.get("class") != "ring"]
    return [(float(c.get("cx", "nan")), float(c.get("cy", "nan"))) for c in circles]


def test_points_are_to_scale() -> None:
    (ax, ay), (bx, by), (cx, cy) = centres(chart([Dot(1, 10), Dot(2, 20), Dot(4, 40)]))
    assert cx - bx == pytest.approx(2 * (bx - ax), abs=0.2)
    assert by - cy == pytest.approx(2 * (ay - by), abs=0.2)
    assert cy < by < ay


def test_log_axis_gives_every_factor_one_length() -> None:
    (ax, _), (bx, _), (cx, _) = centres(chart([Dot(3, 1), Dot(30, 1), Dot(300, 1)], log_x=True))
    assert cx - bx == pytest.approx(bx - ax, abs=0.2)
    assert len(centres(chart([Dot(0, 1), Dot(1, 1), Dot(2, 3)], log_x=True))) == 2


def test_everything_lies_inside(  # one point, equal points, negative and tiny values, limits far away
) -> None:
    for dots in ([Dot(5, 5)], [Dot(5, 5), Dot(5, 5)], [Dot(-1e-9, -3), Dot(1e9, 4)]):
        for options in ({}, {"x_limit": 1e12, "y_limit": -50.0}):
            picture = chart(dots, **options)
            height = float(ElementTree.fromstring(picture).get("height", "0"))
            for x, y in centres(picture):
                assert 0 <= x <= 860
                assert 0 <= y <= height


def test_what_lies_below_the_floor_is_drawn_on_it() -> None:
    picture = chart([Dot(1, 98), Dot(2, 97), Dot(3, 10)], y_floor=95, front=[(1, 98), (3, 10)])
    first, second, third = (y for _, y in centres(picture))
    assert first < second < third
    assert third - second == pytest.approx(2 * (second - first), abs=0.2)
    line = elements(picture, "polyline", "front")[0].get("points", "")
    assert float(line.split()[1].split(",")[1]) == pytest.approx(third, abs=0.1)


def test_limits_front_and_choice() -> None:
    picture = chart([Dot(1, 1), Dot(2, 2, chosen=True)], x_limit=1.5, y_limit=0.5, front=[(1, 1), (2, 2)])
    assert len(elements(picture, "line", "limit")) == 2
    assert len(elements(picture, "polyline", "front")) == 1
    (ring,) = elements(picture, "circle", "ring")
    assert (float(ring.get("cx", "0")), float(ring.get("cy", "0"))) in centres(picture)


def test_what_cannot_be_drawn_is_left_out() -> None:
    assert len(centres(chart([Dot(math.nan, 1), Dot(1, math.inf), Dot(1, 1)]))) == 1
    assert not elements(chart([Dot(math.nan, 1)]), "line")


def test_text_of_points_is_escaped() -> None:
    (title,) = elements(chart([Dot(1, 1, EVIL + "\x07")]), "title")
    assert title.text == EVIL + "?"


class _Texts(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_pages_escape_everything_that_is_no_section() -> None:
    parts = (facts([(EVIL, EVIL)]), cells([EVIL, "n"], [[EVIL, "1"]], numbers=[1]), preformatted(EVIL))
    found = _Texts(page(EVIL, [section(EVIL, *parts)]))
    assert "b" not in found.tags
    assert found.texts.count(EVIL) == 8
    assert section("empty", "", "") == ""
