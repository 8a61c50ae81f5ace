#include <algorithm>

#include "ops/movement.h"

namespace whit::ops {
namespace {

class Expand final : public StridedOperator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& in = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    const std::vector<s64>& wanted = node.attributes.integers("shape");
    if (wanted.size() > Shape::kMaxRank)
      return node_error(node, Code::shape, "shape has %zu axes; up to %d are supported", wanted.size(),
                        Shape::kMaxRank);
    const int given = static_cast<int>(wanted.size()), rank = std::max(in.rank(), given);
    Shape out;
    view_ = {};
    for (int i = 0; i < rank; ++i) {
      const int axis = i - (rank - in.rank()), place = i - (rank - given);
      const s64 have = axis >= 0 ? in[axis] : 1;
      const s64 want = place >= 0 ? wanted[static_cast<std::size_t>(place)] : 1;
      if (want < 1 || (want != have && want != 1 && have != 1))
        return node_error(node, Code::shape, "cannot expand shape %s to size %lld at axis %d", in.text().c_str(),
                          static_cast<long long>(want), i);
      out.push_back(std::max(have, want));
      view_.push(out[i], have == 1 ? 0 : in.elements(axis + 1, in.rank()));
    }
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the output", out));
    outputs[0] = out;
    return {};
  }
};

}  // namespace

std::unique_ptr<Operator> make_expand(const Node&) { return std::make_unique<Expand>(); }

}  // namespace whit::ops
