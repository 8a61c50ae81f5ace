#pragma once
// Entries of four rows on x86 with VNNI, four at a time: their lines are interleaved, which four rows share. Include a
// file before that defines Vector, and
//     Int spread(const s8* p)                       bytes of 2 * kLanes pixels: into each 128 bits, the next four of
//     the
//                                                   first half and the next four of the second
//     Int unpack_low(a, b)                          bytes of each 128 bits
//     unpack_low_s16(a, b), unpack_high_s16(a, b)
//     Int broadcast_fours(const s8* w), dot(Int acc, Int x, Int w)

#include "kernels/spmm_s8/walk.h"

namespace whit::spmm_s8 {
namespace {

template <int kMostVectors>
struct Quads {
  static constexpr int kRows = 4, kSets = 1, kStep = 2 * Vector::kLanes, kVectors = kMostVectors, kPixelBytes = 1;
  static constexpr int kEntryValues = 4, kValueBytes = 1;

  template <int V>
  WHIT_INLINE static void row(const RunOfEntries& run) {
    using Int = Vector::Int;
    Int acc[V][kRows][2];
    WHIT_UNROLL for (int v = 0; v < V; ++v) {
      WHIT_UNROLL for (int i = 0; i < 2 * kRows; ++i) acc[v][i / 2][i % 2] =
          run.bias ? Vector::broadcast(run.bias[i / 2]) : Vector::load(run.acc + at(run, v, i));
    }
    for (isize e = 0; e < run.count; e += 4) {
      const s8 *a = run.x(e), *b = run.x(e + 1), *c = run.x(e + 2), *d = run.x(e + 3);
      const s8* w = run.value<s8>(e * kRows);
      WHIT_UNROLL for (int v = 0; v < V; ++v) {
        const Int ab = unpack_low(spread(a + v * kStep), spread(b + v * kStep));
        const Int cd = unpack_low(spread(c + v * kStep), spread(d + v * kStep));
        const Int low = unpack_low_s16(ab, cd), high = unpack_high_s16(ab, cd);
        WHIT_UNROLL for (int r = 0; r < kRows; ++r) {
          const Int values = broadcast_fours(w + 4 * r);
          acc[v][r][0] = dot(acc[v][r][0], low, values);
          acc[v][r][1] = dot(acc[v][r][1], high, values);
        }
      }
    }
    WHIT_UNROLL for (int v = 0; v < V; ++v) {
      WHIT_UNROLL for (int i = 0; i < 2 * kRows; ++i) Vector::store(run.acc + at(run, v, i), acc[v][i / 2][i % 2]);
    }
  }

 private:
  /// Where sum i of vector v is.
  WHIT_INLINE static isize at(const RunOfEntries& run, int v, int i) {
    return i / 2 * run.acc_stride + v * kStep + i % 2 * Vector::kLanes;
  }
};

}  // namespace
}  // namespace whit::spmm_s8
