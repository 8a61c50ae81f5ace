"""Rewrites a graph into the one that runs fastest and computes the same.

`optimize` is what everybody else calls; PIPELINE says which passes run, in which order.
"""

from __future__ import annotations

import os

from whit.errors import WhitError
from whit.ir import Graph, verify
from whit.optimize.base import NodePass, Pass, clone
from whit.optimize.cancel_transposes import CancelTransposes
from whit.optimize.fold_batch_norm import FoldBatchNorm
from whit.optimize.fold_bits import FoldBits
from whit.optimize.fold_constants import FoldConstants
from whit.optimize.fold_input_affine import FoldInputAffine
from whit.optimize.fold_qdq import FoldQdq
from whit.optimize.fuse_activation import FuseActivation
from whit.optimize.fuse_quantize_transpose import FuseQuantizeTranspose
from whit.optimize.fuse_residual import FuseResidual
from whit.optimize.merge_duplicates import MergeDuplicates
from whit.optimize.merge_pad import MergePad
from whit.optimize.recognize_activations import RecognizeActivations
from whit.optimize.remove_identity import RemoveIdentity

__all__ = ["PIPELINE", "NodePass", "Pass", "optimize", "run_passes"]

#: Stages of passes. Each stage runs, in order and again, until none of its passes changes anything. Quantised groups
#: are folded only when the f32 graph has settled: what has been fused by then becomes part of the s8 operator.
_FLOAT: tuple[Pass, ...] = (
    RemoveIdentity(),
    FoldConstants(),
    MergeDuplicates(),
    RecognizeActivations(),
    CancelTransposes(),
    MergePad(),
    FoldBatchNorm(),
    FoldInputAffine(),
    FuseActivation(),
    FuseResidual(),
)
PIPELINE: tuple[tuple[Pass, ...], ...] = (_FLOAT, (*_FLOAT, FoldQdq()), (FuseQuantizeTranspose(),), (FoldBits(),))

_MAX_ROUNDS = 50


def optimize(graph: Graph) -> Graph:
    """Returns an optimised copy of `graph`: the same inputs, outputs and results.

    With WHIT_DEBUG set, the graph is verified after every pass that changed it.

    Raises:
        WhitError: the graph is not valid (see `whit.ir.verify`).
    """
    graph = clone(graph)
    verify(graph)
    check = bool(os.environ.get("WHIT_DEBUG"))
    for stage in PIPELINE:
        run_passes(graph, stage, check=check)
    graph.sort()
    verify(graph)
    return graph


def run_passes(graph: Graph, passes: tuple[Pass, ...], *, check: bool = True) -> bool:
    """Runs passes on `graph`, in place, until none changes anything; True if any did. `check` verifies after each."""
    changed = graph.prune()
    for _ in range(_MAX_ROUNDS):
        round_changed = False
        for each in passes:
            if each.run(graph):
                round_changed = True
                graph.prune()
                if check:
                    _check(graph, each)
        if not round_changed:
            return changed
        changed = True
    raise WhitError(f"the passes {', '.join(each.name for each in passes)} do not settle on graph {graph.name!r}")


def _check(graph: Graph, after: Pass) -> None:
    try:
        verify(graph)
    except WhitError as error:
        raise WhitError(f"pass {after.name} left an invalid graph: {error}") from error
