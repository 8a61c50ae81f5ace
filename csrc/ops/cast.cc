// cast between f32, s8, u8 and s32: numbers, not steps (a quantised tensor's scale plays no part).

#include "kernels/convert/convert.h"
#include "ops/checks.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

int number_index(DType dtype) {
  switch (dtype) {
    case DType::f32: return static_cast<int>(convert::Number::f32);
    case DType::s8: return static_cast<int>(convert::Number::s8);
    case DType::u8: return static_cast<int>(convert::Number::u8);
    case DType::s32: return static_cast<int>(convert::Number::s32);
    default: return -1;
  }
}

class Cast final : public Operator {
 public:
  Status infer(const Node&, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    outputs[0] = inputs[0].shape;
    elements_ = outputs[0].elements();
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const TensorInfo &x = context.inputs[0], &y = context.outputs[0];
    const int from = number_index(x.dtype()), to = number_index(y.dtype());
    if (from < 0 || to < 0)
      return node_error(context.node, Code::unsupported, "cannot cast %s to %s; f32, s8, u8 and s32 can be cast",
                        dtype_name(x.dtype()), dtype_name(y.dtype()));
    if (from == to) {
      is_view_ = true;
      kernel_ = "view";
      return {};
    }
    const convert::Table& table = convert::select(context.isa);
    cast_ = table.cast[from][to];
    x_bytes_ = element_bytes(x);
    y_bytes_ = element_bytes(y);
    name_ = kernel_name(context.node, dtype_name(x.dtype()), table.isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    context.pool.parallel_for(elements_, work_grain(1), [&](isize begin, isize end, int) {
      cast_({context.inputs[0] + begin * x_bytes_, context.outputs[0] + begin * y_bytes_, end - begin});
    });
  }

 private:
  isize elements_ = 0, x_bytes_ = 4, y_bytes_ = 4;
  void (*cast_)(const convert::CastArgs&) = nullptr;
  std::string name_;
};

}  // namespace

std::unique_ptr<Operator> make_cast(const Node&) { return std::make_unique<Cast>(); }

}  // namespace whit::ops
