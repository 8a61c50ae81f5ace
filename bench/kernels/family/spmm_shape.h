#pragma once
// What benches of sparse products beside dense ones multiply.

#include <string>

#include "bench/kernels/harness.h"
#include "kernels/spmm/csr.h"

namespace whit::bench {

struct SpmmShape {
  isize n, k, pixels;
  spmm::Block block;
  int largest = 127;  ///< of |w|; for s8
};
inline constexpr int kZeros = 90;  // per cent

inline std::string shape_name(const SpmmShape& s) {
  return std::to_string(s.pixels) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k) + " " +
         std::to_string(kZeros) + "% zeros in " + std::to_string(s.block.rows) + "x" + std::to_string(s.block.lines) +
         (s.largest < 127 ? " |w| to " + std::to_string(s.largest) : "");
}

/// Makes kZeros of the weights [n][k] zeros, block by block.
template <class T>
void put_zeros(Group& group, const SpmmShape& s, std::span<T> weights) {
  const auto drawn = random<s8>(group, s.n * s.k, 32);
  for (isize i = 0; i < s.n * s.k; ++i) {
    const isize n = i / s.k, k = i % s.k;
    // Of each block one draw of another array says whether it is zeros.
    const isize first = n / s.block.rows * s.block.rows * s.k + k / s.block.lines * s.block.lines;
    u32 hash = static_cast<u32>(first) * 2654435761u ^ static_cast<u32>(drawn[static_cast<std::size_t>(first)]);
    hash = (hash ^ hash >> 15) * 2246822519u;
    hash = (hash ^ hash >> 13) % 1000;
    if (hash < kZeros * 10) weights[static_cast<std::size_t>(i)] = 0;
  }
}

}  // namespace whit::bench
