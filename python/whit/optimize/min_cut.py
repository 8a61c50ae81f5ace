"""A minimum cut, for graphs of some thousand edges (Edmonds and Karp, 1972)."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Hashable

__all__ = ["MinCut"]


class MinCut:
    """Splits nodes into the side of `source` and the side of `sink` at least cost.

    Nodes are any hashable things; they exist once named.
    """

    def __init__(self, source: Hashable, sink: Hashable) -> None:
        self.source, self.sink = source, sink
        self._capacity: dict[Hashable, dict[Hashable, int]] = {source: {}, sink: {}}

    def add(self, tail: Hashable, head: Hashable, cost: int) -> None:
        """`cost` is due if `tail` ends on the side of the source and `head` on that of the sink."""
        edges = self._capacity.setdefault(tail, {})
        edges[head] = edges.get(head, 0) + cost
        self._capacity.setdefault(head, {}).setdefault(tail, 0)

    def add_group(self, members: list[Hashable], cost: int) -> None:
        """`cost` is due, once, if the members do not all end on one side."""
        unbounded = 1 << 62
        gate_in, gate_out = object(), object()
        self.add(gate_in, gate_out, cost)
        for member in members:
            self.add(member, gate_in, unbounded)
            self.add(gate_out, member, unbounded)

    def solve(self) -> set[Hashable]:
        """The side of the source: the smallest set among the cheapest."""
        while True:
            parents: dict[Hashable, Hashable] = {self.source: None}
            queue = deque([self.source])
            while queue and self.sink not in parents:
                tail = queue.popleft()
                for head, capacity in self._capacity[tail].items():
                    if capacity > 0 and head not in parents:
                        parents[head] = tail
                        queue.append(head)
            if self.sink not in parents:
                return set(parents)
            path = [self.sink]
            while path[-1] is not self.source:
                path.append(parents[path[-1]])
            path.reverse()
            edges = list(itertools.pairwise(path))
            flow = min(self._capacity[tail][head] for tail, head in edges)
            for tail, head in edges:
                self._capacity[tail][head] -= flow
                self._capacity[head][tail] += flow
