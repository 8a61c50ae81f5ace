#pragma once
// EpilogueF32 on vectors. Include one of avx2.h, avx512.h, neon.h before: it defines Vector.

#include "kernels/epilogue.h"

namespace whit {
namespace {

/// The epilogue of R rows of V vectors, from their accumulators `acc` to out[row * out_stride]. Only the first `rows`
/// rows and, in the last vector, `last` lanes (1 <= last <= kLanes) exist in memory. `residual` is that of row 0 or
/// null; it may be `out`.
template <int R, int V>
WHIT_INLINE void finish(const EpilogueF32& epilogue, Vector::Register (&acc)[R][V], int rows, int last,
                        const f32* residual, f32* out, isize out_stride) {
  constexpr int kLanes = Vector::kLanes;
  if (residual) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      if (r >= rows) break;
      const f32* p = residual + r * epilogue.residual_stride;
      WHIT_UNROLL for (int v = 0; v < V - 1; ++v) acc[r][v] = Vector::add(acc[r][v], Vector::load(p + v * kLanes));
      p += (V - 1) * kLanes;
      acc[r][V - 1] = Vector::add(acc[r][V - 1], last == kLanes ? Vector::load(p) : Vector::load_first(p, last));
    }
  }
  if (epilogue.activation == Activation::hard_swish) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int v = 0; v < V; ++v) {
        Vector::Register gate = Vector::mul(acc[r][v], Vector::broadcast(1.0f / 6));
        gate = Vector::add(gate, Vector::broadcast(0.5f));
        gate = Vector::min(Vector::max(gate, Vector::broadcast(0)), Vector::broadcast(1));
        acc[r][v] = Vector::mul(acc[r][v], gate);
      }
    }
  }
  const Vector::Register clamp_min = Vector::broadcast(epilogue.clamp_min);
  const Vector::Register clamp_max = Vector::broadcast(epilogue.clamp_max);
  WHIT_UNROLL for (int r = 0; r < R; ++r) {
    if (r >= rows) break;
    f32* p = out + r * out_stride;
    WHIT_UNROLL for (int v = 0; v < V; ++v) {
      const Vector::Register t = Vector::min(Vector::max(acc[r][v], clamp_min), clamp_max);
      if (v < V - 1 || last == kLanes) {
        Vector::store(p + v * kLanes, t);
      } else {
        Vector::store_first(p + v * kLanes, t, last);
      }
    }
  }
}

}  // namespace
}  // namespace whit
