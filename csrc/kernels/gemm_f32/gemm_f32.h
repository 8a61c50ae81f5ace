#pragma once
// f32 matrix product:  acc[m][n] = bias[n] + sum_t,k lhs[m][t][k] * rhs[n][t][k]
// Same structure as gemm_s8: one tap for a plain product, kernel_h * kernel_w taps for a convolution.
// Sums run over t, then k ascending in one accumulator per output (kr = 1), so results do not depend on tiling or
// threads; they differ between ISAs only by the use of FMA.

#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/epilogue.h"

namespace whit::gemm_f32 {

struct Problem {
  isize m;  ///< rows; 0 = not known yet
  isize n, taps, k;
};

struct Kernel;

/// Every kernel of this build, in order of preference. To walk them, include kernel.h.
std::span<const Kernel> kernels();
/// The kernel for this problem on a CPU with these ISA levels. Pure. Every packed layout serves any m.
const Kernel& select(const Problem& problem, IsaSet isa);
const char* name(const Kernel& kernel);
Isa isa(const Kernel& kernel);

struct Rhs {
  const f32* values;  ///< [n][taps][k]
  const f32* bias;    ///< [n], or null for zeros
  isize n, taps, k;
};

/// Columns per panel of the packed layout; column ranges given to pack() and run() start on a multiple of it.
isize panel_columns(const Kernel& kernel);
/// Rows per tile; row ranges given to run() best start on a multiple of it.
isize tile_rows(const Kernel& kernel);
/// What rows that are taken through all panels together may take, so that they stay in L2 while a panel is in L1: L2
/// is 512 KB shared by four cores on the smallest boards, 1 MB and more of its own on x86.
s64 near_bytes(const Kernel& kernel);
std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k);
/// Packs the panels of columns [n_begin, n_end) into `packed`, which is 64-byte aligned and holds packed_bytes().
/// Panels may be packed by several threads at once.
void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end);

/// Row i, tap t is k floats at  base + i * row_stride  (offsets null, taps 1), or at  base + offsets[i * taps + t]
/// (in elements) where that offset is >= 0, else at `pad` (k zeros). Kernels read those k floats and not one more.
struct Lhs {
  const f32* base;
  isize row_stride;  ///< elements
  const s32* offsets;
  const f32* pad;
};

struct Args {
  Lhs lhs;
  const std::byte* packed;
  isize n, taps, k;
  EpilogueF32 epilogue;
  f32* out;
  isize out_stride;
};

/// Computes rows [m_begin, m_end) x columns [n_begin, n_end). Needs no scratch, allocates nothing. The residual may be
/// the output itself.
void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end);

}  // namespace whit::gemm_f32
