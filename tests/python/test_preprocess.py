"""Preprocessing against Pillow and numpy by hand."""

from __future__ import annotations

import builtins
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from whit.errors import InvalidArgumentError
from whit.preprocess import PRESETS, Preprocess

RNG = np.random.default_rng(5)


def photo(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth enough that interpolation matters, with noise on top."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 7 + c) + np.cos(y / (5 + c)) for c in range(channels)]
    pixels = np.stack(waves, -1) * 50 + 128 + RNG.normal(0, 12, (height, width, channels))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def test_efficientnet_lite_by_hand(tmp_path) -> None:
    image = Image.fromarray(photo(300, 401))
    image.save(tmp_path / "photo.png")
    width, height = image.size
    resized = image.resize((256 * width // height, 256), Image.Resampling.BICUBIC)
    left, top = (resized.width - 224) // 2, (256 - 224) // 2
    cropped = np.asarray(resized.crop((left, top, left + 224, top + 224)), np.float32)
    wanted = ((cropped - np.float32(127)) / np.float32(128)).transpose(2, 0, 1)
    got = PRESETS["tf"].apply(tmp_path / "photo.png")
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("shape", [(256, 256), (256, 300), (480, 333)])
def test_imagenet_by_hand(shape: tuple[int, int]) -> None:
    pixels = photo(*shape)
    image = Image.fromarray(pixels)
    scale = 256 / min(image.size)
    size = tuple(256 if side == min(image.size) else int(side * scale) for side in image.size)
    image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    x = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / np.float32(255)
    mean, std = (np.array(values, np.float32) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    wanted = ((x - mean) / std).transpose(2, 0, 1)
    np.testing.assert_array_equal(PRESETS["imagenet"].apply(pixels), wanted)


def test_dividing_by_255_and_127_5_is_exact() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for divisor in (255, 127.5):
        got = Preprocess(channels="GRAY", scale=1 / divisor).apply(pixels)
        np.testing.assert_array_equal(got[0], pixels[:, :, 0].astype(np.float32) / np.float32(divisor))


def test_every_source_gives_the_same(tmp_path) -> None:
    pixels = photo(40, 30)
    image = Image.fromarray(pixels)
    path = tmp_path / "photo.png"
    image.save(path)
    steps = Preprocess(resize=(20, 24), scale=1 / 255)
    wanted = steps.apply(pixels)
    assert wanted.shape == (3, 20, 24)
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), image, pixels[:, ::1]):
        np.testing.assert_array_equal(steps.apply(source), wanted)


@pytest.mark.parametrize("name", PRESETS)
def test_taken_apart(name: str) -> None:
    """The picture's bytes, then factor and term, are the whole."""
    steps, image = PRESETS[name], photo(260, 300)
    factor, term = steps.affine()
    picture = steps.as_picture().apply(image)
    assert (picture.dtype, picture.shape[2]) == (np.uint8, steps.count)
    np.testing.assert_allclose((picture * factor + term).transpose(2, 0, 1), steps.apply(image), atol=2e-6)


def test_layout_and_channel_order() -> None:
    pixels = photo(8, 9)
    rgb = Preprocess().apply(pixels)
    np.testing.assert_array_equal(Preprocess(layout="NHWC").apply(pixels), rgb.transpose(1, 2, 0))
    np.testing.assert_array_equal(Preprocess(channels="BGR").apply(pixels), rgb[::-1])
    # mean belongs to the channels as the model gets them
    shifted = Preprocess(channels="BGR", mean=(1, 2, 3)).apply(pixels)
    np.testing.assert_array_equal(shifted, rgb[::-1] - np.array([1, 2, 3], np.float32)[:, None, None])


def test_grey_and_colour_convert() -> None:
    grey = photo(8, 9, 1)
    for source in (grey, grey[:, :, 0], Image.fromarray(grey[:, :, 0])):
        np.testing.assert_array_equal(Preprocess().apply(source), np.stack([grey[:, :, 0].astype(np.float32)] * 3))
        np.testing.assert_array_equal(Preprocess(channels="GRAY").apply(source), grey[:, :, 0][None].astype(np.float32))
    colour = photo(8, 9)
    luma = np.asarray(Image.fromarray(colour).convert("L"), np.float32)
    np.testing.assert_array_equal(Preprocess(channels="GRAY").apply(colour), luma[None])
    with_alpha = Image.fromarray(np.concatenate([colour, np.full((8, 9, 1), 7, np.uint8)], 2))
    np.testing.assert_array_equal(Preprocess().apply(with_alpha), Preprocess().apply(colour))


def test_small_pictures_are_enlarged_by_resize() -> None:
    assert PRESETS["imagenet"].apply(photo(10, 17)).shape == (3, 224, 224)


def test_integer_dtypes() -> None:
    pixels = photo(4, 5)
    u8 = Preprocess(dtype="u8", layout="NHWC").apply(pixels)
    assert u8.dtype == np.uint8
    np.testing.assert_array_equal(u8, pixels)
    s8 = Preprocess(dtype="s8", layout="NHWC", mean=(128,)).apply(pixels)
    assert s8.dtype == np.int8
    np.testing.assert_array_equal(s8.astype(int), pixels.astype(int) - 128)


def test_batch() -> None:
    pictures = [photo(20, 30), photo(30, 20)]
    batch = Preprocess(resize=16, crop=16).batch(pictures)
    assert batch.shape == (2, 3, 16, 16)
    np.testing.assert_array_equal(batch[1], Preprocess(resize=16, crop=16).apply(pictures[1]))
    with pytest.raises(InvalidArgumentError, match="equally large"):
        Preprocess().batch(pictures)
    with pytest.raises(InvalidArgumentError, match="no pictures"):
        Preprocess().batch([])


def test_parse() -> None:
    steps = Preprocess.parse("resize=256,crop=224,mean=123.675:116.28:103.53,std=58.395:57.12:57.375,channels=bgr")
    assert steps == Preprocess(256, 224, channels="BGR", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    assert Preprocess.parse("imagenet") == PRESETS["imagenet"]
    assert Preprocess.parse(" tf , resize = 48x192 ") == Preprocess(
        (48, 192), 224, "bicubic", mean=(127.0,), std=(128.0,)
    )
    assert Preprocess.parse("scale=1/255,layout=nhwc").scale == 1 / 255


def test_dict_round_trip() -> None:
    import json

    for steps in (*PRESETS.values(), Preprocess((3, 4), (2, 2), "nearest", "GRAY", 0.5, layout="NHWC", dtype="s8")):
        assert Preprocess.from_dict(json.loads(json.dumps(steps.to_dict()))) == steps
    assert Preprocess.from_dict({}) == Preprocess()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("resise=3", "no key 'resise'"),
        ("imagnet", "presets: imagenet"),
        ("crop=3,imagenet", "neither KEY=VALUE"),
        ("resize=0", "resize must be"),
        ("resize=axb", "not understood"),
        ("resize=1x2x3", "resize must be"),
        ("scale=1/0", "not understood"),
        ("scale=nan", "finite"),
        ("mean=1:2", "1 or 3 values"),
        ("std=1:0:1", "std must not be 0"),
        ("crop=3,crop=4", "twice"),
        ("interpolation=lanczos", "bicubic, bilinear, nearest"),
        ("channels=RGBA", "RGB, BGR, GRAY"),
        ("layout=HW", "NCHW, NHWC"),
        ("dtype=f16", "f32, u8, s8"),
        ("", "neither KEY=VALUE"),
    ],
)
def test_parse_refuses(text: str, says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        Preprocess.parse(text)


@pytest.mark.parametrize(
    "values", [{"resize": "x"}, {"crop": True}, {"mean": ["a"]}, {"scale": None}, {"what": 1}, {"layout": 3}, []]
)
def test_from_dict_refuses(values) -> None:
    with pytest.raises(InvalidArgumentError):
        Preprocess.from_dict(values)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (b"", "no picture"),
        (b"\xff\xd8\xff\xe0 broken", "no picture"),
        ("missing.png", "cannot read missing.png"),
        (np.zeros((4, 4, 3), np.float32), "u8 pixels"),
        (np.zeros((4, 4, 4), np.uint8), r"\[H, W, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), r"\[H, W, 3\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"\[H, W, 3\]"),
        (3, "a picture is"),
        (Image.fromarray(np.zeros((4, 4), np.uint16)), "more than 8 bits"),
    ],
)
def test_what_is_no_picture(image, says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=says):
        Preprocess().apply(image)


def test_truncated_picture() -> None:
    stream = io.BytesIO()
    Image.fromarray(photo(64, 64)).save(stream, "PNG")
    for size in (10, 60, len(stream.getvalue()) // 2):
        with pytest.raises(InvalidArgumentError, match="no picture"):
            Preprocess().apply(stream.getvalue()[:size])


def test_crop_larger_than_picture_and_elongated() -> None:
    with pytest.raises(InvalidArgumentError, match="cannot crop 32x32 from a picture of 8x40"):
        Preprocess(crop=32).apply(photo(8, 40))
    with pytest.raises(InvalidArgumentError, match="too elongated"):
        Preprocess(resize=60000).apply(photo(1, 400))


def test_without_pillow(monkeypatch) -> None:
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == "PIL":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    pixels = photo(8, 8)
    # What needs no resizing works without
    np.testing.assert_array_equal(Preprocess(layout="NHWC").apply(pixels), pixels.astype(np.float32))
    with pytest.raises(InvalidArgumentError, match="pip install pillow"):
        Preprocess(resize=4).apply(pixels)
    with pytest.raises(InvalidArgumentError, match="pip install pillow"):
        Preprocess().apply(b"x")


def test_import_is_light() -> None:
    code = "import sys, whit.preprocess, whit.data, whit.progress; print(*{'PIL', 'tqdm'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
