#pragma once
// What a gemm_s8 microkernel is to run(). The packed layout, panel by panel of nr columns (the last one padded with
// zeros):
//     s32 bias[nr]                                 less lhs_zero_point * sum of the column
//     s8 rhs[taps][ceil(k / kr)][nr][kr]           plus rhs_offset, k padded with zeros
//     mild[mild_bytes()]                           if kr is 2 or 16: where weights are mild, padded with zeros
//     f32 reach[nr]                                128 * the sum of |column|: how far accumulators get from bias
// A kernel with rhs_offset 128 reads its weights as u8 and takes 128 * (sum of the row) off the accumulators itself.

#include "kernels/gemm_s8/gemm_s8.h"

namespace whit::gemm_s8 {

// Two products of s8 always fit in s16. Four do, whatever the activations, where the magnitudes of their weights add up
// to at most 255. Kernels that multiply in s16 widen half as often where that is so in all lanes: where weights are
// mild.

/// Where kr is 16, four products are 8 k apart. A pair of columns has u32 whose bits are 1 for an odd number of groups,
/// then, for every two groups (after the first one of an odd number), where they are mild. Words hold 31 bits from the
/// top on, or what is left of them, and a 1 below. They are those of the first tap.
constexpr isize mild_words(isize kr, isize k) { return kr == 16 ? ((k + kr - 1) / kr / 2 + 31) / 31 : 0; }

/// Where kr is 2, four products are 2 k apart. A panel has, tap after tap, for its whole steps of 8 k the lengths in u8
/// of runs that follow each other: of mild steps (perhaps 0), of others, of mild ones and so on, up to a 0 for others.
/// A mild step may be counted among the others.
constexpr isize mild_runs_bytes(isize kr, isize taps, isize k) { return kr == 2 ? taps * (k / 8 + 3) : 0; }

/// Of one panel; keeps the alignment of the next one.
constexpr isize mild_bytes(isize nr, isize kr, isize taps, isize k) {
  return nr / 2 * mild_words(kr, k) * static_cast<isize>(sizeof(u32)) + (mild_runs_bytes(kr, taps, k) + 15) / 16 * 16;
}

/// Rows of a block are taken through the panels together, at most this many tiles.
inline constexpr isize kMaxTilesPerBlock = 32;

/// Computes rows [m, m + rows), 1 <= rows <= kMaxTilesPerBlock * mr, of columns [n, n_end), n a multiple of nr.
using Function = void(const Args& args, isize m, isize rows, isize n, isize n_end);

struct Kernel {
  Isa isa;
  const char* name;
  Function* function;
  int mr, nr, kr, rhs_offset;
};

/// True if the kernel lays indirect rows side by side in Args::scratch before it multiplies them.
constexpr bool gathers(const Kernel& kernel) { return kernel.isa == Isa::amx; }

/// Bytes from row to row there: odd multiples of a cache line, which spread over all sets of a cache.
constexpr isize gathered_stride(isize kr, isize taps, isize k) {
  return ((taps * ((k + kr - 1) / kr * kr) + 63) / 64 | 1) * 64;
}

#define GEMM_S8_KERNEL(isa, function, mr, nr, kr, rhs_offset) Function function;
#include "kernels/gemm_s8/kernels.inc"
#undef GEMM_S8_KERNEL

}  // namespace whit::gemm_s8
