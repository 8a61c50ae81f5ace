"""Contenders without a runtime: what they compute, and how they fail, is known."""

import os
import time

import numpy as np

from bench.contenders.base import Contender, Prepared, Runner


class _Product(Runner):
    """y = x w' + b in numpy, `seconds` long."""

    def __init__(self, path, seconds=0.0, wrong=False, deadly_after=None):
        arrays = np.load(path)
        self.weight, self.bias = arrays["weight"], arrays["bias"]
        self.seconds, self.wrong, self.left = seconds, wrong, deadly_after

    def feed(self, x):
        self.x = x

    def run(self):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                os.abort()
        end = time.perf_counter() + self.seconds
        self.y = self.x @ self.weight.T + self.bias
        while time.perf_counter() < end:
            pass

    def result(self):
        return self.y[::-1, ::-1] if self.wrong else self.y


class _Fake(Contender):
    module = "numpy"
    distribution = "numpy"
    variants = {"f32": "f32"}  # noqa: RUF012
    settings = {}  # noqa: RUF012

    def prepare(self, files, variant):
        (layer,) = files.network("f32").layers
        path = files.made("fake.npz", lambda out: _save(out, layer))
        return Prepared([str(path)])

    def load(self, prepared, threads):
        print("chatter of a runtime on stdout", flush=True)
        return _Product(prepared.paths[0], **self.settings)


def _save(out, layer):
    with out.open("wb") as file:
        np.savez(file, weight=layer.weight, bias=layer.bias)


class Ours(_Fake):
    name = "whit"
    settings = {"seconds": 0.0005}  # noqa: RUF012


class Slow(_Fake):
    name = "slow"
    settings = {"seconds": 0.002}  # noqa: RUF012


class Wrong(_Fake):
    name = "wrong"
    settings = {"wrong": True}  # noqa: RUF012


class Dies(_Fake):
    name = "dies"
    settings = {"deadly_after": 3}  # noqa: RUF012


class Missing(_Fake):
    name = "missing"
    module = "no_such_runtime"


class CannotLoad(_Fake):
    name = "cannot_load"

    def load(self, prepared, threads):
        raise ValueError("unreadable\nsecond line")


class CannotConvert(_Fake):
    name = "cannot_convert"

    def prepare(self, files, variant):
        raise NotImplementedError("no such operator")


class NotThis(_Fake):
    name = "not_this"

    def prepare(self, files, variant):
        return None
