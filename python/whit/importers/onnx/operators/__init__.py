"""One module per group of ONNX operators; each function emits the whit nodes of one operator."""
