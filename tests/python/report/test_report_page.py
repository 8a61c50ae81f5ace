"""What became of each layer, as numbers and as a page."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from whit.compression.details import layer_nodes, sample_feeds
from whit.compression.pipeline import compress
from whit.compression.result import Report
from whit.errors import CalibrationError
from whit.ir import Graph, Node, Tensor

EVIL = "<script>alert('&')</script>"


def dense(name: str = "dense", inputs: int = 40, outputs: int = 16) -> Graph:
    """gemm with half of its weights 0."""
    rng = np.random.default_rng(0)
    graph = Graph("g", inputs=["x"], outputs=["y"])
    graph.add_tensor(Tensor("x", "f32", (1, inputs)))
    weights = rng.normal(size=(outputs, inputs)).astype(np.float32)
    weights[:, ::2] = 0
    graph.add_constant("w", weights)
    graph.add_constant("b", rng.normal(size=outputs).astype(np.float32))
    graph.add_tensor(Tensor("y", "f32", (1, outputs)))
    graph.nodes.append(Node("gemm", name, ["x", "w", "b"], ["y"]))
    return graph


def samples(count: int = 12) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 1, 40)).astype(np.float32)


class Page(HTMLParser):
    """Collects tags and attributes; void tags aside, all must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "rect", "line", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("rect", "line", "circle"):
            assert self.open.pop() == tag


def test_storage_is_what_the_file_has() -> None:
    report = compress(dense(), None, "int8-weights")
    (layer,) = report.layers
    weights, bias = 40 * 16, 16 * 4
    assert layer.stored_bytes == weights + bias
    assert layer.bits_per_weight == pytest.approx(8 * (weights + bias) / (40 * 16 + 16), abs=1e-3)
    assert layer.sparsity == pytest.approx(0.5, abs=0.01)  # and what was rounded to 0
    assert layer.entropy is not None
    assert 1 < layer.entropy < 8
    (layer,) = compress(dense(), None, "f32").layers
    assert layer.stored_bytes == 4 * (weights + 16)
    assert layer.bits_per_weight == 32


def test_entropy_of_known_distributions() -> None:
    graph = dense()
    graph.tensors["w"].data = np.tile(np.float32([0, 0, 1, 2]), 160).reshape(16, 40)
    (layer,) = compress(graph, None, "f32").layers
    assert layer.entropy == 1.5
    assert layer.sparsity == 0.5


def test_what_was_split_belongs_to_its_layer() -> None:
    before = dense()
    after = Graph("g", inputs=["x"], outputs=["y"])
    for name, shape in (("x", (1, 40)), ("middle", (1, 4)), ("y", (1, 16))):
        after.add_tensor(Tensor(name, "f32", shape))
    after.nodes = [
        Node("gemm", "first", ["x", after.add_constant("u", np.ones((4, 40), np.float32))], ["middle"]),
        Node("gemm", "second", ["middle", after.add_constant("v", np.ones((16, 4), np.float32))], ["y"]),
    ]
    assert {node.name for node in layer_nodes(before, after)["dense"]} == {"first", "second"}


def test_times_are_of_every_layer() -> None:
    report = compress(dense(), None, "int8", samples(), times=True)
    assert report.ms_before is not None
    assert report.ms_after is not None
    assert report.ms_before > 0
    assert sum(layer.ms_after or 0 for layer in report.layers) == pytest.approx(report.ms_after, rel=0.01, abs=1e-4)
    assert "time " in str(report)
    assert compress(dense(), None, "f32", times=True).ms_after is not None


def test_times_need_sizes() -> None:
    graph = dense()
    graph.tensors["x"].shape = ("N", "C")
    with pytest.raises(CalibrationError, match="open sizes"):
        sample_feeds(graph)
    graph.tensors["x"].shape = ("N", 40)
    assert sample_feeds(graph)["x"].shape == (1, 40)


def page_of(name: str = "dense") -> tuple[Report, str]:
    data = samples()
    report = compress(dense(name), None, "int8", data, evaluation=data, times=True)
    return report, report.to_html()


def test_page_is_complete_in_itself() -> None:
    report, text = page_of()
    page = Page(text)
    assert "script" not in page.tags
    assert not [name for name, _ in page.attributes if name in ("src", "href") or name.startswith("on")]
    assert not re.search(r"url\(|@import", text)
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) == 3  # bytes, SNR, times
    for picture in pictures:
        ElementTree.fromstring(picture)
    assert "prefers-color-scheme:dark" in text
    assert str(report.accuracy) in html.unescape(text)
    assert f"{report.layers[0].snr_db:.1f}" in text


def test_names_from_files_are_text() -> None:
    _, text = page_of(EVIL)
    assert "script" not in Page(text).tags
    assert "&lt;script&gt;" in text


def test_bars_say_bytes() -> None:
    report, text = page_of()
    layer = report.layers[0]
    assert f">{layer.bytes_before}</text>" in text
    assert layer.bytes_before == 2624
