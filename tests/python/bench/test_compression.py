import hashlib
import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("PIL")

import torch
from PIL import Image

import whit
import whit.train
from bench.compression import __main__ as command
from bench.compression import lenet, mnist, pictures, stamps, table
from bench.compression.lenet import Lenet
from bench.compression.store import round_biases, store
from bench.compression.table import Context, Row


def _row(name, reached="1", met="aim"):
    return Row(name, name.upper(), "2", "1", reached, met, {"bytes": 3}, 60.0, 90.0)


@pytest.mark.parametrize(
    ("value", "holds", "expected"),
    [(50, True, "least"), (49.9, True, "no"), (70, True, "aim"), (200, False, "no")],
)
def test_verdict_needs_the_limit_and_the_condition(value, holds, expected):
    assert table.verdict(value, 50, 70, holds=holds) == expected


def test_rows_of_a_later_run_take_the_place_of_stored_ones(tmp_path):
    path = tmp_path / "results" / "compression.json"
    assert table.load(path) == []
    table.store(path, [_row("b"), _row("a")], {"command": "x"})
    kept = table.merged(table.load(path), [_row("c"), _row("a", "2", "no")], ["a", "b", "c"])
    assert [(row.row, row.reached) for row in kept] == [("a", "2"), ("b", "1"), ("c", "1")]
    assert json.loads(path.read_text())["command"] == "x"
    assert "| A | 2 | 1 | 2 | no | 1.0 | 1.5 |" in table.markdown(kept)


def test_command_keeps_other_rows_and_fails_if_one_is_missed(tmp_path, monkeypatch, capsys):
    for name in ("models", "data"):
        (tmp_path / name).mkdir()
    results = tmp_path / "compression.json"
    table.store(results, [_row("decode")], {})
    monkeypatch.setattr(command, "measure", lambda name, context: _row(name, f"{context.threads} threads", "no"))
    arguments = ["--shared", str(tmp_path), "--work", str(tmp_path / "work"), "--results", str(results)]
    assert command.main([*arguments, "--rows", "lenet_5", "--threads", "1"]) == 1
    assert [row.row for row in table.load(results)] == ["lenet_5", "decode"]
    assert "1 threads" in capsys.readouterr().out
    assert command.main(["--shared", str(tmp_path / "nothing")]) == 2


def test_pictures_are_seeded_and_differ():
    try:
        first = pictures.pictures(24, 1)
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    assert first.shape == (24, 32, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, pictures.pictures(24, 1))
    assert not np.array_equal(first, pictures.pictures(24, 2))
    assert len(np.unique(first.reshape(24, -1), axis=0)) == 24
    assert np.mean(first.reshape(24, -1).std(axis=1) > 10) > 0.7


def _packages(folder):
    """What `stamps.fetch` leaves: one red thing on nothing, its mirror image, a letter; and one green landscape."""
    things, photos = folder / "usr/share/tuxpaint/stamps", folder / "usr/share/backgrounds/mate/nature"
    for place in (things / "animals", things / "symbols", photos):
        place.mkdir(parents=True)
    thing = Image.new("RGBA", (300, 200))
    thing.paste((255, 0, 0, 255), (100, 50, 200, 150))
    for name in ("animals/a.png", "animals/a_mirror.png", "symbols/b.png"):
        thing.save(things / name)
    Image.new("RGBA", (9, 9)).save(things / "animals" / "nothing.png")
    Image.new("RGB", (1500, 900), (0, 200, 0)).save(photos / "meadow.jpg")
    return folder


def test_stamps_are_cut_out_and_pasted(tmp_path):
    unpacked = _packages(tmp_path)
    (thing,) = stamps.stamps(unpacked)
    assert thing.mode == "RGBA"
    assert 40 <= thing.width <= 46
    assert 40 <= thing.height <= 46
    assert np.asarray(thing)[20, 20].tolist() == [255, 0, 0, 255]
    (meadow,) = stamps.backgrounds(unpacked)
    assert meadow.size == (1000, 600)
    random = np.random.default_rng(0)
    grey = np.full((32, 32, 3), 0.5, np.float32)
    red, untouched = 0, 0
    for _ in range(20):
        found = pictures.paste(thing, grey, random)
        assert found.shape == (32, 32, 3)
        assert found.dtype == np.float32
        assert 0 <= found.min() <= found.max() <= 1
        red += int((found[:, :, 0] > 0.99).sum())
        untouched += int((found == 0.5).all(axis=2).sum())
    assert red > 20 * 100
    assert untouched > 20 * 100


def test_pictures_show_things_of_the_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "photos", lambda: [Image.new("RGB", (200, 100), (90, 90, 90))])
    made = pictures.pictures(40, 3, _packages(tmp_path))
    assert np.array_equal(made, pictures.pictures(40, 3, tmp_path))
    with_things = (made[..., 0].astype(int) - np.maximum(made[..., 1], made[..., 2]) > 120).mean(axis=(1, 2)) > 0.1
    assert 4 <= with_things.sum() <= 25


