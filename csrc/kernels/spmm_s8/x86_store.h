#pragma once
// Accumulators to pixels on x86. An epilogue to s8 without residual is worked out where pixels of a channel lie side by
// side, so that bytes are transposed instead of s32. Include a file before that defines Vector, transpose() of store.h,
// and
//     unpack_low(a, b), unpack_high(a, b)   bytes of each 128 bits of Vector::Bytes
//     store_lane<kLane>(p, bytes)           128 bits of them

#include "kernels/spmm_s8/store.h"

namespace whit::spmm_s8 {
namespace {

using Bytes = Vector::Bytes;

constexpr isize kColumns = 16, kWide = 4 * Vector::kLanes;  // pixels

template <int kLane = 0>
WHIT_INLINE void store_lanes(s8* p, isize step, Bytes bytes) {
  store_lane<kLane>(p + kLane * step, bytes);
  if constexpr (16 * (kLane + 1) < kWide) store_lanes<kLane + 1>(p, step, bytes);
}

/// Lane l of bytes[i] to pixel 16 * l + i.
WHIT_INLINE void store_all(s8* p, isize stride, const Bytes (&bytes)[kColumns]) {
  const isize step = 16 * stride;
  WHIT_UNROLL for (isize i = 0; i < 16; ++i) {
    store_lanes(p, step, bytes[i]);
    p += stride;
    __asm__("" : "+r"(p));  // else compilers would keep all of them
  }
}

/// Pixels p ... p + kWide - 1, or what is there of them, of 16 columns n. acc: of column n, pixel p.
template <bool kWhole>
WHIT_INLINE void store_columns(const Epilogue& epilogue, const s32* acc, isize acc_stride, isize n, isize count,
                               s8* out) {
  const EpilogueS8& spec = epilogue.spec;
  const Vector::Float minimum = Vector::broadcast(spec.clamp_min), maximum = Vector::broadcast(spec.clamp_max);
  Bytes v[kColumns], w[kColumns];
  WHIT_UNROLL for (isize c = 0; c < kColumns; ++c) {
    const Vector::Float scale = Vector::broadcast(spec.scale[n + c]);
    Vector::Int x[4];
    WHIT_UNROLL for (isize i = 0; i < 4; ++i) {
      const isize at = kWhole || i * Vector::kLanes < count ? i * Vector::kLanes : 0;
      const Vector::Float t = Vector::mul(Vector::to_float(Vector::load(acc + c * acc_stride + at)), scale);
      x[i] = Vector::round(Vector::bound(t, minimum, maximum));
    }
    v[c] = Vector::narrow(x, spec.zero_point, epilogue.minimum, epilogue.maximum);
  }
  // Each step doubles how many columns' bytes of a pixel lie together.
  WHIT_UNROLL for (int step = 0; step < 4; ++step) {
    WHIT_UNROLL for (int i = 0; i < 8; ++i) {
      w[2 * i] = unpack_low(v[i], v[i + 8]);
      w[2 * i + 1] = unpack_high(v[i], v[i + 8]);
    }
    WHIT_UNROLL for (int i = 0; i < kColumns; ++i) v[i] = w[i];
  }
  if constexpr (kWhole) {
    store_all(out, epilogue.out_stride, v);
  } else {
    alignas(64) s8 pixels[kWide * kColumns];
    store_all(pixels, kColumns, v);
    for (isize p = 0; p < count; ++p) std::memcpy(out + p * epilogue.out_stride, pixels + p * kColumns, kColumns);
  }
}

[[gnu::noinline]] void store_last_columns(const Epilogue& epilogue, const s32* acc, isize acc_stride, isize n,
                                          isize count, s8* out) {
  store_columns<false>(epilogue, acc, acc_stride, n, count, out);
}

WHIT_INLINE void store_rows(const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
                            const EpilogueS8& spec, void* out, isize out_stride, isize first_row) {
  const Epilogue epilogue(spec, out, out_stride);
  isize n = n_begin;
  if (pixels > 1 && spec.output == EpilogueS8::Output::s8 && spec.activation == Activation::clamp && !spec.residual) {
    for (; n + kColumns <= n_end; n += kColumns) {
      const s32* const from = acc + n * acc_stride;
      s8* const to = static_cast<s8*>(out) + first_row * out_stride + n;
      isize p = 0;
      for (; p + kWide <= pixels; p += kWide)
        store_columns<true>(epilogue, from + p, acc_stride, n, kWide, to + p * out_stride);
      if (p < pixels) store_last_columns(epilogue, from + p, acc_stride, n, pixels - p, to + p * out_stride);
    }
  }
  store_pixels(acc, acc_stride, n, n_end, pixels, spec, out, out_stride, first_row);
}

}  // namespace
}  // namespace whit::spmm_s8
