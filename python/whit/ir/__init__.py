"""The intermediate representation of the offline half."""

from whit.ir.graph import PRODUCTS, WEIGHT_INPUTS, Attribute, Dim, Graph, LinearCodes, Node, Quantization, Tensor
from whit.ir.verify import verify

__all__ = [
    "PRODUCTS",
    "WEIGHT_INPUTS",
    "Attribute",
    "Dim",
    "Graph",
    "LinearCodes",
    "Node",
    "Quantization",
    "Tensor",
    "verify",
]
