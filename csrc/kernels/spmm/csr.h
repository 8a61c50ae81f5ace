#pragma once
// Sparse matrices as the spmm families take them: compressed rows (CSR).

#include <optional>
#include <span>

#include "base/buffer.h"
#include "base/types.h"

namespace whit::spmm {

/// Rows [n]: row i has values[starts[i]..starts[i + 1]) in the columns of the same numbers, where column t * k + line
/// is tap t's weight of a line. valid() says what must hold; everything that takes a Csr relies on it.
template <class T>
struct Csr {
  isize n, taps, k;
  std::span<const s64> starts;   ///< [n + 1]
  std::span<const s32> columns;  ///< ascending in each row
  std::span<const T> values;
};

/// True if the sizes fit each other, starts ascend from 0 to the number of values, and each row's columns ascend within
/// [0, taps * k). Reads nothing outside of the spans, whatever is in them.
template <class T>
bool valid(const Csr<T>& csr);

/// The arrays of a Csr.
template <class T>
struct OwnedCsr {
  isize n, taps, k, count;
  AlignedBuffer starts, columns, values;

  Csr<T> view() const {
    return {n,
            taps,
            k,
            {reinterpret_cast<const s64*>(starts.data()), static_cast<std::size_t>(n + 1)},
            {reinterpret_cast<const s32*>(columns.data()), static_cast<std::size_t>(count)},
            {reinterpret_cast<const T*>(values.data()), static_cast<std::size_t>(count)}};
  }
};

/// From dense[n][taps][k]: what is not 0 (NaN is not 0, -0 is). nullopt if a size is negative, taps * k is above
/// 2^31 - 1, or memory is short.
template <class T>
std::optional<OwnedCsr<T>> csr_from_dense(const T* dense, isize n, isize taps, isize k);

/// Weights that are not 0 often come in blocks of rows x lines (of one tap) that begin at multiples of these.
struct Block {
  int rows = 1, lines = 1;
  bool operator==(const Block&) const = default;
};

/// The share of values that are not 0 among those of all blocks that hold one: 1 if blocks are full, near the density
/// of the matrix if its zeros lie anywhere. What a block has outside of the matrix does not count.
template <class T>
f64 fill(const Csr<T>& csr, Block block);

/// The largest of 8x1, 1x4, 4x1 (8 values, then 4 of one row, then 4 rows) whose fill() is at least `least`, else 1x1.
template <class T>
Block block_of(const Csr<T>& csr, f64 least = 0.9);

}  // namespace whit::spmm
