#include <algorithm>

#include "ops/movement.h"

namespace whit::ops {
namespace {

class Slice final : public StridedOperator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& in = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    const std::vector<s64>&starts = node.attributes.integers("starts"), &ends = node.attributes.integers("ends"),
          &steps = node.attributes.integers("steps");
    Result<std::vector<int>> axes = normalize_axes(node, node.attributes.integers("axes"), in.rank());
    if (!axes.ok()) return axes.status();
    if (starts.size() != axes->size() || ends.size() != axes->size() || steps.size() != axes->size())
      return node_error(node, Code::shape, "%zu starts, %zu ends, %zu steps for %zu axes", starts.size(), ends.size(),
                        steps.size(), axes->size());

    Shape out = in;
    view_ = {};
    for (int i = 0; i < in.rank(); ++i) view_.push(in[i], in.elements(i + 1, in.rank()));
    for (std::size_t i = 0; i < axes->size(); ++i) {
      const int axis = (*axes)[i];
      const s64 size = in[axis];
      if (steps[i] == 0) return node_error(node, Code::shape, "step 0 on axis %d", axis);
      const s64 step = std::clamp(steps[i], -size, size);  // a longer step takes one element as well
      const s64 lowest = step > 0 ? 0 : -1;                // where a walk may end below, beginning one above it if down
      const s64 start = std::clamp(starts[i] < 0 ? starts[i] + size : starts[i], s64{0}, step > 0 ? size : size - 1);
      const s64 end = std::clamp(ends[i] < 0 ? ends[i] + size : ends[i], lowest, size);
      const s64 span = step > 0 ? end - start : start - end;
      if (span <= 0)
        return node_error(node, Code::shape, "start %lld, end %lld, step %lld leave nothing of axis %d of shape %s",
                          static_cast<long long>(starts[i]), static_cast<long long>(ends[i]),
                          static_cast<long long>(steps[i]), axis, in.text().c_str());
      out[axis] = ceil_div(span, step > 0 ? step : -step);
      view_.offset += start * view_.strides[axis];
      view_.sizes[axis] = out[axis];
      view_.strides[axis] *= step;
    }
    outputs[0] = out;
    return {};
  }
};

}  // namespace

std::unique_ptr<Operator> make_slice(const Node&) { return std::make_unique<Slice>(); }

}  // namespace whit::ops
