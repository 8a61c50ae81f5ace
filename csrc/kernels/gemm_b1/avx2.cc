// AVX2, by tables. Four bits x of a row and those of a column, i, differ in T[i] = popcount(x ^ i) places: 16 bytes,
// which PSHUFB looks up for the i of 32 columns at once. Lanes are columns, and bytes count up to 255, that is over 63
// steps of four bits:
//     vpshufb   32 columns x 4 bits        vpaddb   to byte counts
// are 128 products in two instructions. XOR and popcounts by PSHUFB would be eight for 256.
// 16 registers: 4 x 64 holds 8 vectors of counts, 2 of columns, a table.

#include "kernels/simd_b1/avx2.h"
#include "kernels/simd_s8/avx2.h"
// after the vectors
#include "kernels/gemm_b1/finish.h"

namespace whit::gemm_b1 {
namespace {

using Int = Vector::Int;

constexpr int kRows = 4, kNr = 64, kColumns = 32;
constexpr isize kWord = 8;        // bytes of a row that become steps together
constexpr isize kWords = 3;       // of them between flushes: 48 steps, counts up to 192
constexpr isize kMostU16 = 8184;  // bytes of a row whose count fits in u16: a multiple of kWord * kWords
constexpr isize kSteps = 2 * kWord * kWords;

/// Table x is at 16 * x.
alignas(64) constexpr struct Tables {
  constexpr Tables() {
    for (int x = 0; x < 16; ++x)
      for (int i = 0; i < 16; ++i) {
        const int bits = x ^ i;
        count[16 * x + i] = static_cast<u8>((bits & 1) + (bits >> 1 & 1) + (bits >> 2 & 1) + (bits >> 3));
      }
  }
  u8 count[256] = {};
} kTables;

WHIT_INLINE Int load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
WHIT_INLINE void store(u16* p, Int x) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), x); }

/// Adds what a table has for a vector of columns. As one piece, since compilers add up several such things first, and
/// run out of registers.
WHIT_INLINE void add(Int& acc, Int table, Int columns) {
  Int found;
  __asm__("vpshufb %[columns], %[table], %[found]\n\tvpaddb %[found], %[acc], %[acc]"
          : [acc] "+x"(acc), [found] "=&x"(found)
          : [table] "x"(table), [columns] "x"(columns));
}

/// The tables of `bytes` bytes of a row, lower four bits first, as their offsets.
WHIT_INLINE void table_offsets(const u8* row, isize bytes, u8* offsets) {
  const __m128i upper = _mm_set1_epi8(static_cast<char>(0xf0));
  for (isize i = 0; i < bytes; i += kWord) {
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i));
    const __m128i both = _mm_unpacklo_epi8(_mm_slli_epi16(x, 4), x);
    _mm_store_si128(reinterpret_cast<__m128i*>(offsets + 2 * i), _mm_and_si128(both, upper));
  }
}

/// Popcounts of R rows, at most kMostU16 bytes of them, and C vectors of columns.
template <int R, int C>
WHIT_INLINE void count_u16(const u8* const (&row)[R], isize bytes, const u8* rhs, u16* counts) {
  for (isize begin = 0; begin < bytes; begin += kWord * kWords) {
    const isize some = bytes - begin < kWord * kWords ? bytes - begin : kWord * kWords;
    alignas(16) u8 offsets[R][kSteps];
    WHIT_UNROLL for (int r = 0; r < R; ++r) table_offsets(row[r] + begin, some, offsets[r]);
    Int acc[R][C];
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = _mm256_setzero_si256();
    }
    for (isize i = 0; i < 2 * some; i += 2) {
      WHIT_UNROLL for (int step = 0; step < 2; ++step, rhs += kNr) {
        Int w[C];
        WHIT_UNROLL for (int c = 0; c < C; ++c) w[c] = load(rhs + c * kColumns);
        WHIT_UNROLL for (int r = 0; r < R; ++r) {
          const u8* table = kTables.count + offsets[r][i + step];
          const Int x = _mm256_broadcastsi128_si256(*reinterpret_cast<const __m128i*>(table));
          WHIT_UNROLL for (int c = 0; c < C; ++c) add(acc[r][c], x, w[c]);
        }
      }
    }
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < C; ++c) {  // columns i and 16 + i are side by side
        u16* p = counts + r * kNr + c * kColumns;
        const Int low = _mm256_and_si256(acc[r][c], _mm256_set1_epi16(0xff)), high = _mm256_srli_epi16(acc[r][c], 8);
        store(p, begin == 0 ? low : _mm256_add_epi16(load(p), low));
        store(p + 16, begin == 0 ? high : _mm256_add_epi16(load(p + 16), high));
      }
    }
  }
}

template <int R, int C>
WHIT_INLINE void count_tile(const u8* lhs, isize stride, isize row_bytes, const u8* rhs, s32* counts) {
  alignas(64) u16 some[R * kNr];
  for (isize begin = 0; begin < row_bytes; begin += kMostU16) {
    const u8* row[R];
    WHIT_UNROLL for (int r = 0; r < R; ++r) row[r] = lhs + r * stride + begin;
    count_u16<R, C>(row, row_bytes - begin < kMostU16 ? row_bytes - begin : kMostU16, rhs + begin * 2 * kNr, some);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      for (int i = r * kNr; i < r * kNr + C * kColumns; i += Vector::kLanes) {
        const Int count = _mm256_cvtepu16_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(some + i)));
        Vector::store(counts + i, begin == 0 ? count : Vector::add(count, Vector::load(counts + i)));
      }
    }
  }
}

template <int C>
[[gnu::noinline]] void panel_times_rows(const Args& args, const Rows& rows, isize row_bytes, const u8* panel, isize m,
                                        isize count, isize n, isize columns) {
  alignas(64) s32 counts[kRows * kNr];
  for_each_tile<kRows>(count, [&]<int R>(isize first) __attribute__((always_inline)) {
    count_tile<R, C>(rows.bits + first * rows.stride, rows.stride, row_bytes, panel, counts);
    finish<kNr>(args, counts, R, m + first, n, columns);
  });
}

}  // namespace

void gemm_b1b1s32_4x64k4_avx2(const Args& args, const Rows& rows, isize row_bytes, isize m, isize count, isize n,
                              isize n_end) {
  const isize stride = panel_bytes(Layout::nibbles, kNr, row_bytes);
  const u8* panel = reinterpret_cast<const u8*>(args.packed) + n / kNr * stride;
  for (; n < n_end; n += kNr, panel += stride) {
    const isize columns = n_end - n < kNr ? n_end - n : kNr;
    const auto times_rows = columns > kColumns ? panel_times_rows<2> : panel_times_rows<1>;
    times_rows(args, rows, row_bytes, panel, m, count, n, columns);
  }
}

}  // namespace whit::gemm_b1
