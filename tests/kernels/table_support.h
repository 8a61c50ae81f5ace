#pragma once
// For families that are one table of functions per ISA level.

#include <cstring>
#include <span>
#include <vector>

#include "kernels/test_support.h"

namespace whit::test {

/// Calls check(table) for every level that can run here; fails where a runnable level has no table.
template <class Table, class Check>
void for_each_level(std::span<const Table* const> tables, Check&& check) {
  IsaSet covered;
  for (const Table* table : tables) {
    if (!runnable_isa().has(table->isa)) continue;
    covered = covered.with(table->isa);
    INFO("level ", std::string(isa_name(table->isa)));
    check(*table);
  }
  INFO("levels with tables: ", isa_list(covered), "; levels of this machine: ", isa_list(runnable_isa()));
  CHECK(covered == runnable_isa());
}

inline u32 bits_of(f32 x) {
  u32 bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline f32 f32_of(u32 bits) {
  f32 x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

/// The same bits, or both NaN (whose sign depends on the CPU).
inline bool same_value(f32 a, f32 b) { return bits_of(a) == bits_of(b) || (a != a && b != b); }
inline bool same_value(s32 a, s32 b) { return a == b; }

/// Index of the first difference of two buffers, or -1.
template <class A, class B>
isize first_difference(const A& a, const B& b) {
  for (isize i = 0; i < static_cast<isize>(a.size()); ++i)
    if (!same_value(a[i], b[i])) return i;
  return -1;
}

/// Values that break careless code.
inline std::vector<f32> special_values() {
  const f32 inf = __builtin_inff();
  return {0.0f,    -0.0f,    inf,           -inf,           __builtin_nanf(""),
          1.0f,    -1.0f,    0.5f,          -0.5f,          1.5f,
          -1.5f,   2.5f,     -2.5f,         3.0f,           -3.0f,
          1e-45f,  -1e-45f,  0x1p-126f,     -0x1p-126f,     0x1p-127f,
          127.f,   -128.f,   255.0f,        256.0f,         8388607.5f,
          0x1p23f, -0x1p23f, 16777215.f,    0x1p24f,        0x1p31f,
          -2e9f,   -0x1p31f, 3.4028235e38f, -3.4028235e38f, 88.5f,
          -88.5f,  89.5f,    -103.9f,       -104.5f,        1e6f};
}

}  // namespace whit::test
