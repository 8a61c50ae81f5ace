"""`whit run`: pictures with stored preprocessing, arrays, --top, --labels, --output."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import whit as package

from onnx_models import save_model  # isort: skip


def test_a_picture_gives_what_doing_it_by_hand_gives(whit, demo, tmp_path):
    picture = demo / "test" / "000_is_8.png"
    by_hand = np.asarray(Image.open(picture)).astype(np.float32)[None, None] / np.float32(15)
    with package.load(demo / "digits-int8.whit") as model:
        expected = model(by_hand)
    result = whit("run", demo / "digits-int8.whit", "--input", picture, "--output", tmp_path / "o.npz")
    assert (result.code, result.err) == (0, "")
    with np.load(tmp_path / "o.npz") as saved:
        assert saved.files == ["logits"]
        assert saved["logits"].dtype == np.float32
        np.testing.assert_array_equal(saved["logits"], expected)


@pytest.mark.parametrize("spell", ["{}", "image={}"])
@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (1, 8, 8)])
def test_arrays_with_and_without_batch_axis_and_name(whit, demo, tmp_path, spell, shape):
    x = np.linspace(0, 16, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    np.save(tmp_path / "x.npy", x.reshape(shape))
    result = whit("run", demo / "digits-int8.whit", "--input", spell.format(tmp_path / "x.npy"), "--json")
    with package.load(demo / "digits-int8.whit") as model:
        expected = model(x)
    output = result.json["outputs"]["logits"]
    assert output == {"dtype": "float32", "shape": [1, 10], "values": expected.tolist()}


def test_top_and_labels(whit, demo, tmp_path):
    labels = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight"]  # none for 9
    (tmp_path / "labels.txt").write_text("\n".join(labels))
    for picture in ("000_is_8.png", "001_is_4.png"):
        arguments = ("run", demo / "digits-int8.whit", "--input", demo / "test" / picture, "--top", "10")
        digit = int(picture[7])
        (entries,) = whit(*arguments, "--labels", tmp_path / "labels.txt", "--json").json["outputs"]["logits"]["top"]
        assert entries[0]["class"] == digit
        assert entries[0]["label"] == labels[digit]
        assert [entry["value"] for entry in entries] == sorted((entry["value"] for entry in entries), reverse=True)
        assert {entry["class"]: entry["label"] for entry in entries} == {**dict(enumerate(labels)), 9: None}
        lines = whit(*arguments).out.splitlines()
        assert lines[1].split() == ["class", "value"]
        assert lines[3].split()[0] == str(digit)
        assert len(lines) == 3 + 10


def test_top_of_a_batch_is_one_table_a_sample(whit, demo, tmp_path, assets):
    with np.load(assets / "digits.npz") as data:
        np.save(tmp_path / "x.npy", data["test_images"][:3].astype(np.float32))
        labels = data["test_labels"][:3].tolist()
    result = whit("run", demo / "digits-int8.whit", "--input", tmp_path / "x.npy", "--top", "1", "--json")
    assert [entries[0]["class"] for entries in result.json["outputs"]["logits"]["top"]] == labels


def test_several_inputs_by_name_or_npz(whit, tmp_path):
    save_model(tmp_path / "m.onnx", "Sub", {"a": [1, 3], "b": [1, 3]}, [1, 3])
    assert whit("compress", tmp_path / "m.onnx", "-o", tmp_path / "m.whit", "--recipe", "f32").code == 0
    a, b = np.array([[1, 2, 3]], np.float32), np.array([[5, 5, 9]], np.float32)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    np.savez(tmp_path / "ab.npz", a=a, b=b)
    named = ("--input", f"b={tmp_path / 'b.npy'}", "--input", f"a={tmp_path / 'a.npy'}")
    for arguments in (named, ("--input", tmp_path / "ab.npz")):
        assert whit("run", tmp_path / "m.whit", *arguments, "--json").json["outputs"]["y"]["values"] == [[-4, -3, -6]]
    for arguments, words in (
        (("--input", tmp_path / "a.npy"), "give NAME=FILE for each (a, b)"),
        (named[:2], "input 'a' is missing"),
        ((*named, *named[:2]), "input 'b' is given twice"),
        (("--input", f"c={tmp_path / 'a.npy'}"), "the model has no input 'c'"),
    ):
        result = whit("run", tmp_path / "m.whit", *arguments)
        assert (result.code, result.out) == (2, "")
        assert words in result.err


def test_infinity_is_null_in_json(whit, tmp_path):
    save_model(tmp_path / "m.onnx", "Sub", {"a": [2], "b": [2]}, [2])
    assert whit("compress", tmp_path / "m.onnx", "-o", tmp_path / "m.whit", "--recipe", "f32").code == 0
    np.savez(tmp_path / "ab.npz", a=np.array([np.inf, 1], np.float32), b=np.zeros(2, np.float32))
    result = whit("run", tmp_path / "m.whit", "--input", tmp_path / "ab.npz", "--json")
    assert result.json["outputs"]["y"]["values"] == [None, 1.0]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--input", "nope.npy"], 3, "nope.npy: no such file"),
        (["--input", "nope.png"], 3, "nope.png: no such file"),
        (["--input", "folder.npy"], 3, "is a directory"),
        (["--input", "text.npy"], 3, "not a readable numpy file"),
        (["--input", "cut.npy"], 3, "not a readable numpy file"),
        (["--input", "x.txt"], 2, "wanted .npy, .npz or a picture"),
        (["--input", "f64.npy"], 2, "must be float32; got float64"),
        (["--input", "shape.npy"], 2, "[N, 1, 8, 8]"),
        (["--input", "x.npy", "--labels", "l.txt"], 2, "--labels goes with --top"),
        (["--input", "x.npy", "--top", "0"], 2, "from 1 up"),
        (["--input", "x.npy", "--top", "1", "--labels", "nope.txt"], 3, "nope.txt"),
        (["--input", "x.npy", "--output", "o.npy"], 2, "must end in .npz"),
        (["--input", "x.npy", "--output", "missing/o.npz"], 3, "does not exist"),
        (["--input", "x.npy", "--threads", "two"], 2, "--threads"),
        ([], 2, "--input"),
    ],
)
def test_failures(whit, demo, tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    x = np.zeros((1, 1, 8, 8), np.float32)
    np.save("x.npy", x)
    np.save("f64.npy", x.astype(np.float64))
    np.save("shape.npy", x[..., :7])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "x.txt").write_text("hello")
    (tmp_path / "folder.npy").mkdir()
    before = sorted(tmp_path.iterdir())
    result = whit("run", demo / "digits-int8.whit", *arguments)
    assert (result.code, result.out) == (code, "")
    assert words in result.err
    assert result.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_picture_needs_stored_preprocessing(whit, demo, tmp_path):
    assert whit("compress", demo / "digits.onnx", "-o", tmp_path / "d.whit", "--recipe", "f32").code == 0
    result = whit("run", tmp_path / "d.whit", "--input", demo / "test" / "000_is_8.png")
    assert result.code == 2
    assert "compress with --preprocess" in result.err


def test_output_is_replaced_whole(whit, demo, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8), np.float32))
    out = tmp_path / "o.npz"
    out.write_bytes(b"old")

    def fail(*arguments, **options):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("numpy.lib.format.write_array", fail)
        assert whit("run", demo / "digits-int8.whit", "--input", tmp_path / "x.npy", "--output", out).code == 3
    assert sorted(tmp_path.iterdir()) == [out, tmp_path / "x.npy"]
    assert out.read_bytes() == b"old"
