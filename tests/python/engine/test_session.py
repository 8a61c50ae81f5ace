"""The runtime's Python interface: Model and Session."""

from __future__ import annotations

import io
import pathlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from session_models import convnet, heavy, image, small

import reference
import whit
from whit.format import write
from whit.ir import Quantization

GRAPH, FEEDS = small()
SMALL = write(GRAPH)
TOTAL, SCALED = GRAPH.outputs
WANTED = reference.run(GRAPH, FEEDS)


@pytest.fixture
def model():
    with whit.load(SMALL, threads=2) as model:
        yield model


# --- loading ---


def test_every_kind_of_source(tmp_path):
    path = tmp_path / "small.whit"
    path.write_bytes(SMALL)
    with open(path, "rb") as file:
        for source in (str(path), path, SMALL, bytearray(SMALL), memoryview(SMALL), io.BytesIO(SMALL), file):
            with whit.load(source, threads=1) as model:
                np.testing.assert_array_equal(model.run(FEEDS)[TOTAL], WANTED[TOTAL])
                assert model.file_bytes == len(SMALL)


def test_a_loaded_file_may_vanish(tmp_path):
    path = tmp_path / "small.whit"
    path.write_bytes(SMALL)
    model = whit.load(path)
    path.unlink()
    np.testing.assert_array_equal(model.run(FEEDS)[SCALED], WANTED[SCALED])


@pytest.mark.parametrize("source", [io.StringIO("text"), 3, None, ["a.whit"]])
def test_other_sources_are_refused(source):
    with pytest.raises(whit.InvalidArgumentError, match="load: "):
        whit.load(source)


@pytest.mark.parametrize("threads", [0, -1, 1025, 1.5, "2", 2**70])
def test_bad_thread_counts(threads, model):
    with pytest.raises(whit.InvalidArgumentError, match="threads must be"):
        whit.load(SMALL, threads=threads)
    with pytest.raises(whit.InvalidArgumentError, match="threads must be"):
        model.session(threads=threads)


def test_thread_counts(model):
    assert model.threads == 2
    assert model.session().threads == 2
    assert model.session(threads=np.int64(3)).threads == 3


# --- what a model says about itself ---


def test_infos():
    graph, _ = small()
    graph.metadata = {"recipe": "f32", "nested": {"a": [1, 2.5, None]}}
    graph.tensors["x"].shape = ("rows", 3)
    graph.tensors[TOTAL].shape = graph.tensors[SCALED].shape = ("rows", 3)
    model = whit.load(write(graph))
    assert [(i.name, i.dtype, i.shape, i.quantization) for i in model.inputs] == [
        ("x", "f32", ("rows", 3), None),
        ("y", "f32", (3,), None),
    ]
    assert [(o.name, o.shape) for o in model.outputs] == [(TOTAL, ("rows", 3)), (SCALED, ("rows", 3))]
    assert model.metadata == graph.metadata
    assert model.format_version == (1, 0)
    assert {tensor["name"] for tensor in model.tensors()} == set(graph.tensors)
    assert [(node["op"], node["inputs"][0]) for node in model.nodes()] == [("add", "x"), ("mul", TOTAL)]
    assert [node["op"] for node in model.kernels()] == ["add", "mul"]
    assert all(node["kernel"] for node in model.kernels())


def test_quantization_of_inputs():
    graph, _ = small()
    for name in list(graph.tensors):
        graph.tensors[name].dtype = "s8"
        graph.tensors[name].quantization = Quantization(np.float32([0.5]), np.int32([-3]))
        if graph.tensors[name].data is not None:
            graph.tensors[name].data = graph.tensors[name].data.astype(np.int8)
    model = whit.load(write(graph))
    assert model.inputs[0].dtype == "s8"
    assert model.inputs[0].quantization == {"scale": [0.5], "zero_point": [-3], "axis": None}


# --- running ---


def test_call_takes_arrays_in_order(model):
    got = model(FEEDS["x"], FEEDS["y"])
    assert isinstance(got, tuple)
    for value, name in zip(got, GRAPH.outputs, strict=True):
        np.testing.assert_array_equal(value, WANTED[name])
    single, feeds = convnet()
    with whit.load(write(single)) as other:
        assert isinstance(other(feeds["image"]), np.ndarray)
    with pytest.raises(whit.InvalidArgumentError, match=r"2 inputs \('x', 'y'\); got 1 arrays"):
        model(FEEDS["x"])


def test_some_outputs(model):
    assert list(model.run(FEEDS, outputs=[SCALED])) == [SCALED]
    assert model.run(FEEDS, outputs=[]) == {}
    assert set(model.run(FEEDS, outputs=(TOTAL, SCALED, TOTAL))) == {TOTAL, SCALED}
    with pytest.raises(whit.InvalidArgumentError, match=r"no output named 'z'; its outputs are \('add0:0', 'mul1:0'\)"):
        model.run(FEEDS, outputs=["z"])


