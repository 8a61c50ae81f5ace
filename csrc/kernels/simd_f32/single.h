#pragma once
// A vector of one lane, multiply and add rounded apart: what makes a reference of code that is written for vectors. For
// files named scalar.cc alone: everything is local to the file that includes it.

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

struct Vector {
  using Register = f32;
  static constexpr int kLanes = 1;

  static Register load(const f32* p) { return *p; }
  static void store(f32* p, Register r) { *p = r; }
  static Register load_first(const f32* p, int) { return *p; }
  static void store_first(f32* p, Register r, int) { *p = r; }
  static Register broadcast(f32 x) { return x; }
  static Register fma(Register a, Register b, Register c) { return a * b + c; }
  static Register mul(Register a, Register b) { return a * b; }
  static Register add(Register a, Register b) { return a + b; }
  static Register sub(Register a, Register b) { return a - b; }
  static Register max(Register t, Register x) { return x > t ? x : t; }
  static Register min(Register t, Register x) { return x < t ? x : t; }
};

}  // namespace
}  // namespace whit
