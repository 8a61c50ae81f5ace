"""`whit bench --suite` and `--compare`: files, texts, JSON keys, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from whit.suite import cases as suite_cases
from whit.suite import runner


@pytest.fixture
def two_cases(monkeypatch):
    """The suite is two small layers, and they take milliseconds."""
    small = [case for case in suite_cases.cases(quick=True) if case.group == "call"]
    monkeypatch.setattr(suite_cases, "cases", lambda quick=False: small)
    monkeypatch.setattr(runner, "_BUDGET_S", {False: 0.002, True: 0.002})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("two_cases")
def test_suite_writes_json_and_svg(whit, folder, documented):
    done = whit("bench", "--suite", "--threads", "2,1")
    assert done.code == 0
    assert done.err == ""
    assert "written: whit-suite.json, whit-suite.svg" in done.out
    assert "gemm 1x16x16" in done.out
    values = json.loads((folder / "whit-suite.json").read_text())
    assert set(values) == documented("bench --suite")
    assert {key for each in values["results"] for key in each} == documented("bench --suite", "results")
    assert [each["threads"] for each in values["results"]] == [1, 2, 1, 2]
    assert (values["complete"], values["quick"]) == (True, False)
    ElementTree.parse(folder / "whit-suite.svg")
    assert sorted(path.name for path in folder.iterdir()) == ["whit-suite.json", "whit-suite.svg"]
    again = whit("bench", "--suite", "--quick", "--threads", "1", "--out", folder / "b.json", "--json")
    assert again.json == json.loads((folder / "b.json").read_text())
    assert again.json["quick"] is True


@pytest.mark.usefixtures("two_cases")
def test_interrupted_suite_keeps_what_it_has(whit, folder, monkeypatch):
    measure = runner._measure

    def interrupted(case, *arguments):
        if case.dtype == "f32":
            raise KeyboardInterrupt
        return measure(case, *arguments)

    monkeypatch.setattr(runner, "_measure", interrupted)
    done = whit("bench", "--suite", "--threads", "1")
    assert done.code == 130
    assert "kept" in done.err
    values = json.loads((folder / "whit-suite.json").read_text())
    assert [each["dtype"] for each in values["results"]] == ["s8"]
    assert values["complete"] is False


@pytest.mark.usefixtures("two_cases")
def test_compare(whit, folder, documented):
    for name in "ab":
        assert whit("bench", "--suite", "--threads", "1", "--out", f"{name}.json").code == 0
    slow = json.loads((folder / "b.json").read_text())
    for each in slow["results"]:
        each["median_ms"] = 4 * json.loads((folder / "a.json").read_text())["results"][0]["median_ms"]
    slow["results"] = slow["results"][:1]
    (folder / "b.json").write_text(json.dumps(slow))
    text = whit("bench", "--compare", "a.json", "b.json")
    assert text.code == 0
    assert "0.25" in text.out
    assert "in A alone: gemm 1x16x16 f32, 1 thread" in text.out
    ElementTree.parse(folder / "whit-compare.svg")
    values = whit("bench", "--compare", "a.json", "b.json", "--json", "--out", "other.svg").json
    assert set(values) == documented("bench --compare")
    assert {key for pair in values["pairs"] for key in pair} == documented("bench --compare", "pairs")
    assert values["pairs"][0]["ratio"] == pytest.approx(0.25)
    assert (folder / "other.svg").is_file()


@pytest.mark.usefixtures("two_cases")
def test_compare_of_files_that_share_nothing(whit, folder):
    whit("bench", "--suite", "--threads", "1", "--out", "a.json")
    whit("bench", "--suite", "--threads", "2", "--out", "b.json")
    done = whit("bench", "--compare", "a.json", "b.json")
    assert done.code == 2
    assert "no case of the same name" in done.err
    assert not (folder / "whit-compare.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "give a MODEL.whit"),
        (["m.whit", "--suite"], 2, "MODEL.whit has no use with --suite"),
        (["--suite", "--compare", "a.json", "b.json"], 2, "give one of them"),
        (["--suite", "--input", "x.npy"], 2, "--input has no use with --suite"),
        (["--suite", "--shape", "x=1"], 2, "--shape has no use"),
        (["--suite", "--count", "5"], 2, "--count has no use"),
        (["--suite", "--warmup", "0"], 2, "--warmup has no use"),
        (["--suite", "--format", "csv"], 2, "--format has no use"),
        (["--suite", "--max-ms", "0"], 2, "--max-ms has no use"),
        (["--suite", "--threads", "1,x"], 2, "from 1 up"),
        (["--suite", "--threads", "99999"], 2, "1 to 1024"),
        (["--suite", "--out", "a.txt"], 2, "ends in .json"),
        (["--suite", "--out", "none/a.json"], 3, "does not exist"),
        (["--compare", "a.json", "b.json", "--quick"], 2, "--quick has no use with --compare"),
        (["--compare", "a.json", "b.json", "--threads", "1"], 2, "--threads has no use"),
        (["--compare", "a.json", "b.json", "--out", "a.json"], 2, "ends in .svg"),
        (["--compare", "a.json", "b.json"], 3, "cannot read a.json"),
        (["m.whit", "--quick"], 2, "--quick has no use with a MODEL.whit"),
        (["m.whit", "--out", "a.json"], 2, "--out has no use"),
        (["m.whit", "--threads", "1,2"], 2, "goes with --suite"),
    ],
)
@pytest.mark.usefixtures("two_cases")
def test_wrong_usage(whit, folder, arguments, code, words):
    done = whit("bench", *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_suite_needs_numpy_alone():
    """No onnx, no PIL, no tqdm, and nothing of the suite before it is asked for."""
    code = (
        "import sys, whit.cli\n"
        "assert 'whit.suite' not in sys.modules\n"
        "import whit.cli.bench_suite, whit.suite.runner, whit.suite.cases\n"
        "roots = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(roots & {'onnx', 'onnxscript', 'onnx_ir', 'PIL', 'tqdm', 'onnxruntime', 'torch'}))\n"
        "print([name for name in sys.modules if name.startswith(('whit.importers', 'whit.compression'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]
