"""The intermediate representation of the offline half."""

from whit.ir.graph import Attribute, Dim, Graph, Node, Quantization, Tensor

__all__ = ["Attribute", "Dim", "Graph", "Node", "Quantization", "Tensor"]
