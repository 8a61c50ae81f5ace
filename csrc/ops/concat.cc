#include "base/checked.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class Concat final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    for (const TensorInfo& input : inputs) {
      if (!input.present()) return node_error(node, Code::shape, "every input must be there");
      WHIT_RETURN_IF_ERROR(check_sizes(node, "an input", input.shape));
    }
    Shape out = inputs[0].shape;
    Result<int> axis = normalize_axis(node, node.attributes.integer("axis"), out.rank());
    if (!axis.ok()) return axis.status();
    axis_ = *axis;
    for (std::size_t i = 1; i < inputs.size(); ++i) {
      Shape shape = inputs[i].shape;
      const s64 size = shape.rank() == out.rank() ? shape[axis_] : 0;
      if (size) shape[axis_] = out[axis_];
      if (!(shape == out))
        return node_error(node, Code::shape, "input %zu has shape %s, which does not continue %s along axis %d", i,
                          inputs[i].shape.text().c_str(), out.text().c_str(), axis_);
      if (!checked_add(out[axis_], size, &out[axis_]))
        return node_error(node, Code::shape, "the sizes along axis %d overflow", axis_);
    }
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the output", out));
    outputs[0] = out;
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const Shape& out = context.outputs[0].shape;
    outer_ = out.elements(0, axis_);
    out_stride_ = out.elements(axis_, out.rank()) * element_bytes(context.outputs[0]);
    copies_.clear();
    isize offset = 0;
    for (std::size_t i = 0; i < context.inputs.size(); ++i) {
      const TensorInfo& input = context.inputs[i];
      WHIT_RETURN_IF_ERROR(check_movement(context.node, input, context.outputs[0]));
      const isize run_bytes = input.shape.elements(axis_, out.rank()) * element_bytes(input);
      if (!input.is_in_place) copies_.push_back({i, offset, run_bytes});
      offset += run_bytes;
    }
    kernel_ = "copy_rows";
    return {};
  }

  void run(const RunContext& context) const override {
    if (outer_ == 1) return run_flat(context);
    context.pool.parallel_for(outer_, movement_grain(out_stride_), [&](isize begin, isize end, int) {
      std::byte* out = context.outputs[0] + begin * out_stride_;
      for (const Copy& copy : copies_) {
        copy::rows(context.inputs[copy.input] + begin * copy.bytes, copy.bytes, out + copy.offset, out_stride_,
                   copy.bytes, end - begin);
      }
    });
  }

 private:
  /// `bytes` of each outer index.
  struct Copy {
    std::size_t input;
    isize offset, bytes;
  };

  /// One after the other, each split over the threads.
  void run_flat(const RunContext& context) const {
    for (const Copy& copy : copies_) {
      std::byte* out = context.outputs[0] + copy.offset;
      context.pool.parallel_for(copy.bytes, movement_grain(1), [&](isize begin, isize end, int) {
        copy::rows(context.inputs[copy.input] + begin, 0, out + begin, 0, end - begin, 1);
      });
    }
  }

  int axis_ = 0;
  isize outer_ = 0, out_stride_ = 0;
  std::vector<Copy> copies_;  // of what does not lie there already
};

}  // namespace

std::unique_ptr<Operator> make_concat(const Node&) { return std::make_unique<Concat>(); }

}  // namespace whit::ops
