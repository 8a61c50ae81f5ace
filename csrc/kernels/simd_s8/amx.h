#pragma once
// Tile registers of AMX, each 16 rows of 64 bytes; tdpbssd multiplies 16 rows x 64 k with 64 k x 16 columns of s8. Of
// the eight registers four accumulate 32 rows x 32 columns, so that every tile that is loaded serves two products:
//
//                 b0 = tmm6   b1 = tmm7       columns of a panel, 16 groups of 4 k
//     a0 = tmm4     tmm0        tmm1
//     a1 = tmm5     tmm2        tmm3
//
// The time of a product goes with its rows. For files named amx.cc alone.

#include "base/types.h"
#include "kernels/simd_s8/avx512.h"  // the intrinsics, without GCC's false alarms

namespace whit::amx {
namespace {

constexpr isize kTileRows = 16, kTileBytes = 64, kGroup = 4, kTileGroups = 16, kPanelColumns = 32;
constexpr isize kGroupStride = kPanelColumns * kGroup;

/// What LDTILECFG reads.
struct alignas(64) Configuration {
  u8 palette = 1, start_row = 0, reserved[14] = {};
  u16 row_bytes[16] = {};
  u8 rows[16] = {};

  Configuration(int lhs_rows, int groups) {
    for (int i = 0; i < 8; ++i) row_bytes[i] = kTileBytes, rows[i] = static_cast<u8>(i < 6 ? lhs_rows : groups);
    row_bytes[4] = row_bytes[5] = static_cast<u16>(groups * kGroup);
  }
};

/// The compiler does not know what memory the tile instructions touch.
WHIT_INLINE void settle_memory() { __asm__ volatile("" ::: "memory"); }

/// 64 k of R x C tiles, added to accumulators from `kSet` (0 or 2) on.
template <int R, int C, int kSet>
WHIT_INLINE void step(const s8* a0, const s8* a1, isize a_stride, const s8* b) {
  static_assert(R == 1 || kSet == 0);
  _tile_loadd(4, a0, a_stride);
  _tile_loadd(6, b, kGroupStride);
  if constexpr (kSet == 0) {
    _tile_dpbssd(0, 4, 6);
  } else {
    _tile_dpbssd(2, 4, 6);
  }
  if constexpr (C == 2) {
    _tile_loadd(7, b + kTileBytes, kGroupStride);
    if constexpr (kSet == 0) {
      _tile_dpbssd(1, 4, 7);
    } else {
      _tile_dpbssd(3, 4, 7);
    }
  }
  if constexpr (R == 2) {
    _tile_loadd(5, a1, a_stride);
    _tile_dpbssd(2, 5, 6);
    if constexpr (C == 2) _tile_dpbssd(3, 5, 7);
  }
}

}  // namespace
}  // namespace whit::amx
