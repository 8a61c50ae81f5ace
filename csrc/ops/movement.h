#pragma once
// What the operators that move data have in common: checks, and the strided copy that most of them are.

#include <vector>

#include "kernels/copy/copy.h"
#include "ops/operator.h"

namespace whit::ops {

/// Every size is at least 1 and their product is at most 2^40. `what` names the tensor in the error.
Status check_sizes(const Node& node, const char* what, const Shape& shape);

/// The axes of an attribute, made non-negative for a tensor of this rank; a repeated one is a Code::shape error.
Result<std::vector<int>> normalize_axes(const Node& node, const std::vector<s64>& axes, int rank);

/// The transpose of a tensor of shape `in` by `perm` (as the attribute has it), in elements, and its shape.
Status transpose_view(const Node& node, const std::vector<s64>& perm, const Shape& in, copy::View* view, Shape* out);

/// Both tensors have the same dtype and, if quantised, the same quantisation per tensor.
Status check_view(const Node& node, const TensorInfo& input, const TensorInfo& output);
/// check_view(), and elements have 1, 2 or 4 bytes.
Status check_movement(const Node& node, const TensorInfo& input, const TensorInfo& output);

inline isize element_bytes(const TensorInfo& info) { return dtype_bits(info.dtype()) / 8; }

/// Pieces of work of `bytes` each that one thread should have at least, so that small tensors stay on one thread.
constexpr isize movement_grain(s64 bytes) {
  constexpr isize kBytesPerThread = 32768;
  return bytes >= kBytesPerThread ? 1 : kBytesPerThread / static_cast<isize>(bytes > 0 ? bytes : 1);
}

/// An operator whose output is a strided view of input 0. infer() of the derived class sets `view_` in elements.
class StridedOperator : public Operator {
 public:
  Status prepare(const PrepareContext& context) override;
  void run(const RunContext& context) const override;

 protected:
  copy::View view_;

 private:
  copy::Plan plan_;
};

}  // namespace whit::ops
