#pragma once
// f32 vectors of AVX-512F. For files named avx512*.cc alone: everything is local to the file that includes it, since
// code compiled with an ISA's flags must not be visible to the linker elsewhere.

#include <immintrin.h>

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

struct Vector {
  using Register = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kRegisters = 32;

  WHIT_INLINE static Register load(const f32* p) { return _mm512_loadu_ps(p); }
  WHIT_INLINE static void store(f32* p, Register r) { _mm512_storeu_ps(p, r); }
  /// The first `count` lanes, 1 <= count < kLanes; no other memory is touched.
  WHIT_INLINE static Register load_first(const f32* p, int count) { return _mm512_maskz_loadu_ps(mask(count), p); }
  WHIT_INLINE static void store_first(f32* p, Register r, int count) { _mm512_mask_storeu_ps(p, mask(count), r); }
  WHIT_INLINE static Register broadcast(f32 x) { return _mm512_set1_ps(x); }
  /// a * b + c, rounded once.
  WHIT_INLINE static Register fma(Register a, Register b, Register c) { return _mm512_fmadd_ps(a, b, c); }
  WHIT_INLINE static Register mul(Register a, Register b) { return _mm512_mul_ps(a, b); }
  WHIT_INLINE static Register add(Register a, Register b) { return _mm512_add_ps(a, b); }
  WHIT_INLINE static Register sub(Register a, Register b) { return _mm512_sub_ps(a, b); }
  /// t > x ? t : x and t < x ? t : x, which is what the instructions do.
  /// In their masked form, since GCC 12 warns of the undefined operand inside the plain one.
  WHIT_INLINE static Register max(Register t, Register x) { return _mm512_maskz_max_ps(0xffff, x, t); }
  WHIT_INLINE static Register min(Register t, Register x) { return _mm512_maskz_min_ps(0xffff, x, t); }

 private:
  WHIT_INLINE static __mmask16 mask(int count) { return static_cast<__mmask16>((1u << count) - 1); }
};

}  // namespace
}  // namespace whit
