"""`whit compress`: outputs, exit codes, and that a failure leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import whit as package

from onnx_models import save_model  # isort: skip


def test_writes_a_file_that_runs_and_reports_every_layer(whit, demo, assets, tmp_path):
    out = tmp_path / "digits.whit"
    result = whit(
        "compress",
        demo / "digits.onnx",
        "-o",
        out,
        "--data",
        demo / "calibration",
        "--preprocess",
        "channels=gray,scale=1/15",
    )
    assert (result.code, result.err) == (0, "")
    assert "recipe int8, 109 calibration samples" in result.out
    assert "/7/body/body.6/Conv" in result.out
    assert str(out) in result.out
    assert out.read_bytes() == (demo / "digits-int8.whit").read_bytes()  # the same data as arrays


def test_json_keys(whit, demo, npz, tmp_path, documented):
    result = whit("compress", demo / "digits.onnx", "-o", tmp_path / "d.whit", "--data", npz, "--json")
    values = result.json
    assert result.code == 0
    assert set(values) == documented("compress")
    assert set(values["layers"][0]) == documented("compress", "layers")
    assert values["file_bytes"] == (tmp_path / "d.whit").stat().st_size
    assert values["source_bytes"] == (demo / "digits.onnx").stat().st_size
    assert values["calibration_samples"] == 20
    assert values["weight_bytes_after"] < 0.3 * values["weight_bytes_before"]


def test_options_reach_the_recipe(whit, demo, npz, tmp_path):
    out = tmp_path / "d.whit"
    options = ("--calibration", "minmax", "--keep-f32", "/10/*", "--keep-f32", "/4/*", "--shape", "image=1x1x8x8")
    assert whit("compress", demo / "digits.onnx", "-o", out, "--data", npz, *options).code == 0
    with package.load(out) as model:
        recipe = model.metadata["recipe"]
        assert recipe["steps"] == [
            {"kind": "quantize", "skip": ["/10/*", "/4/*"], "calibration": {"method": "minmax"}},
        ]
        assert model.inputs[0].shape == (1, 1, 8, 8)
        dtypes = {node["name"]: node["kernel"].split("_")[1] for node in model.kernels() if node["op"] == "gemm"}
    assert dtypes == {"/10/Gemm": "f32", "/12/Gemm": "s8s8s32"}


def test_inputs_u8_from_pictures_to_classes(whit, demo, tmp_path):
    from PIL import Image

    plain, pixels = tmp_path / "plain.whit", tmp_path / "pixels.whit"
    arguments = ("--data", demo / "calibration", "--preprocess", "channels=gray,scale=1/15")
    assert whit("compress", demo / "digits.onnx", "-o", plain, *arguments).code == 0
    assert whit("compress", demo / "digits.onnx", "-o", pixels, *arguments, "--inputs", "u8").code == 0
    inputs = whit("inspect", pixels, "--json").json["inputs"]
    assert [(info["dtype"], info["shape"]) for info in inputs] == [("u8", ["N", 8, 8, 1])]
    compared = whit("compare", demo / "digits.onnx", pixels, "--data", demo / "calibration", "--json").json
    assert compared["outputs"][0]["top1_agreement"] > 0.95
    picture = sorted((demo / "calibration").glob("*.png"))[0]
    wanted, got = (whit("run", file, "--input", picture, "--top", "1", "--json").json for file in (plain, pixels))
    assert got["outputs"]["logits"]["top"][0][0]["class"] == wanted["outputs"]["logits"]["top"][0][0]["class"]
    array = tmp_path / "x.npy"
    np.save(array, np.asarray(Image.open(picture))[:, :, None])
    assert whit("run", pixels, "--input", array, "--top", "1", "--json").json == got
    result = whit(
        "compress", demo / "digits.onnx", "-o", tmp_path / "no.whit", "--data", demo / "calibration", "--inputs", "u8"
    )
    assert result.code == 2
    assert "--preprocess" in result.err


def _failures(demo: Path, folder: Path) -> dict[str, tuple[int, str, list[object]]]:
    """Name -> exit code, words of the message, arguments after `compress`; all write to folder/out.whit."""
    model = demo / "digits.onnx"
    (folder / "empty").mkdir()
    (folder / "truncated.onnx").write_bytes(model.read_bytes()[:5000])
    (folder / "text.onnx").write_text("not a model")
    good = np.zeros((4, 1, 8, 8), np.float32)
    nan = good.copy()
    nan[2, 0, 3, 4] = np.nan
    np.savez(folder / "nan.npz", image=nan)
    np.savez(folder / "shape.npz", image=good[:, :, :7])
    np.savez(folder / "dtype.npz", image=good.astype(np.float64))
    np.savez(folder / "name.npz", picture=good)
    (folder / "broken.npz").write_bytes((folder / "nan.npz").read_bytes()[:100])
    save_model(folder / "unsupported.onnx", "Det", {"x": [2, 3, 3]}, [2])
    f32 = ["--recipe", "f32"]
    return {
        "missing model": (3, "nope.onnx: no such file", [folder / "nope.onnx"]),
        "folder for a model": (3, "is a directory", [folder, *f32]),
        "truncated model": (3, "truncated.onnx", [folder / "truncated.onnx", *f32]),
        "not a model": (3, "text.onnx", [folder / "text.onnx", *f32]),
        "unsupported operator": (4, "Det", [folder / "unsupported.onnx", *f32]),
        "unknown recipe": (2, "recipes: f32, int8, int8-weights", [model, "--recipe", "int9"]),
        "no data": (2, "--data", [model]),
        "missing data": (2, "nowhere", [model, "--data", folder / "nowhere"]),
        "empty folder": (2, "holds no pictures", [model, "--data", folder / "empty"]),
        "NaN in data": (2, "nan at [0, 0, 3, 4]", [model, "--data", folder / "nan.npz"]),
        "shape of data": (2, "wanted shape [N, 1, 8, 8], got [1, 1, 7, 8]", [model, "--data", folder / "shape.npz"]),
        "dtype of data": (2, "wanted f32, got float64", [model, "--data", folder / "dtype.npz"]),
        "name of data": (2, "'image' is missing", [model, "--data", folder / "name.npz"]),
        "broken data": (2, "broken.npz", [model, "--data", folder / "broken.npz"]),
        "pictures without preprocess": (2, "--preprocess", [model, "--data", demo / "test"]),
        "unknown preset": (2, "presets: imagenet", [model, "--data", demo / "test", "--preprocess", "imagnet"]),
        "bad shape option": (2, "wanted NAME=1x3x224x224", [model, *f32, "--shape", "image=1x0"]),
        "shape of no input": (2, "x", [model, *f32, "--shape", "x=1x1x8x8"]),
        "fixed size changed": (2, "fixed size 8", [model, *f32, "--shape", "image=1x1x9x8"]),
    }


_NAMES = [
    "missing model", "folder for a model", "truncated model", "not a model", "unsupported operator", "unknown recipe",
    "no data", "missing data", "empty folder", "NaN in data", "shape of data", "dtype of data", "name of data",
    "broken data", "pictures without preprocess", "unknown preset", "bad shape option", "shape of no input",
    "fixed size changed",
]  # fmt: skip


def test_all_failures_are_tested(demo, tmp_path):
    assert list(_failures(demo, tmp_path)) == _NAMES


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize("name", _NAMES)
def test_a_failure_says_what_is_wrong_and_writes_nothing(whit, demo, tmp_path, name, existing):
    code, words, arguments = _failures(demo, tmp_path)[name]
    out = tmp_path / "out.whit"
    if existing:
        out.write_bytes(b"what was here before")
    before = sorted(tmp_path.rglob("*"))
    result = whit("compress", *arguments, "-o", out)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("whit: ")
    assert words in result.err
    if code != 4:  # that one lists every node
        assert result.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert not existing or out.read_bytes() == b"what was here before"


def test_does_not_overwrite_the_model(whit, demo, tmp_path):
    model = tmp_path / "digits.onnx"
    model.write_bytes((demo / "digits.onnx").read_bytes())
    result = whit("compress", model, "-o", tmp_path / "." / "digits.onnx", "--recipe", "f32")
    assert result.code == 2
    assert "is the model itself" in result.err
    assert model.read_bytes() == (demo / "digits.onnx").read_bytes()


@pytest.mark.parametrize("place", ["folder", "missing/out.whit"])
def test_output_must_be_a_file_in_a_folder(whit, demo, tmp_path, place):
    (tmp_path / "folder").mkdir()
    result = whit("compress", demo / "digits.onnx", "-o", tmp_path / place, "--recipe", "f32")
    assert result.code == 2
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder"]


def test_interrupted_in_the_middle(whit, demo, npz, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("whit.compression.steps.quantize.quantize", interrupt)
    result = whit("compress", demo / "digits.onnx", "-o", tmp_path / "d.whit", "--data", npz)
    assert (result.code, result.out, result.err) == (130, "", "whit: interrupted\n")
    assert list(tmp_path.iterdir()) == [npz]
