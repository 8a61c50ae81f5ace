// AVX-512 with VPOPCNTDQ. Lanes are columns. XOR, popcount and addition would be three instructions for 512 bits on two
// ports. Instead two words of k, of 32 bits each, and `ones`, the bits that no earlier pair has used up, go through a
// full adder, whose three outputs VPTERNLOG makes of the operands in one instruction each, the XOR included:
//     u = ones ^ x0 ^ w0        s = u ^ x1 ^ w1, the next ones        carry = majority(ones, x0 ^ w0, x1 ^ w1)
// where the majority is a function of ones, u and s. Its popcount counts for two: five instructions for 1024 bits.
// 32 registers: 3 x 64 holds 12 accumulators, as many `ones`, and operands.

#include <cstdint>

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

/// Popcounts of R rows and C vectors of columns. Rows are pieces of piece_bytes each, piece_of(row, piece).
template <int R, int C, class PieceOf>
WHIT_INLINE void count_tile(isize pieces, isize piece_bytes, PieceOf piece_of, const u8* rhs, s32* counts) {
  Int pairs[R][C], ones[R][C];
  WHIT_UNROLL for (int r = 0; r < R; ++r) {
    WHIT_UNROLL for (int c = 0; c < C; ++c) pairs[r][c] = ones[r][c] = _mm512_setzero_si512();
  }
  const auto word = [](const u8* p) {
    s32 value;
    std::memcpy(&value, p, sizeof(value));
    return Vector::broadcast(value);
  };
  for (isize piece = 0; piece < pieces; ++piece) {
    const u8* row[R];
    WHIT_UNROLL for (int r = 0; r < R; ++r) row[r] = piece_of(r, piece);
    for (isize k = 0; k < piece_bytes; k += 2 * kWord, rhs += 2 * kWord * kNr) {
      WHIT_UNROLL for (int r = 0; r < R; ++r) {
        const Int x0 = word(row[r] + k), x1 = word(row[r] + k + kWord);
        WHIT_UNROLL for (int c = 0; c < C; ++c) {
          const u8* w = rhs + c * kLanes * kWord;
          add(pairs[r][c], ones[r][c], x0, x1, w, w + kNr * kWord);
        }
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

/// Rows in one piece each.
struct InPlace {
  InPlace(const Args&, const Rows& rows, isize row_bytes, isize) : rows(rows), pieces(1), piece_bytes(row_bytes) {}
  WHIT_INLINE const u8* operator()(isize row, isize) const { return rows.bits + row * rows.stride; }
  const Rows rows;
  const isize pieces, piece_bytes;
};

/// Rows from m on by the offsets of their taps.
struct Taps {
  Taps(const Args& args, const Rows&, isize row_bytes, isize m)
      : pieces(args.taps),
        piece_bytes(row_bytes / pieces),
        base(reinterpret_cast<std::uintptr_t>(args.lhs.base)),
        pad(reinterpret_cast<std::uintptr_t>(args.lhs.pad)),
        offsets(args.lhs.offsets + m * pieces) {}
  /// Without a branch, since the padding is not predicted well.
  WHIT_INLINE const u8* operator()(isize row, isize piece) const {
    const isize offset = offsets[row * pieces + piece];
    const auto outside = static_cast<std::uintptr_t>(offset >> 63);
    return reinterpret_cast<const u8*>(((base + static_cast<std::uintptr_t>(offset)) & ~outside) | (pad & outside));
  }
  const isize pieces, piece_bytes;
  const std::uintptr_t base, pad;
  const s32* const offsets;
};

template <class Form, int C>
[[gnu::noinline]] void panel_times_rows(const Args& args, const Rows& rows, isize row_bytes, const u8* panel, isize m,
                                        isize count, isize n, isize columns) {
  const Form form(args, rows, row_bytes, m);
  const auto count_rows = [&]<int R>(isize first, s32* counts) __attribute__((always_inline)) {
    const auto piece_of = [&](isize r, isize piece) __attribute__((always_inline)) { return form(first + r, piece); };
    count_tile<R, C>(form.pieces, form.piece_bytes, piece_of, panel, counts);
  };
  count_and_finish<kRows, kNr>(args, m, count, n, columns, count_rows);
}

template <class Form>
void multiply(const Args& args, const Rows& rows, isize row_bytes, isize m, isize count, isize n, isize n_end) {
  const isize stride = panel_bytes(Layout::words, kNr, row_bytes);
  const u8* panel = reinterpret_cast<const u8*>(args.packed) + n / kNr * stride;
  for (; n < n_end; n += kNr, panel += stride) {
    const isize columns = n_end - n < kNr ? n_end - n : kNr;
    const auto times_rows = columns > 2 * kLanes ? panel_times_rows<Form, 4>
                            : columns > kLanes   ? panel_times_rows<Form, 2>
                                                 : panel_times_rows<Form, 1>;
    times_rows(args, rows, row_bytes, panel, m, count, n, columns);
  }
}

}  // namespace

void gemm_b1b1s32_3x64k32_avx512icl(const Args& args, const Rows& rows, isize row_bytes, isize m, isize count, isize n,
                                    isize n_end) {
  (rows.bits ? multiply<InPlace> : multiply<Taps>)(args, rows, row_bytes, m, count, n, n_end);
}

}  // namespace whit::gemm_b1
