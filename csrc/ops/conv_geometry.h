#pragma once
// Sizes of a convolution, checked. A 1-D convolution is a 2-D one of height 1.

#include <algorithm>
#include <vector>

#include "ops/operator.h"

namespace whit::ops {

struct ConvGeometry {
  isize images, in_h, in_w, in_channels, out_h, out_w, out_channels, group;
  isize kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
  isize pad_top, pad_left, pad_bottom, pad_right;
  isize out_stride;  ///< elements from an output pixel to the next: out_channels, or more inside a concat's result

  isize taps() const { return kernel_h * kernel_w; }
  isize in_pixels() const { return in_h * in_w; }
  isize out_pixels() const { return out_h * out_w; }
  bool is_depthwise() const { return group == in_channels && group == out_channels && group > 1; }
  /// Of output rows `rows`, computed from input rows `held` as if these were an image of their own: it has padding only
  /// where the whole one has.
  ConvGeometry of_rows(RowRange held, RowRange rows) const {
    ConvGeometry g = *this;
    g.in_h = held.end - held.begin;
    g.out_h = rows.end - rows.begin;
    g.pad_top = pad_top + held.begin - rows.begin * stride_h;
    return g;
  }
  RowGeometry row_geometry(isize in_element_bytes, isize out_element_bytes, isize weight_bytes,
                           isize scratch_bytes) const;
  /// Output pixel i reads input pixel i alone.
  bool is_pointwise() const {
    return taps() == 1 && stride_h == 1 && stride_w == 1 && pad_top == 0 && pad_left == 0 && pad_bottom == 0 &&
           pad_right == 0;
  }
};

/// Output columns (or rows) [begin, end) whose windows need no padding.
struct InsideRange {
  isize begin, end;

  InsideRange(isize in, isize out, isize pad, isize kernel, isize stride, isize dilation) {
    const isize last = in + pad - 1 - dilation * (kernel - 1);  // of the windows' beginnings, from -pad on
    begin = std::min(ceil_div(pad, stride), out);
    end = last < 0 ? begin : std::clamp(last / stride + 1, begin, out);
  }
  isize size() const { return end - begin; }

  static InsideRange rows(const ConvGeometry& g) {
    return {g.in_h, g.out_h, g.pad_top, g.kernel_h, g.stride_h, g.dilation_h};
  }
  static InsideRange columns(const ConvGeometry& g) {
    return {g.in_w, g.out_w, g.pad_left, g.kernel_w, g.stride_w, g.dilation_w};
  }
};

/// An error if a table of input offsets, `taps` for each of `pixels` output pixels, would have more than 2^28 entries
/// (1 GiB): that many come from a damaged or hostile file alone, and filling them would take memory that others need.
Status check_offsets(const Node& node, s64 pixels, s64 taps);

/// Where products read an image: for each output pixel and tap the input pixel, `pixel` units from one to the next, or
/// -1 in the padding. s32 [out_pixels][taps]; an error if they do not fit s32 or memory.
Status fill_offsets(const Node& node, const ConvGeometry& g, isize pixel, AlignedBuffer* offsets);

/// What the padding holds in each channel of x: the attribute pad_values, as steps of x's quantisation (halves to even,
/// clamped) if x is s8, or 0. For a conv that check_pad_values has passed.
void fill_padding(const Node& node, const TensorInfo& x, std::vector<s8>* padding);
void fill_padding(const Node& node, const TensorInfo& x, std::vector<f32>* padding);

/// The same for a row of the kernel: [kernel_w][channels].
template <class Element>
void fill_row_padding(const Node& node, const TensorInfo& x, isize kernel_w, std::vector<Element>* padding) {
  fill_padding(node, x, padding);
  const std::size_t channels = padding->size();
  padding->resize(static_cast<std::size_t>(kernel_w) * channels);
  for (std::size_t i = channels; i < padding->size(); ++i) (*padding)[i] = (*padding)[i - channels];
}

/// pad_values must be empty or hold a finite number for each of the channels.
Status check_pad_values(const Node& node, isize channels);

/// From x [n, (h,) w, c], w [o, (kh,) kw, c / group] and the attributes strides, dilations, pads and group.
/// out_shape gets [n, (out_h,) out_w, o].
Status infer_conv(const Node& node, const Shape& x, const Shape& w, ConvGeometry* geometry, Shape* out_shape);

}  // namespace whit::ops
