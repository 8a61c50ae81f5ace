"""Data sets: every kind of source, and every way in which one can be wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from whit.data import open_data
from whit.errors import CalibrationError, InvalidArgumentError
from whit.preprocess import Preprocess

RNG = np.random.default_rng(6)


@dataclass
class Info:
    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


IMAGE = [Info("x", "f32", (1, 3, 8, 8))]
VECTOR = [Info("x", "f32", ("N", 4))]
TWO = [Info("input", "f32", (1, 5)), Info("state", "f32", (2, 1, 3))]


def f32(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def check(dataset, wanted) -> None:
    """Goes through it twice."""
    for _ in range(2):
        got = list(dataset)
        assert len(got) == len(dataset) == len(wanted)
        for feeds, expected in zip(got, wanted, strict=True):
            assert feeds.keys() == expected.keys()
            for name, array in expected.items():
                assert feeds[name].dtype == array.dtype
                np.testing.assert_array_equal(feeds[name], array)


def test_folder_of_npy_sorted_and_completed(tmp_path) -> None:
    arrays = [f32(3, 8, 8), f32(1, 3, 8, 8), f32(3, 8, 8)]
    for name, array in zip(("b", "a", "c"), arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "readme.txt").write_text("ignored")
    (tmp_path / ".hidden.npy").write_text("ignored")
    check(open_data(tmp_path, IMAGE), [{"x": arrays[1]}, {"x": arrays[0][None]}, {"x": arrays[2][None]}])


def test_folder_of_pictures(tmp_path) -> None:
    pixels = RNG.integers(0, 256, (2, 20, 30, 3), np.uint8)
    for index in range(2):
        Image.fromarray(pixels[index]).save(tmp_path / f"{index}.PNG")
    steps = Preprocess(resize=8, crop=8, scale=1 / 255)
    wanted = [{"x": steps.apply(picture)[None]} for picture in pixels]
    check(open_data(str(tmp_path), IMAGE, steps), wanted)
    check(open_data(str(tmp_path), IMAGE, "resize=8,crop=8,scale=1/255"), wanted)
    check(open_data(str(tmp_path), IMAGE, {"x": steps.to_dict()}), wanted)
    check(open_data(tmp_path / "0.PNG", IMAGE, steps), wanted[:1])
    with pytest.raises(CalibrationError, match=r"0\.PNG.*need preprocess="):
        open_data(tmp_path, IMAGE)


def test_raw_pixels_in_arrays() -> None:
    steps = Preprocess(channels="GRAY", scale=1 / 255)
    digits = RNG.integers(0, 256, (3, 8, 8), np.uint8)
    inputs = [Info("x", "f32", (1, 1, 8, 8))]
    wanted = [{"x": steps.apply(digit)[None]} for digit in digits]
    check(open_data(digits, inputs, steps), wanted)
    check(open_data({"x": digits[..., None]}, inputs, steps), wanted)
    check(open_data(list(digits), inputs, steps), wanted)
    with pytest.raises(CalibrationError, match="wanted f32, got uint8; give preprocess="):
        open_data(digits[:, None], inputs)


def test_pictures_of_the_size_of_a_u8_input_are_taken_as_they_are() -> None:
    info = Info("x", "u8", (1, 4, 4, 3))
    steps = Preprocess(resize=8, crop=4, layout="NHWC", dtype="u8")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)
    for feeds, picture in zip(open_data(pictures, [info], steps), pictures, strict=True):
        np.testing.assert_array_equal(feeds["x"], picture[None])
    larger = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3)).astype(np.uint8)
    for feeds, picture in zip(open_data(larger, [info], steps), larger, strict=True):
        np.testing.assert_array_equal(feeds["x"], steps.apply(picture)[None])
    unsized = Info("x", "u8", (1, "h", "w", 3))
    for feeds, picture in zip(open_data(larger, [unsized], steps), larger, strict=True):
        np.testing.assert_array_equal(feeds["x"], steps.apply(picture)[None])


def test_npz_and_mapping(tmp_path) -> None:
    inputs, states = f32(4, 5), f32(4, 2, 1, 3)
    np.savez(tmp_path / "data.npz", input=inputs, state=states)
    wanted = [{"input": inputs[i : i + 1], "state": states[i]} for i in range(4)]
    check(open_data(tmp_path / "data.npz", TWO), wanted)
    check(open_data({"state": states, "input": inputs[:, None]}, TWO), wanted)


def test_array_and_npy(tmp_path) -> None:
    array = f32(6, 4)
    np.save(tmp_path / "data.npy", array)
    wanted = [{"x": array[i : i + 1]} for i in range(6)]
    check(open_data(array, VECTOR), wanted)
    check(open_data(tmp_path / "data.npy", VECTOR), wanted)
    check(open_data(array.astype(">f4"), VECTOR), wanted)
    check(open_data(array[:, ::-1], VECTOR), [{"x": array[i : i + 1, ::-1]} for i in range(6)])


def test_batches(tmp_path) -> None:
    inputs = [Info("x", "f32", (2, 4))]
    array = f32(6, 4)
    wanted = [{"x": array[i : i + 2]} for i in (0, 2, 4)]
    check(open_data(array, inputs), wanted)
    for index, row in enumerate(array):
        np.save(tmp_path / f"{index}.npy", row)
    check(open_data(tmp_path, inputs), wanted)
    with pytest.raises(CalibrationError, match="5 samples do not fill batches of 2"):
        open_data(array[:5], inputs)


def test_iterables() -> None:
    array = f32(3, 4)
    wanted = [{"x": array[i : i + 1]} for i in range(3)]
    check(open_data(list(array), VECTOR), wanted)
    check(open_data([{"x": row[None]} for row in array], VECTOR), wanted)
    check(open_data((row for row in array), VECTOR), wanted)
    check(open_data(lambda: iter(array), VECTOR), wanted)
    check(open_data([array], VECTOR), [{"x": array}])  # a batch of the user's own
    torch = pytest.importorskip("torch")
    check(open_data([torch.from_numpy(row) for row in array], VECTOR), wanted)


def test_scalars_and_unknown_shapes() -> None:
    values = f32(3)
    check(open_data(values, [Info("x", "f32", ())]), [{"x": values[i]} for i in range(3)])
    check(open_data(values, [Info("x", "f32", None)]), [{"x": values[i : i + 1]} for i in range(3)])


def test_take_spreads_evenly() -> None:
    dataset = open_data(np.arange(10, dtype=np.float32)[:, None], [Info("x", "f32", ("N", 1))])
    check(dataset.take(4), [{"x": np.array([[value]], np.float32)} for value in (0, 2, 5, 7)])
    assert dataset.take(99) is dataset


@pytest.mark.parametrize(
    ("source", "inputs", "says"),
    [
        (None, VECTOR, "no data: give data="),
        (3, VECTOR, "cannot read data from int"),
        ([], VECTOR, "empty"),
        (iter(()), VECTOR, "empty"),
        (np.zeros((0, 4), np.float32), VECTOR, "empty"),
        ("/nonexistent/folder", VECTOR, "no such file or folder"),
        (np.zeros((2, 5), np.float32), TWO, "models with one input.*input, state"),
        ({"input": np.zeros((2, 5), np.float32)}, TWO, "'state' is missing; expected input, state"),
        ({}, TWO, "'input' is missing.*got nothing"),
        ({"x": np.zeros((2, 4), np.float32), "y": np.zeros(2)}, VECTOR, "'y' is not an input"),
        (
            {"input": np.zeros((2, 5), np.float32), "state": np.zeros((3, 2, 1, 3), np.float32)},
            TWO,
            "input: 2, state: 3",
        ),
        ({"x": [[1.0] * 4]}, VECTOR, "wanted an array, got list"),
        (np.zeros((2, 4)), VECTOR, r"wanted f32, got float64; convert it with .astype\(numpy.float32\)"),
        (np.zeros((2, 4), np.int64), VECTOR, "wanted f32, got int64"),
        (np.zeros((2, 3), np.float32), VECTOR, r"wanted shape \[N, 4\], got \[1, 3\]"),
        (np.zeros((2, 2, 2, 4), np.float32), VECTOR, r"wanted shape \[N, 4\]"),
        (np.float32(3), VECTOR, "no axis of samples|cannot read"),
    ],
)
def test_wrong_sources(source, inputs, says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        open_data(source, inputs)


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([[1.0] * 4], "sample 0, input 'x': wanted an array or a picture, got list"),
        ([f32(4), 3.0], "sample 1, input 'x': wanted an array"),
        ([f32(4), f32(5)], r"sample 1, input 'x': wanted shape \[N, 4\], got \[1, 5\]"),
        ([{"x": f32(4)}, {"z": f32(4)}], "sample 1: input 'x' is missing; expected x; got z"),
        ([f32(4), np.array([1, 2, np.inf, 4], np.float32)], r"sample 1, input 'x': inf at \[0, 2\]"),
        (["photo.png"], "need preprocess="),
    ],
)
def test_wrong_samples(samples, says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        list(open_data(samples, VECTOR))


def test_nan_says_where(tmp_path) -> None:
    array = f32(3, 4)
    array[1, 2] = np.nan
    with pytest.raises(CalibrationError, match=r"sample 1, input 'x': nan at \[0, 2\]"):
        list(open_data(array, VECTOR))
    np.save(tmp_path / "bad.npy", array[1])
    with pytest.raises(CalibrationError, match=r"bad\.npy, input 'x': nan"):
        list(open_data(tmp_path, VECTOR))


def test_wrong_files(tmp_path) -> None:
    with pytest.raises(CalibrationError, match="no pictures and no"):
        open_data(tmp_path, VECTOR)
    for name in ("a.npz", "a.npy"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 nothing")
        with pytest.raises(CalibrationError, match="not a readable numpy file"):
            open_data(tmp_path / name, VECTOR)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(CalibrationError, match="neither a folder"):
        open_data(tmp_path / "a.txt", VECTOR)
    with pytest.raises(CalibrationError, match=r"a\.npy: not a readable"):
        list(open_data(tmp_path, VECTOR))
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(CalibrationError, match="not a readable numpy file"):
        open_data(tmp_path / "object.npy", VECTOR)
    np.savez(tmp_path / "good.npz", x=f32(2, 4))
    data = (tmp_path / "good.npz").read_bytes()
    for size in range(0, len(data), 37):
        (tmp_path / "cut.npz").write_bytes(data[:size])
        with pytest.raises(CalibrationError, match="not a readable numpy file"):
            open_data(tmp_path / "cut.npz", VECTOR)


def test_damaged_picture_is_named(tmp_path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(CalibrationError, match=r"1\.jpg.*no picture"):
        list(open_data(tmp_path, IMAGE, "resize=8x8"))


def test_preprocess_for_other_inputs() -> None:
    with pytest.raises(InvalidArgumentError, match="no input 'y'; inputs: x"):
        open_data(f32(1, 4), VECTOR, {"y": "imagenet"})
    with pytest.raises(InvalidArgumentError, match="2 inputs"):
        open_data(f32(1, 4), TWO, "imagenet")
