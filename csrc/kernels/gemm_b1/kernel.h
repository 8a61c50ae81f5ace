#pragma once
// What a gemm_b1 microkernel is to run(). A row is its taps * bit_bytes(k) bytes one after another, bits beyond k zero,
// then zeros up to a multiple of row_group bytes. Rows that the caller has in another form run() copies. Weights are
// the same rows, in panels of nr columns (the last one padded with zeros):
//     words       u8 rhs[nr / columns][row_bytes / word][columns][word]
//     nibbles     u8 rhs[row_bytes][2][nr]: the lower, then the upper four bits of each byte; of every 32 columns, i
//     and
//                 16 + i side by side

#include "kernels/gemm_b1/gemm_b1.h"

namespace whit::gemm_b1 {

/// Rows that follow each other, `stride` bytes from one to the next.
struct Rows {
  const u8* bits;
  isize stride;
};

/// Computes `count` rows from m on, which are those of `rows`, of columns [n, n_end), n a multiple of nr.
using Function = void(const Args& args, const Rows& rows, isize row_bytes, isize m, isize count, isize n, isize n_end);

enum class Layout : u8 { words, nibbles };

struct Kernel {
  Isa isa;
  const char* name;
  Function* function;
  int mr, nr, row_group;
  Layout layout;
  int columns, word;  // of words
};

constexpr isize row_bytes(isize row_group, isize taps, isize k) {
  return (taps * bit_bytes(k) + row_group - 1) / row_group * row_group;
}

/// Of one panel.
constexpr isize panel_bytes(Layout layout, isize nr, isize row_bytes) {
  return nr * row_bytes * (layout == Layout::nibbles ? 2 : 1);
}

#define GEMM_B1_KERNEL(isa, function, mr, nr, row_group, layout, columns, word) Function function;
#include "kernels/gemm_b1/kernels.inc"
#undef GEMM_B1_KERNEL

}  // namespace whit::gemm_b1
