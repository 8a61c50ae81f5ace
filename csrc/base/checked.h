#pragma once
// Arithmetic on sizes that come from a file or a caller: every step may overflow, none may wrap.

#include "base/types.h"

namespace whit {

/// out = a + b; false on overflow.
[[nodiscard]] inline bool checked_add(s64 a, s64 b, s64* out) { return !__builtin_add_overflow(a, b, out); }
/// out = a * b; false on overflow.
[[nodiscard]] inline bool checked_mul(s64 a, s64 b, s64* out) { return !__builtin_mul_overflow(a, b, out); }

}  // namespace whit
