#pragma once
// Comparisons to bits on AVX-512. For files named avx512*.cc alone.

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"
#include "kernels/simd_s8/avx512.h"  // the intrinsics, without GCC's false alarms

namespace whit {
namespace {

/// Bit i of `below` is 1 where a < b in lane i of four vectors of 32 bits.
struct Bits {
  using Word = u64;

  WHIT_INLINE static Word below(const __m512i (&a)[4], const __m512i (&b)[4]) {
    Word word = 0;
    WHIT_UNROLL for (int i = 0; i < 4; ++i) word |= Word{_mm512_cmplt_epi32_mask(a[i], b[i])} << (16 * i);
    return word;
  }
};

}  // namespace
}  // namespace whit
