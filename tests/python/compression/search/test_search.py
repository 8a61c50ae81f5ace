"""The search as a whole: budgets hold for real, impossible ones say what can be, the same comes out however it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from search_models import CLASSES, FEW, OPTIONS, model, samples
from small_graphs import Builder

import whit
from whit.compression import compress
from whit.compression.page import report_page
from whit.compression.recipe import Recipe
from whit.compression.search import Budget, SearchResult, search
from whit.errors import BudgetError, CalibrationError, InvalidArgumentError, RecipeError


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """What the original says, with one in eight wrong."""
    with whit.load(compress(model(), None, "f32").file or b"") as original:
        found = np.array([int(original(each).argmax()) for each in samples(160)])
    found[::8] = (found[::8] + 1) % CLASSES
    return found


def run(budget: Budget, **changes: Any) -> SearchResult:
    given = {"data": samples(), "evaluation": samples(160), **OPTIONS, **changes}
    return search(model(), budget, given.pop("data"), **given)


def made(found: SearchResult, **changes: Any) -> Any:
    return compress(model(), None, found.recipe, samples(), evaluation=samples(160), **changes)


def test_smallest_file_within_a_drop(labels: np.ndarray) -> None:
    found = run(Budget(max_drop=4), labels=labels)
    report = made(found, labels=labels)
    assert report.file_bytes == found.best.bytes
    assert report.accuracy == found.best.accuracy
    assert report.accuracy.drop <= 4
    eight = compress(model(), None, {**OPTIONS["recipe"]}, samples()).file_bytes
    assert report.file_bytes < eight
    assert len({layer.chosen for layer in found.layers}) > 1 or found.layers[0].chosen != "quantize bits=8"
    trials = [point for point in found.points if point.accuracy is not None and point.accuracy.drop <= 4]
    assert found.best.bytes == min(point.bytes for point in trials)


def test_the_choice_is_near_the_best_of_all_combinations(labels: np.ndarray) -> None:
    """Every combination tried: 25."""
    from whit.compression.search.assign import layers_of, recipe_of
    from whit.optimize import optimize

    reference = optimize(model())
    outputs = [node.outputs[0] for node in layers_of(reference)]
    base = Recipe.of(OPTIONS["recipe"])
    sizes = []
    for first in FEW:
        for second in FEW:
            recipe = recipe_of(base, reference, dict(zip(outputs, (first, second), strict=True)))
            report = compress(model(), None, recipe, samples(), evaluation=samples(160), labels=labels)
            if report.accuracy is not None and (report.accuracy.drop or 0) <= 4:
                sizes.append(report.file_bytes)
    found = run(Budget(max_drop=4), labels=labels)
    assert found.best.bytes <= min(sizes) + 0.03 * (max(sizes) - min(sizes))


def test_most_accurate_within_bytes() -> None:
    small = run(Budget(max_drop=100)).best.bytes
    large = run(Budget(max_drop=0)).best.bytes
    budget = Budget(max_bytes=(small + large) // 2)
    found = run(budget)
    assert found.best.bytes <= budget.max_bytes
    assert len(found.points) < 30
    fitting = [point for point in found.points if point.accuracy is not None and point.bytes <= budget.max_bytes]
    assert found.best.accuracy is not None
    assert found.best.accuracy.after == max(point.accuracy.after for point in fitting if point.accuracy)


def test_time_on_a_target() -> None:
    slow = run(Budget(max_drop=100, max_ms=1000, target="cortex-a53"), recipe="int8")
    assert slow.best.ms is not None
    alone = search(
        model(), Budget(max_ms=1000, target="cortex-a53"), samples(), recipe="f32", candidates=FEW, samples=4, threads=1
    )
    assert alone.best.ms is not None
    assert slow.best.ms < alone.best.ms  # s8 against f32 arithmetic
    limit = (slow.best.ms + alone.best.ms) / 2
    found = run(Budget(max_ms=limit, target="cortex-a53"), recipe="int8")
    assert found.best.ms is not None
    assert found.best.ms <= limit
    with pytest.raises(BudgetError, match=r"cannot be reached on cortex-a53: the fastest combination takes about"):
        run(Budget(max_ms=slow.best.ms / 100, target="cortex-a53"), recipe="int8")


def test_time_on_this_machine_is_measured_once_for_what_computes_the_same(tmp_path: Path) -> None:
    found = run(Budget(max_drop=100, max_ms=1000), journal=tmp_path / "j")
    assert found.best.ms is not None
    assert 0 < found.best.ms < 1000
    by_compute: dict[str, set[float | None]] = {}
    for point in found.points:
        by_compute.setdefault(point.compute, set()).add(point.ms)
    assert all(len(times) == 1 for times in by_compute.values())
    again = run(Budget(max_drop=100, max_ms=1000), journal=tmp_path / "j")
    assert again == found


def test_impossible_drop_and_bytes_says_both_ways_out(labels: np.ndarray) -> None:
    best = run(Budget(max_drop=1), labels=labels).best
    least = run(Budget(max_drop=100), labels=labels).best
    limit = (least.bytes + best.bytes) // 2
    with pytest.raises(BudgetError) as problem:
        run(Budget(max_drop=1, max_bytes=limit), labels=labels)
    text = str(problem.value)
    assert f"the smallest file within 1 points is {best.bytes / 1e3:.1f} kB ({best.bytes} bytes)" in text
    assert "ask for at least that or allow" in text
    reachable = problem.value.reachable
    assert run(Budget(max_drop=1, max_bytes=int(reachable["bytes"])), labels=labels).best.bytes <= reachable["bytes"]
    allowed = run(Budget(max_drop=reachable["drop"], max_bytes=limit), labels=labels).best
    assert allowed.bytes <= limit


def test_impossible_bytes() -> None:
    totals: list[int] = []

    def count(label: str, done: int, total: int) -> None:
        if label == "search: try recipes":
            totals.append(total)

    for drop in (None, 1.0):
        with pytest.raises(BudgetError, match=r"the smallest file is .* bytes\); ask for at least that$") as problem:
            run(Budget(max_drop=drop, max_bytes=100), progress=count)
        smallest = int(problem.value.reachable["bytes"])
        assert run(Budget(max_bytes=smallest)).best.bytes <= smallest
    assert set(totals) == {1}, "nothing but the smallest needs to be tried"


def test_impossible_drop() -> None:
    two = [{"quantize": {"bits": 2}}, {"cluster": {"entries": 2}}]
    with pytest.raises(
        BudgetError, match=r"a drop of 0 points cannot be kept: the most accurate recipe reaches"
    ) as problem:
        run(Budget(max_drop=0), candidates=two)
    assert problem.value.reachable["drop"] > 0


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ({}, "at least one of"),
        ({"max_drop": -1}, "at least 0"),
        ({"max_drop": float("nan")}, "finite"),
        ({"max_bytes": 0}, "at least 1"),
        ({"max_ms": 0.0}, "max_ms"),
        ({"max_ms": 1, "target": "cortex-m0"}, "no target 'cortex-m0'; targets: this, cortex-a53"),
        ({"max_drop": 1, "min_snr": 3}, "give the one that fits"),
    ],
)
def test_bad_budgets(budget: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        Budget(**budget)


def test_bad_arguments() -> None:
    with pytest.raises(CalibrationError, match="give evaluation data"):
        search(model(), Budget(max_drop=1), recipe="int8-weights")
    with pytest.raises(InvalidArgumentError, match="labels go with evaluation"):
        search(model(), Budget(max_drop=1), samples(), labels=[0], recipe="int8-weights")
    with pytest.raises(InvalidArgumentError, match="give max_drop, in points"):
        run(Budget(min_snr=20))
    with pytest.raises(InvalidArgumentError, match="jobs must be a whole number"):
        run(Budget(max_drop=1), jobs=0)
    skipping = Recipe.of("int8-weights").with_settings(['quantize.skip=["*"]'])
    with pytest.raises(RecipeError, match="no layer with f32 weights"):
        run(Budget(max_drop=1), recipe=skipping, candidates=FEW[:3])
    with pytest.raises(RecipeError, match="no step 'shrink'"):
        run(Budget(max_drop=1), candidates=[{"shrink": {}}, {}])


def test_outputs_that_are_no_scores() -> None:
    b = Builder(2)
    x = b.input("x", 1, 6, 6, 16)
    graph = b.finish(b.conv(b.conv(x, 16, name="a"), 8, name="b"))
    pictures = np.random.default_rng(3).normal(size=(40, 6, 6, 16)).astype(np.float32)
    options = {**OPTIONS, "evaluation": pictures}
    found = search(graph, Budget(min_snr=20), pictures, **options)
    assert found.best.accuracy is not None
    assert found.best.accuracy.metric == "snr"
    assert found.best.accuracy.after >= 20
    with pytest.raises(InvalidArgumentError, match="give min_snr"):
        search(graph, Budget(max_drop=1), pictures, **options)
    with pytest.raises(BudgetError, match=r"the smallest file of 20 dB is .* or allow \d+\.\d dB"):
        search(graph, Budget(min_snr=20, max_bytes=found.best.bytes - 200), pictures, **options)


def test_the_same_from_a_journal_and_without_trying_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(max_drop=4)
    first = run(budget, journal=tmp_path / "j")
    assert first == run(budget)

    def fail(*arguments: object) -> None:
        raise AssertionError("everything is in the journal")

    monkeypatch.setattr("whit.compression.search.workers.try_recipe", fail)
    assert run(budget, journal=tmp_path / "j") == first
    with pytest.raises(AssertionError):
        run(budget, journal=tmp_path / "j", evaluation=samples(161))  # other data, other keys


SCRIPT = """
    import sys
    sys.path[:0] = {paths!r}
    from search_models import OPTIONS, model, samples
    from whit.compression import compress
    from whit.compression.search import Budget, search
    found = search(model(), Budget(max_drop=4), samples(), evaluation=samples(160), journal=sys.argv[1], **OPTIONS)
    compress(model(), sys.argv[2], found.recipe, samples())