def test_out_arrays_are_filled_and_returned(model):
    out = {name: np.full((2, 3), np.nan, np.float32) for name in GRAPH.outputs}
    got = model.run(FEEDS, out=out)
    for name in GRAPH.outputs:
        assert got[name] is out[name]
        np.testing.assert_array_equal(out[name], WANTED[name])
    got = model.run(FEEDS, out={SCALED: out[SCALED]})
    assert got[SCALED] is out[SCALED]
    np.testing.assert_array_equal(got[TOTAL], WANTED[TOTAL])
    rows = np.zeros((4, 3), np.float32)  # a contiguous part of a larger array
    model.run(FEEDS, out={TOTAL: rows[1:3]})
    np.testing.assert_array_equal(rows[1:3], WANTED[TOTAL])
    assert not rows[[0, 3]].any()


def unaligned(shape):
    count = int(np.prod(shape))
    return np.frombuffer(bytearray(4 * count + 1), np.uint8)[1:].view(np.float32).reshape(shape)


def read_only():
    array = np.zeros((2, 3), np.float32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("array", "kind", "message"),
    [
        (np.zeros((2, 3)), whit.InvalidArgumentError, r"must be float32 \[2, 3\]; got float64 \[2, 3\]"),
        (np.zeros((2, 3), ">f4"), whit.InvalidArgumentError, "must be float32"),
        (np.zeros((3, 2), np.float32), whit.ShapeError, r"must be float32 \[2, 3\]; got float32 \[3, 2\]"),
        (np.zeros((1, 2, 3), np.float32), whit.ShapeError, r"must be float32 \[2, 3\]"),
        (np.zeros((1,) * 9, np.float32), whit.ShapeError, r"must be float32 \[2, 3\]"),
        (np.zeros((3, 2), np.float32).T, whit.InvalidArgumentError, "C-contiguous"),
        (np.zeros((2, 6), np.float32)[:, ::2], whit.InvalidArgumentError, "C-contiguous"),
        (unaligned((2, 3)), whit.InvalidArgumentError, "aligned"),
        (read_only(), whit.InvalidArgumentError, "is read-only"),
        ([[0.0] * 3] * 2, whit.InvalidArgumentError, "must be a numpy array"),
        (None, whit.InvalidArgumentError, "must be a numpy array"),
    ],
)
def test_unusable_out_arrays(array, kind, message, model):
    with pytest.raises(kind, match=rf"out\['{TOTAL}'\].*{message}"):
        model.run(FEEDS, out={TOTAL: array})
    np.testing.assert_array_equal(model.run(FEEDS)[TOTAL], WANTED[TOTAL])  # it still works


def test_out_must_not_share_memory(model):
    memory = np.zeros(20, np.float32)
    first, shifted = memory[:6].reshape(2, 3), memory[3:9].reshape(2, 3)
    for second in (first, shifted):
        with pytest.raises(whit.InvalidArgumentError, match="overlaps another output"):
            model.run(FEEDS, out={TOTAL: first, SCALED: second})
    model.run(FEEDS, out={TOTAL: first, SCALED: memory[6:12].reshape(2, 3)})
    x = FEEDS["x"].copy()
    with pytest.raises(whit.InvalidArgumentError, match="overlaps an input"):
        model.run({**FEEDS, "x": x}, out={TOTAL: x})
    with pytest.raises(whit.InvalidArgumentError, match="no output named 'z'"):
        model.run(FEEDS, out={"z": first})
    with pytest.raises(whit.InvalidArgumentError, match="names of outputs must be str"):
        model.run(FEEDS, out={pathlib.PurePosixPath(TOTAL): first})


def test_arguments_of_the_wrong_kind(model):
    for feeds in (None, [FEEDS["x"]], 3):
        with pytest.raises(whit.InvalidArgumentError, match="feeds must be a dict"):
            model.run(feeds)
        with pytest.raises(whit.InvalidArgumentError, match="feeds must be a dict"):
            model.profile(feeds)
    with pytest.raises(whit.InvalidArgumentError, match="out must be a dict"):
        model.run(FEEDS, out=[np.zeros((2, 3), np.float32)])
    for names in ("add0:0", 3, [1], [None]):
        with pytest.raises(whit.InvalidArgumentError, match="outputs must be a list of names; got "):
            model.run(FEEDS, outputs=names)
        with pytest.raises(whit.InvalidArgumentError, match="observe must be a list of names; got "):
            model.session(observe=names)


def test_inputs_of_any_layout(model):
    x, y = FEEDS["x"], FEEDS["y"]
    odd = unaligned((2, 3))
    odd[...] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    wide = np.zeros((4, 9), np.float32)
    wide[::2, 1::3] = x
    for same in (np.asfortranarray(x), x[::-1].copy()[::-1], odd, frozen, wide[::2, 1::3]):
        got = model.run({"x": same, "y": y})
        np.testing.assert_array_equal(got[TOTAL], WANTED[TOTAL])
    np.testing.assert_array_equal(
        model.run({"x": np.broadcast_to(x[:1], (2, 3)), "y": y})[TOTAL], np.repeat(WANTED[TOTAL][:1], 2, axis=0)
    )


