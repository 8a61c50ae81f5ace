#pragma once
// For families that are one table of functions per ISA level.

#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/test_support.h"

namespace whit::test {

/// Calls check(table) for every level that can run here, and notes it; fails where one of family_levels() has no table.
template <class Table, class Check>
void for_each_level(std::span<const Table* const> tables, Check&& check) {
  const IsaSet levels = runnable_isa();
  IsaSet covered;
  for (const Table* table : tables) {
    if (!levels.has(table->isa)) continue;
    covered = covered.with(table->isa);
    note_kernel(std::string(WHIT_FAMILY "_") + isa_name(table->isa));
    INFO("level ", std::string(isa_name(table->isa)));
    check(*table);
  }
  CHECK(isa_list(covered) == isa_list(family_levels()));
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

/// Zero for subnormal numbers, as NEON of ARMv7 reads and writes them.
inline f32 flushed(f32 x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }
inline s8 flushed(s8 x) { return x; }
/// Whether `got` is what a level may compute where the scalar level computes `wanted`: the same, except that neon32 may
/// lose what is below 2^-126, multiplied by at most 2^7 afterwards (docs/NUMERICS.md, Subnormal numbers on ARMv7).
inline bool agrees(Isa isa, f32 wanted, f32 got) {
  return same_value(wanted, got) || (isa == Isa::neon32 && std::fabs(wanted - got) <= 0x1p-119f);
}
inline bool agrees(Isa, s32 wanted, s32 got) { return wanted == got; }

/// Index of the first difference of two buffers, or -1.
template <class A, class B>
isize first_difference(const A& a, const B& b) {
  for (isize i = 0; i < static_cast<isize>(a.size()); ++i)
    if (!same_value(a[i], b[i])) return i;
  return -1;
}

/// The same by agrees().
template <class A, class B>
isize first_disagreement(Isa isa, const A& wanted, const B& got) {
  for (isize i = 0; i < static_cast<isize>(got.size()); ++i)
    if (!agrees(isa, wanted[i], got[i])) return i;
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