"""


def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    paths = [str(Path(__file__).parent), *(os.fspath(path) for path in sys.path if path)]
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT).format(paths=paths))
    journal, out = tmp_path / "j.jsonl", tmp_path / "m.whit"
    call = [sys.executable, str(script), str(journal), str(out)]
    kills = 0
    for wanted in (2, 5, 9):
        process = subprocess.Popen(call)
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < wanted):
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 2
    assert not out.exists()
    with journal.open("ab") as file:
        file.write(b'{"key":"torn')
    before = journal.read_bytes().count(b"\n")
    subprocess.run(call, check=True)
    keys = [line.split(b'"')[3] for line in journal.read_bytes().splitlines()]
    assert len(keys) > before
    assert len(keys) == len(set(keys)), "nothing was measured twice"
    found = run(Budget(max_drop=4))
    compress(model(), tmp_path / "whole.whit", found.recipe, samples())
    assert out.read_bytes() == (tmp_path / "whole.whit").read_bytes()


def test_optuna_tries_more_and_repeats(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    budget = Budget(max_drop=4)
    own = run(budget)
    tuned = run(budget, trials=9, journal=tmp_path / "j")
    assert len([p for p in tuned.points if p.kind == "trial"]) > len([p for p in own.points if p.kind == "trial"])
    assert tuned.best.bytes <= own.best.bytes
    assert run(budget, trials=9, journal=tmp_path / "j") == tuned


def test_recipe_can_be_stored_and_repeated(tmp_path: Path) -> None:
    found = run(Budget(max_drop=4))
    path = tmp_path / "r.toml"
    path.write_text(found.recipe.to_toml())
    assert compress(model(), None, path, samples()).file == compress(model(), None, found.recipe, samples()).file


def test_picture_and_page_have_every_point() -> None:
    found = run(Budget(max_drop=4, max_ms=1000, max_bytes=10**6, target="cortex-a72"))
    picture = ElementTree.fromstring(found.to_svg())
    circles = [c for c in picture.iter("{http://www.w3.org/2000/svg}circle") if c.get("class") != "ring"]
    trials = [point for point in found.points if point.accuracy is not None]
    assert len(circles) == 2 * len(trials) + len(found.points)
    rings = [c for c in picture.iter("{http://www.w3.org/2000/svg}circle") if c.get("class") == "ring"]
    assert len(rings) == 3
    titles = {title.text for title in picture.iter("{http://www.w3.org/2000/svg}title")}
    assert any("middle: quantize bits=2" in str(title) for title in titles)
    for circle in circles:
        assert 0 <= float(circle.get("cx") or -1) <= 860
        assert 0 <= float(circle.get("cy") or -1) <= float(picture.get("height") or 0)
    page = report_page(made(found), found.sections())
    assert "Chosen for each layer" in page
    assert page.count("<tr>") >= len(found.points)
