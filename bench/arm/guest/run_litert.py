"""run_litert.py MODEL.tflite: one inference on one thread between the marks, in LiteRT or its forerunner."""

import importlib
import importlib.metadata
import sys

import numpy as np

from bench.arm.guest.marks import count

try:
    interpreter_module = importlib.import_module("ai_edge_litert.interpreter")
    print(importlib.metadata.version("ai-edge-litert"))
except ImportError:
    interpreter_module = importlib.import_module("tflite_runtime.interpreter")
    print(importlib.metadata.version("tflite-runtime"))

interpreter = interpreter_module.Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
(model_input,) = interpreter.get_input_details()
values = np.random.default_rng(1).integers(-100, 100, model_input["shape"])
interpreter.set_tensor(model_input["index"], values.astype(model_input["dtype"]))
count(interpreter.invoke)
