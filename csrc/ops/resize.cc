#include "kernels/resize/resize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/checked.h"
#include "ops/epilogue_params.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class Resize final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& in = inputs[0].shape;
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", in));
    if (in.rank() != 3 && in.rank() != 4)
      return node_error(node, Code::shape, "the input has shape %s; [n, l, c] or [n, h, w, c] is needed",
                        in.text().c_str());
    WHIT_RETURN_IF_ERROR(read_modes(node));
    const std::vector<f32>& scales = node.attributes.numbers("scales");
    const std::vector<s64>& sizes = node.attributes.integers("sizes");
    const std::size_t spatial = static_cast<std::size_t>(in.rank() - 2);
    if (scales.empty() == sizes.empty() || scales.size() + sizes.size() != spatial)
      return node_error(node, Code::shape, "%zu scales and %zu sizes; either one per spatial axis (%zu) is needed",
                        scales.size(), sizes.size(), spatial);
    Shape out = in;
    axes_[0] = {1, 1, 1.0f, coordinate_};
    for (std::size_t i = 0; i < spatial; ++i) {
      const int axis = static_cast<int>(i) + 1;
      f32 scale = 0;
      if (scales.empty()) {
        out[axis] = sizes[i];
        scale = static_cast<f32>(sizes[i]) / static_cast<f32>(in[axis]);
      } else {
        scale = scales[i];
        const f32 size = std::floor(static_cast<f32>(in[axis]) * scale);
        if (!(scale > 0) || !(size < 0x1p40f))
          return node_error(node, Code::shape, "scale %g of axis %d is not usable", static_cast<f64>(scale), axis);
        out[axis] = static_cast<s64>(size);
      }
      if (std::max(in[axis], out[axis]) > std::numeric_limits<s32>::max())
        return node_error(node, Code::shape, "axis %d from %lld to %lld elements is too long", axis,
                          static_cast<long long>(in[axis]), static_cast<long long>(out[axis]));
      axes_[i + 2 - spatial] = {static_cast<isize>(in[axis]), static_cast<isize>(out[axis]), scale, coordinate_};
    }
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the output", out));
    image_ = {axes_[0].in, axes_[1].in, axes_[0].out, axes_[1].out, static_cast<isize>(in[in.rank() - 1])};
    rows_ = in[0] * image_.out_h;
    outputs[0] = out;
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    const TensorInfo &input = context.inputs[0], &output = context.outputs[0];
    dtype_ = input.dtype();
    pixel_bytes_ = image_.channels * element_bytes(input);
    if (!linear_) {
      WHIT_RETURN_IF_ERROR(check_movement(context.node, input, output));
      for (std::size_t i = 0; i < 2; ++i) {
        WHIT_RETURN_IF_ERROR(make_table(context.node, axes_[i].out, sizeof(s32), &tables_[i]));
        resize::nearest_table(axes_[i], rounding_, reinterpret_cast<s32*>(tables_[i].data()));
      }
      kernel_ = "resize_nearest";
      return {};
    }
    if (dtype_ != output.dtype() || (dtype_ != DType::f32 && dtype_ != DType::s8))
      return node_error(context.node, Code::unsupported,
                        "linear resize from %s to %s; f32 or s8 is needed on both sides", dtype_name(dtype_),
                        dtype_name(output.dtype()));
    if (dtype_ == DType::s8) {
      const Quantization &from = input.quantization(), &to = output.quantization();
      if (!is_per_tensor(from) || !is_per_tensor(to))
        return node_error(context.node, Code::unsupported, "'%s' and '%s' need one scale and zero point each",
                          tensor_name(input), tensor_name(output));
      steps_ = {from.zero_point[0], static_cast<f32>(f64{from.scale[0]} / to.scale[0]), to.zero_point[0]};
    }
    for (std::size_t i = 0; i < 2; ++i) {
      WHIT_RETURN_IF_ERROR(make_table(context.node, axes_[i].out, sizeof(resize::Tap), &tables_[i]));
      resize::linear_table(axes_[i], reinterpret_cast<resize::Tap*>(tables_[i].data()));
    }
    row_bytes_ = round_up(image_.in_w * image_.channels * static_cast<isize>(sizeof(f32)), kAlignment);
    scratch_bytes_ = allocation_bytes(row_bytes_, context.threads);
    kernel_ = dtype_ == DType::s8 ? "resize_linear_s8" : "resize_linear_f32";
    return {};
  }

  void run(const RunContext& context) const override {
    const std::byte* in = context.inputs[0];
    std::byte* out = context.outputs[0];
    const isize grain = movement_grain(s64{image_.out_w} * pixel_bytes_ * (linear_ ? 4 : 1));
    context.pool.parallel_for(rows_, grain, [&](isize begin, isize end, int thread) {
      if (!linear_) {
        const auto *h = table<s32>(0), *w = table<s32>(1);
        return resize::nearest(image_, pixel_bytes_, h, w, in, out, begin, end);
      }
      const auto *h = table<resize::Tap>(0), *w = table<resize::Tap>(1);
      f32* row = reinterpret_cast<f32*>(context.scratch + thread * row_bytes_);
      if (dtype_ == DType::f32)
        resize::linear(image_, h, w, reinterpret_cast<const f32*>(in), reinterpret_cast<f32*>(out), row, begin, end);
      else
        resize::linear(image_, h, w, steps_, reinterpret_cast<const s8*>(in), reinterpret_cast<s8*>(out), row, begin,
                       end);
    });
  }

 private:
  template <class T>
  const T* table(int axis) const {
    return reinterpret_cast<const T*>(tables_[axis].data());
  }
  static Status make_table(const Node& node, isize count, std::size_t entry_bytes, AlignedBuffer* table) {
    *table = AlignedBuffer(allocation_bytes(count, entry_bytes));
    if (table->data()) return {};
    return node_error(node, Code::out_of_memory, "no memory for a table of %td indices", count);
  }

  Status read_modes(const Node& node) {
    constexpr const char* kModes[] = {"nearest", "linear"};
    constexpr const char* kCoordinates[] = {"asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners"};
    constexpr const char* kRoundings[] = {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"};
    const auto find = [&](const char* attribute, std::span<const char* const> names, int* index) -> Status {
      const std::string& value = node.attributes.string(attribute);
      std::string known;
      for (std::size_t i = 0; i < names.size(); ++i) {
        if (value == names[i]) {
          *index = static_cast<int>(i);
          return {};
        }
        known += (i ? ", " : "") + std::string(names[i]);
      }
      return node_error(node, Code::unsupported, "%s '%.40s' is unknown; known are %s", attribute, value.c_str(),
                        known.c_str());
    };
    int mode = 0, coordinate = 0, rounding = 0;
    WHIT_RETURN_IF_ERROR(find("mode", kModes, &mode));
    WHIT_RETURN_IF_ERROR(find("coordinate_transformation_mode", kCoordinates, &coordinate));
    if (mode == 0) WHIT_RETURN_IF_ERROR(find("nearest_mode", kRoundings, &rounding));
    linear_ = mode == 1;
    coordinate_ = static_cast<resize::Coordinate>(coordinate);
    rounding_ = static_cast<resize::Nearest>(rounding);
    return {};
  }

  bool linear_ = false;
  resize::Coordinate coordinate_ = resize::Coordinate::asymmetric;
  resize::Nearest rounding_ = resize::Nearest::floor;
  resize::Axis axes_[2] = {};  // h, w
  resize::Image image_{};
  isize rows_ = 0, pixel_bytes_ = 0, row_bytes_ = 0;
  DType dtype_ = DType::f32;
  AlignedBuffer tables_[2];  // h, w: s32 for nearest, resize::Tap for linear
  resize::Steps steps_{};
};

}  // namespace

std::unique_ptr<Operator> make_resize(const Node&) { return std::make_unique<Resize>(); }

}  // namespace whit::ops
