// AVX512-VNNI. vpdpbusd multiplies u8 with s8: the weights are the u8 operand (packed as w + 128, so that nothing is
// done to either operand in the loop) and every row starts at  bias - 128 * (sum of its lhs), computed once per block.
// 32 registers: 12 x 32 holds 24 accumulators, 2 vectors of rhs, a broadcast. vpdpbusd has a latency of 5 on two ports:
// tiles of few rows split k over several accumulators.

#include "kernels/simd_s8/avx512.h"
// after the vector
#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/epilogue.h"
#include "kernels/simd_s8/partial.h"

namespace whit::gemm_s8 {
namespace {

using Int = Vector::Int;

/// 128 * (sum of each row's taps and k), four rows to a vector reduction.
void sum_rows(const Args& args, isize m, isize rows, s32* sums) {
  const Int factor = _mm512_set1_epi8(static_cast<char>(128));
  const isize rest = args.k % 64, whole = args.k - rest;
  const __mmask64 rest_mask = (__mmask64{1} << rest) - 1;
  for (isize row = 0; row < rows; row += 4) {
    Int sum[4];
    WHIT_UNROLL for (int r = 0; r < 4; ++r) {
      sum[r] = _mm512_setzero_si512();
      if (row + r >= rows) continue;
      for (isize t = 0; t < args.taps; ++t) {
        const s8* lhs = lhs_values(args, m + row + r, t);
        for (isize k = 0; k < whole; k += 64) sum[r] = _mm512_dpbusd_epi32(sum[r], factor, _mm512_loadu_si512(lhs + k));
        if (rest) sum[r] = _mm512_dpbusd_epi32(sum[r], factor, _mm512_maskz_loadu_epi8(rest_mask, lhs + whole));
      }
    }
    const Int low = Vector::add(_mm512_unpacklo_epi32(sum[0], sum[1]), _mm512_unpackhi_epi32(sum[0], sum[1]));
    const Int high = Vector::add(_mm512_unpacklo_epi32(sum[2], sum[3]), _mm512_unpackhi_epi32(sum[2], sum[3]));
    const Int lanes = Vector::add(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
    const __m128i quarter = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(sums + row), quarter);
  }
}

struct Block {
  Epilogue epilogue;
  s32 row_sums[kMaxTilesPerBlock * 12];  // a multiple of the four that sum_rows writes at a time
};

struct Vnni {
  static constexpr int kRows = 12, kColumnVectors = 2, kLanes = 16, kGroup = 4;
  static constexpr isize kNr = kColumnVectors * kLanes;

  template <int R, int C>
  WHIT_INLINE static void step(Int (&acc)[R][C], const s8* const (&lhs)[R], isize k, const s8* rhs) {
    Int w[C];
    WHIT_UNROLL for (int c = 0; c < C; ++c) w[c] = _mm512_load_si512(rhs + c * 64);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      const Int x = _mm512_set1_epi32(load_as<s32>(lhs[r] + k));
      WHIT_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = _mm512_dpbusd_epi32(acc[r][c], w[c], x);
    }
  }

  template <int R, int C>
  static void tile(const Tile& tile, const Block& block) {
    constexpr int kSplit = R * C >= 10 ? 1 : R * C >= 4 ? 2 : 4;
    const Args& args = tile.args;
    Int acc[kSplit][R][C];
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const Int bias = _mm512_load_si512(tile.panel + c * 64);
      WHIT_UNROLL for (int r = 0; r < R; ++r) {
        acc[0][r][c] = Vector::sub(bias, Vector::broadcast(block.row_sums[tile.m - tile.block_m + r]));
        WHIT_UNROLL for (int s = 1; s < kSplit; ++s) acc[s][r][c] = _mm512_setzero_si512();
      }
    }
    const s8* rhs = tile.panel + kNr * sizeof(s32);
    const isize rest = args.k % kGroup, whole = args.k - rest;
    const __mmask16 rest_mask = static_cast<__mmask16>((1u << rest) - 1);
    for (isize t = 0; t < args.taps; ++t) {
      const s8* lhs[R];
      WHIT_UNROLL for (int r = 0; r < R; ++r) lhs[r] = lhs_values(args, tile.m + r, t);
      isize k = 0;
      for (; k + kSplit * kGroup <= whole; k += kSplit * kGroup) {
        WHIT_UNROLL for (int s = 0; s < kSplit; ++s) {
          step(acc[s], lhs, k + s * kGroup, rhs);
          rhs += kNr * kGroup;
        }
      }
      if constexpr (kSplit > 1) {
        for (; k < whole; k += kGroup, rhs += kNr * kGroup) step(acc[0], lhs, k, rhs);
      }
      if (rest) {
        WHIT_UNROLL for (int r = 0; r < R; ++r) {
          const Int x = _mm512_broadcastd_epi32(_mm_maskz_loadu_epi8(rest_mask, lhs[r] + whole));
          WHIT_UNROLL for (int c = 0; c < C; ++c) acc[0][r][c] =
              _mm512_dpbusd_epi32(acc[0][r][c], _mm512_load_si512(rhs + c * 64), x);
        }
        rhs += kNr * kGroup;
      }
    }
    WHIT_UNROLL for (int s = 1; s < kSplit; ++s) {
      WHIT_UNROLL for (int r = 0; r < R; ++r) {
        WHIT_UNROLL for (int c = 0; c < C; ++c) acc[0][r][c] = Vector::add(acc[0][r][c], acc[s][r][c]);
      }
    }
    finish(block.epilogue, acc[0], Consecutive{tile.m}, tile.n, static_cast<int>(tile.columns - (C - 1) * kLanes));
  }
};

}  // namespace

void gemm_s8s8s32_12x32k4_avx512vnni(const Args& args, isize m, isize rows, isize n, isize n_end) {
  Block block{.epilogue = {args.epilogue, args.out, args.out_stride}, .row_sums = {}};
  sum_rows(args, m, rows, block.row_sums);
  walk<Vnni>(args, m, rows, n, n_end, block);
}

}  // namespace whit::gemm_s8
