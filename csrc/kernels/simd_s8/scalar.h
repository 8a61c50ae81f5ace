#pragma once
// EpilogueS8 of one value: the reference that every vector version equals to the bit.

#include "kernels/epilogue.h"

namespace whit {
namespace {

/// Stores at out[row * out_stride + n].
[[gnu::noinline]] inline void finish(const EpilogueS8& epilogue, s32 acc, isize row, isize n, void* out,
                                     isize out_stride) {
  const isize at = row * out_stride + n;
  if (epilogue.output == EpilogueS8::Output::s32) {
    static_cast<s32*>(out)[at] = acc;
    return;
  }
  const auto max = [](f32 t, f32 x) { return t > x ? t : x; };
  const auto min = [](f32 t, f32 x) { return t < x ? t : x; };
  f32 t = static_cast<f32>(acc) * epilogue.scale[n];
  if (epilogue.residual) {
    const s32 x = epilogue.residual[row * epilogue.residual_stride + n] - epilogue.residual_zero_point;
    t += static_cast<f32>(x) * epilogue.residual_scale;
  }
  if (epilogue.activation == Activation::hard_swish) {
    const f32 gate = t * epilogue.hard_swish_alpha + 0.5f;
    t *= min(max(gate, 0.0f), 1.0f);
  }
  t = min(max(t, epilogue.clamp_min), epilogue.clamp_max);
  if (epilogue.output == EpilogueS8::Output::f32) {
    static_cast<f32*>(out)[at] = t;
  } else {
    const s32 x = static_cast<s32>(__builtin_lrintf(t)) + epilogue.zero_point;
    static_cast<s8*>(out)[at] = static_cast<s8>(x < -128 ? -128 : x > 127 ? 127 : x);
  }
}

}  // namespace
}  // namespace whit
