// max_pool and average_pool over one or two spatial axes, channels last.

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "kernels/bitpack/bitpack.h"
#include "kernels/pool/pool.h"
#include "ops/checks.h"
#include "ops/movement.h"
#include "ops/trim.h"

namespace whit::ops {
namespace {

// One spatial axis of the window.
struct Window {
  s64 kernel, stride, dilation, pad_begin, pad_end;
};

// Far above any real window; keeps every product of two of these numbers within s64.
constexpr s64 kMaxWindow = 1 << 20;

Status check_window(const Node& node, int axis, const Window& w) {
  const auto bad = [&](const char* name, s64 value, const char* wanted) {
    return node_error(node, Code::shape, "%s of spatial axis %d is %lld; it must be %s", name, axis,
                      static_cast<long long>(value), wanted);
  };
  if (w.kernel < 1 || w.kernel > kMaxWindow) return bad("kernel_shape", w.kernel, "in [1, 2^20]");
  if (w.stride < 1 || w.stride > kMaxWindow) return bad("stride", w.stride, "in [1, 2^20]");
  if (w.dilation < 1 || w.dilation > kMaxWindow) return bad("dilation", w.dilation, "in [1, 2^20]");
  const s64 extent = (w.kernel - 1) * w.dilation + 1;
  for (s64 pad : {w.pad_begin, w.pad_end})
    if (pad < 0 || pad >= extent) return bad("pad", pad, "at least 0 and smaller than the window");
  return {};
}

// As ONNX: with ceil_mode a last, incomplete window counts if it begins inside the image or the padding before it.
Status output_size(const Node& node, int axis, const Window& w, s64 size, bool ceil_mode, s64* out) {
  const s64 extent = (w.kernel - 1) * w.dilation + 1;
  s64 padded = 0;
  const bool fits = checked_add(size, w.pad_begin + w.pad_end, &padded) &&
                    (padded >= extent || (ceil_mode && extent - padded < w.stride));
  if (!fits)
    return node_error(node, Code::shape, "spatial axis %d: a window of %lld does not fit into %lld padded pixels", axis,
                      static_cast<long long>(extent), static_cast<long long>(padded));
  const s64 room = padded - extent;  // below 0: one incomplete window
  *out = room < 0 ? 1 : room / w.stride + 1;
  if (ceil_mode && room > 0 && room % w.stride != 0 && *out * w.stride < size + w.pad_begin) ++*out;
  return {};
}

class Pool final : public Operator {
 public:
  explicit Pool(bool average) : average_(average) {}

  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const Shape& x = inputs[0].shape;
    if (x.rank() != 3 && x.rank() != 4)
      return node_error(node, Code::shape, "input %s must have rank 3 [n, l, c] or 4 [n, h, w, c]", x.text().c_str());
    WHIT_RETURN_IF_ERROR(check_sizes(node, "the input", x));
    const int axes = x.rank() - 2;
    const std::size_t count = static_cast<std::size_t>(axes);
    const auto& kernel = node.attributes.integers("kernel_shape");
    const auto& strides = node.attributes.integers("strides");
    const auto& pads = node.attributes.integers("pads");
    const std::vector<s64> ones(count, 1);
    const auto& dilations = average_ ? ones : node.attributes.integers("dilations");
    if (kernel.size() != count || strides.size() != count || dilations.size() != count || pads.size() != 2 * count)
      return node_error(node, Code::shape,
                        "kernel_shape, strides and dilations need %d values and pads %d for an input of rank %d", axes,
                        2 * axes, x.rank());
    const bool ceil_mode = node.attributes.integer("ceil_mode") != 0;

