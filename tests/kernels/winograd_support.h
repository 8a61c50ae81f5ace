#pragma once
// The matrices of Winograd's F(T x T, 3 x 3) from their interpolation points, and the bound of docs/NUMERICS.md.

#include <cmath>
#include <limits>
#include <vector>

#include "base/types.h"

namespace whit::test {

/// Lavin and Gray's A^T, G and B^T for tiles of T outputs: a row or column for each point, the last one for infinity.
struct Winograd {
  isize tile, size;            // T, T + 2
  std::vector<f64> points;     // size - 1 of them
  std::vector<f64> at, g, bt;  // [tile][size], [size][3], [size][size]

  explicit Winograd(isize tile) : tile(tile), size(tile + 2), at(tile * size), g(size * 3), bt(size * size) {
    points = tile == 4 ? std::vector<f64>{0, 0.75, -0.75, 1.5, -1.5} : std::vector<f64>{0, 1, -1};
    for (isize i = 0; i + 1 < size; ++i) {
      // product over the other points q of (x - q), of degree size - 2
      std::vector<f64> polynomial{1};
      f64 distance = 1;
      for (isize j = 0; j + 1 < size; ++j) {
        if (j == i) continue;
        polynomial = times_linear(polynomial, points[j]);
        distance *= points[i] - points[j];
      }
      // With T = 2, rows of B^T and G have the sign that makes G positive at 0.
      const f64 sign = distance < 0 && tile == 2 ? -1 : 1;
      for (isize j = 0; j < static_cast<isize>(polynomial.size()); ++j) bt[i * size + j] = sign * polynomial[j];
      for (isize j = 0; j < 3; ++j) g[i * 3 + j] = sign * std::pow(points[i], j) / distance;
      for (isize j = 0; j < tile; ++j) at[j * size + i] = std::pow(points[i], j);
    }
    std::vector<f64> all{1};
    for (const f64 point : points) all = times_linear(all, point);
    for (isize j = 0; j < size; ++j) bt[(size - 1) * size + j] = all[j];
    // With T = 4, outputs are multiplied with powers of 3/4 at last, this one too.
    g[(size - 1) * 3 + 2] = tile == 4 ? 64.0 / 27 : 1;
    at[tile * size - 1] = tile == 4 ? 27.0 / 64 : 1;
  }

  /// left [rows][inner] * x [inner][inner2] * right^T, right [columns][inner2]; with magnitudes: of absolute values.
  static std::vector<f64> sandwich(const std::vector<f64>& left, const std::vector<f64>& x,
                                   const std::vector<f64>& right, isize rows, isize inner, bool magnitudes) {
    const auto value = [&](f64 v) { return magnitudes ? std::abs(v) : v; };
    std::vector<f64> out(rows * rows);
    for (isize i = 0; i < rows; ++i)
      for (isize j = 0; j < rows; ++j)
        for (isize a = 0; a < inner; ++a)
          for (isize b = 0; b < inner; ++b)
            out[i * rows + j] += value(left[i * inner + a]) * value(x[a * inner + b]) * value(right[j * inner + b]);
    return out;
  }
  std::vector<f64> inputs(const std::vector<f64>& d, bool magnitudes = false) const {
    return sandwich(bt, d, bt, size, size, magnitudes);
  }
  std::vector<f64> filter(const std::vector<f64>& w, bool magnitudes = false) const {
    return sandwich(g, w, g, size, 3, magnitudes);
  }
  std::vector<f64> outputs(const std::vector<f64>& m, bool magnitudes = false) const {
    return sandwich(at, m, at, tile, size, magnitudes);
  }

 private:
  /// polynomial (lowest power first) times (x - root)
  static std::vector<f64> times_linear(const std::vector<f64>& polynomial, f64 root) {
    std::vector<f64> product(polynomial.size() + 1);
    for (std::size_t i = 0; i < polynomial.size(); ++i) {
      product[i + 1] += polynomial[i];
      product[i] -= root * polynomial[i];
    }
    return product;
  }
};

inline constexpr f64 kEps = std::numeric_limits<f32>::epsilon();

}  // namespace whit::test
