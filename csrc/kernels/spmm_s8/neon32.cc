// ARMv7 NEON: 16 registers of 128 bits.

#include "kernels/simd_s8/neon32.h"
// after the vector
#include "kernels/simd_s8/epilogue.h"

namespace whit::spmm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kVectorsOfPairs = 2, kVectorsOfFours = 4, kVectorsOfShort = 4, kPixelsOfQuads = 8;

WHIT_INLINE void spread(const s8*& p, int8x16_t& w0, int8x16_t& w1) {
  w0 = vld1q_dup_s8(p), w1 = vld1q_dup_s8(p + 1), p += 2;
}
WHIT_INLINE void spread_two(const s8*& p, int8x16_t& w0, int8x16_t& w1) {
  const auto two = [](const s8* q) { return vreinterpretq_s8_s16(vld1q_dup_s16(reinterpret_cast<const s16*>(q))); };
  w0 = two(p), w1 = two(p + 2), p += 4;
}
WHIT_INLINE int16x8_t first_products(int8x16_t x, int8x16_t w) { return vmull_s8(vget_low_s8(x), vget_low_s8(w)); }
WHIT_INLINE int16x8_t first_products_high(int8x16_t x, int8x16_t w) {
  return vmull_s8(vget_high_s8(x), vget_low_s8(w));
}
WHIT_INLINE int16x8_t add_products(int16x8_t sum, int8x16_t x, int8x16_t w) {
  return vmlal_s8(sum, vget_low_s8(x), vget_low_s8(w));
}
WHIT_INLINE int16x8_t add_products_high(int16x8_t sum, int8x16_t x, int8x16_t w) {
  return vmlal_s8(sum, vget_high_s8(x), vget_low_s8(w));
}
WHIT_INLINE int32x4_t add_wide(int32x4_t sum, int16x8_t x) { return vaddw_s16(sum, vget_low_s16(x)); }
WHIT_INLINE int32x4_t add_wide_high(int32x4_t sum, int16x8_t x) { return vaddw_s16(sum, vget_high_s16(x)); }

template <int kOffset>
WHIT_INLINE void add_and_multiply(Int& s0, Int& s1, Int& s2, Int& s3, int16x8_t& low, int16x8_t& high, const s8* a,
                                  const s8* b, int8x16_t w0, int8x16_t w1) {
  s0 = add_wide(s0, low), s1 = add_wide_high(s1, low), s2 = add_wide(s2, high), s3 = add_wide_high(s3, high);
  const int8x16_t x = vld1q_s8(a + kOffset), y = vld1q_s8(b + kOffset);
  low = add_products(first_products(x, w0), y, w1), high = add_products_high(first_products_high(x, w0), y, w1);
}
template <int kOffset>
WHIT_INLINE void add_and_multiply(Int& s0, Int& s1, Int& s2, Int& s3, Int& t0, Int& t1, Int& t2, Int& t3,
                                  int16x8_t& low, int16x8_t& high, const s8* a, const s8* b, int8x16_t w0,
                                  int8x16_t w1) {
  add_and_multiply<kOffset>(s0, s1, s2, s3, low, high, a, b, w0, w1);
  add_and_multiply<kOffset + 16>(t0, t1, t2, t3, low, high, a, b, w0, w1);
}
template <int kOffset>
WHIT_INLINE void multiply_add_neighbours(Int& s0, Int& s1, const s8* a, const s8* b, int8x16_t w0, int8x16_t w1) {
  const int8x16_t x = vld1q_s8(a + kOffset), y = vld1q_s8(b + kOffset);
  s0 = vpadalq_s16(s0, add_products(first_products(x, w0), y, w1));
  s1 = vpadalq_s16(s1, add_products_high(first_products_high(x, w0), y, w1));
}
template <int kOffset>
WHIT_INLINE void multiply_add_neighbours(Int& s0, Int& s1, Int& s2, Int& s3, const s8* a, const s8* b, int8x16_t w0,
                                         int8x16_t w1) {
  multiply_add_neighbours<kOffset>(s0, s1, a, b, w0, w1);
  multiply_add_neighbours<kOffset + 16>(s2, s3, a, b, w0, w1);
}

using BytesOfQuads = int8x8_t;

