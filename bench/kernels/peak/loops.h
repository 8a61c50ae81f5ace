#pragma once
// The loops that peaks are measured with, which compilers can unroll but not shorten.

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

/// The compiler knows nothing about the value of this vector register from here on.
#if defined(__x86_64__)
#define WHIT_OPAQUE(x) __asm__ volatile("" : "+v"(x))
#else
#define WHIT_OPAQUE(x) __asm__ volatile("" : "+w"(x))
#endif

namespace whit::bench {
namespace {

/// acc = step(acc, x, w) in kChains registers that do not wait for each other, as many as hide the latency. Returns the
/// operations done, two for each of the `products` of a step.
template <int kChains, class Sum, class Operand, class Step>
WHIT_INLINE f64 multiply(u64 rounds, f64 products, Sum zero, Operand x, Step step) {
  Sum acc[kChains];
  Operand w = x;
  WHIT_UNROLL
  for (Sum& a : acc) a = zero;
  WHIT_OPAQUE(w);
  for (u64 i = 0; i < rounds; ++i) {
    WHIT_UNROLL
    for (Sum& a : acc) {
      WHIT_OPAQUE(x);  // else what does not depend on acc would be computed once
      a = step(a, x, w);
    }
  }
  WHIT_UNROLL
  for (Sum& a : acc) WHIT_OPAQUE(a);
  return static_cast<f64>(rounds) * kChains * products * 2;
}

/// Reads `bytes`, a multiple of 512, in vectors of kVectorBytes.
template <std::size_t kVectorBytes, class Load>
WHIT_INLINE void read(const std::byte* data, std::size_t bytes, Load load) {
  for (std::size_t i = 0; i < bytes; i += 512) {
    WHIT_UNROLL
    for (std::size_t j = 0; j < 512; j += kVectorBytes) {
      auto x = load(data + i + j);
      WHIT_OPAQUE(x);
    }
  }
}

}  // namespace
}  // namespace whit::bench
