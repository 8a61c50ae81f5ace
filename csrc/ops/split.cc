#include "base/checked.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class Split final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& in = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    Result<int> axis = normalize_axis(node, node.attributes.integer("axis"), in.rank());
    if (!axis.ok()) return axis.status();
    axis_ = *axis;
    std::vector<s64>& sizes = sizes_ = node.attributes.integers("sizes");
    const s64 parts = static_cast<s64>(outputs.size());
    if (sizes.empty() && in[axis_] % parts == 0) sizes.assign(outputs.size(), in[axis_] / parts);
    s64 total = 0;
    bool positive = true;
    for (s64 size : sizes) positive = positive && size > 0 && checked_add(total, size, &total);
    if (!positive || sizes.size() != outputs.size() || total != in[axis_])
      return node_error(node, Code::shape, "axis %d of shape %s cannot be split into the %lld parts asked for", axis_,
                        in.text().c_str(), static_cast<long long>(parts));
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      outputs[i] = in;
      outputs[i][axis_] = sizes[i];
    }
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const Shape& in = context.inputs[0].shape;
    outer_ = in.elements(0, axis_);
    in_stride_ = in.elements(axis_, in.rank()) * element_bytes(context.inputs[0]);
    const isize index_bytes = in_stride_ / in[axis_];
    run_bytes_.clear();
    for (std::size_t i = 0; i < context.outputs.size(); ++i) {
      const TensorInfo& output = context.outputs[i];
      if (output.present()) WHIT_RETURN_IF_ERROR(check_movement(context.node, context.inputs[0], output));
      run_bytes_.push_back(sizes_[i] * index_bytes);
    }
    kernel_ = "copy_rows";
    return {};
  }

  void run(const RunContext& context) const override {
    isize at = 0;
    for (std::size_t i = 0; i < run_bytes_.size(); at += run_bytes_[i++]) {
      std::byte* out = context.outputs[i];
      const isize bytes = run_bytes_[i];
      if (!out) continue;
      if (outer_ == 1) {
        context.pool.parallel_for(bytes, movement_grain(1), [&](isize begin, isize end, int) {
          copy::rows(context.inputs[0] + at + begin, 0, out + begin, 0, end - begin, 1);
        });
      } else {
        context.pool.parallel_for(outer_, movement_grain(bytes), [&](isize begin, isize end, int) {
          copy::rows(context.inputs[0] + begin * in_stride_ + at, in_stride_, out + begin * bytes, bytes, bytes,
                     end - begin);
        });
      }
    }
  }

 private:
  int axis_ = 0;
  std::vector<s64> sizes_;  // of every output, absent ones too
  isize outer_ = 0, in_stride_ = 0;
  std::vector<isize> run_bytes_;
};

}  // namespace

std::unique_ptr<Operator> make_split(const Node&) { return std::make_unique<Split>(); }

}  // namespace whit::ops
