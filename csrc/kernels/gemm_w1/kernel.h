#pragma once
// What the levels of gemm_w1 are to gemm_w1.cc.
//
// Tables. A group is four values of a row. Its 16 sums of values whose bit is 1, plus kLeast, are ten bits, of which
// the lower and the upper five are apart: bytes hold up to eight of either added up.
//     u8 tables[groups][2][16]
// Bits. Two groups of a column are a byte, the first one in its lower half:
//     Head, then panel by panel of nr columns      s32 bias[nr];  u8 bits[pairs][nr]
// The pairs of a row are a multiple of kPairs: behind the end bits and tables are 0.

#include "kernels/gemm_w1/gemm_w1.h"

namespace whit::gemm_w1 {

inline constexpr isize kPairValues = 8;
/// Pairs that are added up in bytes.
inline constexpr isize kPairs = 4;
/// Pairs whose tables are made at a time: they stay in L1, and what is added up in u16.
inline constexpr isize kMostPairs = 128;
inline constexpr isize kTableBytes = 2 * 2 * 16;  // of a pair
/// Columns that tables serve at a time.
inline constexpr isize kMostColumns = 1024;
inline constexpr int kHalfBits = 5;
inline constexpr s32 kLeast = 4 * 128;

struct alignas(64) Head {
  s32 first, step;
};

/// Adds to sums[panels][nr] what is at the bits' places in tables of `pairs` pairs, a multiple of kPairs.
using AddFunction = void(const u8* tables, isize pairs, const u8* bits, isize panel_stride, isize panels, s32* sums);
/// The epilogue of bias + offset + step * sums for `columns` columns of row m from n on. Overwrites sums.
using FinishFunction = void(const Args& args, const s32* bias, s32 offset, s32 step, s32* sums, isize m, isize n,
                            isize columns);

struct Kernel {
  Isa isa;
  const char* name;
  int nr;
  AddFunction* add;
  FinishFunction* finish;
};

#define GEMM_W1_KERNEL(isa, nr, add, finish) \
  AddFunction add;                           \
  FinishFunction finish;
#include "kernels/gemm_w1/kernels.inc"
#undef GEMM_W1_KERNEL

}  // namespace whit::gemm_w1
