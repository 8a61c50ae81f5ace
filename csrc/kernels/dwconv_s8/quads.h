#pragma once
// Which taps a four-way dot product of bytes takes: four pixels of the input side by side, a quad, times weights that
// are zero where an output does not need the pixel. The kernels and the packing of their weights read the same table.
//
// The input of `rows` output rows is cut into periods of `columns` * stride input columns, as many as so many output
// columns are apart. All periods have the same quads, and a pixel is in one quad alone. (Two output rows of 3x3 at
// stride 1: a period is one column of four rows, one quad.)
//
//     input row 0  w00        .
//     input row 1  w10       w00      one quad: 2 x 3 dot products,
//     input row 2  w20       w10      j = 0, 1, 2 for each of 2 output rows
//     input row 3   .        w20
//                output 0  output 1
//
// At stride 2 quads along one column would be multiplied with many zeros, or have pixels that nobody needs. So four
// input columns are a period there, and the pixels which are left over when three have their quads go with them:
//
//     3x3   a b d c   quads aaac bbbc dddc; c is the column before the last: output 0 needs the d of the period before,
//           a b d c   a and b, output 1 needs b, c and d: three quads each
//           a b d c
//     5x5   columns a b c d: aaaa bbbb cccc dddd of the first four rows, abcd of the fifth

namespace whit::dwconv_s8 {
namespace {

struct Quads {
  static constexpr int kMost = 5, kMostPeriods = 5;
  struct Pixel {
    int row, column;
  };

  int size, stride, rows, columns;
  int count = 0;    ///< of a period
  int periods = 0;  ///< which the outputs of a period need, from the one that has their first pixel on
  int lead = 0;     ///< columns of the first of them before their first pixel's
  Pixel pixels[kMost][4] = {};

  constexpr int period_columns() const { return columns * stride; }

  /// The tap that output (row t, column p) has for a pixel of a period, or -1.
  constexpr int tap(int period, int quad, int l, int t, int p) const {
    const int i = pixels[quad][l].row - t * stride;
    const int j = period * period_columns() - lead + pixels[quad][l].column - p * stride;
    return i >= 0 && i < size && j >= 0 && j < size ? i * size + j : -1;
  }
  constexpr bool uses(int period, int quad, int t, int p) const {
    for (int l = 0; l < 4; ++l)
      if (tap(period, quad, l, t, p) >= 0) return true;
    return false;
  }
  /// Calls body(period, quad, t, p) for all dot products, in the order of their weights.
  template <class Body>
  constexpr void for_each(Body body) const {
    for (int period = 0; period < periods; ++period)
      for (int quad = 0; quad < count; ++quad)
        for (int p = 0; p < columns; ++p)
          for (int t = 0; t < rows; ++t)
            if (uses(period, quad, t, p)) body(period, quad, t, p);
  }
  constexpr int products() const {
    int n = 0;
    for_each([&](int, int, int, int) { ++n; });
    return n;
  }
};

/// Of a size x size kernel, `rows` x `columns` outputs together. Two columns: 3x3 and 5x5 at stride 2, one row.
constexpr Quads make_quads(int size, int stride, int rows, int columns) {
  Quads q{.size = size, .stride = stride, .rows = rows, .columns = columns};
  const auto along_column = [&q](int column, int row) {
    for (int l = 0; l < 4; ++l) q.pixels[q.count][l] = {row + l, column};
    ++q.count;
  };
  if (columns == 1) {
    for (int column = 0; column < stride; ++column)
      for (int row = 0; row < (rows - 1) * stride + size; row += 4) along_column(column, row);
  } else if (size == 3) {
    q.lead = 3;
    for (int row = 0; row < 3; ++row) {
      along_column(row < 2 ? row : 3, 0);
      q.pixels[row][3] = {row, 2};
    }
  } else {
    for (int column = 0; column < 4; ++column) along_column(column, 0);
    for (int l = 0; l < 4; ++l) q.pixels[q.count][l] = {4, l};
    ++q.count;
  }
  const int width = q.period_columns();
  q.periods = (q.lead + (columns - 1) * stride + size + width - 1) / width;
  return q;
}

}  // namespace
}  // namespace whit::dwconv_s8
