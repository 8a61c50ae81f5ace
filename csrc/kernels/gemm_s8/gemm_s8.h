#pragma once
// s8 matrix product with s32 accumulators:  acc[m][n] = bias[n] + sum_t,k (lhs[m][t][k] - zero_point) * rhs[n][t][k]
// A plain product has one tap; a convolution has kernel_h * kernel_w taps of k = channels each (indirect GEMM).

#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/epilogue.h"

namespace whit::gemm_s8 {

struct Problem {
  isize m;  ///< rows; 0 = not known yet
  isize n, taps, k;
};

struct Kernel;  // one line of kernels.inc

/// Every kernel of this build, in order of preference.
std::span<const Kernel> kernels();
/// The kernel for this problem on a CPU with these ISA levels. Pure. Every kernel's packed layout serves any m,
/// one row included, so weights are packed once for all batch sizes.
const Kernel& select(const Problem& problem, IsaSet isa);
const char* name(const Kernel& kernel);
Isa isa(const Kernel& kernel);

/// Weights as the file has them: rhs[n][taps][k] (OHWI), values in [-127, 127], not -128 (checked by the caller).
struct Rhs {
  const s8* values;
  const s32* bias;  ///< [n], or null for zeros
  isize n, taps, k;
  s32 lhs_zero_point;  ///< folded into the packed bias
};

/// Columns per panel of the packed layout; column ranges given to run() start on a multiple of it.
isize panel_columns(const Kernel& kernel);
/// At least k: rows that have as many readable bytes may be run with this k on weights packed with k (one tap), which
/// spares kernels a remainder.
isize padded_k(const Kernel& kernel, isize k);
/// Rows per tile; row ranges given to run() best start on a multiple of it.
isize tile_rows(const Kernel& kernel);
std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k);
/// Scratch that every thread in run() needs for rows given by offsets; 0 for most kernels.
std::size_t scratch_bytes(const Kernel& kernel, isize taps, isize k);
/// Packs the panels of columns [n_begin, n_end) (n_begin a multiple of panel_columns) into `packed`, which is
/// 64-byte aligned and holds packed_bytes(). Panels may be packed by several threads at once.
void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end);

/// Row i, tap t is k bytes at  base + i * row_stride  (offsets null, taps 1),
/// or at  base + offsets[i * taps + t]  where that offset is >= 0, else at `pad`.
/// Kernels read those k bytes and not one more.
struct Lhs {
  const s8* base;
  isize row_stride;
  const s32* offsets;
  const s8* pad;  ///< k bytes: what padding holds
};

struct Args {
  Lhs lhs;
  const std::byte* packed;
  isize n, taps, k;
  EpilogueS8 epilogue;
  void* out;                     ///< s32, s8 or f32 as epilogue.output says
  isize out_stride;              ///< elements from row to row
  std::byte* scratch = nullptr;  ///< scratch_bytes() of the calling thread's own, 64-byte aligned, if lhs has offsets
};

/// Computes rows [m_begin, m_end) x columns [n_begin, n_end). Exact on every ISA; allocates nothing.
void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end);

}  // namespace whit::gemm_s8
