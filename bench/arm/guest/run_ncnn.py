"""run_ncnn.py MODEL.param MODEL.bin: one inference on one thread between the marks."""

import sys

import ncnn  # type: ignore[import-not-found]
import numpy as np

from bench.arm.guest.marks import count

net = ncnn.Net()
net.opt.num_threads = 1
net.opt.use_vulkan_compute = False
if net.load_param(sys.argv[1]) or net.load_model(sys.argv[2]):
    sys.exit(f"ncnn cannot read {sys.argv[1]}")
print(ncnn.__version__)
image = ncnn.Mat(np.random.default_rng(1).standard_normal((3, 224, 224)).astype(np.float32))


def run() -> object:
    extractor = net.create_extractor()
    extractor.input(net.input_names()[0], image)
    return extractor.extract(net.output_names()[0])


count(run)
