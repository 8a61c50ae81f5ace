#pragma once
// What a gemm_b1 microkernel is to run(). A row is its taps * bit_bytes(k) bytes one after another, bits beyond k zero,
// then zeros up to a multiple of row_group bytes. Rows that the caller has in another form run() copies. Weights are
// the same rows, in panels of nr columns (the last one padded with zeros):
//     words       u8 rhs[nr / columns][row_bytes / word][columns][word]
//     nibbles     u8 rhs[row_bytes][2][nr]: the lower, then the upper four bits of each byte; of every 32 columns, i
//                 and 16 + i side by side
//     values      s32 minus[nr], how many -1 each column has; then s8 rhs[nr / 32][row_bytes * 2][32][4]: +1 and -1,
//     and
//                 0 beyond k

#include "kernels/gemm_b1/gemm_b1.h"

namespace whit::gemm_b1 {

/// Rows that follow each other, `stride` bytes from one to the next. Null, only for kernels that are `indirect`: their
/// taps are where Args::lhs.offsets says, and multiples of row_group bytes.
struct Rows {
  const u8* bits;
  isize stride;
};

/// Computes `count` rows from m on, which are those of `rows`, of columns [n, n_end), n a multiple of nr.
using Function = void(const Args& args, const Rows& rows, isize row_bytes, isize m, isize count, isize n, isize n_end);

enum class Layout : u8 { words, nibbles, values };

struct Kernel {
  Isa isa;
  const char* name;
  Function* function;
  int mr, nr, row_group;
  Layout layout;
  int columns, word;  // of words
  bool indirect;      // reads taps where they are
  int least_rows;     // that it is chosen for
};

constexpr isize row_bytes(isize row_group, isize taps, isize k) {
  return (taps * bit_bytes(k) + row_group - 1) / row_group * row_group;
}

/// Of one panel.
constexpr isize panel_bytes(Layout layout, isize nr, isize row_bytes) {
  switch (layout) {
    case Layout::words: return nr * row_bytes;
    case Layout::nibbles: return nr * row_bytes * 2;
    case Layout::values: break;
  }
  return nr * static_cast<isize>(sizeof(s32)) + nr * row_bytes * 8;
}

/// Kernels of values make a value of each bit of a row as well, behind the copies of a block of rows in Args::scratch;
/// bytes from row to row there: odd multiples of a cache line, which spread over all sets of a cache.
constexpr isize value_stride(isize row_bytes) { return (row_bytes * 8 / 64 | 1) * 64; }

/// Rows that run() takes through the panels together: as many as stay in a small L1 beside a panel.
constexpr isize block_rows(isize mr, isize row_bytes) {
  constexpr isize kNear = 16 << 10, kMostTiles = 32;
  const isize tiles = kNear / (row_bytes * mr);
  return (tiles < 1 ? 1 : tiles < kMostTiles ? tiles : kMostTiles) * mr;
}

#define GEMM_B1_KERNEL(isa, function, mr, nr, row_group, layout, columns, word, indirect, least_rows) Function function;
#include "kernels/gemm_b1/kernels.inc"
#undef GEMM_B1_KERNEL

}  // namespace whit::gemm_b1
