#include "ops/epilogue_params.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class Gather final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape &in = inputs[0].shape, &index = inputs[1].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the indices", index));
    Result<int> axis = normalize_axis(node, node.attributes.integer("axis"), in.rank());
    if (!axis.ok()) return axis.status();
    axis_ = *axis;
    if (in.rank() - 1 + index.rank() > Shape::kMaxRank)
      return node_error(node, Code::shape, "indices of shape %s into shape %s give more than %d axes",
                        index.text().c_str(), in.text().c_str(), Shape::kMaxRank);
    Shape out;
    for (int i = 0; i < axis_; ++i) out.push_back(in[i]);
    for (s64 size : index) out.push_back(size);
    for (int i = axis_ + 1; i < in.rank(); ++i) out.push_back(in[i]);
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the output", out));
    outputs[0] = out;
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const TensorInfo &input = context.inputs[0], &index = context.inputs[1];
    WHIT_RETURN_IF_ERROR(check_movement(context.node, input, context.outputs[0]));
    if (index.dtype() != DType::s32)
      return node_error(context.node, Code::unsupported, "indices '%s' are %s; s32 is needed", tensor_name(index),
                        dtype_name(index.dtype()));
    const Shape& in = input.shape;
    outer_ = in.elements(0, axis_);
    in_rows_ = in[axis_];
    row_bytes_ = in.elements(axis_ + 1, in.rank()) * element_bytes(input);
    indices_ = index.shape.elements();
    for (isize i = 0; index.is_constant() && i < indices_; ++i) {
      const s64 at = index.constant<s32>()[i];
      if (at < -in_rows_ || at >= in_rows_)
        return node_error(context.node, Code::shape, "index %lld is outside axis %d of shape %s",
                          static_cast<long long>(at), axis_, in.text().c_str());
    }
    kernel_ = "gather_rows";
    return {};
  }

  void run(const RunContext& context) const override {
    const s32* index = reinterpret_cast<const s32*>(context.inputs[1]);
    context.pool.parallel_for(outer_ * indices_, movement_grain(row_bytes_), [&](isize begin, isize end, int) {
      std::byte* out = context.outputs[0] + begin * row_bytes_;
      while (begin < end) {
        const isize outer = begin / indices_, first = begin % indices_;
        const isize count = indices_ - first < end - begin ? indices_ - first : end - begin;
        copy::gather(context.inputs[0] + outer * in_rows_ * row_bytes_, in_rows_, row_bytes_, index + first, count,
                     out);
        out += count * row_bytes_;
        begin += count;
      }
    });
  }

 private:
  int axis_ = 0;
  isize outer_ = 0, in_rows_ = 0, row_bytes_ = 0, indices_ = 0;
};

}  // namespace

std::unique_ptr<Operator> make_gather(const Node&) { return std::make_unique<Gather>(); }

}  // namespace whit::ops
