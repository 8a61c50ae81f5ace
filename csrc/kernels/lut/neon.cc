#include <arm_neon.h>

#include "kernels/lut/levels.h"

namespace whit::lut {
namespace {

// TBL and TBX look up 64 entries and leave lanes whose index is beyond them at 0 and as they were.
void map_s8(const s8* x, s8* y, isize n, const s8* entries) {
  const int8x16x4_t t0 = vld1q_s8_x4(entries), t1 = vld1q_s8_x4(entries + 64), t2 = vld1q_s8_x4(entries + 128),
                    t3 = vld1q_s8_x4(entries + 192);
  const uint8x16_t step = vdupq_n_u8(64);
  isize i = 0;
  for (; i + 16 <= n; i += 16) {
    uint8x16_t index = vreinterpretq_u8_s8(vld1q_s8(x + i));
    int8x16_t out = vqtbl4q_s8(t0, index);
    index = vsubq_u8(index, step);
    out = vqtbx4q_s8(out, t1, index);
    index = vsubq_u8(index, step);
    out = vqtbx4q_s8(out, t2, index);
    index = vsubq_u8(index, step);
    out = vqtbx4q_s8(out, t3, index);
    vst1q_s8(y + i, out);
  }
  for (; i < n; ++i) y[i] = entries[static_cast<u8>(x[i])];
}

}  // namespace

constexpr Table lut_table_neon{Isa::neon, "lut_s8_neon", map_s8};

}  // namespace whit::lut
