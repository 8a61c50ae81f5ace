#pragma once
// Arithmetic on sizes that come from a file or a caller: every step may overflow, none may wrap.

#include "base/types.h"

namespace whit {

/// out = a + b; false on overflow.
[[nodiscard]] inline bool checked_add(s64 a, s64 b, s64* out) { return !__builtin_add_overflow(a, b, out); }
/// out = a * b; false on overflow.
[[nodiscard]] inline bool checked_mul(s64 a, s64 b, s64* out) { return !__builtin_mul_overflow(a, b, out); }

/// The product of sizes that are not negative, in bytes to allocate. What the address space cannot hold becomes
/// SIZE_MAX, which no AlignedBuffer has.
template <class... Sizes>
[[nodiscard]] std::size_t allocation_bytes(Sizes... sizes) {
  s64 bytes = 1;
  const bool fits = (checked_mul(bytes, static_cast<s64>(sizes), &bytes) && ...);
  return fits && bytes <= PTRDIFF_MAX ? static_cast<std::size_t>(bytes) : SIZE_MAX;
}

}  // namespace whit
