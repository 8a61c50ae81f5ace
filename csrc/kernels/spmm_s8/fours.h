#pragma once
// Entries of four weights of a row on lines of four channels, by instructions that add the four products of each of
// their lanes. Include before a file that defines Vector, and
//     Int load_fours(const s8* p), broadcast_fours(const s8* w), dot(Int acc, Int x, Int w)
//     kVectorsOfTile, kChains    several sums of a vector hide the time that an instruction takes

#include "kernels/spmm_s8/walk.h"

namespace whit::spmm_s8 {
namespace {

struct Fours {
  static constexpr int kRows = 1, kSets = 1, kStep = Vector::kLanes, kVectors = kVectorsOfTile, kPixelBytes = 4;
  static constexpr int kEntryValues = 4, kValueBytes = 1;

  template <int V>
  WHIT_INLINE static void row(const RunOfEntries& run) {
    using Int = Vector::Int;
    constexpr int kUsed = V >= 8 ? 1 : kChains;
    Int acc[kUsed][V];
    WHIT_UNROLL for (int v = 0; v < V; ++v) {
      acc[0][v] = run.bias ? Vector::broadcast(*run.bias) : Vector::load(run.acc + v * kStep);
      WHIT_UNROLL for (int i = 1; i < kUsed; ++i) acc[i][v] = Vector::broadcast(s32{0});
    }
    const auto add = [&](isize e, Int(&sums)[V]) __attribute__((always_inline)) {
      const s8* x = run.x(e);
      const Int w = broadcast_fours(run.value<s8>(4 * e));
      WHIT_UNROLL for (int v = 0; v < V; ++v) sums[v] = dot(sums[v], load_fours(x + v * kStep * 4), w);
    };
    isize e = 0;
    if constexpr (kUsed > 1) {
      for (; e + kUsed <= run.count; e += kUsed) {
        WHIT_UNROLL for (int i = 0; i < kUsed; ++i) add(e + i, acc[i]);
      }
    }
    for (; e < run.count; ++e) add(e, acc[0]);
    WHIT_UNROLL for (int v = 0; v < V; ++v) {
      WHIT_UNROLL for (int i = 1; i < kUsed; ++i) acc[0][v] = Vector::add(acc[0][v], acc[i][v]);
      Vector::store(run.acc + v * kStep, acc[0][v]);
    }
  }
};

}  // namespace
}  // namespace whit::spmm_s8
