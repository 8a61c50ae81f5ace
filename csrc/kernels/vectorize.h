#pragma once
// For kernels that are portable C++ and leave the instructions to the compiler: the loops stand in a .inc file that
// includes nothing, and scalar.cc, avx2.cc, ... of the family include it inside an anonymous namespace, so that each
// level is compiled with its own flags and exports one table of functions and nothing else.

/// Bodies of vectorised loops are built from these.
#define WHIT_INLINE [[gnu::always_inline]] inline
/// The same for a lambda, after its parameters.
#define WHIT_LAMBDA_INLINE __attribute__((always_inline))

/// Before a loop whose pointers are either the same or do not overlap: element i is read before it is written and
/// nothing else is shared. Without it GCC runs the in-place case element by element.
/// NEON of ARMv7 takes subnormal numbers for zero, so compilers leave f32 loops scalar there. Clang makes them vectors
/// if asked for one loop at a time, with nothing else changed. GCC would need -funsafe-math-optimizations, which
/// changes more: with GCC 12 x * (1 + y) becomes x + x * y, so its f32 loops stay scalar (those on s8 have code of
/// their own).
#if defined(__clang__) && defined(__arm__) && defined(__ARM_NEON)
#pragma clang diagnostic ignored "-Wpass-failed"  // some loops divide, which is no vector instruction
#define WHIT_VECTOR_LOOP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__clang__)
#define WHIT_VECTOR_LOOP
#else
#define WHIT_VECTOR_LOOP _Pragma("GCC ivdep")
#endif
