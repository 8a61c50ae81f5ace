#pragma once
// What NEON does alike with 64 and 32 bits. Include simd_s8/neon.h or neon32.h before, and define
//     spread(p, w0, w1), spread_two(p, w0, w1)        the next byte, or two, in all lanes, and those after it
//     add_products(sum, x, w)   of the lower 8 bytes, to s16
//     add_products_high(sum, x, w)   of the upper 8 bytes
//     add_wide(s32 sum, s16), add_wide_high(s32 sum, s16)       the lower, the upper 4
//     add_and_multiply<kOffset>(4 sums, low, high, a, b, w0, w1)   adds products to sums, then makes new ones of the 16
//                                                     values from a[kOffset], b[kOffset] on
//     add_and_multiply<kOffset>(4, 4 sums, ...)       the same twice
//     multiply_add_neighbours<kOffset>(...)           adds products of 16 or 32 values, and neighbours, to 2 or 4 sums
//     interleave(a, b, even, odd)                     BytesOfQuads: values of two lines in turns, of every other pixel
//     multiply_add_interleaved(sums, even, odd of two lines, even, odd of two more, w0, w1)   adds products and
//                                                     neighbours, those of even pixels first
//     Int, kVectorsOfPairs, kVectorsOfFours, kVectorsOfShort   of a tile
//     kPixelsOfQuads                                  whose sums of four rows are in registers

#include "kernels/spmm_s8/walk.h"

namespace whit::spmm_s8 {
namespace {

/// GCC takes an array of up to four vectors for one operand and copies it whole.
constexpr int kMore = 4;

WHIT_INLINE void add_four(Int* sums, int16x8_t low, int16x8_t high) {
  sums[0] = add_wide(sums[0], low), sums[1] = add_wide_high(sums[1], low);
  sums[2] = add_wide(sums[2], high), sums[3] = add_wide_high(sums[3], high);
}

/// Entries of one weight, two at a time: products of two s8 with weights from -127 fit in s16.
struct Pairs {
 private:
  /// Adds the products of the vector before, which in the end are those of the last one.
  template <int V, int v = 0, int kSums>
  WHIT_INLINE static void multiply(Int (&acc)[kSums], int16x8_t& low, int16x8_t& high, const s8* a, const s8* b,
                                   int8x16_t w0, int8x16_t w1) {
    constexpr int l = (v + V - 1) % V * 4, i = v * 4;
    if constexpr (v + 1 < V) {
      add_and_multiply<v * 16>(acc[l], acc[l + 1], acc[l + 2], acc[l + 3], acc[i], acc[i + 1], acc[i + 2], acc[i + 3],
                               low, high, a, b, w0, w1);
    } else {
      add_and_multiply<v * 16>(acc[l], acc[l + 1], acc[l + 2], acc[l + 3], low, high, a, b, w0, w1);
    }
    if constexpr (v + 2 < V) multiply<V, v + 2>(acc, low, high, a, b, w0, w1);
  }

 public:
  static constexpr int kRows = 1, kSets = 1, kStep = 16, kVectors = kVectorsOfPairs, kPixelBytes = 1;
  static constexpr int kEntryValues = 1, kValueBytes = 1;

  template <int V>
  WHIT_INLINE static void row(const RunOfEntries& run) {
    Int acc[V * 4 + kMore];
    WHIT_UNROLL for (int i = 0; i < V * 4; ++i) acc[i] = run.bias ? vdupq_n_s32(*run.bias) : vld1q_s32(run.acc + 4 * i);
    int16x8_t low = vdupq_n_s16(0), high = low;
    const s8* w = run.value<s8>(0);
    for (isize e = 0; e < run.count; e += 2) {
      int8x16_t w0, w1;
      spread(w, w0, w1);
      multiply<V>(acc, low, high, run.x(e), run.x(e + 1), w0, w1);
    }
    add_four(&acc[V * 4 - 4], low, high);
    WHIT_UNROLL for (int i = 0; i < V * 4; ++i) vst1q_s32(run.acc + 4 * i, acc[i]);
  }
};

/// Entries of four rows, four at a time: lines are interleaved in twos, which the rows share, and the instruction that
/// sums neighbours adds four products to a sum. By TRN, which leaves even and odd pixels apart.
struct Quads {
  static constexpr int kRows = 4, kSets = 1, kStep = kPixelsOfQuads, kVectors = 1, kPixelBytes = 1;
  static constexpr int kEntryValues = 4, kValueBytes = 1;

