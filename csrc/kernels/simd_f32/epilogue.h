#pragma once
// EpilogueF32 on vectors. Include one of avx2.h, avx512.h, neon.h before: it defines Vector.

#include "kernels/epilogue.h"

namespace whit {
namespace {

/// Loads `count` lanes, 1 <= count <= kLanes.
WHIT_INLINE Vector::Register load_lanes(const f32* p, int count) {
  return count == Vector::kLanes ? Vector::load(p) : Vector::load_first(p, count);
}

/// The epilogue of `count` neighbouring outputs, 1 <= count <= kLanes, from their accumulators `t`. `residual` points
/// to as many, or is null; it may be `out`.
WHIT_INLINE void finish(const EpilogueF32& epilogue, Vector::Register t, const f32* residual, f32* out, int count) {
  if (residual) t = Vector::add(t, load_lanes(residual, count));
  if (epilogue.activation == Activation::hard_swish) {
    Vector::Register gate = Vector::mul(t, Vector::broadcast(1.0f / 6));
    gate = Vector::add(gate, Vector::broadcast(0.5f));
    gate = Vector::min(Vector::max(gate, Vector::broadcast(0)), Vector::broadcast(1));
    t = Vector::mul(t, gate);
  }
  t = Vector::max(t, Vector::broadcast(epilogue.clamp_min));
  t = Vector::min(t, Vector::broadcast(epilogue.clamp_max));
  if (count == Vector::kLanes) {
    Vector::store(out, t);
  } else {
    Vector::store_first(out, t, count);
  }
}

}  // namespace
}  // namespace whit
