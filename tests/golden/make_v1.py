"""Writes tests/golden/v1: one file for each thing that format 1 can say. The files must load for ever.

Run it only to add a file: `python tests/golden/make_v1.py` (needs whit installed). Files that exist must come out as
they are, which tests/python/format/test_format.py checks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from whit.format import write
from whit.ir import Graph, LinearCodes, Node, Quantization, Tensor

FOLDER = Path(__file__).parent / "v1"


def graph_of(name: str, tensors: list[Tensor], nodes: list[Node], inputs: list[str], outputs: list[str]) -> Graph:
    return Graph(name, nodes, {tensor.name: tensor for tensor in tensors}, inputs, outputs)


def per_tensor(scale: float, zero_point: int) -> Quantization:
    return Quantization(np.array([scale], np.float32), np.array([zero_point], np.int32))


def minimal() -> Graph:
    """The example of docs/FORMAT.md: y = x + c."""
    return graph_of(
        "tiny",
        [
            Tensor("x", "f32", ("n", 2)),
            Tensor("c", "f32", (2,), data=np.array([1, -2], np.float32)),
            Tensor("y", "f32", ("n", 2)),
        ],
        [Node("add", "add_c", ["x", "c"], ["y"])],
        ["x"],
        ["y"],
    )


def quantized() -> Graph:
    """s8 activations, weights per output channel, s32 bias; metadata."""
    scale = np.array([0.5, 0.25, 0.125], np.float32)
    zero = np.zeros(3, np.int32)
    weights = (np.arange(12, dtype=np.int32) * 23 % 255 - 127).astype(np.int8).reshape(3, 4)
    graph = graph_of(
        "quantized",
        [
            Tensor("x", "f32", ("batch", 4)),
            Tensor("x_s8", "s8", ("batch", 4), per_tensor(0.0625, -3)),
            Tensor("w", "s8", (3, 4), Quantization(scale, zero, 0), weights),
            Tensor(
                "b", "s32", (3,), Quantization(scale * np.float32(0.0625), zero, 0), np.array([5, -70000, 0], "<i4")
            ),
            Tensor("y_s8", "s8", ("batch", 3), per_tensor(0.5, 10)),
            Tensor("y", "f32", ("batch", 3)),
        ],
        [
            Node("quantize_linear", "quantize", ["x"], ["x_s8"]),
            Node("gemm", "fc", ["x_s8", "w", "b"], ["y_s8"], {"clamp_min": 0.0, "clamp_max": 6.0}),
            Node("dequantize_linear", "dequantize", ["y_s8"], ["y"]),
        ],
        ["x"],
        ["y"],
    )
    graph.metadata = {"producer": "whit", "recipe": {"name": "int8"}, "labels": ["älter", "日本", "plain"]}
    return graph


def attributes() -> Graph:
    """Every type of attribute, absent inputs and outputs, several outputs, names in other scripts."""
    f32 = np.float32
    return graph_of(
        "attributes",
        [
            Tensor("image", "f32", (1, 4, 4, 2)),
            Tensor("weights", "f32", (2, 3, 3, 2), data=np.linspace(-1, 1, 36, dtype=f32).reshape(2, 3, 3, 2)),
            Tensor("conv", "f32", (1, 4, 4, 2)),
            Tensor("größer", "f32", (1, 8, 6, 2)),
            Tensor("left", "f32", (1, 8, 6, 1)),
            Tensor("right", "f32", (1, 8, 6, 1)),
            Tensor("sequence", "f32", (3, 1, 2)),
            Tensor("lstm_w", "f32", (1, 4, 2), data=np.linspace(0, 1, 8, dtype=f32).reshape(1, 4, 2)),
            Tensor("lstm_r", "f32", (1, 4, 1), data=np.linspace(-1, 0, 4, dtype=f32).reshape(1, 4, 1)),
            Tensor("state", "f32", (1, 1, 1)),
            Tensor("last", "f32", (1, 1, 1)),
        ],
        [
            Node(
                "conv",
                "conv",
                ["image", "weights"],
                ["conv"],
                {"strides": [1, 1], "dilations": [1, 1], "pads": [1, 1, 1, 1], "group": 1, "activation": "hard_swish"},
            ),
            Node(
                "resize",
                "resize",
                ["conv"],
                ["größer"],
                {
                    "mode": "linear",
                    "coordinate_transformation_mode": "half_pixel",
                    "nearest_mode": "floor",
                    "scales": [2.0, 1.5],
                    "sizes": [],
                },
            ),
            Node("split", "split", ["größer"], ["left", "right"], {"axis": -1, "sizes": [1, 1]}),
            Node(
                "lstm",
                "lstm",
                ["sequence", "lstm_w", "lstm_r", "", "state"],
                ["", "last"],
                {"direction": "forward"},
            ),
        ],
        ["image", "sequence", "state"],
        ["left", "right", "last"],
    )


def constants() -> Graph:
    """A constant of every dtype that can be written, empty, without axes, shared, with zero points."""
    values = {
        "f32": np.array([[1.5, -np.inf, np.nan], [0.0, -0.0, 1e-40]], "<f4"),
        "s8": np.array([[-128, 127, 0]], np.int8),
        "u8": np.array([[0, 255]], np.uint8),
        "s32": np.array([[-(2**31), 2**31 - 1]], "<i4"),
        "s16": np.array([[-(2**15), 2**15 - 1]], "<i2"),
        "f16": np.array([[65504.0, -0.5, np.inf]], "<f2"),
        "shared": np.array([[-128], [127], [0]], np.int8),
    }
    tensors, nodes = [], []
    for name, data in values.items():
        dtype = "s8" if name == "shared" else name
        tensors += [Tensor(name, dtype, data.shape, data=data), Tensor(f"{name}_t", dtype, data.shape[::-1])]
        nodes.append(Node("transpose", f"transpose_{name}", [name], [f"{name}_t"], {"perm": [1, 0]}))
    quantized = {tensor.name: tensor for tensor in tensors}
    scale, zero_point = np.array([0.5, 2.0], np.float32), np.array([3, 255], np.int32)
    quantized["u8"].quantization = Quantization(scale, zero_point, 1)
    quantized["u8_t"].quantization = Quantization(scale, zero_point, 0)
    tensors += [
        Tensor("empty", "f32", (0, 3), data=np.zeros((0, 3), "<f4")),
        Tensor("empty_t", "f32", (3, 0)),
        Tensor("scalar", "f32", (), data=np.array(7, "<f4")),
        Tensor("scalar_abs", "f32", ()),
    ]
    nodes.append(Node("transpose", "transpose_empty", ["empty"], ["empty_t"], {"perm": [1, 0]}))
    nodes.append(Node("abs", "abs", ["scalar"], ["scalar_abs"]))
    outputs = [f"{name}_t" for name in values] + ["empty_t", "scalar_abs"]
    return graph_of("constants", tensors, nodes, [], outputs)


def pictures() -> Graph:
    """What format 1.1 added: u8 to s8, the padding of a convolution by channel, quantising into another order."""
    zero = np.zeros(2, np.int32)
    weights = (np.arange(54, dtype=np.int32) * 37 % 255 - 127).astype(np.int8).reshape(2, 3, 3, 3)
    window = {"strides": [2, 2], "dilations": [1, 1], "pads": [1, 1, 1, 1], "group": 1}
    return graph_of(
        "pictures",
        [
            Tensor("picture", "u8", (1, 4, 4, 3), per_tensor(1.0, 0)),
            Tensor("picture_s8", "s8", (1, 4, 4, 3), per_tensor(1.0, -128)),
            Tensor("planes", "f32", (1, 3, 4, 4)),
            Tensor("planes_s8", "s8", (1, 4, 4, 3), per_tensor(1.0, -128)),
            Tensor("w", "s8", (2, 3, 3, 3), Quantization(np.array([0.5, 0.25], np.float32), zero, 0), weights),
            Tensor("y", "s8", (1, 2, 2, 2), per_tensor(64.0, 0)),
            Tensor("z", "s8", (1, 2, 2, 2), per_tensor(64.0, 0)),
        ],
        [
            Node("requantize", "flip", ["picture"], ["picture_s8"]),
            Node("quantize_linear", "quantize", ["planes"], ["planes_s8"], {"perm": [0, 2, 3, 1]}),
            Node("conv", "conv_y", ["picture_s8", "w"], ["y"], window | {"pad_values": [123.5, 116.25, 103.75]}),
            Node("conv", "conv_z", ["planes_s8", "w"], ["z"], dict(window)),
        ],
        ["picture", "planes"],
        ["y", "z"],
    )


def encodings() -> Graph:
    """What format 1.2 added: constants that want each of its encodings, wrapped in each other."""
    count = np.arange(96, dtype=np.int64)
    mixed = (count * 2654435761 % 2**32 >> 20).astype(np.int64)  # 0 to 4095, without an order
    few = (mixed % 7).astype(np.int8)
    rare = np.where(mixed % 11 == 0, few + 1, 0)
    many = np.arange(2000, dtype=np.int64) * 2654435761 % 2**32 >> 12
    f32 = np.float32
    codes = {
        "tensor": LinearCodes((few - 3).reshape(8, 12), np.array([0.1], f32), np.zeros(1, np.int32)),
        "channel": LinearCodes(
            few.astype(np.uint8).reshape(4, 24), np.array([0.5, 0.25, 2, 1], f32), np.array([3, 2, 1, 300], np.int32)
        ),
        "group": LinearCodes(
            (few * 5).reshape(4, 24), np.linspace(0.1, 0.7, 12, dtype=f32).reshape(4, 3), np.zeros((4, 3), np.int32), 10
        ),
        "gaps": LinearCodes(
            np.where(mixed % 13 == 0, few, 0).astype(np.int8).reshape(2, 48),
            np.array([3e-3], f32),
            np.zeros(1, np.int32),
        ),
    }
    constants = {
        "small": (few - 3).reshape(4, 3, 2, 4),
        "weights": ((mixed % 61 - 30) * (mixed // 64 % 3 - 1)).astype(np.int8).reshape(4, 3, 2, 4),
        "bytes": (few.astype(np.uint8) * 9 + 120).reshape(8, 12),
        "biases": (mixed[:12] * 5 - 9000).astype("<i4"),
        "shorts": (mixed[:24] - 2000).astype("<i2"),
        "halves": (few[:40] / 8 + 1).astype("<f2"),
        "reals": (mixed / 1000 - 2).astype("<f4").reshape(8, 12),
        "levels": np.array([-1.5, 0.25, 0.0, 3.0, 1e-3, 2.0, -7.0], "<f4")[few].reshape(12, 8),
        "gappy": (rare / 7).astype("<f4").reshape(8, 12),
        "pruned": np.where(mixed % 17 == 0, mixed / 999, 0).astype("<f4"),
        "zeros": np.zeros(300, "<f4"),
        "uneven": np.minimum.reduce([many % 41, many // 41 % 41, many // 1681 % 41]).astype(np.int8).reshape(40, 50),
        "two": np.where(many % 20 < 9, 1, np.where(many % 20 < 18, 2, -60)).astype(np.int8).reshape(20, 100),
        "again": (few - 3).reshape(4, 3, 2, 4),
    }
    return stored("", constants, codes)


def pruned() -> Graph:
    """What format 1.3 added: constants that are mostly zeros, element by element, in blocks, in rows of any density."""
    mixed = np.arange(6000, dtype=np.int64) * 2654435761 % 2**32 * 40503 % 2**31 >> 9  # without an order
    few = mixed % 15 - 7
    rows = np.where(mixed % 40 < 1 + np.arange(6000) // 300, few, 0)  # denser and denser
    blocks = np.where(mixed[:300] % 8 == 0, 1, 0)
    high = few.reshape(100, 60) * blocks.reshape(25, 1, 12).repeat(4, 0).repeat(5, 1).reshape(100, 60)
    wide = few[:1200].reshape(20, 60) * blocks.reshape(20, 15).repeat(4, 1)
    scale = np.linspace(0.5, 1, 20, dtype=np.float32)
    codes = {"scaled": LinearCodes(rows.astype(np.int8).reshape(20, 300), scale, np.zeros(20, np.int32))}
    constants = {
        "half": np.where(mixed[:1152] % 10 < 3, 0, mixed[:1152] % 199 - 99).astype(np.int8).reshape(16, 3, 3, 8),
        "rows": (rows / 8).astype("<f4").reshape(20, 300),
        "high": high.astype(np.int8).reshape(100, 5, 12),
        "wide": wide.astype("<i2"),
        "base": np.where(mixed[:2000] // 7 % 3 == 0, mixed[:2000] % 251 - 125, 5).astype(np.int8).reshape(40, 50),
        "row": np.where(mixed[:700] % 3 == 0, mixed[:700] << 9, 0).astype("<i4"),
    }
    return stored("pruned", constants, codes)


def groups() -> Graph:
    """What format 1.5 added: a scale for every 32 weights of a row, the last groups shorter."""
    weights = (np.arange(3 * 70, dtype=np.int32) * 37 % 15 - 7).astype(np.int8).reshape(3, 70)
    weights[1, ::9] = -8
    taps = (np.arange(2 * 3 * 5, dtype=np.int32) * 89 % 255 - 127).astype(np.int8).reshape(2, 3, 1, 5)
    few = np.array([[0.5, 0.0625, 6e-8], [1, 65504, 0.333], [0.1, 0.25, 0.001]], np.float16)
    window = {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0], "group": 1}
    return graph_of(
        "groups",
        [
            Tensor("x", "f32", ("n", 70)),
            Tensor("w", "s8", (3, 70), Quantization.by_groups(few, 2), weights),
            Tensor("bias", "f32", (3,), data=np.array([1, -2, 0.5], np.float32)),
            Tensor("y", "f32", ("n", 3)),
            Tensor("z", "f32", ("n", 3)),
            Tensor("image", "f32", (1, 5, 4, 5)),
            Tensor("taps", "s8", (2, 3, 1, 5), Quantization.by_groups(few.reshape(9, 1)[:6], 4), taps),
            Tensor("conv", "f32", (1, 3, 4, 2)),
        ],
        [
            Node("gemm", "rounded", ["x", "w", "bias"], ["y"], {"dynamic": 1, "clamp_min": 0.0}),
            Node("gemm", "real", ["x", "w"], ["z"]),
            Node("conv", "conv", ["image", "taps"], ["conv"], window),
        ],
        ["x", "image"],
        ["y", "z", "conv"],
    )


def stored(graph: str, constants: dict[str, np.ndarray], codes: dict[str, LinearCodes]) -> Graph:
    """Constants, each transposed by nothing into an output."""
    constants |= {key: code.dequantize() for key, code in codes.items()}
    tensors, nodes = [], []
    for name, data in constants.items():
        dtype = {"i1": "s8", "u1": "u8", "i4": "s32", "i2": "s16", "f2": "f16", "f4": "f32"}[data.dtype.str[1:]]
        perm = list(range(data.ndim))
        tensors += [
            Tensor(name, dtype, data.shape, data=data, codes=codes.get(name)),
            Tensor(f"{name}_", dtype, data.shape),
        ]
        nodes.append(Node("transpose", "", [name], [f"{name}_"], {"perm": perm}))
    return graph_of(graph, tensors, nodes, [], [f"{name}_" for name in constants])


MODELS = {
    "minimal": minimal,
    "quantized": quantized,
    "attributes": attributes,
    "constants": constants,
    "pictures": pictures,
    "encodings": encodings,
    "pruned": pruned,
    "groups": groups,
}

#: The files: which model, the level that it is written at, and the minor version of the format.
FILES = {
    name: (name, "dense", 5 if name == "groups" else 1) for name in MODELS if name not in ("encodings", "pruned")
} | {
    f"{model}_{level}": (model, level, minor)
    for model, minor, levels in (("encodings", 2, ("packed", "coded", "archive")), ("pruned", 3, ("packed", "coded")))
    for level in levels
}


def file_of(name: str) -> bytes:
    model, level, minor = FILES[name]
    return write(MODELS[model](), level, minor)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in FILES:
        (FOLDER / f"{name}.whit").write_bytes(file_of(name))


if __name__ == "__main__":
    main()
