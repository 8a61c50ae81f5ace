#include "ops/movement.h"

namespace whit::ops {
namespace {

class Transpose final : public StridedOperator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    return transpose_view(node, node.attributes.integers("perm"), inputs[0].shape, &view_, &outputs[0]);
  }
};

}  // namespace

std::unique_ptr<Operator> make_transpose(const Node&) { return std::make_unique<Transpose>(); }

}  // namespace whit::ops
