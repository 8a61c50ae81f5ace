"""Techniques that change weights or the graph around them: pure numpy, one a file, each naming its source.

Weights are f32 with output channels along the first axis; *rows* are their output channels, *columns* the rest of a
row, flattened. How coarse values are chosen is a *grid*: linear, logarithmic, signs or a palette. A grid says what is
nearest to a value, and encodes weights; `compensated.py` rounds to any of them with calibration data.
"""
