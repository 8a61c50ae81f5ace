"""export-c and inspect --ops: what the C library's users take from the command line."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import whit as package


def array_of(text: str) -> bytes:
    """The bytes between the braces of an exported array."""
    return bytes(int(number) for number in re.findall(r"\d+", text[text.index("{") : text.index("}")]))


def test_the_array_is_the_file(whit, demo, tmp_path, documented):
    model = demo / "digits-int8.whit"
    result = whit("export-c", model, "-o", tmp_path / "digits.c", "--json")
    assert result.code == 0
    assert set(result.json) == documented("export-c")
    assert result.json["symbol"] == "digits"
    assert result.json["bytes"] == model.stat().st_size
    text = (tmp_path / "digits.c").read_text()
    assert '#include "digits.h"' in text
    assert "__attribute__((aligned(64))) const unsigned char digits[" in text
    assert array_of(text) == model.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits.c", "digits.h"]


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_it_compiles_as_c99_and_links(whit, demo, tmp_path):
    model = demo / "digits-int8.whit"
    assert whit("export-c", model, "-o", tmp_path / "m.c", "--name", "my_model").code == 0
    (tmp_path / "main.c").write_text(
        '#include "m.h"\n#include <stdint.h>\n#include <stdio.h>\nint main(void) {\n'
        "  if (sizeof my_model != my_model_size || (uintptr_t)my_model % 64 != 0) return 1;\n"
        "  return fwrite(my_model, 1, my_model_size, stdout) != my_model_size;\n}\n"
    )
    command = ["cc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "main.c", "m.c", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run(["./main"], cwd=tmp_path, check=True, capture_output=True).stdout == model.read_bytes()


def test_names_that_files_give(whit, demo, tmp_path):
    model = demo / "digits-int8.whit"
    for stem, symbol in (("8-bit net", "model_8_bit_net"), ("class", "model_class"), ("über", "_ber"), ("a.b", "a_b")):
        copy = tmp_path / f"{stem}.whit"
        shutil.copy(model, copy)
        values = whit("export-c", copy, "--json").json
        assert values["symbol"] == (symbol if symbol[0] != "_" else f"model_{symbol}")
        assert Path(values["source"]) == tmp_path / f"{stem}.c"


@pytest.mark.parametrize("name", ["8bit", "a-b", "", "int", "class", "__a", "_Big", "a b", "\u00fc", "a\n"])
def test_bad_names(whit, demo, tmp_path, name):
    result = whit("export-c", demo / "digits-int8.whit", "-o", tmp_path / "m.c", "--name", name)
    assert result.code == 2
    assert "--name" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_comment_cannot_be_ended_by_a_file_name(whit, demo, tmp_path):
    model = tmp_path / "a*\\"
    shutil.copy(demo / "digits-int8.whit", model)
    assert whit("export-c", model, "-o", tmp_path / "m.c").code == 0
    assert (tmp_path / "m.c").read_text().startswith("/* a__ as written by")


def test_errors_leave_what_was_there(whit, demo, tmp_path):
    model = demo / "digits-int8.whit"
    (tmp_path / "m.c").write_text("old")
    damaged = tmp_path / "damaged.whit"
    damaged.write_bytes(model.read_bytes()[:-1])
    assert whit("export-c", damaged, "-o", tmp_path / "m.c").code == 3
    assert whit("export-c", tmp_path / "none.whit", "-o", tmp_path / "m.c").code == 3
    assert (tmp_path / "m.c").read_text() == "old"
    (tmp_path / "m.h").mkdir()
    assert whit("export-c", model, "-o", tmp_path / "m.c").code == 3
    assert (tmp_path / "m.c").read_text() == "old"
    assert whit("export-c", model, "-o", tmp_path / "no" / "m.c").code == 3
    assert whit("export-c", model, "-o", tmp_path / "m.txt").code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.whit", "m.c", "m.h"]


def test_operators(whit, demo):
    paths = [demo / "digits-int8.whit", demo / "digits-f32.whit"]
    wanted = []
    for path in paths:
        with package.load(path) as model:
            wanted.append({node["op"] for node in model.nodes()})
    assert wanted[0] != wanted[1]
    assert whit("inspect", "--ops", paths[0]).out == " ".join(sorted(wanted[0])) + "\n"
    assert whit("inspect", "--ops", *paths).out == " ".join(sorted(wanted[0] | wanted[1])) + "\n"
    assert whit("inspect", "--ops", paths[1], "--json").json == {"ops": sorted(wanted[1])}


def test_operators_of_pruned_models(whit, demo, tmp_path):
    """What asks for the kernels for sparse weights is that a product's weights are mostly 0."""
    recipe = "prune.sparsity=0.9", "prune.criterion=magnitude", "prune.min_weight_elements=1"
    text = '[[steps]]\nkind = "prune"\n'
    (tmp_path / "pruned.toml").write_text(f"version = 2\n{text}")
    settings = [part for setting in recipe for part in ("--set", setting)]
    out = tmp_path / "pruned.whit"
    made = whit("compress", demo / "digits.onnx", "-o", out, "--recipe", tmp_path / "pruned.toml", *settings)
    assert made.code == 0, made.err
    assert "sparse" in whit("inspect", "--ops", out).out.split()
    with package.load(out) as model:
        assert model.has_sparse_weights


def test_operators_of_models_with_few_values(whit, demo, tmp_path):
    out = tmp_path / "int4.whit"
    data = "--data", demo / "calibration", "--preprocess", "channels=gray,scale=1/15"
    made = whit("compress", demo / "digits.onnx", "-o", out, "--recipe", "int4", *data)
    assert made.code == 0, made.err
    assert "w4" in whit("inspect", "--ops", out).out.split()
    assert "w4" not in whit("inspect", "--ops", demo / "digits-int8.whit").out.split()


def test_operators_usage(whit, demo):
    path = demo / "digits-int8.whit"
    assert whit("inspect", path, path).code == 2
    assert whit("inspect", "--ops", path, "--tensors").code == 2
