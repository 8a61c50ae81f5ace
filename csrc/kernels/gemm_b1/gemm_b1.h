#pragma once
// Binary matrix product: values +1 and -1 as bits, 1 for -1; value i of a row is bit i % 8, from the lowest, of byte
// i / 8:
//     acc[m][n] = sum_t,k lhs[m][t][k] * rhs[n][t][k]  =  taps * k - 2 * popcount(lhs[m] ^ rhs[n])
// A plain product has one tap; a convolution has kernel_h * kernel_w taps of k = channels each (indirect GEMM).

#include <span>

#include "base/isa.h"
#include "base/types.h"
#include "kernels/gemm_b1/epilogue.h"

namespace whit::gemm_b1 {

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

/// Bytes of the k bits of a row or a tap.
constexpr isize bit_bytes(isize k) { return (k + 7) / 8; }

/// Weights as the file has them: rhs[n][taps][bit_bytes(k)] (OHWI). Bits beyond k may be anything.
struct Rhs {
  const u8* bits;
  isize n, taps, k;
};

/// Columns per panel of the packed layout, a multiple of 8; column ranges given to run() start on a multiple of it.
isize panel_columns(const Kernel& kernel);
/// Rows per tile; row ranges given to run() best start on a multiple of it.
isize tile_rows(const Kernel& kernel);
std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k);
/// Scratch that every thread in run() needs.
std::size_t scratch_bytes(const Kernel& kernel, isize taps, isize k);
/// Packs the panels of columns [n_begin, n_end) (n_begin a multiple of panel_columns) into `packed`, which is
/// 64-byte aligned and holds packed_bytes(). Panels may be packed by several threads at once.
void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end);

/// Row i, tap t is bit_bytes(k) bytes at  base + i * row_stride  (offsets null, taps 1),
/// or at  base + offsets[i * taps + t]  where that offset is >= 0, else at `pad`. Bits beyond k may be anything.
/// Those bytes are read and not one more.
struct Lhs {
  const u8* base;
  isize row_stride;  ///< bytes
  const s32* offsets;
  const u8* pad;  ///< bit_bytes(k) bytes: what padding holds, zero bits for +1
};

/// Padding of zeros, which bits cannot hold. Let `pad` be all +1; then what a tap in the padding adds too much is the
/// sum of its weights. Rows with the same taps in the padding are a class:
///     acc[m][n] += sums[classes[m]][n]
///     sums[c][n] = -(sum over the taps t of class c in the padding, and over k, of rhs[n][t][k])
/// Class 0 is that of rows without any, whose sums are zeros. Kernels need not look at these.
struct Border {
  const s32* sums = nullptr;     ///< [number of classes][n]; null: nothing is added
  const u16* classes = nullptr;  ///< [m]
};

struct Args {
  Lhs lhs;
  const std::byte* packed;
  isize n, taps, k;
  Border border;
  EpilogueB1 epilogue;
  void* out;           ///< s32, f32, s8 or bits as epilogue.output says
  isize out_stride;    ///< from row to row: elements, of bits bytes
  std::byte* scratch;  ///< scratch_bytes() of the calling thread's own, 64-byte aligned
};

/// Computes rows [m_begin, m_end) x columns [n_begin, n_end). Exact on every ISA; allocates nothing. taps * k < 2^31.
void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end);

}  // namespace whit::gemm_b1
