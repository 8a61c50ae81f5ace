#pragma once
// Softmax, log-softmax and layer normalisation. Sums in the orders of kernels/reduce/reduce.h, exp and log of
// kernels/math.inc: the same bits on every ISA.

#include <span>

#include "base/isa.h"
#include "base/types.h"

namespace whit::softmax {

/// Along i of x[row][i][column], shape [rows, n, columns]; m is the largest:
///     softmax:      e = exp(x - m);  y = e / sum(e)
///     log_softmax:  y = (x - m) - log(sum(exp(x - m)))
/// The sum is that of a row if columns is 1, else that of columns. y may be x.
struct Args {
  const f32* x;
  f32* y;
  isize rows, n, columns;
};

/// Rows of n:  mean = sum(x) / n;  d = x - mean;  v = sum(d * d) / n;  r = 1 / sqrt(v + epsilon);
///     y = (d * r) * scale, + bias if not null. y may be x.
struct LayerNormArgs {
  const f32* x;
  f32* y;
  const f32* scale;  ///< [n]
  const f32* bias;   ///< [n] or null
  isize rows, n;
  f32 epsilon;
};

struct Table {
  Isa isa;
  /// Columns [begin, end) of every row.
  void (*softmax)(const Args&, isize begin, isize end);
  void (*log_softmax)(const Args&, isize begin, isize end);
  void (*layer_normalization)(const LayerNormArgs&);
};

/// Every level of this build, best first.
std::span<const Table* const> tables();
/// The best level of a set. Pure.
const Table& select(IsaSet isa);

}  // namespace whit::softmax
