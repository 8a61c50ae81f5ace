#pragma once
// What the tests of f32 kernels share: random numbers, bits, and the epilogue and the sums as docs/NUMERICS.md has
// them.

#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/epilogue.h"
#include "test_support.h"

namespace whit::test {

inline constexpr f32 kInf = std::numeric_limits<f32>::infinity();
inline constexpr f32 kNan = std::numeric_limits<f32>::quiet_NaN();
/// Fills what a kernel must not write. A NaN that no arithmetic makes.
inline constexpr u32 kUntouched = 0x7fc5a5a5;

inline u32 bits(f32 x) { return std::bit_cast<u32>(x); }

inline bool coin(Random& random) { return random.integer(0, 1) == 1; }

/// `count` numbers in [-1, 1] beside a guard page, behind or before them.
inline Guarded<f32> units(Random& random, isize count) {
  Guarded<f32> values(count, coin(random) ? Guarded<f32>::Side::end : Guarded<f32>::Side::begin);
  random.fill_reals(values.span(), -1, 1);
  return values;
}

/// An output of `count` elements that nobody has written.
inline Guarded<f32> untouched(isize count) {
  Guarded<f32> values(count);
  for (f32& v : values.span()) v = std::bit_cast<f32>(kUntouched);
  return values;
}

/// How a kernel of this level adds a product to an accumulator.
inline f32 multiply_add(Isa isa, f32 a, f32 b, f32 acc) {
  return isa == Isa::scalar ? acc + a * b : std::fma(a, b, acc);
}

/// Of a sum of `terms` products (the bias counts as one) of numbers in [-1, 1].
inline f64 sum_bound(isize terms) {
  return static_cast<f64>(std::numeric_limits<f32>::epsilon()) * static_cast<f64>(terms) * 2;
}

inline f32 epilogue(const EpilogueF32& e, f32 t, f32 residual) {
  if (e.residual) t = t + residual;
  if (e.activation == Activation::hard_swish) {
    f32 g = t * (1.0f / 6) + 0.5f;
    g = 0 > g ? 0 : g;
    g = 1 < g ? 1 : g;
    t = t * g;
  }
  t = e.clamp_min > t ? e.clamp_min : t;
  return e.clamp_max < t ? e.clamp_max : t;
}

inline EpilogueF32 no_epilogue() {
  EpilogueF32 e;
  e.clamp_min = -kInf;
  e.clamp_max = kInf;
  return e;
}

/// A random choice of residual (to be filled in by the caller), activation and clamp.
inline EpilogueF32 random_epilogue(Random& random) {
  EpilogueF32 e = no_epilogue();
  if (coin(random)) e.activation = Activation::hard_swish;
  if (coin(random)) e.clamp_min = coin(random) ? 0.0f : -0.375f;
  if (coin(random)) e.clamp_max = 0.625f;
  return e;
}

}  // namespace whit::test
