#pragma once
// The number types used everywhere, spelled as in the file format and the docs.

#include <cstddef>
#include <cstdint>

namespace whit {

using s8 = std::int8_t;
using u8 = std::uint8_t;
using s16 = std::int16_t;
using u16 = std::uint16_t;
using s32 = std::int32_t;
using u32 = std::uint32_t;
using s64 = std::int64_t;
using u64 = std::uint64_t;
using f32 = float;
using f64 = double;
using isize = std::ptrdiff_t;

/// Payloads, packed weights and arena tensors start on this boundary.
inline constexpr std::size_t kAlignment = 64;

constexpr isize ceil_div(isize a, isize b) { return (a + b - 1) / b; }
constexpr isize round_up(isize a, isize b) { return ceil_div(a, b) * b; }
/// `bytes`, at most PTRDIFF_MAX - alignment, rounded up.
constexpr std::size_t aligned_size(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace whit
