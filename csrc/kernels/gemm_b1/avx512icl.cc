// AVX-512 with VPOPCNTDQ. Lanes are columns. XOR, popcount and addition would be three instructions for 512 bits on two
// ports. Instead two words of k, of 32 bits each, and `ones`, the bits that no earlier pair has used up, go through a
// full adder, whose three outputs VPTERNLOG makes of the operands in one instruction each, the XOR included:
//     u = ones ^ x0 ^ w0        s = u ^ x1 ^ w1, the next ones        carry = majority(ones, x0 ^ w0, x1 ^ w1)
// where the majority is a function of ones, u and s. Its popcount counts for two: five instructions for 1024 bits.
// 32 registers: 3 x 64 holds 12 accumulators, as many `ones`, and operands.

#include "kernels/simd_b1/avx512.h"
#include "kernels/simd_s8/avx512.h"
// after the vectors
#include "kernels/gemm_b1/finish.h"

namespace whit::gemm_b1 {
namespace {

using Int = Vector::Int;

constexpr int kRows = 3, kNr = 64, kLanes = Vector::kLanes, kWord = 4;

/// Adds to `pairs` how often two of the bits that count are found, of ones and of two words of a row and columns. As
/// one piece, since compilers copy so much that accumulators end up in memory.
WHIT_INLINE void add(Int& pairs, Int& ones, Int x0, Int x1, const u8* w0, const u8* w1) {
  Int u, s;
  __asm__(
      "vmovdqu64 %[w0], %[u]\n\t"
      "vpternlogd $0x96, %[x0], %[ones], %[u]\n\t"
      "vmovdqu64 %[w1], %[s]\n\t"
      "vpternlogd $0x96, %[x1], %[u], %[s]\n\t"
      "vpternlogd $0x74, %[s], %[u], %[ones]\n\t"  // majority(ones, ones ^ u, u ^ s)
      "vpopcntd %[ones], %[u]\n\t"
      "vpaddd %[u], %[pairs], %[pairs]\n\t"
      "vmovdqa64 %[s], %[ones]"
      : [pairs] "+v"(pairs), [ones] "+v"(ones), [u] "=&v"(u), [s] "=&v"(s)
      : [x0] "v"(x0), [x1] "v"(x1), [w0] "m"(*reinterpret_cast<const Int*>(w0)),
        [w1] "m"(*reinterpret_cast<const Int*>(w1)));
}

/// Popcounts of R rows and C vectors of columns.
template <int R, int C>
WHIT_INLINE void count_tile(const u8* lhs, isize stride, isize row_bytes, const u8* rhs, s32* counts) {
  const u8* row[R];
  WHIT_UNROLL for (int r = 0; r < R; ++r) row[r] = lhs + r * stride;
  Int pairs[R][C], ones[R][C];
  WHIT_UNROLL for (int r = 0; r < R; ++r) {
    WHIT_UNROLL for (int c = 0; c < C; ++c) pairs[r][c] = ones[r][c] = _mm512_setzero_si512();
  }
  const auto word = [](const u8* p) {
    s32 value;
    std::memcpy(&value, p, sizeof(value));
    return Vector::broadcast(value);
  };
  for (isize k = 0; k < row_bytes; k += 2 * kWord, rhs += 2 * kWord * kNr) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      const Int x0 = word(row[r] + k), x1 = word(row[r] + k + kWord);
      WHIT_UNROLL for (int c = 0; c < C; ++c) {
        const u8* w = rhs + c * kLanes * kWord;
        add(pairs[r][c], ones[r][c], x0, x1, w, w + kNr * kWord);
      }
    }
  }
  WHIT_UNROLL for (int r = 0; r < R; ++r) {
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const Int twice = Vector::add(pairs[r][c], pairs[r][c]);
      Vector::store(counts + r * kNr + c * kLanes, Vector::add(twice, _mm512_popcnt_epi32(ones[r][c])));
    }
  }
}

template <int C>
[[gnu::noinline]] void panel_times_rows(const Args& args, const Rows& rows, isize row_bytes, const u8* panel, isize m,
                                        isize count, isize n, isize columns) {
  alignas(64) s32 counts[kRows * kNr] = {};
  for_each_tile<kRows>(count, [&]<int R>(isize first) __attribute__((always_inline)) {
    count_tile<R, C>(rows.bits + first * rows.stride, rows.stride, row_bytes, panel, counts);
    finish<kNr>(args, counts, R, m + first, n, columns);
  });
}

}  // namespace

void gemm_b1b1s32_3x64k32_avx512icl(const Args& args, const Rows& rows, isize row_bytes, isize m, isize count, isize n,
                                    isize n_end) {
  const isize stride = panel_bytes(Layout::words, kNr, row_bytes);
  const u8* panel = reinterpret_cast<const u8*>(args.packed) + n / kNr * stride;
  for (; n < n_end; n += kNr, panel += stride) {
    const isize columns = n_end - n < kNr ? n_end - n : kNr;
    const auto times_rows = columns > 2 * kLanes ? panel_times_rows<4>
                            : columns > kLanes   ? panel_times_rows<2>
                                                 : panel_times_rows<1>;
    times_rows(args, rows, row_bytes, panel, m, count, n, columns);
  }
}

}  // namespace whit::gemm_b1