    Window windows[2] = {{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}};  // a line is an image of one row
    s64 in[2] = {1, 1}, out[2] = {1, 1};
    for (int i = 0; i < axes; ++i) {
      const std::size_t k = static_cast<std::size_t>(i), slot = k + 2 - count;
      windows[slot] = {kernel[k], strides[k], dilations[k], pads[k], pads[k + count]};
      in[slot] = x[i + 1];
      WHIT_RETURN_IF_ERROR(check_window(node, i, windows[slot]));
      WHIT_RETURN_IF_ERROR(output_size(node, i, windows[slot], in[slot], ceil_mode, &out[slot]));
    }
    const Window &h = windows[0], &w = windows[1];
    for (int i = 0; i < 2; ++i) {
      const Window& window = windows[i];
      const s64 reach = in[i] + window.pad_begin + window.pad_end + window.kernel * window.dilation + window.stride;
      if (reach > std::numeric_limits<isize>::max())
        return node_error(node, Code::unsupported, "a padded image of %lld pixels along an axis is too long",
                          static_cast<long long>(reach));
    }
    if (h.kernel * w.kernel > (s64{1} << 23))
      return node_error(node, Code::unsupported, "a window of %lld x %lld has more than 2^23 pixels",
                        static_cast<long long>(h.kernel), static_cast<long long>(w.kernel));
    const auto size = [](s64 value) { return static_cast<isize>(value); };  // the engine checks those of the output
    args_.geometry = {size(in[0]),      size(in[1]),       size(out[0]),      size(out[1]),    size(x[x.rank() - 1]),
                      size(h.kernel),   size(w.kernel),    size(h.stride),    size(w.stride),  size(h.dilation),
                      size(w.dilation), size(h.pad_begin), size(w.pad_begin), size(h.pad_end), size(w.pad_end)};
    rows_ = size(x[0] * out[0]);
    outputs[0] = x;
    for (int i = 0; i < axes; ++i) outputs[0][i + 1] = out[i + 2 - axes];
    return check_sizes(node, "the output", outputs[0]);
  }

  Status prepare(const PrepareContext& context) override {
    const Node& node = context.node;
    const TensorInfo &x = context.inputs[0], &y = context.outputs[0];
    const pool::Table& table = pool::select(context.isa);
    if constexpr (is_compiled(",binarize,")) {
      if (!average_ && x.dtype() == DType::b1) return prepare_bits(context);
    }
    const bool s8_input = x.dtype() == DType::s8;
    if (average_) {
      args_.average.count_include_pad = node.attributes.integer("count_include_pad") != 0;
      if (s8_input) {
        WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "input", x));
        WHIT_RETURN_IF_ERROR(require_per_tensor_s8(node, "output", y));
        f32 largest_factor = 0;
        WHIT_RETURN_IF_ERROR(round_scale(node, scale_of(x) / scale_of(y), &largest_factor));
        args_.average.x_scale = scale_of(x), args_.average.y_scale = scale_of(y);
        args_.average.x_zero_point = zero_point_of(x), args_.average.y_zero_point = zero_point_of(y);
      }
    } else if (s8_input) {
      WHIT_RETURN_IF_ERROR(check_movement(node, x, y));
    }
    if (!s8_input) {
      WHIT_RETURN_IF_ERROR(require_dtype(node, "input", x, DType::f32));
      WHIT_RETURN_IF_ERROR(require_dtype(node, "output", y, DType::f32));
    }
    if (average_)
      run_ = s8_input ? table.average_s8 : table.average_f32;
    else
      run_ = s8_input ? table.max_s8 : table.max_f32;
    name_ = kernel_name(node, dtype_name(x.dtype()), table.isa);
    kernel_ = name_.c_str();
    return {};
  }

  void run(const RunContext& context) const override {
    pool::Args args = args_;
    args.x = context.inputs[0];
    args.y = context.outputs[0];
    const pool::Geometry& g = args.geometry;
    const isize grain = work_grain(s64{g.out_w} * g.channels * std::min(g.kernel_h * g.kernel_w, g.in_h * g.in_w) / 4);
    context.pool.parallel_for(rows_, grain, [&](isize begin, isize end, int) { run_(args, begin, end); });
  }

 private:
  /// The maximum of +1 and -1.
  Status prepare_bits(const PrepareContext& context) {
    WHIT_RETURN_IF_ERROR(require_dtype(context.node, "output", context.outputs[0], DType::b1));
    if (args_.geometry.channels % 8 != 0)
      return node_error(context.node, Code::unsupported, "b1 needs channels in multiples of 8; there are %td",
                        args_.geometry.channels);
    args_.geometry.channels /= 8;
    run_ = [](const pool::Args& args, isize begin, isize end) {
      bitpack::max_pool(args.geometry, static_cast<const u8*>(args.x), static_cast<u8*>(args.y), begin, end);
    };
    kernel_ = "max_pool_b1";
    return {};
  }

  bool average_;
  pool::Args args_{};
  isize rows_ = 0;
  void (*run_)(const pool::Args&, isize, isize) = nullptr;
  std::string name_;
};

}  // namespace

std::unique_ptr<Operator> make_max_pool(const Node&) { return std::make_unique<Pool>(false); }
std::unique_ptr<Operator> make_average_pool(const Node&) { return std::make_unique<Pool>(true); }

}  // namespace whit::ops
