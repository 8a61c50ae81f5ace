#pragma once
// What ARMv8 and ARMv7 share; local to the file that includes it.

#include "kernels/bitpack/rows.h"
#include "kernels/simd_b1/neon.h"

namespace whit::bitpack {
namespace {

void pack_f32(const Args<f32>& args, isize begin, isize end) {
  pack_rows<16>(args, begin, end, [](const f32* x, const f32* thresholds) {
    float32x4_t a[4], b[4];
    WHIT_UNROLL for (int i = 0; i < 4; ++i) {
      a[i] = vld1q_f32(x + 4 * i);
      b[i] = vld1q_f32(thresholds + 4 * i);
    }
    return Bits::below(a, b);
  });
}

void pack_s8(const Args<s8>& args, isize begin, isize end) {
  pack_rows<16>(args, begin, end,
                [](const s8* x, const s8* thresholds) { return Bits::below(vld1q_s8(x), vld1q_s8(thresholds)); });
}

}  // namespace
}  // namespace whit::bitpack
