"""Models that do not fit into memory: a MemoryError that says what did not fit, never a crash, and work goes on."""

from __future__ import annotations

from textwrap import dedent

import numpy as np
import pytest
from engine_graphs import EngineBuilder
from isolated import run_python
from session_models import convnet

import whit
from whit.format import write
from whit.ir import Graph, Node, Quantization, Tensor

#: limit(n) lets the process have n more megabytes of address space; 256 MB in all is the board that we think of.
LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
import whit

def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

def limit(megabytes):
    resource.setrlimit(resource.RLIMIT_AS, (size() + (megabytes << 20), resource.RLIM_INFINITY))

def refused(call):
    try:
        call()
    except MemoryError as problem:
        return str(problem)
    raise AssertionError("it fitted")
"""


def products(layers: int, size: int, dtype: type = np.float32) -> bytes:
    """`layers` products of [1, size] with [size, size] that keep all but one of a vector of ones."""
    graph = Graph("products", inputs=[], outputs=[])
    graph.inputs.append(graph.add_tensor(Tensor("x", "f32", (1, size))))
    weights = np.ones((size, size), dtype)
    q = Quantization(np.full(1, 1 / size, np.float32), np.zeros(1, np.int32), None)
    if dtype is np.float32:
        weights, q = weights / np.float32(size), None
    last = "x"
    for layer in range(layers):
        weights = weights.copy()
        weights[0, 0] = layer  # equal ones would be stored once
        w = graph.add_tensor(Tensor(f"w{layer}", "f32" if q is None else "s8", weights.shape, q, weights))
        y = graph.add_tensor(Tensor(f"y{layer}", "f32", (1, size)))
        graph.nodes.append(Node("gemm", f"product {layer}", [last, w], [y], {}))
        last = y
    graph.outputs.append(last)
    return write(graph)


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """64 MB of f32 weights, which need 64 MB more once they are packed."""
    path = tmp_path_factory.mktemp("large") / "large.whit"
    path.write_bytes(products(4, 2000))
    return path


def test_256_mb_of_address_space_and_a_larger_model(tmp_path):
    """The whole process has 256 MB, as on a board of that size; the model has 288 MB."""
    path = tmp_path / "larger.whit"
    path.write_bytes(products(2, 6000))
    script = """
        assert size() < 250 << 20, size()
        resource.setrlimit(resource.RLIMIT_AS, (256 << 20, resource.RLIM_INFINITY))
        print(refused(lambda: whit.load(sys.argv[1], threads=1)))
        small = whit.load(sys.argv[2], threads=1)
        assert small(np.ones((1, 12, 12, 3), np.float32)).shape == (1, 5)
    """
    small = tmp_path / "small.whit"
    small.write_bytes(write(convnet()[0]))
    said = run_python(LIMIT + dedent(script), path, small)
    assert "larger.whit: no memory for its 288" in said


def test_a_file_that_maps_and_weights_that_do_not_fit(large_file):
    script = """
        limit(100)
        print(refused(lambda: whit.load(sys.argv[1], threads=1)))
        limit(200)
        with whit.load(sys.argv[1], threads=1) as model:
            assert np.allclose(model(np.ones((1, 2000), np.float32))[0, 1:], 1, atol=1e-2)
    """
    said = run_python(LIMIT + dedent(script), large_file)
    assert "node '" in said
    assert "bytes of packed weights" in said


def test_bytes_that_do_not_fit(large_file):
    """whit.load(bytes) copies them."""
    script = """
        data = Path(sys.argv[1]).read_bytes()
        limit(20)
        print(refused(lambda: whit.load(data, threads=1)))
    """
    assert "no memory for" in run_python(LIMIT + dedent(script), large_file)


def test_an_arena_that_does_not_fit(conv_file):
    """The file is small; the image is not. The model goes on with the images that fit."""
    script = """
        model = whit.load(sys.argv[1], threads=2)
        small = np.ones((1, 20, 20, 3), np.float32)
        large = np.ones((1, 1500, 1500, 3), np.float32)
        wanted = model(small).tobytes()
        limit(100)
        print(refused(lambda: model(large)))
        assert model(small).tobytes() == wanted
        print(refused(lambda: model.session()(large)))
        limit(600)
        assert model(large).shape == (1, 5)
        assert model(small).tobytes() == wanted
    """
    said = run_python(LIMIT + dedent(script), conv_file).splitlines()
    assert all("bytes that this model's tensors need at these input shapes" in line for line in said), said


def test_any_limit(conv_file, tmp_path):
    """Loading and running at every limit, in steps of 256 kB: each attempt works or is a MemoryError.

    The child that tries has a minute, so that a lock left behind would be found.
    """
    path = tmp_path / "products.whit"
    path.write_bytes(products(3, 600, np.int8))
    script = """
        import os
        image = np.ones((1, 60, 60, 3), np.float32)
        x = np.ones((1, 600), np.float32)
        keep = whit.load(sys.argv[1], threads=1)
        outcomes = {}
        for step in range(100):
            child = os.fork()
            if child == 0:
                resource.setrlimit(resource.RLIMIT_AS, (size() + (step << 18), resource.RLIM_INFINITY))
                code = 0
                for _ in range(2):
                    try:
                        with whit.load(sys.argv[1], threads=2) as model:
                            model(image)
                        with whit.load(sys.argv[2], threads=2) as model:
                            model(x)
                        keep(image)
                    except MemoryError:
                        code = 1
                os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (0, 1), (step, code)
            outcomes.setdefault(code, []).append(step)
        assert outcomes[0] and outcomes[1], outcomes
        assert outcomes[0][-1] == 99, outcomes
        print(len(outcomes[0]), len(outcomes[1]))
    """
    run_python(LIMIT + dedent(script), conv_file, path)


def test_a_convolution_that_wants_a_terabyte_of_offsets(tmp_path):
    """A file of 32 MB whose kernel of 1000 x 1000 reads from 512 x 512 places: refused before memory is touched."""
    for op in ("conv", "conv_transpose"):
        b = EngineBuilder()
        x = b.input("x", 1, 4, 4, 8)
        w = b.constant(np.ones((1, 3, 3, 8), np.float32))
        attributes = b.conv_attributes(2, 3)
        if op == "conv_transpose":
            attributes = {key: attributes[key] for key in ("strides", "dilations", "pads", "group")}
            attributes["output_padding"] = [0, 0]
        graph = b.finish(b.node(op, x, w, **attributes))
        graph.tensors[graph.inputs[0]].shape = (1, 512, 512, 8)
        weights = graph.tensors[graph.nodes[0].inputs[1]]
        weights.data = np.zeros((1, 1000, 1000, 8), np.float32)
        weights.shape = (1, 1000, 1000, 8)
        graph.nodes[0].attributes["pads"] = [500] * 4 if op == "conv" else [499] * 4
        out = graph.tensors[graph.outputs[0]]
        out.shape = ("n", "h", "w", "c")
        with pytest.raises(whit.UnsupportedOperatorError, match=r"output pixels of 1000000 kernel taps each"):
            whit.load(write(graph), threads=1)