WHIT_INLINE void interleave(const s8* a, const s8* b, int8x8_t& even, int8x8_t& odd) {
  const int8x8x2_t both = vtrn_s8(vld1_s8(a), vld1_s8(b));
  even = both.val[0], odd = both.val[1];
}
WHIT_INLINE void multiply_add_interleaved(Int* sums, int8x8_t even_ab, int8x8_t odd_ab, int8x8_t even_cd,
                                          int8x8_t odd_cd, int8x16_t w0, int8x16_t w1) {
  const int8x8_t v = vget_low_s8(w0), w = vget_low_s8(w1);
  sums[0] = vpadalq_s16(sums[0], vmlal_s8(vmull_s8(even_ab, v), even_cd, w));
  sums[1] = vpadalq_s16(sums[1], vmlal_s8(vmull_s8(odd_ab, v), odd_cd, w));
}

template <int kBytes>
WHIT_INLINE void exchange(int8x16_t& a, int8x16_t& b) {
  if constexpr (kBytes == 1) {
    const int8x16x2_t both = vtrnq_s8(a, b);
    a = both.val[0], b = both.val[1];
  } else if constexpr (kBytes == 2) {
    const int16x8x2_t both = vtrnq_s16(vreinterpretq_s16_s8(a), vreinterpretq_s16_s8(b));
    a = vreinterpretq_s8_s16(both.val[0]), b = vreinterpretq_s8_s16(both.val[1]);
  } else if constexpr (kBytes == 4) {
    const int32x4x2_t both = vtrnq_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b));
    a = vreinterpretq_s8_s32(both.val[0]), b = vreinterpretq_s8_s32(both.val[1]);
  } else {
    const int8x16_t low = vcombine_s8(vget_low_s8(a), vget_low_s8(b));
    b = vcombine_s8(vget_high_s8(a), vget_high_s8(b)), a = low;
  }
}

/// 4 x 4.
WHIT_INLINE void transpose(Int (&v)[4]) {
  const int32x4x2_t a = vtrnq_s32(v[0], v[1]), b = vtrnq_s32(v[2], v[3]);
  WHIT_UNROLL for (int i = 0; i < 2; ++i) {
    v[i] = vcombine_s32(vget_low_s32(a.val[i]), vget_low_s32(b.val[i]));
    v[i + 2] = vcombine_s32(vget_high_s32(a.val[i]), vget_high_s32(b.val[i]));
  }
}

WHIT_INLINE int8x8_t gather_bytes(const s8* x, const u8* places) {
  int8x8_t v = vld1_dup_s8(x + places[0]);
  v = vld1_lane_s8(x + places[1], v, 1), v = vld1_lane_s8(x + places[2], v, 2);
  v = vld1_lane_s8(x + places[3], v, 3), v = vld1_lane_s8(x + places[4], v, 4);
  v = vld1_lane_s8(x + places[5], v, 5), v = vld1_lane_s8(x + places[6], v, 6);
  return vld1_lane_s8(x + places[7], v, 7);
}
WHIT_INLINE int8x16_t gather_fours(const s8* x, const u8* places) {
  const auto at = [&](int i) { return reinterpret_cast<const s32*>(x + 4 * isize{places[i]}); };
  int32x4_t v = vld1q_dup_s32(at(0));
  v = vld1q_lane_s32(at(1), v, 1), v = vld1q_lane_s32(at(2), v, 2);
  return vreinterpretq_s8_s32(vld1q_lane_s32(at(3), v, 3));
}

}  // namespace
}  // namespace whit::spmm_s8

#include "kernels/spmm_s8/neon_column.h"
#include "kernels/spmm_s8/neon_rows.h"
#include "kernels/spmm_s8/neon_tile.h"
#include "kernels/spmm_s8/store.h"

namespace whit::spmm_s8 {

void spmm_s8s8s32_1x4_neon32(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Fours>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x1_short_neon32(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Short>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_4x1_neon32(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Quads>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x1_neon32(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Pairs>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x4_column_neon32(const Args& args, isize n_begin, isize n_end, isize) {
  column<ColumnOfFours>(args, n_begin, n_end);
}

void spmm_s8s8s32_1x1_column_neon32(const Args& args, isize n_begin, isize n_end, isize) {
  column<ColumnOfSingles>(args, n_begin, n_end);
}

void spmm_lines_neon32(const Form& form, const Rows& rows, isize begin, isize count, isize k, s8* lines,
                       isize line_stride) {
  lines_of_form<Tile>(form, rows, begin, count, k, lines, line_stride);
}

void spmm_store_neon32(const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
                       const EpilogueS8& epilogue, void* out, isize out_stride, isize first_row) {
  store_pixels(acc, acc_stride, n_begin, n_end, pixels, epilogue, out, out_stride, first_row);
}

}  // namespace whit::spmm_s8