def test_sizes_change_between_runs():
    """Batch and image size; the plans differ in kernels, arena and padding."""
    graph, _ = convnet()
    model, session = whit.load(write(graph), threads=1), whit.load(write(graph), threads=3).session()
    rng = np.random.default_rng(0)
    for _ in range(3):
        for n, height, width in ((1, 12, 12), (3, 5, 9), (1, 1, 1), (2, 33, 31), (3, 5, 9), (7, 2, 40)):
            x = image(n, height, width, int(rng.integers(99)))
            wanted = reference.run(graph, {"image": x})[graph.outputs[0]]
            got = model(x)
            np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5)
            assert session(x).tobytes() == got.tobytes()
    with pytest.raises(whit.ShapeError, match=r"input 'image' must have shape \[batch, height, width, 3\]; got"):
        model(np.zeros((1, 4, 4, 4), np.float32))
    with pytest.raises(whit.ShapeError, match=r"input 'image' must have shape .*; got \[0, 4, 4, 3\]"):
        model(np.zeros((0, 4, 4, 3), np.float32))
    assert model(image(1, 12, 12)).shape == (1, 5)


def test_observe(model):
    graph, feeds = convnet()
    model = whit.load(write(graph), threads=2)
    names = [name for node in graph.nodes for name in node.outputs]
    values = reference.run(graph, feeds, names)
    constant = next(name for name, tensor in graph.tensors.items() if tensor.data is not None)
    session = model.session(observe=[*names, "image", constant, names[0]])
    assert [info.name for info in session.outputs] == list(dict.fromkeys([graph.outputs[0], *names, "image", constant]))
    got = session.run(feeds)
    assert set(got) == {*names, "image", constant}
    for name in names:
        np.testing.assert_allclose(got[name], values[name], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(got["image"], feeds["image"])
    np.testing.assert_array_equal(got[constant], graph.tensors[constant].data)
    assert model.run(feeds)[graph.outputs[0]].tobytes() == got[graph.outputs[0]].tobytes()
    out = {name: np.empty_like(got[name]) for name in (graph.outputs[0], names[2])}
    again = session.run(feeds, out=out)
    assert all(again[name] is out[name] for name in out)
    with pytest.raises(whit.InvalidArgumentError, match="no tensor named 'nothing'"):
        model.session(observe=["nothing"])


def test_profile(model):
    profile = model.profile(FEEDS, runs=5)
    assert [(node.op, node.bytes) for node in profile.nodes] == [("add", 4 * (6 + 3 + 6)), ("mul", 4 * (6 + 3 + 6))]
    assert profile.runs == 5
    assert profile.total_ms > 0
    assert all(node.ms > 0 for node in profile.nodes)
    with pytest.raises(whit.InvalidArgumentError, match="runs must be at least 1"):
        model.profile(FEEDS, runs=0)


# --- closing ---


def test_close():
    with whit.load(SMALL) as model:
        session = model.session()
    for use in (
        lambda: model.run(FEEDS),
        lambda: model(*FEEDS.values()),
        model.session,
        model.tensors,
        lambda: model.isa,
    ):
        with pytest.raises(whit.InvalidArgumentError, match="the model is closed"):
            use()
    model.close()
    np.testing.assert_array_equal(session.run(FEEDS)[TOTAL], WANTED[TOTAL])
    assert model.inputs[0].name == "x"


# --- several threads ---


def test_many_threads_on_one_model_and_on_many_sessions():
    graph, _ = convnet()
    model = whit.load(write(graph), threads=2)
    images = [image(1 + i % 3, 6 + i, 9, i) for i in range(12)]
    wanted = [model(x).tobytes() for x in images]
    shared, sessions = model.session(), [model.session(threads=1 + i % 3) for i in range(4)]

    def hammer(worker: int) -> int:
        runner = (model, shared, sessions[worker % 4], sessions[worker % 4])[worker % 4]
        checked = 0
        for i in np.random.default_rng(worker).integers(0, len(images), 60):
            assert runner(images[i]).tobytes() == wanted[i]
            checked += 1
        return checked

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(hammer, range(8))) == 480


def test_looking_at_a_session_while_others_run_it():
    """profile, kernels and arena_bytes wait for the plan that a run in another thread makes or uses."""
    graph, _ = convnet()
    model = whit.load(write(graph), threads=1)
    stop = threading.Event()
    images = [image(1, size, size) for size in (3, 17, 8)]

    def run() -> None:
        for i in range(10**6):
            if stop.is_set():
                return
            model(images[i % 3])

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(run) for _ in range(3)]
        try:
            for i in range(40):
                assert len(model.profile({"image": images[i % 3]}, runs=2).nodes) == len(model.kernels())
                assert model.arena_bytes > 0
        finally:
            stop.set()
        for job in jobs:
            job.result()


def test_other_python_threads_go_on_during_a_run():
    file, feeds = heavy()
    model = whit.load(file, threads=1)
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        start = time.perf_counter()
        model.run(feeds)
        end = time.perf_counter()
    finally:
        stop.set()
        thread.join()
    inside = sum(start + 0.01 < t < end - 0.01 for t in ticks)  # not those on either side of the call
    assert inside >= 5, f"{inside} ticks in a run of {end - start:.3f} s"
