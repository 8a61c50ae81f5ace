// ARMv7 NEON: as on ARMv8, with half of the registers, so tiles of 4 rows. A lane is one of d0 to d7, which hold what
// 8 k of four rows are.

#include "kernels/simd_s8/neon32.h"
// after the vector
#include "kernels/simd_s8/epilogue.h"
#include "kernels/vectorize.h"

namespace whit::winograd_s8 {
namespace {

constexpr int kRows = 4;

WHIT_INLINE int16x8_t load_next(const s16*& p) {
  int16x8_t w;
  __asm__ volatile("vld1.16 {%e0, %f0}, [%1]!" : "=w"(w), "+r"(p) : : "memory");
  return w;
}

/// From intrinsics, Clang runs out of the registers that have lanes, and reloads them all the time; from assembler,
/// GCC.
template <int kLane>
WHIT_INLINE void multiply_add(int32x4_t (&acc)[2], int16x8_t w, int16x8_t x) {
  const int16x4_t half = kLane < 4 ? vget_low_s16(x) : vget_high_s16(x);
#ifdef __clang__
  __asm__ volatile("vmlal.s16 %q0, %e2, %P3[%c4]\n\tvmlal.s16 %q1, %f2, %P3[%c4]"
                   : "+w"(acc[0]), "+w"(acc[1])
                   : "w"(w), "x"(half), "i"(kLane % 4));
#else
  acc[0] = vmlal_lane_s16(acc[0], vget_low_s16(w), half, kLane % 4);
  acc[1] = vmlal_lane_s16(acc[1], vget_high_s16(w), half, kLane % 4);
#endif
}

}  // namespace
}  // namespace whit::winograd_s8

#include "kernels/winograd_s8/vectors.inc"
// after the vectors
#include "kernels/winograd_s8/transform.inc"

namespace whit::winograd_s8 {

void winograd_s8_input_4x4_neon32(const InputArgs& args, isize tile_begin, isize tile_end) {
  input_tiles(args, tile_begin, tile_end);
}

void winograd_s8_output_4x4_neon32(const OutputArgs& args, isize tile_begin, isize tile_end, isize n_begin,
                                   isize n_end) {
  output_tiles(args, tile_begin, tile_end, n_begin, n_end);
}

}  // namespace whit::winograd_s8
