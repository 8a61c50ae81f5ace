// ARMv8.2 with the dot product extension: SDOT adds four products to each of 4 sums.

#include "kernels/simd_s8/neon.h"

namespace whit::spmm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kVectorsOfTile = 16, kChains = 2;

WHIT_INLINE Int load_fours(const s8* p) { return vreinterpretq_s32_s8(vld1q_s8(p)); }
WHIT_INLINE Int broadcast_fours(const s8* w) { return vld1q_dup_s32(reinterpret_cast<const s32*>(w)); }
WHIT_INLINE Int dot(Int acc, Int x, Int w) { return vdotq_s32(acc, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(w)); }

}  // namespace
}  // namespace whit::spmm_s8

#include "kernels/spmm_s8/column_rows.h"
#include "kernels/spmm_s8/fours.h"
#include "kernels/spmm_s8/neon_gather.h"

namespace whit::spmm_s8 {
namespace {

/// Entries of one weight or of four rows, four at a time: their lines are interleaved.
template <int kHeight, int kMostVectors>
struct Quads {
  static constexpr int kRows = kHeight, kSets = 1, kStep = 16, kVectors = kMostVectors, kPixelBytes = 1;
  static constexpr int kEntryValues = kRows, kValueBytes = 1;

  template <int V>
  WHIT_INLINE static void row(const RunOfEntries& run) {
    Int acc[V][kRows][4];
    WHIT_UNROLL for (int v = 0; v < V; ++v) {
      WHIT_UNROLL for (int i = 0; i < 4 * kRows; ++i) acc[v][i / 4][i % 4] =
          run.bias ? Vector::broadcast(run.bias[i / 4]) : Vector::load(run.acc + at(run, v, i));
    }
    for (isize e = 0; e < run.count; e += 4) {
      const s8 *a = run.x(e), *b = run.x(e + 1), *c = run.x(e + 2), *d = run.x(e + 3);
      const s8* w = run.value<s8>(e * kRows);
      int8x16_t weights;  // of row r in lane r
      if constexpr (kRows == 4) {
        weights = vld1q_s8(w);
      } else {
        weights = vreinterpretq_s8_s32(broadcast_fours(w));
      }
      WHIT_UNROLL for (int v = 0; v < V; ++v) {
        const int8x16_t p = vld1q_s8(a + v * kStep), q = vld1q_s8(b + v * kStep);
        const int8x16_t r = vld1q_s8(c + v * kStep), s = vld1q_s8(d + v * kStep);
        const int16x8_t pq0 = vreinterpretq_s16_s8(vzip1q_s8(p, q)), pq1 = vreinterpretq_s16_s8(vzip2q_s8(p, q));
        const int16x8_t rs0 = vreinterpretq_s16_s8(vzip1q_s8(r, s)), rs1 = vreinterpretq_s16_s8(vzip2q_s8(r, s));
        const int16x8_t x[4] = {vzip1q_s16(pq0, rs0), vzip2q_s16(pq0, rs0), vzip1q_s16(pq1, rs1), vzip2q_s16(pq1, rs1)};
        WHIT_UNROLL for (int i = 0; i < 4; ++i) add_to_rows<0>(acc[v], i, vreinterpretq_s8_s16(x[i]), weights);
      }
    }
    WHIT_UNROLL for (int v = 0; v < V; ++v) {
      WHIT_UNROLL for (int i = 0; i < 4 * kRows; ++i) Vector::store(run.acc + at(run, v, i), acc[v][i / 4][i % 4]);
    }
  }

 private:
  template <int r>
  WHIT_INLINE static void add_to_rows(Int (&acc)[kRows][4], int i, int8x16_t x, int8x16_t weights) {
    if constexpr (r < kRows) {
      acc[r][i] = vdotq_laneq_s32(acc[r][i], x, weights, r);
      add_to_rows<r + 1>(acc, i, x, weights);
    }
  }
  /// Where sum i of vector v is.
  WHIT_INLINE static isize at(const RunOfEntries& run, int v, int i) {
    return i / 4 * run.acc_stride + v * kStep + i % 4 * 4;
  }
};

struct ColumnOfFoursByDot {
  static constexpr int kLanes = 8, kLines = 4, kVectors = 2 * column_multiple(kLines);
  using Sums = int32x4_t[2];

  WHIT_INLINE static void clear(Sums& sums) { sums[0] = sums[1] = vdupq_n_s32(0); }
  WHIT_INLINE static void add_step(Sums& sums, const s8* x, const u8* places, const s8* weights) {
    WHIT_UNROLL for (int i = 0; i < kVectors; ++i) sums[i % 2] =
        vdotq_s32(sums[i % 2], gather_fours(x, places + 4 * i), vld1q_s8(weights + 16 * i));
  }
  WHIT_INLINE static void finish(const Sums& sums, const s32* bias, s32 (&out)[kLanes]) {
    vst1q_s32(out, vaddq_s32(sums[0], vld1q_s32(bias)));
    vst1q_s32(out + 4, vaddq_s32(sums[1], vld1q_s32(bias + 4)));
  }
};

}  // namespace

void spmm_s8s8s32_1x4_neondot(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Fours>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_4x1_neondot(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Quads<4, 1>>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x1_neondot(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Quads<1, 3>>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x4_column_neondot(const Args& args, isize n_begin, isize n_end, isize) {
  column<ColumnOfFoursByDot>(args, n_begin, n_end);
}

}  // namespace whit::spmm_s8
