// softmax, log_softmax and layer_normalization, in f32.

#include <algorithm>

#include "kernels/softmax/softmax.h"
#include "ops/checks.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class Softmax final : public Operator {
 public:
  explicit Softmax(bool logarithm) : logarithm_(logarithm) {}

  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& x = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", x));
    Result<int> axis = normalize_axis(node, node.attributes.integer("axis"), x.rank());
    if (!axis.ok()) return axis.status();
    rows_ = x.elements(0, *axis), n_ = x[*axis], columns_ = x.elements(*axis + 1, x.rank());
    outputs[0] = x;
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    WHIT_RETURN_IF_ERROR(require_dtype(context.node, "input", context.inputs[0], DType::f32));
    WHIT_RETURN_IF_ERROR(require_dtype(context.node, "output", context.outputs[0], DType::f32));
    const softmax::Table& table = softmax::select(context.isa);
    run_ = logarithm_ ? table.log_softmax : table.softmax;
    in_place_input_ = 0;
    name_ = kernel_name(context.node, "f32", table.isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    const f32* x = reinterpret_cast<const f32*>(context.inputs[0]);
    f32* y = reinterpret_cast<f32*>(context.outputs[0]);
    const isize grain = columns_ == 1 ? work_grain(8 * n_) : round_up(work_grain(8 * n_), 64);
    context.pool.parallel_for(rows_ * columns_, grain, [&](isize begin, isize end, int) {
      if (columns_ == 1) return run_({x + begin * n_, y + begin * n_, end - begin, n_, 1}, 0, 1);
      while (begin < end) {
        const isize column = begin % columns_, count = std::min(end - begin, columns_ - column);
        const isize offset = begin / columns_ * n_ * columns_;
        run_({x + offset, y + offset, 1, n_, columns_}, column, column + count);
        begin += count;
      }
    });
  }

 private:
  bool logarithm_;
  isize rows_ = 0, n_ = 0, columns_ = 0;
  void (*run_)(const softmax::Args&, isize, isize) = nullptr;
  std::string name_;
};

class LayerNormalization final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& x = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", x));
    Result<int> axis = normalize_axis(node, node.attributes.integer("axis"), x.rank());
    if (!axis.ok()) return axis.status();
    rows_ = x.elements(0, *axis), n_ = x.elements(*axis, x.rank());
    for (std::size_t i = 1; i < inputs.size(); ++i) {
      if (!inputs[i].present()) continue;
      const Shape& shape = inputs[i].shape;
      bool fits = shape.elements() == n_;
      for (int a = 1; fits && a <= std::min(shape.rank(), x.rank() - *axis); ++a)
        fits = shape[shape.rank() - a] == x[x.rank() - a];
      if (!fits)
        return node_error(node, Code::shape, "%s %s does not match the axes of %s from %d on",
                          i == 1 ? "scale" : "bias", shape.text().c_str(), x.text().c_str(), *axis);
    }
    outputs[0] = x;
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const Node& node = context.node;
    WHIT_RETURN_IF_ERROR(require_dtype(node, "input", context.inputs[0], DType::f32));
    WHIT_RETURN_IF_ERROR(require_dtype(node, "scale", context.inputs[1], DType::f32));
    if (const TensorInfo* bias = optional_input(context.inputs, 2))
      WHIT_RETURN_IF_ERROR(require_dtype(node, "bias", *bias, DType::f32));
    WHIT_RETURN_IF_ERROR(require_dtype(node, "output", context.outputs[0], DType::f32));
    WHIT_RETURN_IF_ERROR(require_number(node, "epsilon"));
    epsilon_ = node.attributes.number("epsilon");
    const softmax::Table& table = softmax::select(context.isa);
    run_ = table.layer_normalization;
    in_place_input_ = 0;
    name_ = kernel_name(node, "f32", table.isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    const f32* x = reinterpret_cast<const f32*>(context.inputs[0]);
    const f32* scale = reinterpret_cast<const f32*>(context.inputs[1]);
    const f32* bias = reinterpret_cast<const f32*>(context.optional_input(2));
    f32* y = reinterpret_cast<f32*>(context.outputs[0]);
    context.pool.parallel_for(rows_, work_grain(4 * n_), [&](isize begin, isize end, int) {
      run_({x + begin * n_, y + begin * n_, scale, bias, end - begin, n_, epsilon_});
    });
  }

 private:
  isize rows_ = 0, n_ = 0;
  f32 epsilon_ = 0;
  void (*run_)(const softmax::LayerNormArgs&) = nullptr;
  std::string name_;
};

}  // namespace

std::unique_ptr<Operator> make_softmax(const Node&) { return std::make_unique<Softmax>(false); }
std::unique_ptr<Operator> make_log_softmax(const Node&) { return std::make_unique<Softmax>(true); }
std::unique_ptr<Operator> make_layer_normalization(const Node&) { return std::make_unique<LayerNormalization>(); }

}  // namespace whit::ops
