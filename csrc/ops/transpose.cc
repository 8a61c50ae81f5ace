#include "ops/movement.h"

namespace whit::ops {
namespace {

class Transpose final : public StridedOperator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& in = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    Result<std::vector<int>> perm = normalize_axes(node, node.attributes.integers("perm"), in.rank());
    if (!perm.ok()) return perm.status();
    if (static_cast<int>(perm->size()) != in.rank())
      return node_error(node, Code::shape, "perm names %zu axes, the input has shape %s", perm->size(),
                        in.text().c_str());
    Shape out;
    view_ = {};
    for (int axis : *perm) {
      out.push_back(in[axis]);
      view_.push(in[axis], in.elements(axis + 1, in.rank()));
    }
    outputs[0] = out;
    return {};
  }
};

}  // namespace

std::unique_ptr<Operator> make_transpose(const Node&) { return std::make_unique<Transpose>(); }

}  // namespace whit::ops
