// ARMv8 NEON.

#include "kernels/simd_s8/neon_epilogue.h"

namespace whit::spmm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kVectorsOfPairs = 4, kVectorsOfFours = 6, kVectorsOfShort = 4, kPixelsOfQuads = 16;

// From intrinsics, compilers take the weights through general registers.
WHIT_INLINE void spread(const s8*& p, int8x16_t& w0, int8x16_t& w1) {
  __asm__ volatile("ld1r {%0.16b}, [%2], #1\n\tld1r {%1.16b}, [%2], #1" : "=&w"(w0), "=w"(w1), "+r"(p) : : "memory");
}
WHIT_INLINE void spread_two(const s8*& p, int8x16_t& w0, int8x16_t& w1) {
  __asm__ volatile("ld1r {%0.8h}, [%2], #2\n\tld1r {%1.8h}, [%2], #2" : "=&w"(w0), "=w"(w1), "+r"(p) : : "memory");
}
WHIT_INLINE int16x8_t add_products(int16x8_t sum, int8x16_t x, int8x16_t w) {
  return vmlal_s8(sum, vget_low_s8(x), vget_low_s8(w));
}
WHIT_INLINE int16x8_t add_products_high(int16x8_t sum, int8x16_t x, int8x16_t w) { return vmlal_high_s8(sum, x, w); }
WHIT_INLINE int32x4_t add_wide(int32x4_t sum, int16x8_t x) { return vaddw_s16(sum, vget_low_s16(x)); }
WHIT_INLINE int32x4_t add_wide_high(int32x4_t sum, int16x8_t x) { return vaddw_high_s16(sum, x); }

