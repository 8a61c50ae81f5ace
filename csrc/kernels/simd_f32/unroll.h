#pragma once

/// Before a loop of constant trip count: unroll it fully, so that arrays indexed by it live in registers.
#if defined(__clang__)
#define WHIT_UNROLL _Pragma("unroll")
#else
#define WHIT_UNROLL _Pragma("GCC unroll 64")
#endif
#define WHIT_INLINE [[gnu::always_inline]] inline
