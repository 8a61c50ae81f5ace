"""The intermediate representation of the offline half."""

from whit.ir.graph import Attribute, Dim, Graph, LinearCodes, Node, Quantization, Tensor
from whit.ir.verify import verify

__all__ = ["Attribute", "Dim", "Graph", "LinearCodes", "Node", "Quantization", "Tensor", "verify"]
