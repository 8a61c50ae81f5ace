#pragma once
// What products with one column share. Their vectors have a row in each lane, so that no sum has to be taken across
// lanes; the rows of a vector, a slice, have about as many weights each.

#include <algorithm>

#include "base/checked.h"
#include "base/types.h"

namespace whit::spmm {

/// Rows that are sorted by how many weights they have, and cut into slices.
inline constexpr isize kColumnBand = 256;

/// A row of a band and how many entries it has.
struct RowOfBand {
  u32 row, count;
};

/// The rows of the band that begins with `first`, most entries first by count(row), filled up with rows n of none to
/// whole slices of `lanes`. Returns how many.
template <class Count>
isize sort_band(isize n, isize first, isize lanes, const Count& count, RowOfBand (&rows)[kColumnBand]) {
  const isize here = std::min(kColumnBand, n - first), filled = round_up(here, lanes);
  for (isize i = 0; i < filled; ++i)
    rows[i] = i < here ? RowOfBand{static_cast<u32>(first + i), count(first + i)} : RowOfBand{static_cast<u32>(n), 0};
  std::sort(rows, rows + filled,
            [](RowOfBand a, RowOfBand b) { return a.count != b.count ? a.count > b.count : a.row < b.row; });
  return filled;
}

}  // namespace whit::spmm
