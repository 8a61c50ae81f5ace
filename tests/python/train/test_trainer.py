"""The training loop: it learns, repeats, goes on after a kill with the same bytes, and says what is wrong."""

from __future__ import annotations

import io
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tasks
import torch
from builder import Builder

import whit
import whit.train
from whit.format import write
from whit.train import Pruning, WeightQuantization, fine_tune, predict
from whit.train.checkpoint import graph_digest
from whit.train.schedules import learning_rate

WORKER = pathlib.Path(__file__).with_name("train_worker.py")


def accuracy(graph, x, y) -> float:
    return float((predict(graph, x).argmax(axis=1) == y).mean())


def test_fine_tuning_learns() -> None:
    """On data that training did not see."""
    x, y = tasks.points()
    unseen = tasks.points(seed=1)
    graph = tasks.mlp()
    result = fine_tune(graph, x, y, epochs=20, batch_size=32, learning_rate=1e-2)
    assert accuracy(graph, *unseen) < 0.5
    assert accuracy(result.graph, *unseen) > 0.85
    assert len(result.losses) == 20
    assert result.losses[-1] < 0.3 * result.losses[0]


def test_the_engine_runs_what_was_trained() -> None:
    x, y = tasks.pictures()
    result = fine_tune(tasks.cnn(), x, y, epochs=6, batch_size=32, learning_rate=2e-2)
    unseen, labels = tasks.pictures(seed=1)
    with whit.load(write(result.graph)) as model:
        got = np.concatenate([model(sample[None]) for sample in unseen])
    assert (got.argmax(axis=1) == labels).mean() > 0.9
    np.testing.assert_allclose(got, predict(result.graph, unseen), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_same_seed_gives_the_same_bytes(optimizer: str) -> None:
    x, y = tasks.points(128)

    def train(seed: int) -> str:
        options = {"epochs": 2, "batch_size": 32, "learning_rate": 1e-2, "optimizer": optimizer, "seed": seed}
        return graph_digest(fine_tune(tasks.mlp(), x, y, augment=noise, **options).graph)

    def noise(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return batch + 0.1 * torch.randn(batch.shape, generator=generator)

    assert train(1) == train(1)
    assert train(1) != train(2)


def test_the_callers_random_numbers_and_threads_are_left_alone() -> None:
    x, y = tasks.points(64)
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fine_tune(tasks.mlp(), x, y, epochs=1, threads=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_the_cosine_schedule() -> None:
    """SGDR, equation 5: the highest rate, half of it in the middle, 0 at the end; a warm-up before."""
    assert learning_rate(0, 100, 0.4, "cosine", 0) == 0.4
    assert learning_rate(50, 100, 0.4, "cosine", 0) == pytest.approx(0.2)
    assert learning_rate(25, 100, 0.4, "cosine", 0) == pytest.approx(0.4 * (1 + np.sqrt(0.5)) / 2)
    assert learning_rate(100, 100, 0.4, "cosine", 0) == pytest.approx(0)
    assert learning_rate(4, 100, 0.4, "cosine", 10) == pytest.approx(0.2)
    assert learning_rate(99, 100, 0.4, "constant", 10) == 0.4


# --- checkpoints ---


def run_worker(folder: pathlib.Path, checkpoint: str, sleep: float = 0.0) -> subprocess.Popen:
    command = [sys.executable, str(WORKER), str(folder / checkpoint), str(folder / f"{checkpoint}.out"), str(sleep)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def test_a_killed_training_ends_with_the_same_bytes(tmp_path: pathlib.Path) -> None:
    """kill -9 twice in the middle, against a run that nobody disturbed."""
    whole = run_worker(tmp_path, "whole")
    path, seen = tmp_path / "killed", set()
    for _ in range(2):
        killed = run_worker(tmp_path, "killed", sleep=0.05)
        end = time.monotonic() + 120
        before = path.stat().st_mtime_ns if path.exists() else 0
        while not (path.exists() and path.stat().st_mtime_ns > before):
            assert killed.poll() is None, killed.stderr.read().decode()
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        killed.stderr.close()
        seen.add(torch.load(io.BytesIO(path.read_bytes()[32:]), weights_only=True)["state"]["step"])
    assert len(seen) == 2
    assert 0 < min(seen) < max(seen) < 6 * 16
    assert not (tmp_path / "killed.out").exists()
    last = run_worker(tmp_path, "killed")
    for process in (last, whole):
        assert process.wait() == 0, process.stderr.read().decode()
        process.stderr.close()
    assert (tmp_path / "killed.out").read_bytes() == (tmp_path / "whole.out").read_bytes()


def test_a_finished_checkpoint_gives_the_result_again(tmp_path: pathlib.Path) -> None:
    x, y = tasks.points(64)
    steps = []
    options = {"epochs": 2, "checkpoint": tmp_path / "c", "techniques": [WeightQuantization(bits=3, begin=1.0)]}
    first = fine_tune(tasks.mlp(), x, y, **options)
    again = fine_tune(tasks.mlp(), x, y, progress=lambda label, done, total: steps.append(total), **options)
    assert graph_digest(first.graph) == graph_digest(again.graph)
    assert first.losses == again.losses
    assert steps == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("change", ["model", "data", "labels", "settings", "technique", "regulariser"])
def test_a_checkpoint_of_another_run(change: str, tmp_path: pathlib.Path) -> None:
    x, y = tasks.points(64)
    options = {"epochs": 1, "checkpoint": tmp_path / "c", "regularizer": whit.train.l1(1e-3)}
    fine_tune(tasks.mlp(), x, y, **options)
    graph = tasks.mlp(seed=1) if change == "model" else tasks.mlp()
    x = x + 1 if change == "data" else x
    y = y[::-1] if change == "labels" else y
    changes = {
        "settings": {"seed": 1},
        "technique": {"techniques": Pruning(sparsity=0.1)},
        "regulariser": {"regularizer": whit.train.l1(2e-3)},
    }
    options |= changes.get(change, {})
    with pytest.raises(whit.TrainingError, match=r"is of another run.*Delete it"):
        fine_tune(graph, x, y, **options)


def test_damaged_checkpoints(tmp_path: pathlib.Path) -> None:
    x, y = tasks.points(64)
    path = tmp_path / "c"
    fine_tune(tasks.mlp(), x, y, epochs=1, checkpoint=path)
    data = path.read_bytes()
    for damaged in (b"", b"nonsense", data[: len(data) // 2], data[:-9] + b"x" + data[-8:]):
        path.write_bytes(damaged)
        with pytest.raises(whit.FormatError, match="not a checkpoint of whit, or it is damaged"):
            fine_tune(tasks.mlp(), x, y, epochs=1, checkpoint=path)
    with pytest.raises(whit.FileError, match="is a folder"):
        fine_tune(tasks.mlp(), x, y, epochs=1, checkpoint=tmp_path)
    with pytest.raises(whit.FileError, match="does not exist"):
        fine_tune(tasks.mlp(), x, y, epochs=1, checkpoint=tmp_path / "none" / "c")


# --- what is wrong ---


def test_a_loss_that_is_not_finite_says_when_and_what_to_do() -> None:
    x, y = tasks.points(256)
    with pytest.raises(
        whit.TrainingError, match=r"step \d+ of 80: the loss is (nan|inf); lower learning_rate .*1e\+18"
    ):
        fine_tune(tasks.mlp(), x, y, epochs=20, learning_rate=1e18, optimizer="sgd")


def test_clipped_gradients_move_no_further() -> None:
    x, y = tasks.points(32)
    graph = tasks.mlp()
    options = {"epochs": 1, "batch_size": 32, "optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.5}
    result = fine_tune(graph, x * 100, y, clip_norm=0.1, **options)
    moved = [
        result.graph.tensors[name].data - tensor.data for name, tensor in graph.tensors.items() if tensor.is_constant
    ]
    assert np.sqrt(sum(np.square(each, dtype=np.float64).sum() for each in moved)) == pytest.approx(0.05, rel=1e-4)


BAD_DATA = {
    "empty": (lambda x, y: (x[:0], y[:0]), "empty"),
    "shape": (lambda x, y: (x[:, :5], y), r"wanted shape \[samples, 12\], got \[1, 5\]"),
    "dtype": (lambda x, y: (x.astype(np.float64), y), "wanted f32, got float64"),
    "nan": (lambda x, y: (np.where(np.arange(len(x))[:, None] == 3, np.float32("nan"), x), y), "sample 3 holds NaN"),
    "name": (lambda x, y: ({"z": x}, y), "input 'x' is missing"),
    "labels": (lambda x, y: (x, y[:-1]), "31 of them for 32 samples"),
    "text": (lambda x, y: (x, np.array(["a"] * 32)), "labels: wanted an array of numbers"),
    "classes": (lambda x, y: (x, y + 4), r"class \d, but 'gemm1:0' has 4"),
    "negative": (lambda x, y: (x, y - 4), "classes are counted from 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_DATA)
def test_data_that_does_not_fit(name: str) -> None:
    change, message = BAD_DATA[name]
    with pytest.raises(whit.CalibrationError, match=message):
        fine_tune(tasks.mlp(), *change(*tasks.points(32)), epochs=1)


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"batch_size": 1.5},
        {"learning_rate": 0},
        {"optimizer": "lion"},
        {"schedule": "step"},
        {"epoch": 3},
        {"clip_norm": -1.0},
        {"loss": "hinge"},
        {"output": "nothing"},
        {"checkpoint_every": -1},
    ],
    ids=str,
)
def test_settings_that_make_no_sense(options: dict) -> None:
    x, y = tasks.points(8)
    with pytest.raises(whit.InvalidArgumentError, match=next(iter(options))):
        fine_tune(tasks.mlp(), x, y, **options)


def test_what_is_no_model() -> None:
    x, y = tasks.points(8)
    with pytest.raises(whit.InvalidArgumentError, match="wanted a graph, an ONNX model or a torch module; got int"):
        fine_tune(3, x, y)


def test_mean_squared_error_and_functions() -> None:
    """Both are the loss they say: the first epoch's mean is that of the untrained network."""
    x, _ = tasks.points(64)
    graph = tasks.mlp()
    before = predict(graph, x)
    wanted = np.random.default_rng(0).standard_normal(before.shape).astype(np.float32)
    options = {"epochs": 1, "batch_size": 64}
    assert fine_tune(graph, x, wanted, loss="mse", **options).losses[0] == pytest.approx(
        float(np.square(before - wanted).mean()), rel=1e-4
    )
    own = fine_tune(graph, x, wanted, loss=lambda output, labels: (output - labels).abs().max(), **options)
    assert own.losses[0] == pytest.approx(float(np.abs(before - wanted).max()), rel=1e-4)


def test_a_softmax_at_the_end_is_left_out_of_the_loss() -> None:
    x, y = tasks.points(64)
    plain, ending = tasks.mlp(), tasks.mlp()
    ending.add_tensor(whit.ir.Tensor("p", "f32", (1, tasks.CLASSES)))
    ending.nodes.append(whit.ir.Node("softmax", "softmax", [ending.outputs[0]], ["p"], {"axis": 1}))
    ending.outputs = ["p"]
    options = {"epochs": 2, "batch_size": 16}
    assert fine_tune(plain, x, y, **options).losses == fine_tune(ending, x, y, **options).losses


def test_data_of_every_kind(tmp_path: pathlib.Path) -> None:
    """An array, a mapping, an .npz, a list of feeds: the same training."""
    x, y = tasks.points(48)
    np.savez(tmp_path / "data.npz", x=x)
    np.save(tmp_path / "data.npy", x)
    feeds = [{"x": row[None]} for row in x]
    sources = [x, torch.from_numpy(x), {"x": x}, tmp_path / "data.npz", str(tmp_path / "data.npy"), feeds]
    sources.append(whit.data.open_data(feeds, [whit.ir.Tensor("x", "f32", (1, 12))]))
    files = {graph_digest(fine_tune(tasks.mlp(), source, y, epochs=1, batch_size=16).graph) for source in sources}
    assert len(files) == 1


def test_models_with_a_state_take_one_sample_after_another() -> None:
    """Inputs without a common axis of samples: complete inputs, one of each per sample."""
    builder = Builder(0)
    x, state = builder.input("x", 1, 6), builder.input("state", 2, 1, 3)
    w, r, b = (builder.random_constant(*shape, scale=0.4) for shape in ((1, 12, 6), (1, 12, 3), (1, 24)))
    h, c = builder.nodes("split", state, outputs=2, axis=0, sizes=[])
    sequence = builder.node("unsqueeze", x, axes=[0])
    _, last, _ = builder.nodes("lstm", sequence, w, r, b, h, c, outputs=3, direction="forward")
    out = builder.node("gemm", builder.node("reshape", last, shape=[1, 3]), builder.random_constant(2, 3))
    graph = builder.finish(out)
    random = np.random.default_rng(0)
    data = {"x": random.standard_normal((64, 1, 6)), "state": random.standard_normal((64, 2, 1, 3))}
    data = {name: value.astype(np.float32) for name, value in data.items()}
    labels = (data["x"][:, 0, 0] > 0).astype(int)
    result = fine_tune(graph, data, labels, epochs=25, batch_size=16, learning_rate=3e-2)
    got = predict(result.graph, data)
    assert got.shape == (64, 1, 2)
    assert (got[:, 0].argmax(axis=1) == labels).mean() > 0.9
    with whit.load(write(result.graph)) as model:
        one = model.run({name: value[3] for name, value in data.items()})[out]
    np.testing.assert_allclose(got[3], one, rtol=1e-4, atol=1e-5)


def test_a_model_that_mixes_the_samples_of_a_batch() -> None:
    builder = Builder(0)
    x = builder.node("transpose", builder.input("x", 1, 12), perm=[1, 0])
    graph = builder.finish(builder.node("reduce_mean", x, axes=[1], keepdims=0))
    with pytest.raises(whit.ShapeError, match=r"\(12,\) for 5 samples: the model does not keep the samples"):
        predict(graph, tasks.points(5)[0])


def test_without_torch_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import whit\n"
        "try:\n    whit.from_torch(None, None)\n"
        "except whit.InvalidArgumentError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'whit[train]'" in done.stdout


def test_pictures_go_through_their_preprocessing() -> None:
    """Pixels with preprocess= train as the arrays that they become; without it the error says what is missing."""
    builder = Builder(0)
    mean = builder.node("reduce_mean", builder.input("image", 1, 3, 8, 8), axes=[2, 3], keepdims=0)
    graph = builder.finish(builder.gemm(mean, 4))
    pixels = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3)).astype(np.uint8)
    arrays = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) / np.float32(255), np.float32)
    labels = np.arange(24) % 4
    one = fine_tune(graph, pixels, labels, preprocess="scale=1/255", epochs=1)
    other = fine_tune(graph, arrays, labels, epochs=1)
    assert one.losses == pytest.approx(other.losses, rel=1e-5)
    with pytest.raises(whit.CalibrationError, match="wanted f32, got uint8; give preprocess="):
        fine_tune(graph, pixels, labels, epochs=1)


def test_nothing_to_train_and_losses_that_are_none() -> None:
    x, y = tasks.points(8)
    builder = Builder(0)
    graph = builder.finish(builder.node("reduce_mean", builder.input("x", 1, 12), axes=[1], keepdims=1))
    with pytest.raises(whit.InvalidArgumentError, match="has nothing to train"):
        fine_tune(graph, x, y)
    for loss, got in ((lambda output, labels: output, r"\(8, 4\)"), (lambda output, labels: 3.0, "float")):
        with pytest.raises(whit.InvalidArgumentError, match=f"must be one number that depends on the weights.*{got}"):
            fine_tune(tasks.mlp(), x, y, loss=loss)


def test_predict_gives_any_tensor_whatever_the_batch() -> None:
    x, _ = tasks.points(10)
    graph = tasks.mlp()
    hidden = predict(graph, x, output="gemm0:0", batch_size=3)
    assert hidden.shape == (10, 32)
    np.testing.assert_allclose(hidden, predict(graph, x, output="gemm0:0"), rtol=1e-5, atol=1e-6)
    for options, message in (({"output": "nothing"}, "no tensor 'nothing'"), ({"batch_size": 0}, "batch_size must be")):
        with pytest.raises(whit.InvalidArgumentError, match=message):
            predict(graph, x, **options)


def test_relative_steps_are_in_proportion_to_each_tensor() -> None:
    """The first step of Adam is the learning rate, whatever the gradient: here times each tensor's size."""
    x, y = tasks.points(64)
    graph = tasks.mlp()
    for tensor in graph.tensors.values():
        if tensor.is_constant and tensor.data.ndim == 2:
            tensor.data = tensor.data * np.float32(50 if len(tensor.data) == tasks.CLASSES else 0.2)
    result = fine_tune(graph, x, y, epochs=1, batch_size=64, learning_rate=1e-3, relative=True)
    for name, tensor in graph.tensors.items():
        if tensor.is_constant:
            size = max(float(np.sqrt(np.square(tensor.data).mean())), 0.01)
            moved = np.abs(result.graph.tensors[name].data - tensor.data)
            assert moved.max() == pytest.approx(1e-3 * size, rel=1e-2)
    with pytest.raises(whit.InvalidArgumentError, match="relative must be"):
        fine_tune(graph, x, y, relative=True, optimizer="sgd")
