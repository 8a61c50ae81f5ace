// add, sub, mul, div, pow, min, max, prelu with numpy broadcasting; add, sub and mul also on s8.

#include <algorithm>
#include <array>

#include "kernels/eltwise/eltwise.h"
#include "ops/checks.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

using eltwise::Binary;

// One axis of the output after neighbours of the same kind were merged. A stride is 0 where an operand is repeated.
struct Axis {
  isize size = 1, a_stride = 0, b_stride = 0;
};

class BinaryOperator final : public Operator {
 public:
  explicit BinaryOperator(Binary op) : op_(op) {}

  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape &a = inputs[0].shape, &b = inputs[1].shape;
    const int rank = std::max(a.rank(), b.rank());
    for (int i = 0; i < rank; ++i) {
      const s64 a_size = size_at(a, i, rank), b_size = size_at(b, i, rank);
      if (a_size != b_size && a_size != 1 && b_size != 1)
        return node_error(node, Code::shape, "%s and %s do not broadcast: axis %d has sizes %lld and %lld",
                          a.text().c_str(), b.text().c_str(), i, static_cast<long long>(a_size),
                          static_cast<long long>(b_size));
      outputs[0].push_back(a_size == 1 ? b_size : a_size);
    }
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the output", outputs[0]));
    collapse(a, b, outputs[0]);
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const Node& node = context.node;
    const TensorInfo &a = context.inputs[0], &b = context.inputs[1], &y = context.outputs[0];
    const eltwise::Table& table = eltwise::select(context.isa);
    const std::size_t index = static_cast<std::size_t>(op_);
    const bool clamps = op_ == Binary::add || op_ == Binary::mul;
    if (clamps) {
      WHIT_RETURN_IF_ERROR(require_number(node, "clamp_min"));
      WHIT_RETURN_IF_ERROR(require_number(node, "clamp_max"));
      params_.clamp_min = node.attributes.number("clamp_min");
      params_.clamp_max = node.attributes.number("clamp_max");
    }
    if (a.dtype() == DType::s8) {
      if (index >= eltwise::kBinaryCountS8)
        return node_error(node, Code::unsupported, "there is no s8 kernel; dequantise '%s' first",
                          a.tensor->name.c_str());
      WHIT_RETURN_IF_ERROR(prepare_s8(node, a, b, y));
      run_ = table.binary_s8[index];
      element_bytes_ = 1;
    } else {
      WHIT_RETURN_IF_ERROR(require_dtype(node, "input a", a, DType::f32));
      WHIT_RETURN_IF_ERROR(require_dtype(node, "input b", b, DType::f32));
      WHIT_RETURN_IF_ERROR(require_dtype(node, "output", y, DType::f32));
      run_ = table.binary_f32[index];
      element_bytes_ = 4;
    }
    if (a.shape == y.shape)
      in_place_input_ = 0;
    else if (b.shape == y.shape)
      in_place_input_ = 1;
    name_ = kernel_name(node, dtype_name(a.dtype()), table.isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    const isize grain = work_grain(op_ == Binary::pow ? 16 : 1);
    context.pool.parallel_for(elements_, grain, [&](isize begin, isize end, int) { run_range(context, begin, end); });
  }

 private:
  static s64 size_at(const Shape& shape, int axis, int rank) {
    const int own = axis - (rank - shape.rank());
    return own < 0 ? 1 : shape[own];
  }

  // axes_ becomes the fewest axes that say the same, innermost first.
  void collapse(const Shape& a, const Shape& b, const Shape& y) {
    isize a_elements = 1, b_elements = 1;
    axis_count_ = 0;
    elements_ = y.elements();
    for (int i = y.rank() - 1; i >= 0; --i) {
      if (y[i] == 1) continue;
      const bool a_varies = size_at(a, i, y.rank()) != 1, b_varies = size_at(b, i, y.rank()) != 1;
      Axis* last = axis_count_ > 0 ? &axes_[axis_count_ - 1] : nullptr;
      if (last != nullptr && (last->a_stride != 0) == a_varies && (last->b_stride != 0) == b_varies)
        last->size *= y[i];
      else
        axes_[axis_count_++] = {static_cast<isize>(y[i]), a_varies ? a_elements : 0, b_varies ? b_elements : 0};
      if (a_varies) a_elements *= y[i];
      if (b_varies) b_elements *= y[i];
    }
    if (axis_count_ == 0) axes_[axis_count_++] = {1, 1, 1};
  }

