// reshape, squeeze, unsqueeze: the same elements under another shape, so the engine aliases output and input.

#include <cstring>

#include "base/checked.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class ViewOperator : public Operator {
 public:
  Status prepare(const PrepareContext& context) override {
    WHIT_RETURN_IF_ERROR(check_view(context.node, context.inputs[0], context.outputs[0]));
    bytes_ = ceil_div(context.inputs[0].shape.elements() * dtype_bits(context.inputs[0].dtype()), 8);
    kernel_ = "view";
    is_view_ = true;
    return {};
  }

  void run(const RunContext& context) const override {
    std::memcpy(context.outputs[0], context.inputs[0], static_cast<std::size_t>(bytes_));
  }

 private:
  isize bytes_ = 0;
};

class Reshape final : public ViewOperator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& in = inputs[0].shape;
    const std::vector<s64>& wanted = node.attributes.integers("shape");
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    if (wanted.size() > Shape::kMaxRank)
      return node_error(node, Code::shape, "shape has %zu axes; up to %d are supported", wanted.size(),
                        Shape::kMaxRank);
    Shape out;
    int open = -1;
    s64 known = 1;
    for (s64 size : wanted) {
      const int axis = out.rank();
      if (size == -1) {
        if (open >= 0) return node_error(node, Code::shape, "shape has more than one -1");
        open = axis;
        out.push_back(1);
        continue;
      }
      if (size == 0) {
        if (axis >= in.rank())
          return node_error(node, Code::shape, "shape copies axis %d of an input of shape %s", axis, in.text().c_str());
        size = in[axis];
      }
      if (size < 1 || !checked_mul(known, size, &known))
        return node_error(node, Code::shape, "size %lld at axis %d is not usable", static_cast<long long>(size), axis);
      out.push_back(size);
    }
    const s64 elements = in.elements();
    if (open >= 0 && elements % known == 0) out[open] = elements / known;
    if (open >= 0 ? elements % known != 0 : elements != known)
      return node_error(node, Code::shape, "cannot view shape %s as %s", in.text().c_str(), out.text().c_str());
    outputs[0] = out;
    return {};
  }
};

class Squeeze final : public ViewOperator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& in = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    Result<std::vector<int>> axes = normalize_axes(node, node.attributes.integers("axes"), in.rank());
    if (!axes.ok()) return axes.status();
    u32 removed = 0;
    for (int axis : *axes) {
      if (in[axis] != 1) return node_error(node, Code::shape, "axis %d of shape %s is not 1", axis, in.text().c_str());
      removed |= 1u << axis;
    }
    Shape out;
    for (int i = 0; i < in.rank(); ++i)
      if (!(removed >> i & 1) && !(axes->empty() && in[i] == 1)) out.push_back(in[i]);
    outputs[0] = out;
    return {};
  }
};

class Unsqueeze final : public ViewOperator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& in = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    const std::vector<s64>& added = node.attributes.integers("axes");
    if (added.size() > static_cast<std::size_t>(Shape::kMaxRank - in.rank()))
      return node_error(node, Code::shape, "%zu more axes on shape %s; up to %d axes are supported", added.size(),
                        in.text().c_str(), Shape::kMaxRank);
    const int rank = in.rank() + static_cast<int>(added.size());
    Result<std::vector<int>> axes = normalize_axes(node, added, rank);
    if (!axes.ok()) return axes.status();
    u32 ones = 0;
    for (int axis : *axes) ones |= 1u << axis;
    Shape out;
    for (int i = 0, next = 0; i < rank; ++i) out.push_back(ones >> i & 1 ? 1 : in[next++]);
    outputs[0] = out;
    return {};
  }
};

}  // namespace

std::unique_ptr<Operator> make_reshape(const Node&) { return std::make_unique<Reshape>(); }
std::unique_ptr<Operator> make_squeeze(const Node&) { return std::make_unique<Squeeze>(); }
std::unique_ptr<Operator> make_unsqueeze(const Node&) { return std::make_unique<Unsqueeze>(); }

}  // namespace whit::ops