// In this order, so that multiplications and additions, which have a pipe each on the A72, come in turns: compilers put
// all of one kind first. Registers of operands are others, or compilers would copy.
#define SCRATCH "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "memory"
template <int kOffset>
WHIT_INLINE void add_and_multiply(Int& s0, Int& s1, Int& s2, Int& s3, int16x8_t& low, int16x8_t& high, const s8* a,
                                  const s8* b, int8x16_t w0, int8x16_t w1) {
  __asm__ volatile(
      "ldr q0, [%[a], %[at]]\n\t"
      "ldr q1, [%[b], %[at]]\n\t"
      "smull v4.8h, v0.8b, %[w0].8b\n\t"
      "saddw %[s0].4s, %[s0].4s, %[low].4h\n\t"
      "smull2 v5.8h, v0.16b, %[w0].16b\n\t"
      "saddw2 %[s1].4s, %[s1].4s, %[low].8h\n\t"
      "smlal v4.8h, v1.8b, %[w1].8b\n\t"
      "saddw %[s2].4s, %[s2].4s, %[high].4h\n\t"
      "smlal2 v5.8h, v1.16b, %[w1].16b\n\t"
      "saddw2 %[s3].4s, %[s3].4s, %[high].8h\n\t"
      "mov %[low].16b, v4.16b\n\t"
      "mov %[high].16b, v5.16b\n\t"
      : [s0] "+w"(s0), [s1] "+w"(s1), [s2] "+w"(s2), [s3] "+w"(s3), [low] "+w"(low), [high] "+w"(high)
      : [w0] "w"(w0), [w1] "w"(w1), [a] "r"(a), [b] "r"(b), [at] "i"(kOffset)
      : SCRATCH);
}
template <int kOffset>
WHIT_INLINE void add_and_multiply(Int& s0, Int& s1, Int& s2, Int& s3, Int& t0, Int& t1, Int& t2, Int& t3,
                                  int16x8_t& low, int16x8_t& high, const s8* a, const s8* b, int8x16_t w0,
                                  int8x16_t w1) {
  __asm__ volatile(
      "ldr q0, [%[a], %[at]]\n\t"
      "ldr q1, [%[b], %[at]]\n\t"
      "smull v4.8h, v0.8b, %[w0].8b\n\t"
      "saddw %[s0].4s, %[s0].4s, %[low].4h\n\t"
      "smull2 v5.8h, v0.16b, %[w0].16b\n\t"
      "saddw2 %[s1].4s, %[s1].4s, %[low].8h\n\t"
      "smlal v4.8h, v1.8b, %[w1].8b\n\t"
      "saddw %[s2].4s, %[s2].4s, %[high].4h\n\t"
      "smlal2 v5.8h, v1.16b, %[w1].16b\n\t"
      "saddw2 %[s3].4s, %[s3].4s, %[high].8h\n\t"
      "ldr q2, [%[a], %[next]]\n\t"
      "ldr q3, [%[b], %[next]]\n\t"
      "smull %[low].8h, v2.8b, %[w0].8b\n\t"
      "saddw %[t0].4s, %[t0].4s, v4.4h\n\t"
      "smull2 %[high].8h, v2.16b, %[w0].16b\n\t"
      "saddw2 %[t1].4s, %[t1].4s, v4.8h\n\t"
      "smlal %[low].8h, v3.8b, %[w1].8b\n\t"
      "saddw %[t2].4s, %[t2].4s, v5.4h\n\t"
      "smlal2 %[high].8h, v3.16b, %[w1].16b\n\t"
      "saddw2 %[t3].4s, %[t3].4s, v5.8h\n\t"
      : [s0] "+w"(s0), [s1] "+w"(s1), [s2] "+w"(s2), [s3] "+w"(s3), [t0] "+w"(t0), [t1] "+w"(t1), [t2] "+w"(t2),
        [t3] "+w"(t3), [low] "+w"(low), [high] "+w"(high)
      : [w0] "w"(w0), [w1] "w"(w1), [a] "r"(a), [b] "r"(b), [at] "i"(kOffset), [next] "i"(kOffset + 16)
      : SCRATCH);
}
template <int kOffset>
WHIT_INLINE void multiply_add_neighbours(Int& s0, Int& s1, const s8* a, const s8* b, int8x16_t w0, int8x16_t w1) {
  __asm__ volatile(
      "ldr q0, [%[a], %[at]]\n\t"
      "ldr q1, [%[b], %[at]]\n\t"
      "smull v4.8h, v0.8b, %[w0].8b\n\t"
      "smull2 v5.8h, v0.16b, %[w0].16b\n\t"
      "smlal v4.8h, v1.8b, %[w1].8b\n\t"
      "smlal2 v5.8h, v1.16b, %[w1].16b\n\t"
      "sadalp %[s0].4s, v4.8h\n\t"
      "sadalp %[s1].4s, v5.8h\n\t"
      : [s0] "+w"(s0), [s1] "+w"(s1)
      : [w0] "w"(w0), [w1] "w"(w1), [a] "r"(a), [b] "r"(b), [at] "i"(kOffset)
      : SCRATCH);
}
template <int kOffset>
WHIT_INLINE void multiply_add_neighbours(Int& s0, Int& s1, Int& s2, Int& s3, const s8* a, const s8* b, int8x16_t w0,
                                         int8x16_t w1) {
  __asm__ volatile(
      "ldr q0, [%[a], %[at]]\n\t"
      "ldr q1, [%[b], %[at]]\n\t"
      "ldr q2, [%[a], %[next]]\n\t"
      "ldr q3, [%[b], %[next]]\n\t"
      "smull v4.8h, v0.8b, %[w0].8b\n\t"
      "smull2 v5.8h, v0.16b, %[w0].16b\n\t"
      "smlal v4.8h, v1.8b, %[w1].8b\n\t"
      "smlal2 v5.8h, v1.16b, %[w1].16b\n\t"
      "smull v6.8h, v2.8b, %[w0].8b\n\t"
      "sadalp %[s0].4s, v4.8h\n\t"
      "smull2 v7.8h, v2.16b, %[w0].16b\n\t"
      "smlal v6.8h, v3.8b, %[w1].8b\n\t"
      "sadalp %[s1].4s, v5.8h\n\t"
      "smlal2 v7.8h, v3.16b, %[w1].16b\n\t"
      "sadalp %[s2].4s, v6.8h\n\t"
      "sadalp %[s3].4s, v7.8h\n\t"
      : [s0] "+w"(s0), [s1] "+w"(s1), [s2] "+w"(s2), [s3] "+w"(s3)
      : [w0] "w"(w0), [w1] "w"(w1), [a] "r"(a), [b] "r"(b), [at] "i"(kOffset), [next] "i"(kOffset + 16)
      : SCRATCH);
}
#undef SCRATCH

