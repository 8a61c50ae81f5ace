#include "ops/movement.h"

#include "base/checked.h"
#include "ops/epilogue_params.h"

namespace whit::ops {

Status check_sizes(const Node& node, const char* what, const Shape& shape) {
  constexpr s64 kMaxElements = s64{1} << 40;
  s64 elements = 1;
  for (s64 size : shape)
    if (size < 1 || !checked_mul(elements, size, &elements) || elements > kMaxElements)
      return node_error(node, Code::shape,
                        "%s would have shape %s; every size must be at least 1 and their product at "
                        "most 2^40",
                        what, shape.text().c_str());
  return {};
}

Result<std::vector<int>> normalize_axes(const Node& node, const std::vector<s64>& axes, int rank) {
  std::vector<int> out;
  u32 seen = 0;
  for (s64 axis : axes) {
    Result<int> normal = normalize_axis(node, axis, rank);
    if (!normal.ok()) return normal.status();
    if (seen >> *normal & 1) return node_error(node, Code::shape, "axis %d is named twice", *normal);
    seen |= 1u << *normal;
    out.push_back(*normal);
  }
  return out;
}

Status transpose_view(const Node& node, const std::vector<s64>& perm, const Shape& in, copy::View* view, Shape* out) {
  WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
  Result<std::vector<int>> axes = normalize_axes(node, perm, in.rank());
  if (!axes.ok()) return axes.status();
  if (static_cast<int>(axes->size()) != in.rank())
    return node_error(node, Code::shape, "perm names %zu axes, the input has shape %s", axes->size(),
                      in.text().c_str());
  *out = {};
  *view = {};
  for (int axis : *axes) {
    out->push_back(in[axis]);
    view->push(in[axis], in.elements(axis + 1, in.rank()));
  }
  return {};
}

Status check_movement(const Node& node, const TensorInfo& input, const TensorInfo& output) {
  if (dtype_bits(input.dtype()) < 8)
    return node_error(node, Code::unsupported, "%s elements are smaller than a byte", dtype_name(input.dtype()));
  return check_view(node, input, output);
}

Status check_view(const Node& node, const TensorInfo& input, const TensorInfo& output) {
  if (input.dtype() != output.dtype())
    return node_error(node, Code::unsupported, "input '%s' is %s but output '%s' is %s", tensor_name(input),
                      dtype_name(input.dtype()), tensor_name(output), dtype_name(output.dtype()));
  const Quantization &from = input.quantization(), &to = output.quantization();
  if (!from && !to) return {};
  if (!from || !to || from.axis >= 0 || to.axis >= 0 || from.scale != to.scale || from.zero_point != to.zero_point)
    return node_error(node, Code::unsupported,
                      "'%s' and '%s' must have the same quantisation, one scale for the whole tensor",
                      tensor_name(input), tensor_name(output));
  return {};
}

Status StridedOperator::prepare(const PrepareContext& context) {
  WHIT_RETURN_IF_ERROR(check_movement(context.node, context.inputs[0], context.outputs[0]));
  const isize bytes = element_bytes(context.inputs[0]);
  copy::View view = view_;
  view.offset *= bytes;
  for (int i = 0; i < view.rank; ++i) view.strides[i] *= bytes;
  plan_ = copy::plan(view, bytes);
  kernel_ = copy::name(plan_.path);
  is_view_ = plan_.path == copy::Path::dense && view.offset == 0 &&
             context.inputs[0].shape.elements() == context.outputs[0].shape.elements();
  return {};
}

void StridedOperator::run(const RunContext& context) const {
  context.pool.parallel_for(plan_.units, movement_grain(plan_.unit_bytes), [&](isize begin, isize end, int) {
    copy::run(plan_, context.inputs[0], context.outputs[0], begin, end);
  });
}

}  // namespace whit::ops
