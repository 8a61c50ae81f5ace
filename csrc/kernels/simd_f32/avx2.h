#pragma once
// f32 vectors of AVX2 + FMA. For files named avx2.cc alone: everything is local to the file that includes it, since
// code compiled with an ISA's flags must not be visible to the linker elsewhere.

#include <immintrin.h>

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

struct Vector {
  using Register = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kRegisters = 16;

  WHIT_INLINE static Register load(const f32* p) { return _mm256_loadu_ps(p); }
  WHIT_INLINE static void store(f32* p, Register r) { _mm256_storeu_ps(p, r); }
  /// The first `count` lanes, 1 <= count < kLanes; no other memory is touched.
  WHIT_INLINE static Register load_first(const f32* p, int count) { return _mm256_maskload_ps(p, mask(count)); }
  WHIT_INLINE static void store_first(f32* p, Register r, int count) { _mm256_maskstore_ps(p, mask(count), r); }
  WHIT_INLINE static Register broadcast(f32 x) { return _mm256_set1_ps(x); }
  /// a * b + c, rounded once.
  WHIT_INLINE static Register fma(Register a, Register b, Register c) { return _mm256_fmadd_ps(a, b, c); }
  WHIT_INLINE static Register mul(Register a, Register b) { return _mm256_mul_ps(a, b); }
  WHIT_INLINE static Register add(Register a, Register b) { return _mm256_add_ps(a, b); }
  WHIT_INLINE static Register sub(Register a, Register b) { return _mm256_sub_ps(a, b); }
  /// t > x ? t : x and t < x ? t : x, which is what the instructions do.
  WHIT_INLINE static Register max(Register t, Register x) { return _mm256_max_ps(x, t); }
  WHIT_INLINE static Register min(Register t, Register x) { return _mm256_min_ps(x, t); }

 private:
  WHIT_INLINE static __m256i mask(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

}  // namespace
}  // namespace whit
