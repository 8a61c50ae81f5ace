#pragma once
// EpilogueF32 for one output: the reference of epilogue.inc.

#include "kernels/epilogue.h"

namespace whit {

/// `residual` is null or points to the output's residual.
inline f32 finish(const EpilogueF32& epilogue, f32 t, const f32* residual) {
  if (residual) t = t + *residual;
  if (epilogue.activation == Activation::hard_swish) {
    f32 gate = t * (1.0f / 6) + 0.5f;
    gate = 0.0f > gate ? 0.0f : gate;
    gate = 1.0f < gate ? 1.0f : gate;
    t = t * gate;
  }
  t = epilogue.clamp_min > t ? epilogue.clamp_min : t;
  return epilogue.clamp_max < t ? epilogue.clamp_max : t;
}

}  // namespace whit