  template <int>
  WHIT_INLINE static void row(const RunOfEntries& run) {
    constexpr int kSums = kStep / 4, kHalf = kSums / 2;  // of a row; of its even pixels, which come first
    Int acc[kRows * kSums + kMore];
    WHIT_UNROLL for (int r = 0; r < kRows; ++r) {
      WHIT_UNROLL for (int i = 0; i < kHalf; ++i) {
        const int32x4x2_t both = run.bias ? int32x4x2_t{{vdupq_n_s32(run.bias[r]), vdupq_n_s32(run.bias[r])}}
                                          : vld2q_s32(run.acc + r * run.acc_stride + 8 * i);
        acc[r * kSums + i] = both.val[0], acc[r * kSums + kHalf + i] = both.val[1];
      }
    }
    const s8* w = run.value<s8>(0);
    for (isize e = 0; e < run.count; e += 4) {
      BytesOfQuads even_ab, odd_ab, even_cd, odd_cd;
      interleave(run.x(e), run.x(e + 1), even_ab, odd_ab);
      interleave(run.x(e + 2), run.x(e + 3), even_cd, odd_cd);
      WHIT_UNROLL for (int r = 0; r < kRows; ++r) {
        int8x16_t w0, w1;
        spread_two(w, w0, w1);
        multiply_add_interleaved(&acc[r * kSums], even_ab, odd_ab, even_cd, odd_cd, w0, w1);
      }
    }
    WHIT_UNROLL for (int r = 0; r < kRows; ++r) {
      WHIT_UNROLL for (int i = 0; i < kHalf; ++i) {
        const int32x4x2_t pairs = {{acc[r * kSums + i], acc[r * kSums + kHalf + i]}};
        vst2q_s32(run.acc + r * run.acc_stride + 8 * i, pairs);
      }
    }
  }
};

/// Entries of four weights of a row, whose lines have two channels each: the instruction that sums neighbours adds four
/// products to a sum.
struct Fours {
 private:
  template <int V, int v = 0, int kSums>
  WHIT_INLINE static void multiply(Int (&acc)[kSums], const s8* a, const s8* b, int8x16_t w0, int8x16_t w1) {
    constexpr int i = v * 2;
    if constexpr (v + 1 < V) {
      multiply_add_neighbours<v * 16>(acc[i], acc[i + 1], acc[i + 2], acc[i + 3], a, b, w0, w1);
    } else {
      multiply_add_neighbours<v * 16>(acc[i], acc[i + 1], a, b, w0, w1);
    }
    if constexpr (v + 2 < V) multiply<V, v + 2>(acc, a, b, w0, w1);
  }

 public:
  static constexpr int kRows = 1, kSets = 2, kStep = 8, kVectors = kVectorsOfFours, kPixelBytes = 2;
  static constexpr int kEntryValues = 4, kValueBytes = 1;

  template <int V>
  WHIT_INLINE static void row(const RunOfEntries& run) {
    Int acc[V * 2 + kMore];
    WHIT_UNROLL for (int i = 0; i < V * 2; ++i) acc[i] = run.bias ? vdupq_n_s32(*run.bias) : vld1q_s32(run.acc + 4 * i);
    const s8* w = run.value<s8>(0);
    for (isize e = 0; e < run.count; ++e) {
      int8x16_t w0, w1;
      spread_two(w, w0, w1);
      const s8* a = run.x(e);
      multiply<V>(acc, a, a + run.line_stride, w0, w1);
    }
    WHIT_UNROLL for (int i = 0; i < V * 2; ++i) vst1q_s32(run.acc + 4 * i, acc[i]);
  }
};

/// Entries of one weight of a small magnitude, which are summed in s16 for as long as the head says.
struct Short {
  static constexpr int kRows = 1, kSets = 1, kStep = 16, kVectors = kVectorsOfShort, kPixelBytes = 1;
  static constexpr int kEntryValues = 1, kValueBytes = 1;

  template <int V>
  WHIT_INLINE static void row(const RunOfEntries& run) {
    isize e = 0;
    const s32* from = run.bias ? nullptr : run.acc;
    do {
      const isize end = run.count - e < run.limit ? run.count : e + run.limit;
      int16x8_t acc[V][2];
      WHIT_UNROLL for (int v = 0; v < V; ++v) acc[v][0] = acc[v][1] = vdupq_n_s16(0);
      for (; e < end; ++e) {
        const s8* a = run.x(e);
        const int8x16_t w = vld1q_dup_s8(run.value<s8>(e));
        WHIT_UNROLL for (int v = 0; v < V; ++v) {
          const int8x16_t x = vld1q_s8(a + v * kStep);
          acc[v][0] = add_products(acc[v][0], x, w);
          acc[v][1] = add_products_high(acc[v][1], x, w);
        }
      }
      WHIT_UNROLL for (int v = 0; v < V; ++v) {
        WHIT_UNROLL for (int i = 0; i < 4; ++i) {
          const isize at = v * kStep + 4 * i;
          const Int base = from ? vld1q_s32(from + at) : vdupq_n_s32(*run.bias);
          vst1q_s32(run.acc + at, i % 2 ? add_wide_high(base, acc[v][i / 2]) : add_wide(base, acc[v][i / 2]));
        }
      }
      from = run.acc;
    } while (e < run.count);
  }
};

}  // namespace
}  // namespace whit::spmm_s8
