#pragma once
// One column on x86. Include a file before that defines Vector, and
//     gather<kScale>(const s8* x, const u8* places)   the four bytes from x[kScale * place] on, of each lane's place
//     first_bytes(const s8* p)                        the next byte for each lane, as the first of four, which are 0
//     Int dot(Int acc, Int x, Int w)                  acc + the four products of each lane

#include "kernels/spmm_s8/column_rows.h"

namespace whit::spmm_s8 {
namespace {

/// Entries of 1 or 4 weights. A single one gets three 0 beside it, for what lies behind its x.
template <int kOfEntry>
struct Column {
  static constexpr int kLanes = Vector::kLanes, kLines = kOfEntry, kEntries = column_multiple(kLines);
  using Int = Vector::Int;
  using Sums = Int[2];

  WHIT_INLINE static void clear(Sums& sums) { sums[0] = sums[1] = Vector::broadcast(s32{0}); }
  WHIT_INLINE static void add_step(Sums& sums, const s8* x, const u8* places, const s8* weights) {
    WHIT_UNROLL for (int i = 0; i < kEntries; ++i) {
      const s8* w = weights + i * kLanes * kLines;
      const Int values = kLines == 4 ? Vector::load(reinterpret_cast<const s32*>(w)) : first_bytes(w);
      sums[i % 2] = dot(sums[i % 2], gather<kLines>(x, places + i * kLanes), values);
    }
  }
  WHIT_INLINE static void finish(const Sums& sums, const s32* bias, s32 (&out)[kLanes]) {
    Vector::store(out, Vector::add(Vector::add(sums[0], sums[1]), Vector::load(bias)));
  }
};

}  // namespace
}  // namespace whit::spmm_s8
