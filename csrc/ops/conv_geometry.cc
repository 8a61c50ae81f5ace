#include "ops/conv_geometry.h"

#include <cmath>
#include <limits>

#include "base/checked.h"
#include "ops/checks.h"

namespace whit::ops {
namespace {

// Bounds every attribute so that the arithmetic below cannot overflow; no real convolution comes near it.
constexpr s64 kMaxAttribute = 1 << 20;

Status check_list(const Node& node, const char* name, std::size_t wanted, s64 least) {
  const std::vector<s64>& values = node.attributes.integers(name);
  if (values.size() != wanted)
    return node_error(node, Code::shape, "%s has %zu elements instead of %zu", name, values.size(), wanted);
  for (s64 value : values) {
    if (value < least || value > kMaxAttribute)
      return node_error(node, Code::shape, "%s contains %lld", name, static_cast<long long>(value));
  }
  return {};
}

/// At most 2^40 + 2^21, so in s64; the engine refuses an output that isize cannot count.
s64 output_size(s64 in, s64 kernel, s64 stride, s64 dilation, s64 pad_begin, s64 pad_end) {
  const s64 span = in + pad_begin + pad_end - (dilation * (kernel - 1) + 1);
  return span < 0 ? 0 : span / stride + 1;
}

}  // namespace

Status check_offsets(const Node& node, s64 pixels, s64 taps) {
  constexpr s64 kMost = s64{1} << 28;
  s64 entries = 0;
  if (checked_mul(pixels, taps, &entries) && entries <= kMost) return {};
  return node_error(node, Code::unsupported, "%lld output pixels of %lld kernel taps each are more than whit handles",
                    static_cast<long long>(pixels), static_cast<long long>(taps));
}

Status fill_offsets(const Node& node, const ConvGeometry& g, isize pixel, AlignedBuffer* offsets) {
  if (s64{g.in_pixels()} * g.in_channels > std::numeric_limits<s32>::max())
    return node_error(node, Code::unsupported, "an input image of more than 2^31 elements");
  WHIT_RETURN_IF_ERROR(check_offsets(node, g.out_pixels(), g.taps()));
  *offsets = AlignedBuffer(allocation_bytes(g.out_pixels(), g.taps(), sizeof(s32)));
  if (!offsets->data()) return node_error(node, Code::out_of_memory, "no memory for the table of input offsets");
  s32* offset = reinterpret_cast<s32*>(offsets->data());
  for (isize y = 0; y < g.out_h; ++y)
    for (isize x = 0; x < g.out_w; ++x)
      for (isize i = 0; i < g.kernel_h; ++i)
        for (isize j = 0; j < g.kernel_w; ++j) {
          const isize in_y = y * g.stride_h + i * g.dilation_h - g.pad_top;
          const isize in_x = x * g.stride_w + j * g.dilation_w - g.pad_left;
          const bool inside = in_y >= 0 && in_y < g.in_h && in_x >= 0 && in_x < g.in_w;
          *offset++ = inside ? static_cast<s32>((in_y * g.in_w + in_x) * pixel) : -1;
        }
  return {};
}

Status check_pad_values(const Node& node, isize channels) {
  const std::vector<f32>& values = node.attributes.numbers("pad_values");
  if (!values.empty() && static_cast<isize>(values.size()) != channels)
    return node_error(node, Code::shape, "pad_values has %zu elements instead of one for each of %td channels",
                      values.size(), channels);
  for (f32 value : values)
    if (!std::isfinite(value)) return node_error(node, Code::unsupported, "pad_values must be finite");
  return {};
}

void fill_padding(const Node& node, const TensorInfo& x, std::vector<s8>* padding) {
  const f64 scale = scale_of(x), zero_point = zero_point_of(x);
  padding->assign(static_cast<std::size_t>(x.shape[x.shape.rank() - 1]), static_cast<s8>(zero_point));
  const std::vector<f32>& values = node.attributes.numbers("pad_values");
  for (std::size_t i = 0; i < values.size(); ++i)
    (*padding)[i] = static_cast<s8>(std::clamp(std::nearbyint(values[i] / scale) + zero_point, -128.0, 127.0));
}

void fill_padding(const Node& node, const TensorInfo& x, std::vector<f32>* padding) {
  *padding = node.attributes.numbers("pad_values");
  padding->resize(static_cast<std::size_t>(x.shape[x.shape.rank() - 1]), 0.0f);
}

RowGeometry ConvGeometry::row_geometry(isize in_element_bytes, isize out_element_bytes, isize weight_bytes,
                                       isize scratch_bytes) const {
  RowGeometry r{};
  r.images = images, r.in_rows = in_h, r.out_rows = out_h;
  r.in_row_bytes = in_w * in_channels * in_element_bytes;
  r.out_row_bytes = out_w * out_stride * out_element_bytes;
  r.residual_row_bytes = out_w * out_channels * in_element_bytes;
  r.stride = stride_h, r.reach = (kernel_h - 1) * dilation_h + 1, r.pad = pad_top;
  r.macs = s64{out_pixels()} * out_channels * taps() * (in_channels / group);
  r.weight_bytes = weight_bytes, r.scratch_bytes = scratch_bytes;
  return r;
}

Status infer_conv(const Node& node, const Shape& x, const Shape& w, ConvGeometry* geometry, Shape* out_shape) {
  const int rank = x.rank();
  if (rank != w.rank() || (rank != 3 && rank != 4))
    return node_error(node, Code::shape, "x %s and weights %s must both have 3 or 4 axes", x.text().c_str(),
                      w.text().c_str());
  const bool flat = rank == 3;
  const std::size_t spatial = flat ? 1 : 2;
  WHIT_RETURN_IF_ERROR(check_list(node, "strides", spatial, 1));
  WHIT_RETURN_IF_ERROR(check_list(node, "dilations", spatial, 1));
  WHIT_RETURN_IF_ERROR(check_list(node, "pads", 2 * spatial, 0));
  for (int i = 0; i < rank; ++i) {
    if (w[i] < 1 || x[i] < 1 || (i > 0 && i + 1 < rank && w[i] > kMaxAttribute))
      return node_error(node, Code::shape, "x %s or weights %s: a size is out of range", x.text().c_str(),
                        w.text().c_str());
  }
  const std::vector<s64>&strides = node.attributes.integers("strides"),
        &dilations = node.attributes.integers("dilations"), &pads = node.attributes.integers("pads");
  ConvGeometry& g = *geometry;
  g.images = x[0];
  g.in_h = flat ? 1 : x[1];
  g.in_w = x[rank - 2];
  g.in_channels = x[rank - 1];
  g.out_channels = w[0];
  g.kernel_h = flat ? 1 : w[1];
  g.kernel_w = w[rank - 2];
  g.stride_h = flat ? 1 : strides[0];
  g.stride_w = strides[spatial - 1];
  g.dilation_h = flat ? 1 : dilations[0];
  g.dilation_w = dilations[spatial - 1];
  g.pad_top = flat ? 0 : pads[0];
  g.pad_left = pads[spatial - 1];
  g.pad_bottom = flat ? 0 : pads[2];
  g.pad_right = pads[2 * spatial - 1];
  g.group = node.attributes.integer("group");
  if (g.group < 1 || g.in_channels % g.group != 0 || g.out_channels % g.group != 0 ||
      w[rank - 1] != g.in_channels / g.group)
    return node_error(node, Code::shape, "x %s, weights %s and group %lld do not fit together", x.text().c_str(),
                      w.text().c_str(), static_cast<long long>(g.group));
  const s64 out_h = output_size(g.in_h, g.kernel_h, g.stride_h, g.dilation_h, g.pad_top, g.pad_bottom);
  const s64 out_w = output_size(g.in_w, g.kernel_w, g.stride_w, g.dilation_w, g.pad_left, g.pad_right);
  if (out_h < 1 || out_w < 1)
    return node_error(node, Code::shape, "the kernel of weights %s is larger than the padded input %s",
                      w.text().c_str(), x.text().c_str());
  g.out_h = static_cast<isize>(out_h);
  g.out_w = static_cast<isize>(out_w);
  g.out_stride = g.out_channels;
  *out_shape = flat ? Shape{g.images, out_w, g.out_channels} : Shape{g.images, out_h, out_w, g.out_channels};
  return {};
}

}  // namespace whit::ops
