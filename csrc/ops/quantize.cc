// quantize_linear, dequantize_linear and requantize.

#include "kernels/convert/convert.h"
#include "kernels/copy/runs.h"
#include "ops/epilogue_params.h"
#include "ops/lut_s8.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

// Between f32 and a quantised tensor, per tensor or along an axis.
class Convert final : public Operator {
 public:
  explicit Convert(bool quantize) : quantize_(quantize) {}

  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    outputs[0] = inputs[0].shape;
    return check_sizes(node, "the output", outputs[0]);
  }

  Status prepare(const PrepareContext& context) override {
    const Node& node = context.node;
    const TensorInfo &x = context.inputs[0], &y = context.outputs[0];
    const TensorInfo& stepped = quantize_ ? y : x;
    const convert::Table& table = convert::select(context.isa);
    const bool from_s32 = !quantize_ && x.dtype() == DType::s32;
    WHIT_RETURN_IF_ERROR(require_dtype(node, quantize_ ? "input" : "output", quantize_ ? x : y, DType::f32));
    if (!from_s32) WHIT_RETURN_IF_ERROR(require_dtype(node, quantize_ ? "output" : "input", stepped, DType::s8));
    WHIT_RETURN_IF_ERROR(set_layout(node, stepped, from_s32));
    convert_ = quantize_ ? table.quantize : from_s32 ? table.dequantize_s32 : table.dequantize_s8;
    x_bytes_ = element_bytes(x);
    y_bytes_ = element_bytes(y);
    name_ = kernel_name(node, dtype_name(stepped.dtype()), table.isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    context.pool.parallel_for(runs_, work_grain(run_length_), [&](isize begin, isize end, int) {
      const std::byte* x = context.inputs[0] + begin * run_length_ * x_bytes_;
      std::byte* y = context.outputs[0] + begin * run_length_ * y_bytes_;
      if (!by_run_)
        return convert_({x, y, end - begin, run_length_, scale_.data(), zero_point_.data(), scale_.size() > 1});
      for (isize i = begin; i < end; ++i, x += run_length_ * x_bytes_, y += run_length_ * y_bytes_) {
        const std::size_t c = static_cast<std::size_t>(i) % scale_.size();
        convert_({x, y, 1, run_length_, &scale_[c], &zero_point_[c], false});
      }
    });
  }

 private:
  // runs_ runs of run_length_ elements: a run has one scale each (by_run_), or all scales, or all runs have the same.
  Status set_layout(const Node& node, const TensorInfo& stepped, bool any_zero_point) {
    const Quantization& q = stepped.quantization();
    const Shape& shape = stepped.shape;
    if (!q || q.is_grouped() || q.zero_point.size() != q.scale.size())
      return node_error(node, Code::unsupported, "'%s' has no scale for all, and none by an axis",
                        tensor_name(stepped));
    for (s32 zero_point : q.zero_point)
      if (!any_zero_point && (zero_point < -128 || zero_point > 127))
        return node_error(node, Code::unsupported, "zero point %d of '%s' is outside s8", zero_point,
                          tensor_name(stepped));
    scale_ = q.scale;
    zero_point_ = q.zero_point;
    if (q.axis < 0) {
      if (q.scale.size() != 1)
        return node_error(node, Code::unsupported, "'%s' has %zu scales but no axis", tensor_name(stepped),
                          q.scale.size());
      runs_ = shape.elements(), run_length_ = 1;
      return {};
    }
    if (q.axis >= shape.rank() || static_cast<s64>(q.scale.size()) != shape[q.axis])
      return node_error(node, Code::shape, "'%s' %s has %zu scales along axis %d", tensor_name(stepped),
                        shape.text().c_str(), q.scale.size(), q.axis);
    const isize inner = shape.elements(q.axis + 1, shape.rank());
    by_run_ = inner > 1;
    run_length_ = by_run_ ? inner : shape[q.axis];
    runs_ = shape.elements() / run_length_;
    return {};
  }

  bool quantize_, by_run_ = false;
  isize runs_ = 0, run_length_ = 1, x_bytes_ = 0, y_bytes_ = 0;
  std::vector<f32> scale_;
  std::vector<s32> zero_point_;
  void (*convert_)(const convert::QuantizeArgs&) = nullptr;
  std::string name_;
};

