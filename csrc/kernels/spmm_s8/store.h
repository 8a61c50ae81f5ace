#pragma once
// Accumulators to pixels. Include a file before that defines Vector, and
//     transpose(Vector::Int (&v)[Vector::kLanes])

#include "kernels/simd_s8/epilogue.h"
#include "kernels/spmm_s8/kernel.h"

namespace whit::spmm_s8 {
namespace {

/// The first rows of a tile.
struct FirstRows {
  isize first;
  int count;
  WHIT_INLINE bool has(int r) const { return r < count; }
  WHIT_INLINE isize operator[](int r) const { return first + r; }
};

/// As many pixels as a vector has lanes of each of up to as many channels, pixel by pixel.
WHIT_INLINE void load_pixels(const s32* acc, isize acc_stride, isize channels, Vector::Int (&v)[Vector::kLanes]) {
  if (channels >= Vector::kLanes) {
    WHIT_UNROLL for (int i = 0; i < Vector::kLanes; ++i) v[i] = Vector::load(acc + i * acc_stride);
  } else {
    for (isize i = 0; i < Vector::kLanes; ++i) v[i] = Vector::load(acc + (i < channels ? i : 0) * acc_stride);
  }
  transpose(v);
}

/// Up to C vectors of channels of one pixel, at least C - 1 whole ones.
template <int C>
WHIT_INLINE void store_channels(const Epilogue& epilogue, const s32* acc, isize acc_stride, isize n, isize channels,
                                isize row) {
  constexpr int kLanes = Vector::kLanes;
  s32 lanes[C * kLanes] = {};
  for (isize i = 0; i < channels; ++i) lanes[i] = acc[(n + i) * acc_stride];
  Vector::Int sums[1][C];
  WHIT_UNROLL for (int c = 0; c < C; ++c) sums[0][c] = Vector::load(lanes + c * kLanes);
  finish(epilogue, sums, Consecutive{row}, n, static_cast<int>(channels - (C - 1) * kLanes));
}

/// One pixel. Of acc, no other is read.
[[gnu::noinline]] void store_pixel(const s32* acc, isize acc_stride, isize n_begin, isize n_end, const EpilogueS8& spec,
                                   void* out, isize out_stride, isize row) {
  constexpr isize kLanes = Vector::kLanes;
  const Epilogue epilogue(spec, out, out_stride);
  isize n = n_begin;
  for (; n + 4 * kLanes <= n_end; n += 4 * kLanes) store_channels<4>(epilogue, acc, acc_stride, n, 4 * kLanes, row);
  for (; n < n_end; n += kLanes)
    store_channels<1>(epilogue, acc, acc_stride, n, n_end - n < kLanes ? n_end - n : kLanes, row);
}

WHIT_INLINE void store_pixels(const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
                              const EpilogueS8& spec, void* out, isize out_stride, isize first_row) {
  constexpr int kLanes = Vector::kLanes;
  if (pixels == 1) return store_pixel(acc, acc_stride, n_begin, n_end, spec, out, out_stride, first_row);
  const Epilogue epilogue(spec, out, out_stride);
  for (isize n = n_begin; n < n_end; n += kLanes) {
    const isize channels = n_end - n < kLanes ? n_end - n : kLanes;
    for (isize p = 0; p < pixels; p += kLanes) {
      const isize rest = pixels - p < kLanes ? pixels - p : kLanes;
      Vector::Int v[kLanes], sums[kLanes][1];
      load_pixels(acc + n * acc_stride + p, acc_stride, channels, v);
      WHIT_UNROLL for (int i = 0; i < kLanes; ++i) sums[i][0] = v[i];
      if (rest == kLanes) {
        finish(epilogue, sums, Consecutive{first_row + p}, n, static_cast<int>(channels));
      } else {
        finish(epilogue, sums, FirstRows{first_row + p, static_cast<int>(rest)}, n, static_cast<int>(channels));
      }
    }
  }
}

}  // namespace
}  // namespace whit::spmm_s8
