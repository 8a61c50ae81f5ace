#pragma once
// Depthwise tiles on the Vector of the file that includes this (see simd_f32).

#include "kernels/dwconv_f32/kernel.h"
#include "kernels/simd_f32/epilogue.h"

namespace whit::dwconv_f32 {
namespace {

using Register = Vector::Register;
constexpr isize kLanes = Vector::kLanes;

/// Loads kLanes if Full, else the first `count`.
template <bool Full>
WHIT_INLINE Register load_lanes(const f32* p, int count) {
  if constexpr (Full) return Vector::load(p);
  return Vector::load_first(p, count);
}

/// Where each pixel that a tile reads begins, row by row: Rows x Columns pixels from (in_y, in_x) on, `pad` outside.
template <int Rows, int Columns>
WHIT_INLINE void find_pixels(const Args& args, isize in_y, isize in_x, const f32* (&pixels)[Rows][Columns]) {
  const Geometry& g = args.geometry;
  const bool columns_inside = in_x >= 0 && in_x + Columns <= g.in_w;
  for (int r = 0; r < Rows; ++r) {
    const isize y = in_y + r;
    const bool row_inside = y >= 0 && y < g.in_h;
    isize offset = (y * g.in_w + in_x) * g.channels;
    for (int u = 0; u < Columns; ++u, offset += g.channels) {
      const bool inside = row_inside && (columns_inside || (in_x + u >= 0 && in_x + u < g.in_w));
      pixels[r][u] = inside ? args.in + offset : args.pad;
    }
  }
}

/// One vector of channels of a tile: channels [c, c + count), which are at pixels[][] + in_c. A whole vector is read.
template <int K, int S, int TY, int TX, int Rows, int Columns>
WHIT_INLINE void tile_channels(const Args& args, isize y, isize x, int columns, isize c, int count, isize in_c,
                               const f32* const (&pixels)[Rows][Columns]) {
  const f32* packed = reinterpret_cast<const f32*>(args.packed) + c * (1 + K * K);
  const EpilogueF32& epilogue = args.epilogue;
  Register acc[TY][TX][1];
  WHIT_UNROLL for (int a = 0; a < TY; ++a) {
    WHIT_UNROLL for (int b = 0; b < TX; ++b) acc[a][b][0] = Vector::load(packed);
  }
  packed += kLanes;
  WHIT_UNROLL for (int r = 0; r < Rows; ++r) {
    WHIT_UNROLL for (int u = 0; u < Columns; ++u) {
      const Register in = Vector::load(pixels[r][u] + in_c);
      WHIT_UNROLL for (int a = 0; a < TY; ++a) {
        WHIT_UNROLL for (int b = 0; b < TX; ++b) {
          const int i = r - a * S, j = u - b * S;
          if (i < 0 || i >= K || j < 0 || j >= K) continue;
          acc[a][b][0] = Vector::fma(in, Vector::load(packed + (i * K + j) * kLanes), acc[a][b][0]);
        }
      }
    }
  }
  WHIT_UNROLL for (int a = 0; a < TY; ++a) {
    const isize pixel = (y + a) * args.geometry.out_w + x;
    finish(epilogue, acc[a], columns, count,
           epilogue.residual ? epilogue.residual + pixel * epilogue.residual_stride + c : nullptr,
           args.out + pixel * args.out_stride + c, args.out_stride);
  }
}

/// K x K kernel, stride S: TY x TX outputs from (y, x) on, all channels. Every input vector is loaded once and serves
/// all outputs of the tile that it reaches; for each output that is still the order of (i, j). Only the first `columns`
/// outputs of a row exist.
template <int K, int S, int TY, int TX>
void tile(const Args& args, isize y, isize x, int columns) {
  constexpr int kRows = (TY - 1) * S + K, kColumns = (TX - 1) * S + K;
  const f32* pixels[kRows][kColumns];
  f32 tail[kRows][kColumns][kLanes];
  find_pixels(args, y * S - args.geometry.pad_top, x * S - args.geometry.pad_left, pixels);
  const isize channels = args.geometry.channels;
  for (isize c = 0; c < channels; c += kLanes) {
    int count = kLanes;
    isize in_c = c;
    if (channels - c < kLanes) {  // the last few channels: nothing may be read beyond them
      count = static_cast<int>(channels - c);
      in_c = 0;
      for (int r = 0; r < kRows; ++r) {
        for (int u = 0; u < kColumns; ++u) {
          Vector::store(tail[r][u], Vector::load_first(pixels[r][u] + c, count));
          pixels[r][u] = tail[r][u];
        }
      }
    }
    tile_channels<K, S, TY, TX>(args, y, x, columns, c, count, in_c, pixels);
  }
}

template <int K, int S, int TY, int TX>
void row_of_tiles(const Args& args, isize y) {
  const isize out_w = args.geometry.out_w;
  for (isize x = 0; x < out_w;) {
    if (out_w - x > TX / 2) {
      tile<K, S, TY, TX>(args, y, x, out_w - x < TX ? static_cast<int>(out_w - x) : TX);
      x += TX;
    } else {
      tile<K, S, TY, TX / 2>(args, y, x, static_cast<int>(out_w - x));
      x += TX / 2;
    }
  }
}

template <int K, int S, int TY, int TX>
void tiles(const Args& args, isize row_begin, isize row_end) {
  isize y = row_begin;
  for (; y + TY <= row_end; y += TY) row_of_tiles<K, S, TY, TX>(args, y);
  for (; y < row_end; ++y) row_of_tiles<K, S, 1, TX>(args, y);
}

/// Any kernel, stride and dilation: P outputs of row y from x on, V vectors of channels from c on; if not Full, V is 1
/// and only `count` lanes exist.
template <int P, int V, bool Full>
WHIT_INLINE void outputs(const Args& args, isize y, isize x, isize c, int count) {
  const Geometry& g = args.geometry;
  const EpilogueF32& epilogue = args.epilogue;
  const isize block = (1 + g.kernel_h * g.kernel_w) * kLanes;  // floats of packed per vector of channels
  const f32* packed = reinterpret_cast<const f32*>(args.packed) + c / kLanes * block;
  Register acc[P][V];
  WHIT_UNROLL for (int p = 0; p < P; ++p) {
    WHIT_UNROLL for (int v = 0; v < V; ++v) acc[p][v] = Vector::load(packed + v * block);
  }
  for (isize i = 0; i < g.kernel_h; ++i) {
    const isize in_y = y * g.stride_h + i * g.dilation_h - g.pad_top;
    const bool row_inside = in_y >= 0 && in_y < g.in_h;
    for (isize j = 0; j < g.kernel_w; ++j) {
      packed += kLanes;
      Register w[V];
      WHIT_UNROLL for (int v = 0; v < V; ++v) w[v] = Vector::load(packed + v * block);
      isize in_x = x * g.stride_w + j * g.dilation_w - g.pad_left;
      WHIT_UNROLL for (int p = 0; p < P; ++p, in_x += g.stride_w) {
        const bool inside = row_inside && in_x >= 0 && in_x < g.in_w;
        const f32* in = (inside ? args.in + (in_y * g.in_w + in_x) * g.channels : args.pad) + c;
        WHIT_UNROLL for (int v = 0; v < V; ++v) {
          acc[p][v] = Vector::fma(load_lanes<Full>(in + v * kLanes, count), w[v], acc[p][v]);
        }
      }
    }
  }
  const isize pixel = y * g.out_w + x;
  finish(epilogue, acc, P, count,
         epilogue.residual ? epilogue.residual + pixel * epilogue.residual_stride + c : nullptr,
         args.out + pixel * args.out_stride + c, args.out_stride);
}

template <int P>
void any_channels(const Args& args, isize y, isize x) {
  constexpr int kVectors = Vector::kRegisters / 8;
  const isize channels = args.geometry.channels;
  isize c = 0;
  for (; c + kVectors * kLanes <= channels; c += kVectors * kLanes) outputs<P, kVectors, true>(args, y, x, c, kLanes);
  for (; c + kLanes <= channels; c += kLanes) outputs<P, 1, true>(args, y, x, c, kLanes);
  if (c < channels) outputs<P, 1, false>(args, y, x, c, static_cast<int>(channels - c));
}

void any(const Args& args, isize row_begin, isize row_end) {
  constexpr int kPixels = 4;
  for (isize y = row_begin; y < row_end; ++y) {
    isize x = 0;
    for (; x + kPixels <= args.geometry.out_w; x += kPixels) any_channels<kPixels>(args, y, x);
    for (; x < args.geometry.out_w; ++x) any_channels<1>(args, y, x);
  }
}

}  // namespace
}  // namespace whit::dwconv_f32
