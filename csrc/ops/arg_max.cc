// arg_max: the index of the first largest value along an axis, as s32.

#include <algorithm>
#include <limits>

#include "kernels/reduce/reduce.h"
#include "ops/checks.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class ArgMax final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& x = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", x));
    Result<int> axis = normalize_axis(node, node.attributes.integer("axis"), x.rank());
    if (!axis.ok()) return axis.status();
    if (x[*axis] > std::numeric_limits<s32>::max())
      return node_error(node, Code::unsupported, "axis %d is too long for indices in s32", *axis);
    outer_ = x.elements(0, *axis), n_ = x[*axis], inner_ = x.elements(*axis + 1, x.rank());
    for (int i = 0; i < x.rank(); ++i) {
      if (i != *axis)
        outputs[0].push_back(x[i]);
      else if (node.attributes.integer("keepdims") != 0)
        outputs[0].push_back(1);
    }
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const TensorInfo& x = context.inputs[0];
    const reduce::Table& table = reduce::select(context.isa);
    const bool s8_input = x.dtype() == DType::s8;
    if (!s8_input) WHIT_RETURN_IF_ERROR(require_dtype(context.node, "input", x, DType::f32));
    WHIT_RETURN_IF_ERROR(require_dtype(context.node, "output", context.outputs[0], DType::s32));
    run_ = s8_input ? table.arg_max_s8 : table.arg_max_f32;
    element_bytes_ = s8_input ? 1 : 4;
    name_ = kernel_name(context.node, dtype_name(x.dtype()), table.isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    s32* y = reinterpret_cast<s32*>(context.outputs[0]);
    const isize grain = inner_ == 1 ? work_grain(n_) : round_up(work_grain(n_), 64);
    context.pool.parallel_for(outer_ * inner_, grain, [&](isize begin, isize end, int) {
      if (inner_ == 1)
        return run_({context.inputs[0] + begin * n_ * element_bytes_, y + begin, end - begin, n_, n_, 1});
      while (begin < end) {
        const isize column = begin % inner_, count = std::min(end - begin, inner_ - column);
        const std::byte* x = context.inputs[0] + (begin / inner_ * n_ * inner_ + column) * element_bytes_;
        run_({x, y + begin, count, n_, 1, inner_});
        begin += count;
      }
    });
  }

 private:
  isize outer_ = 0, n_ = 0, inner_ = 0, element_bytes_ = 4;
  void (*run_)(const reduce::ArgMaxArgs&) = nullptr;
  std::string name_;
};

}  // namespace

std::unique_ptr<Operator> make_arg_max(const Node&) { return std::make_unique<ArgMax>(); }

}  // namespace whit::ops
