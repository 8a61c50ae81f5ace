#pragma once
// EpilogueS8 on vectors. Include one of avx2.h, avx512.h, neon.h before: it defines Vector.

#include "kernels/epilogue.h"

namespace whit {
namespace {

/// An EpilogueS8 and where it writes, with what is worked out once for many tiles.
struct Epilogue {
  Epilogue(const EpilogueS8& epilogue, void* output, isize stride)
      : spec(epilogue),
        out(output),
        out_stride(stride),
        minimum(saturate(epilogue.clamp_min + static_cast<f32>(epilogue.zero_point))),
        maximum(saturate(epilogue.clamp_max + static_cast<f32>(epilogue.zero_point))) {}

  EpilogueS8 spec;
  void* out;
  isize out_stride;
  s8 minimum, maximum;  // of an s8 output

 private:
  static s8 saturate(f32 x) { return static_cast<s8>(x < -128 ? -128 : x > 127 ? 127 : x); }
};

/// Rows of the output that follow each other.
struct Consecutive {
  isize first;
  WHIT_INLINE bool has(int) const { return true; }
  WHIT_INLINE isize operator[](int r) const { return first + r; }
};

/// The epilogue of R rows of C vectors, from their accumulators to columns n ... of row rows[r] of the output. Rows
/// that rows.has(r) denies do not exist; the last vector has `last` lanes (1 <= last <= kLanes) in memory, no byte
/// beside which is touched. The residual may be the output.
template <int R, int C, class Rows>
WHIT_INLINE void finish(const Epilogue& epilogue, Vector::Int (&acc)[R][C], const Rows& rows, isize n, int last) {
  using Int = Vector::Int;
  using Float = Vector::Float;
  constexpr int kLanes = Vector::kLanes;
  const EpilogueS8& spec = epilogue.spec;
  const auto whole = [last](int c) { return !Vector::kMasked && (c < C - 1 || last == kLanes); };
  const auto lanes = [last](int c) { return c < C - 1 ? kLanes : last; };

  // Ends the life of the registers that the loop before had its accumulators in. Without it, what is done to them here
  // has a say in how that loop is compiled, to the point of accumulators in memory.
  WHIT_UNROLL for (int r = 0; r < R; ++r) { WHIT_UNROLL for (int c = 0; c < C; ++c) Vector::settle(acc[r][c]); }

  if (spec.output == EpilogueS8::Output::s32) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      if (!rows.has(r)) continue;
      s32* p = static_cast<s32*>(epilogue.out) + rows[r] * epilogue.out_stride + n;
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
    const f32* p = spec.scale + n + c * kLanes;
    const Float scale = whole(c) ? Vector::load(p) : Vector::load_first(p, lanes(c));
    WHIT_UNROLL for (int r = 0; r < R; ++r) t[r][c] = Vector::mul(Vector::to_float(acc[r][c]), scale);
  }
  if (spec.residual) {
    const Int zero_point = Vector::broadcast(spec.residual_zero_point);
    const Float scale = Vector::broadcast(spec.residual_scale);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      if (!rows.has(r)) continue;
      const s8* p = spec.residual + rows[r] * spec.residual_stride + n;
      WHIT_UNROLL for (int c = 0; c < C; ++c) {
        const Int x = whole(c) ? Vector::load_s8(p + c * kLanes) : Vector::load_s8_first(p + c * kLanes, lanes(c));
        t[r][c] = Vector::add(t[r][c], Vector::mul(Vector::to_float(Vector::sub(x, zero_point)), scale));
      }
    }
  }
  if (spec.activation == Activation::hard_swish) {
    const Float alpha = Vector::broadcast(spec.hard_swish_alpha);
    const Float half = Vector::broadcast(0.5f), zero = Vector::broadcast(0.0f), one = Vector::broadcast(1.0f);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < C; ++c) {
        const Float gate = Vector::add(Vector::mul(t[r][c], alpha), half);
        t[r][c] = Vector::mul(t[r][c], Vector::min(Vector::max(gate, zero), one));
      }
    }
  }
  const Float clamp_min = Vector::broadcast(spec.clamp_min), clamp_max = Vector::broadcast(spec.clamp_max);
  if (spec.output == EpilogueS8::Output::f32) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      if (!rows.has(r)) continue;
      f32* p = static_cast<f32*>(epilogue.out) + rows[r] * epilogue.out_stride + n;
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
  WHIT_UNROLL for (int first = 0; first < R * C; first += 4) {
    Int x[4];
    WHIT_UNROLL for (int i = 0; i < 4; ++i) {
      const int at = first + i < R * C ? first + i : R * C - 1;
      x[i] = Vector::round(Vector::bound(t[at / C][at % C], clamp_min, clamp_max));
    }
    const Vector::Bytes bytes = Vector::narrow(x, spec.zero_point, epilogue.minimum, epilogue.maximum);
    WHIT_UNROLL for (int i = 0; i < 4; ++i) {
      const int r = (first + i) / C, c = (first + i) % C;
      if (r >= R) break;
      if (!rows.has(r)) continue;
      s8* p = static_cast<s8*>(epilogue.out) + rows[r] * epilogue.out_stride + n;
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
