#include "base/checked.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class DepthToSpace final : public StridedOperator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& in = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    if (in.rank() != 4)
      return node_error(node, Code::shape, "the input has shape %s; [n, h, w, c] is needed", in.text().c_str());
    const s64 block = node.attributes.integer("blocksize");
    s64 area = 0;
    if (block < 1 || !checked_mul(block, block, &area) || in[3] % area != 0)
      return node_error(node, Code::shape, "%lld channels cannot be split into blocks of %lld x %lld",
                        static_cast<long long>(in[3]), static_cast<long long>(block), static_cast<long long>(block));
    const std::string& mode = node.attributes.string("mode");
    const bool depth_first = mode == "DCR";
    if (!depth_first && mode != "CRD")
      return node_error(node, Code::unsupported, "mode '%.40s' is unknown; \"DCR\" and \"CRD\" are known",
                        mode.c_str());
    const s64 height = in[1], width = in[2], channels = in[3] / area;
    outputs[0] = {in[0], height * block, width * block, channels};
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the output", outputs[0]));
    // Input channels count [block y, block x, c] for DCR and [c, block y, block x] for CRD.
    view_ = {};
    view_.push(in[0], height * width * in[3]);
    view_.push(height, width * in[3]);
    view_.push(block, depth_first ? block * channels : block);
    view_.push(width, in[3]);
    view_.push(block, depth_first ? channels : 1);
    view_.push(channels, depth_first ? 1 : area);
    return {};
  }
};

}  // namespace

std::unique_ptr<Operator> make_depth_to_space(const Node&) { return std::make_unique<DepthToSpace>(); }

}  // namespace whit::ops
