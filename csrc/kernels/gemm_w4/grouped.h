#pragma once
// Products with weights of 4 bits that have a scale for every 32 k, in f32. For rows of s8, each on a grid of its own:
//     sum[g]    = sum over k of group g of (lhs[m][k] - zero_point[m]) * rhs[n][k]          exact
//     y         = 0;  for g ascending:  y = y + f32(sum[g]) * scale[n][g]
//     out[m][n] = y * lhs_scale[m] + bias[n]
// each operation in f32, rounded on its own: the same bytes on every ISA. The last group may be shorter.

#include <span>

#include "base/isa.h"
#include "base/types.h"

namespace whit::gemm_w4 {

inline constexpr isize kScaleGroup = 32;  ///< k of a scale

struct GroupedKernel;  // one line of grouped.inc

/// Every kernel of this build, in order of preference.
std::span<const GroupedKernel> grouped_kernels();
/// The first one that these ISA levels have.
const GroupedKernel& select_grouped(IsaSet isa);
const char* name(const GroupedKernel& kernel);
Isa isa(const GroupedKernel& kernel);

struct GroupedRhs {
  const s8* values;   ///< [n][k], in [-8, 7]
  const u16* scales;  ///< [n][ceil(k / 32)], the bits of f16, finite
  const f32* bias;    ///< [n], or null for zeros
  isize n, k;
};

/// Column ranges given to run() start on a multiple of it.
isize panel_columns(const GroupedKernel& kernel);
std::size_t packed_bytes(const GroupedKernel& kernel, isize n, isize k);
/// Scratch that every thread in run() needs.
std::size_t scratch_bytes(const GroupedKernel& kernel, isize k);
/// As pack() of gemm_w4.h, without memory of its own.
void pack(const GroupedKernel& kernel, const GroupedRhs& rhs, std::byte* packed, isize n_begin, isize n_end);

struct GroupedArgs {
  const s8* lhs;  ///< row i at lhs + i * row_stride; not one byte more than its k is read
  isize row_stride;
  const f32* lhs_scale;   ///< [m]
  const s32* zero_point;  ///< [m], within s8; or null for zeros
  const std::byte* packed;
  isize n, k;
  f32* out;
  isize out_stride;    ///< elements from row to row
  std::byte* scratch;  ///< scratch_bytes() of the calling thread's own, 64-byte aligned
};

/// Computes rows [m_begin, m_end) x columns [n_begin, n_end), a few rows at a time; allocates nothing.
void run(const GroupedKernel& kernel, const GroupedArgs& args, isize m_begin, isize m_end, isize n_begin, isize n_end);

}  // namespace whit::gemm_w4
