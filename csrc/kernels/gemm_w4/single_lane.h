#pragma once
// Lanes of grouped_rows.h that are plain numbers. Local to the file that includes it.

#include "kernels/gemm_w4/kernel.h"

namespace whit::gemm_w4 {
namespace {

struct Lanes {
  using Int = s32;
  using Float = f32;
  static constexpr int kLanes = 1, kRows = 1;

  static s32 broadcast(s32 x) { return x; }
  static f32 broadcast(f32 x) { return x; }
  static s32 sub(s32 a, s32 b) { return a - b; }
  static f32 add(f32 a, f32 b) { return a + b; }
  static f32 mul(f32 a, f32 b) { return a * b; }
  static f32 fma(f32 a, f32 b, f32 c) { return a * b + c; }
  static f32 to_float(s32 x) { return static_cast<f32>(x); }
  static f32 load(const f32* p) { return *p; }
  static void store(f32* p, f32 x) { *p = x; }
  static void store_first(f32*, f32, int) {}
  /// Shifted to the place of an f32's bits, a finite f16 is 2^112 times too small.
  static f32 load_f16(const u16* p) {
    const u32 bits = u32{*p & 0x7fffu} << 13 | u32{*p & 0x8000u} << 16;
    f32 x;
    __builtin_memcpy(&x, &bits, sizeof(x));
    return x * 0x1p112f;
  }
};

}  // namespace
}  // namespace whit::gemm_w4