/// quantize_linear with a perm: an image from planes to pixels, as it comes into a model, in one pass; anything else by
/// way of scratch.
class QuantizeTransposed final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const std::vector<s64>& perm = node.attributes.integers("perm");
    const Shape& in = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(transpose_view(node, perm, in, &view_, &outputs[0]));
    elements_ = in.elements();
    bool to_pixels = in.rank() > 2 && outputs[0][0] == in[0] && outputs[0][in.rank() - 1] == in[1];
    for (int i = 1; i + 1 < in.rank(); ++i) to_pixels = to_pixels && perm[static_cast<std::size_t>(i)] == i + 1;
    images_ = 0;
    if (!to_pixels || in[1] > convert::kMaxPlanes) return {};
    images_ = in[0], planes_ = in[1], pixels_ = in.elements(2, in.rank());
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const Node& node = context.node;
    WHIT_RETURN_IF_ERROR(require_dtype(node, "input", context.inputs[0], DType::f32));
    WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "output", context.outputs[0]));
    table_ = &convert::select(context.isa);
    scale_ = context.outputs[0].quantization().scale[0];
    zero_point_ = zero_point_of(context.outputs[0]);
    if (images_ == 0) {
      plan_ = copy::plan(view_, 1);
      scratch_bytes_ = static_cast<std::size_t>(elements_);
    }
    name_ = kernel_name(node, images_ == 0 ? "s8_transposed" : "s8_planes", table_->isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    const auto* x = reinterpret_cast<const f32*>(context.inputs[0]);
    if (images_ == 0) {
      auto* steps = reinterpret_cast<s8*>(context.scratch);
      context.pool.parallel_for(elements_, work_grain(1), [&](isize begin, isize end, int) {
        table_->quantize({x + begin, steps + begin, 1, end - begin, &scale_, &zero_point_, false});
      });
      context.pool.parallel_for(plan_.units, movement_grain(plan_.unit_bytes), [&](isize begin, isize end, int) {
        copy::run(plan_, context.scratch, context.outputs[0], begin, end);
      });
      return;
    }
    const isize each = planes_ * pixels_;
    for (isize image = 0; image < images_; ++image) {
      auto* y = reinterpret_cast<s8*>(context.outputs[0]) + image * each;
      context.pool.parallel_for(pixels_, work_grain(planes_), [&](isize begin, isize end, int) {
        table_->quantize_planes(
            {x + image * each + begin, y + begin * planes_, end - begin, planes_, pixels_, scale_, zero_point_});
      });
    }
  }

 private:
  copy::View view_;
  copy::Plan plan_;
  isize elements_ = 0, images_ = 0, planes_ = 0, pixels_ = 0;  // no images: any transposition
  const convert::Table* table_ = nullptr;
  f32 scale_ = 1;
  s32 zero_point_ = 0;
  std::string name_;
};

/// y = s8(round_to_nearest_even(clamp(f32(x - x_zero_point) * f32(x_scale / y_scale))) + y_zero_point), as a table.
/// Bytes of a picture keep their scale when they become s8: there the topmost bit changes and nothing else.
class Requantize final : public Operator {
 public:
  Status infer(const Node&, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    outputs[0] = inputs[0].shape;
    elements_ = outputs[0].elements();
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const Node& node = context.node;
    const TensorInfo &x = context.inputs[0], &y = context.outputs[0];
    const bool from_u8 = x.dtype() == DType::u8;
    WHIT_RETURN_IF_ERROR(from_u8 ? require_per_tensor_u8(node, x) : require_per_tensor_s8(node, "input", x));
    WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "output", y));
    f32 factor = 0;
    WHIT_RETURN_IF_ERROR(round_scale(node, scale_of(x) / scale_of(y), &factor));
    s32 inputs[lut::kEntries];
    f32 steps[lut::kEntries];
    for (int i = 0; i < lut::kEntries; ++i) inputs[i] = from_u8 ? i : static_cast<s8>(i);
    const convert::Table& table = convert::select(context.isa);
    const f32 one = 1;
    const s32 x_zero_point = zero_point_of(x), y_zero_point = zero_point_of(y);
    table.dequantize_s32({inputs, steps, 1, lut::kEntries, &factor, &x_zero_point, false});
    table.quantize({steps, lut_.entries.data(), 1, lut::kEntries, &one, &y_zero_point, false});
    lut_.table = &lut::select(context.isa);
    flips_ = true;
    for (int i = 0; i < lut::kEntries; ++i)
      flips_ = flips_ && static_cast<u8>(lut_.entries[static_cast<std::size_t>(i)]) == (i ^ 0x80);
    in_place_input_ = 0;
    kernel_ = flips_ ? "flip_topmost_bit" : lut_.table->name;
    return {};
  }

  void run(const RunContext& context) const override {
    if (!flips_) return lut_.run(context, elements_);
    context.pool.parallel_for(elements_, movement_grain(1), [&](isize begin, isize end, int) {
      flip(context.inputs[0] + begin, context.outputs[0] + begin, end - begin);
    });
  }

 private:
  static Status require_per_tensor_u8(const Node& node, const TensorInfo& x) {
    const Quantization& q = x.quantization();
    if (q && q.axis < 0 && q.scale.size() == 1 && q.zero_point.size() == 1) return {};
    return node_error(node, Code::unsupported, "input '%s' needs one scale for the whole tensor", tensor_name(x));
  }

  static void flip(const std::byte* x, std::byte* y, isize bytes) {
    using Bytes = u8 __attribute__((vector_size(16)));
    isize i = 0;
#pragma GCC unroll 4
    for (; i + 16 <= bytes; i += 16) copy::store(y + i, copy::load<Bytes>(x + i) ^ u8{0x80});
    for (; i < bytes; ++i) y[i] = x[i] ^ std::byte{0x80};
  }

  isize elements_ = 0;
  bool flips_ = false;
  LutS8 lut_;
};

}  // namespace

std::unique_ptr<Operator> make_quantize_linear(const Node& node) {
  if (!node.attributes.integers("perm").empty()) return std::make_unique<QuantizeTransposed>();
  return std::make_unique<Convert>(true);
}
std::unique_ptr<Operator> make_dequantize_linear(const Node&) { return std::make_unique<Convert>(false); }
std::unique_ptr<Operator> make_requantize(const Node&) { return std::make_unique<Requantize>(); }

}  // namespace whit::ops