using BytesOfQuads = int8x16_t;

WHIT_INLINE void interleave(const s8* a, const s8* b, int8x16_t& even, int8x16_t& odd) {
  const int8x16_t x = vld1q_s8(a), y = vld1q_s8(b);
  even = vtrn1q_s8(x, y), odd = vtrn2q_s8(x, y);
}

/// In this order for the same reason.
WHIT_INLINE void multiply_add_interleaved(Int* sums, int8x16_t even_ab, int8x16_t odd_ab, int8x16_t even_cd,
                                          int8x16_t odd_cd, int8x16_t w0, int8x16_t w1) {
  Int s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
  __asm__(
      "smull v4.8h, %[x0].8b, %[w0].8b\n\t"
      "smull2 v5.8h, %[x0].16b, %[w0].16b\n\t"
      "smlal v4.8h, %[y0].8b, %[w1].8b\n\t"
      "smlal2 v5.8h, %[y0].16b, %[w1].16b\n\t"
      "smull v6.8h, %[x1].8b, %[w0].8b\n\t"
      "sadalp %[s0].4s, v4.8h\n\t"
      "smull2 v7.8h, %[x1].16b, %[w0].16b\n\t"
      "smlal v6.8h, %[y1].8b, %[w1].8b\n\t"
      "sadalp %[s1].4s, v5.8h\n\t"
      "smlal2 v7.8h, %[y1].16b, %[w1].16b\n\t"
      "sadalp %[s2].4s, v6.8h\n\t"
      "sadalp %[s3].4s, v7.8h\n\t"
      : [s0] "+w"(s0), [s1] "+w"(s1), [s2] "+w"(s2), [s3] "+w"(s3)
      : [x0] "w"(even_ab), [x1] "w"(odd_ab), [y0] "w"(even_cd), [y1] "w"(odd_cd), [w0] "w"(w0), [w1] "w"(w1)
      : "v4", "v5", "v6", "v7");
  sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

/// TRN of 64 bits, for which compilers take ZIP.
WHIT_INLINE int8x16_t lower_of(int8x16_t a, int8x16_t b) {
  int8x16_t c;
  __asm__("trn1 %0.2d, %1.2d, %2.2d" : "=w"(c) : "w"(a), "w"(b));
  return c;
}
WHIT_INLINE int8x16_t upper_of(int8x16_t a, int8x16_t b) {
  int8x16_t c;
  __asm__("trn2 %0.2d, %1.2d, %2.2d" : "=w"(c) : "w"(a), "w"(b));
  return c;
}

template <int kBytes>
WHIT_INLINE void exchange(int8x16_t& a, int8x16_t& b) {
  const int8x16_t first = a;
  if constexpr (kBytes == 1) {
    a = vtrn1q_s8(first, b), b = vtrn2q_s8(first, b);
  } else if constexpr (kBytes == 2) {
    const int16x8_t c = vreinterpretq_s16_s8(first), d = vreinterpretq_s16_s8(b);
    a = vreinterpretq_s8_s16(vtrn1q_s16(c, d)), b = vreinterpretq_s8_s16(vtrn2q_s16(c, d));
  } else if constexpr (kBytes == 4) {
    const int32x4_t c = vreinterpretq_s32_s8(first), d = vreinterpretq_s32_s8(b);
    a = vreinterpretq_s8_s32(vtrn1q_s32(c, d)), b = vreinterpretq_s8_s32(vtrn2q_s32(c, d));
  } else {
    a = lower_of(first, b), b = upper_of(first, b);
  }
}

/// 4 x 4.
WHIT_INLINE void transpose(Int (&v)[4]) {
  const int8x16_t a = vreinterpretq_s8_s32(vtrn1q_s32(v[0], v[1])), b = vreinterpretq_s8_s32(vtrn2q_s32(v[0], v[1]));
  const int8x16_t c = vreinterpretq_s8_s32(vtrn1q_s32(v[2], v[3])), d = vreinterpretq_s8_s32(vtrn2q_s32(v[2], v[3]));
  v[0] = vreinterpretq_s32_s8(lower_of(a, c)), v[1] = vreinterpretq_s32_s8(lower_of(b, d));
  v[2] = vreinterpretq_s32_s8(upper_of(a, c)), v[3] = vreinterpretq_s32_s8(upper_of(b, d));
}

}  // namespace
}  // namespace whit::spmm_s8

