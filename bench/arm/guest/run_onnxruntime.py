"""run_onnxruntime.py MODEL.onnx: one inference on one thread between the marks."""

import sys

import numpy as np
import onnxruntime

from bench.arm.guest.marks import count

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
print(onnxruntime.__version__)
(model_input,) = session.get_inputs()
feeds = {model_input.name: np.random.default_rng(1).standard_normal(model_input.shape, dtype=np.float32)}
count(lambda: session.run(None, feeds))
