#pragma once
// Loops that the compiler can unroll (WHIT_UNROLL), but not shorten.

#include "kernels/simd_f32/unroll.h"

/// The compiler knows nothing about the value of this vector register from here on.
#if defined(__x86_64__)
#define WHIT_OPAQUE(x) __asm__ volatile("" : "+v"(x))
#else
#define WHIT_OPAQUE(x) __asm__ volatile("" : "+w"(x))
#endif