def test_fetching_packages_says_what_is_missing(tmp_path, monkeypatch):
    package = tmp_path / "x.deb"
    package.write_bytes(b"x")
    stamps.check(package, hashlib.sha256(b"x").hexdigest())
    with pytest.raises(ValueError, match=r"x\.deb has SHA-256 2d71.*, not 0000"):
        stamps.check(package, "0000")
    assert not package.exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="need apt-get and dpkg-deb"):
        stamps.fetch(tmp_path)
    for tool in ("dpkg-deb", "apt-get"):
        (tmp_path / tool).write_text("#!/bin/sh\necho no such version >&2\nexit 100\n")
        (tmp_path / tool).chmod(0o755)
    with pytest.raises(FileNotFoundError, match=r"apt-get download -q tuxpaint.* failed: no such version"):
        stamps.fetch(tmp_path)


@pytest.mark.parametrize("shape", [(6, 784), (6, 1, 28, 28)])
def test_distortion_moves_every_image_a_little(shape):
    generator = torch.Generator()
    generator.manual_seed(3)
    images = torch.zeros(6, 1, 28, 28)
    images[:, :, 8:20, 8:20] = 1
    found = mnist.distort(images.reshape(shape), generator)
    assert found.shape == shape
    found = found.reshape(6, 1, 28, 28)
    changed = (found - images).abs().mean(dim=(1, 2, 3))
    assert changed.min() > 0
    assert changed.max() < 0.12
    assert (found[:, :, 12:16, 12:16] > 0.9).all()


def test_biases_lie_on_a_grid_that_the_file_stores_exactly(tmp_path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    data = torch.randn(32, 64).numpy()
    result = whit.train.fine_tune(
        module,
        data,
        np.arange(32) % 10,
        epochs=2,
        techniques=[
            whit.train.Pruning(sparsity=0.5),
            whit.train.WeightQuantization(bits=4, granularity="tensor", scale="learned"),
        ],
    )
    path = tmp_path / "small.whit"
    size = store(result, path, "small")
    assert size == path.stat().st_size
    assert size < 4 * (64 * 32 + 32 * 10) / 4
    biases = [result.graph.constant(node.inputs[2]) for node in result.graph.nodes if node.op == "gemm"]
    for bias in biases:
        steps = bias / (np.abs(bias).max() / 127)
        assert np.allclose(steps, np.rint(steps), atol=1e-3)
    before = [bias.copy() for bias in biases]
    round_biases(result.graph, 3)  # they have codes already
    assert all(map(np.array_equal, before, biases))
    expected = whit.train.predict(result.graph, data)
    got = np.concatenate([np.asarray(whit.load(path)(data[i : i + 1])) for i in range(len(data))])
    assert np.allclose(got, expected, atol=1e-4)


def _digits(folder):
    """Bars that stand in one of ten places: nothing a tiny network could not learn."""
    (folder / "data").mkdir()
    random = np.random.default_rng(0)
    parts = {}
    for name, count in (("train", 700), ("test", 100)):
        labels = random.integers(0, 10, count).astype(np.uint8)
        images = np.zeros((count, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4:24, 2 + 2 * label : 5 + 2 * label] = 255
        parts |= {f"x_{name}": images, f"y_{name}": labels}
    np.savez(folder / "data" / "mnist.npz", **parts)


def test_a_lenet_row_trains_stores_and_judges_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "HELD_OUT", 100)
    monkeypatch.setattr(mnist, "distort", lambda batch, generator: batch)
    _digits(tmp_path)
    settings = Lenet("tiny", "Tiny", True, 784 * 10 + 10, 30, 50.0, 2, 2000, 4, 4, {"*": 0.5}, {"*": 4})
    row = lenet.run(settings, lambda: [torch.nn.Linear(784, 10)], Context(tmp_path, tmp_path, 1))
    assert row.details["bytes"] == (tmp_path / "tiny.whit").stat().st_size
    assert row.details["test error, percent"] < 20
    assert row.met == "least"
    assert mnist.error_percent(tmp_path / "tiny.whit", np.zeros((4, 784), np.float32), np.arange(4)) >= 75
    with pytest.raises(AssertionError, match="8635 parameters, not 7850"):
        lenet.run(settings, lambda: [torch.nn.Linear(784, 11)], Context(tmp_path, tmp_path, 1))


def test_pictures_vary_within_a_batch():
    generator = torch.Generator()
    generator.manual_seed(5)
    batch = torch.arange(8.0)[:, None, None, None].expand(8, 3, 32, 32).contiguous()
    found = pictures.vary(batch, generator)
    assert found.shape == batch.shape
    mixed = [len(image.unique()) for image in found]
    assert sorted(mixed) == [1] * 6 + [2] * 2
    assert torch.equal(batch[:, 0, 0, 0], torch.arange(8.0))


def test_a_row_says_how_long_it_took_and_of_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(
        command.importlib, "import_module", lambda name: type("Module", (), {"run": lambda c: _row(name)})
    )
    row = command.measure("decode", Context(tmp_path, tmp_path, 2, 7))
    assert row.row == "bench.compression.decode"
    assert row.details == {"bytes": 3, "threads": 2, "seed": 7}
    assert 0 <= row.seconds < 60
    assert row.measured.endswith("UTC")
