#pragma once
// EpilogueS8 on vectors. Include one of avx2.h, avx512.h, neon.h before: it defines Vector.

#include "kernels/epilogue.h"

namespace whit {
namespace {

WHIT_INLINE s8 saturate_s8(f32 x) { return static_cast<s8>(x < -128 ? -128 : x > 127 ? 127 : x); }

/// The epilogue of R rows of C vectors, from their accumulators to out[row_of(r) * out_stride + n ...]. Rows whose
/// row_of(r) is negative do not exist; the last vector has `last` lanes (1 <= last <= kLanes) in memory, no byte beside
/// which is touched. The residual may be the output.
template <int R, int C, class RowOf>
WHIT_INLINE void finish(const EpilogueS8& epilogue, Vector::Int (&acc)[R][C], RowOf row_of, isize n, int last,
                        void* out, isize out_stride) {
  using Int = Vector::Int;
  using Float = Vector::Float;
  constexpr int kLanes = Vector::kLanes;
  const auto whole = [last](int c) { return !Vector::kMasked && (c < C - 1 || last == kLanes); };
  const auto lanes = [last](int c) { return c < C - 1 ? kLanes : last; };

  if (epilogue.output == EpilogueS8::Output::s32) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      const isize row = row_of(r);
      if (row < 0) continue;
      s32* p = static_cast<s32*>(out) + row * out_stride + n;
      WHIT_UNROLL for (int c = 0; c < C; ++c) {
        if (whole(c)) {
          Vector::store(p + c * kLanes, acc[r][c]);
        } else {
          Vector::store_first(p + c * kLanes, acc[r][c], lanes(c));
        }
      }
    }
    return;
  }

  Float t[R][C];
  WHIT_UNROLL for (int c = 0; c < C; ++c) {
    const f32* p = epilogue.scale + n + c * kLanes;
    const Float scale = whole(c) ? Vector::load(p) : Vector::load_first(p, lanes(c));
    WHIT_UNROLL for (int r = 0; r < R; ++r) t[r][c] = Vector::mul(Vector::to_float(acc[r][c]), scale);
  }
  if (epilogue.residual) {
    const Int zero_point = Vector::broadcast(epilogue.residual_zero_point);
    const Float scale = Vector::broadcast(epilogue.residual_scale);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      const isize row = row_of(r);
      if (row < 0) continue;
      const s8* p = epilogue.residual + row * epilogue.residual_stride + n;
      WHIT_UNROLL for (int c = 0; c < C; ++c) {
        const Int x = whole(c) ? Vector::load_s8(p + c * kLanes) : Vector::load_s8_first(p + c * kLanes, lanes(c));
        t[r][c] = Vector::add(t[r][c], Vector::mul(Vector::to_float(Vector::sub(x, zero_point)), scale));
      }
    }
  }
  if (epilogue.activation == Activation::hard_swish) {
    const Float alpha = Vector::broadcast(epilogue.hard_swish_alpha);
    const Float half = Vector::broadcast(0.5f), zero = Vector::broadcast(0.0f), one = Vector::broadcast(1.0f);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < C; ++c) {
        const Float gate = Vector::add(Vector::mul(t[r][c], alpha), half);
        t[r][c] = Vector::mul(t[r][c], Vector::min(Vector::max(gate, zero), one));
      }
    }
  }
  const Float clamp_min = Vector::broadcast(epilogue.clamp_min), clamp_max = Vector::broadcast(epilogue.clamp_max);
  if (epilogue.output == EpilogueS8::Output::f32) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      const isize row = row_of(r);
      if (row < 0) continue;
      f32* p = static_cast<f32*>(out) + row * out_stride + n;
      WHIT_UNROLL for (int c = 0; c < C; ++c) {
        const Float x = Vector::min(Vector::max(t[r][c], clamp_min), clamp_max);
        if (whole(c)) {
          Vector::store(p + c * kLanes, x);
        } else {
          Vector::store_first(p + c * kLanes, x, lanes(c));
        }
      }
    }
    return;
  }

  // s8: one bound of the clamp is an f32 operation, the other one an operation on four times as many bytes.
  const s8 minimum = saturate_s8(epilogue.clamp_min + static_cast<f32>(epilogue.zero_point));
  const s8 maximum = saturate_s8(epilogue.clamp_max + static_cast<f32>(epilogue.zero_point));
  WHIT_UNROLL for (int first = 0; first < R * C; first += 4) {
    Int x[4];
    WHIT_UNROLL for (int i = 0; i < 4; ++i) {
      const int at = first + i < R * C ? first + i : R * C - 1;
      x[i] = Vector::round(Vector::bound(t[at / C][at % C], clamp_min, clamp_max));
    }
    const Vector::Bytes bytes = Vector::narrow(x, epilogue.zero_point, minimum, maximum);
    WHIT_UNROLL for (int i = 0; i < 4; ++i) {
      const int r = (first + i) / C, c = (first + i) % C;
      if (r >= R) break;
      const isize row = row_of(r);
      if (row < 0) continue;
      s8* p = static_cast<s8*>(out) + row * out_stride + n;
      if (C == 2 && (Vector::kMasked || last == kLanes)) {
        if (c == 0) Vector::store_half(p, bytes, i / 2, kLanes + last);
      } else {
        Vector::store_part(p + c * kLanes, bytes, i, lanes(c));
      }
    }
  }
}

}  // namespace
}  // namespace whit
