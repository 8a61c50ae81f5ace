"""What compression did to a model: reports, and comparison with the original."""

from whit.compression.result import LayerReport, Report
from whit.report.compare import Comparison, LayerComparison, OutputComparison, compare

__all__ = ["Comparison", "LayerComparison", "LayerReport", "OutputComparison", "Report", "compare"]