  Status prepare_s8(const Node& node, const TensorInfo& a, const TensorInfo& b, const TensorInfo& y) {
    WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "input a", a));
    WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "input b", b));
    WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "output", y));
    params_.a_zero_point = zero_point_of(a);
    params_.b_zero_point = zero_point_of(b);
    params_.zero_point = zero_point_of(y);
    const f64 step = scale_of(y);
    if (op_ == Binary::mul) {
      WHIT_RETURN_IF_ERROR(round_scale(node, static_cast<f32>(scale_of(a) * scale_of(b)) / step, &params_.a_scale));
    } else {
      WHIT_RETURN_IF_ERROR(round_scale(node, scale_of(a) / step, &params_.a_scale));
      WHIT_RETURN_IF_ERROR(round_scale(node, scale_of(b) / step, &params_.b_scale));
    }
    params_.clamp_min = bound_in_steps(params_.clamp_min, step, params_.zero_point);
    params_.clamp_max = bound_in_steps(params_.clamp_max, step, params_.zero_point);
    return {};
  }

  // Elements [begin, end) of the output: parts of rows at either end, whole rows as large blocks in between.
  void run_range(const RunContext& context, isize begin, isize end) const {
    const Axis inner = axes_[0], rows = axis_count_ > 1 ? axes_[1] : Axis{};
    eltwise::BinaryArgs args;
    args.a_step = inner.a_stride != 0 ? 1 : 0;
    args.b_step = inner.b_stride != 0 ? 1 : 0;
    args.a_row_stride = rows.a_stride;
    args.b_row_stride = rows.b_stride;
    args.params = params_;
    while (begin < end) {
      const isize column = begin % inner.size, row = begin / inner.size % rows.size;
      isize a = column * args.a_step + row * rows.a_stride, b = column * args.b_step + row * rows.b_stride;
      isize outer = begin / inner.size / rows.size;
      for (std::size_t i = 2; i < axis_count_; ++i) {
        const isize at = outer % axes_[i].size;
        outer /= axes_[i].size;
        a += at * axes_[i].a_stride;
        b += at * axes_[i].b_stride;
      }
      const bool whole = column == 0 && end - begin >= inner.size;
      args.rows = whole ? std::min(rows.size - row, (end - begin) / inner.size) : 1;
      args.cols = whole ? inner.size : std::min(inner.size - column, end - begin);
      args.a = context.inputs[0] + a * element_bytes_;
      args.b = context.inputs[1] + b * element_bytes_;
      args.y = context.outputs[0] + begin * element_bytes_;
      run_(args);
      begin += args.rows * args.cols;
    }
  }

  Binary op_;
  std::array<Axis, Shape::kMaxRank> axes_;
  std::size_t axis_count_ = 0;
  isize elements_ = 0, element_bytes_ = 4;
  eltwise::BinaryParams params_;
  void (*run_)(const eltwise::BinaryArgs&) = nullptr;
  std::string name_;
};

}  // namespace

#define WHIT_BINARY(name) \
  std::unique_ptr<Operator> make_##name(const Node&) { return std::make_unique<BinaryOperator>(Binary::name); }
WHIT_BINARY(add)
WHIT_BINARY(sub)
WHIT_BINARY(mul)
WHIT_BINARY(div)
WHIT_BINARY(pow)
WHIT_BINARY(min)
WHIT_BINARY(max)
WHIT_BINARY(prelu)
#undef WHIT_BINARY

}  // namespace whit::ops