#include "kernels/spmm_s8/neon_gather.h"
// after these
#include "kernels/spmm_s8/neon_column.h"
#include "kernels/spmm_s8/neon_rows.h"
#include "kernels/spmm_s8/neon_tile.h"
#include "kernels/spmm_s8/store.h"

namespace whit::spmm_s8 {
namespace {

constexpr isize kColumns = 16;

/// 4 pixels of 16 columns.
template <EpilogueKind kKind, class OutRows>
WHIT_INLINE void store_four(const NeonEpilogue& epilogue, const EpilogueColumns& columns, const s32* acc,
                            isize acc_stride, isize n, const OutRows& rows) {
  Int sums[4][4];
  WHIT_UNROLL for (int c = 0; c < 4; ++c) {
    Int v[4];
    WHIT_UNROLL for (int i = 0; i < 4; ++i, acc += acc_stride) v[i] = vld1q_s32(acc);
    transpose(v);
    WHIT_UNROLL for (int i = 0; i < 4; ++i) sums[i][c] = v[i];
  }
  finish<kKind, EpilogueForm::any>(epilogue, columns, sums, rows, n);
}

template <EpilogueKind kKind>
[[gnu::noinline]] void store_last(const NeonEpilogue& epilogue, const EpilogueColumns& columns, const s32* acc,
                                  isize acc_stride, isize n, isize row, isize count) {
  store_four<kKind>(epilogue, columns, acc, acc_stride, n, FirstRows{row, static_cast<int>(count)});
}

/// 16 columns n, in an epilogue of a kind that has code of its own.
template <EpilogueKind kKind>
WHIT_INLINE void store_columns(const NeonEpilogue& epilogue, const EpilogueColumns& columns, const s32* acc,
                               isize acc_stride, isize n, isize pixels, isize first_row) {
  isize p = 0;
  for (; p + 4 <= pixels; p += 4)
    store_four<kKind>(epilogue, columns, acc + p, acc_stride, n, Consecutive{first_row + p});
  if (p < pixels) store_last<kKind>(epilogue, columns, acc + p, acc_stride, n, first_row + p, pixels - p);
}

}  // namespace

void spmm_s8s8s32_1x4_neon(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Fours>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x1_short_neon(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Short>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_4x1_neon(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Quads>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x1_neon(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Pairs>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x4_column_neon(const Args& args, isize n_begin, isize n_end, isize) {
  column<ColumnOfFours>(args, n_begin, n_end);
}

void spmm_s8s8s32_1x1_column_neon(const Args& args, isize n_begin, isize n_end, isize) {
  column<ColumnOfSingles>(args, n_begin, n_end);
}

void spmm_lines_neon(const Form& form, const Rows& rows, isize begin, isize count, isize k, s8* lines,
                     isize line_stride) {
  lines_of_form<Tile>(form, rows, begin, count, k, lines, line_stride);
}

void spmm_store_neon(const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels, const EpilogueS8& spec,
                     void* out, isize out_stride, isize first_row) {
  if (pixels == 1) return store_pixel(acc, acc_stride, n_begin, n_end, spec, out, out_stride, first_row);
  const NeonEpilogue epilogue(spec, out, out_stride);
  const isize whole = n_begin + (n_end - n_begin) / kColumns * kColumns;
  isize n = n_begin;
  with_kind(epilogue_kind(spec, n_begin, whole), [&]<EpilogueKind kKind>() {
    if constexpr (kKind != EpilogueKind::general) {
      EpilogueColumns columns;
      columns.form = EpilogueForm::any;
      columns.constants = epilogue.constants;
      for (; n < whole; n += kColumns) {
        for (isize c = 0; c < kColumns; ++c) columns.zero[c] = 0, columns.scale[c] = spec.scale[n + c];
        store_columns<kKind>(epilogue, columns, acc + n * acc_stride, acc_stride, n, pixels, first_row);
      }
    }
  });
  store_pixels(acc, acc_stride, n, n_end, pixels, spec, out, out_stride, first_row);
}

}  // namespace whit::spmm_s8
