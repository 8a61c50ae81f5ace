#pragma once
// Sums, maxima and minima along axes. The order of f32 additions is fixed, so the bits are the same on every ISA and
// for every number of threads:
//   columns: y[c] folds x[0][c], x[1][c], ... in ascending order;
//   row:     kSumLanes partial sums, element i goes to lane i % kSumLanes in ascending order; then lanes j and j + w
//   are
//            added for w = kSumLanes / 2, ..., 2, 1.
// s8 sums are exact in s32 (the caller keeps the count below 2^31 / 128). max and min of f32 give NaN if there is one.

#include <span>

#include "base/isa.h"
#include "base/types.h"

namespace whit::reduce {

enum class Fold : u8 { sum, max, min };
inline constexpr int kFoldCount = 3;
inline constexpr isize kSumLanes = 16;

/// acc[c] = acc[c] op x[0][c] op x[1][c] ... for c in [0, cols), rows row_stride elements apart. acc must hold a start
/// value (see Table::identity). acc is f32 for f32; for s8 it is s32 for sums and s8 otherwise.
struct ColumnArgs {
  const void* x;
  isize rows, cols, row_stride;
  void* acc;
};

/// y[r] = index of the first largest of n elements x[r * row_stride + i * step]; a NaN counts as the largest.
/// step 1: a row each. row_stride 1: a column each.
struct ArgMaxArgs {
  const void* x;
  s32* y;
  isize rows, n, row_stride, step;
};

struct Table {
  Isa isa;
  void (*columns_f32[kFoldCount])(const ColumnArgs&);
  void (*columns_s8[kFoldCount])(const ColumnArgs&);
  f32 (*row_f32[kFoldCount])(const f32* x, isize n);
  s32 (*row_s8[kFoldCount])(const s8* x, isize n);
  void (*arg_max_f32)(const ArgMaxArgs&);
  void (*arg_max_s8)(const ArgMaxArgs&);
  /// y[i] = acc[i] / count
  void (*mean_f32)(const f32* acc, f32* y, isize n, f32 count);
  /// t = f32(acc[i] - offset) * scale;  clamp to [-128 - zero_point, 127 - zero_point];
  /// y[i] = s8(round_to_nearest_even(t) + zero_point)
  void (*mean_s8)(const s32* acc, s8* y, isize n, s32 offset, f32 scale, s32 zero_point);
};

/// What a fold starts with.
constexpr f32 identity_f32(Fold fold) {
  return fold == Fold::sum ? 0.0f : fold == Fold::max ? -__builtin_inff() : __builtin_inff();
}
constexpr s8 identity_s8(Fold fold) { return fold == Fold::sum ? s8{0} : fold == Fold::max ? s8{-128} : s8{127}; }

/// Every level of this build, best first.
std::span<const Table* const> tables();
/// The best level of a set. Pure.
const Table& select(IsaSet isa);

}  // namespace whit::reduce
