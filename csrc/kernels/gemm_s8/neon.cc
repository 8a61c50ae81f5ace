// ARMv8.0 NEON, 32 registers.
//
// 4x4k16: 16 k of a row and of a column at a time. Two products of each of the 8 lanes fit in s16 (128 * 127 * 2 =
// 32512), so  smull, smlal2, sadalp  is 16 products in three instructions; a tile is 16 accumulators, whose four lanes
// are added up at the end, 4 registers of lhs, 1 to 4 of rhs and the products.
//
// 4x16k1, for the few channels of a first layer: one k of a row times 16 columns, both widened to s16,  smlal by lane.

#include "kernels/simd_s8/neon.h"
// after the vector
#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::gemm_s8 {
namespace {

using Int = Vector::Int;

/// `count` bytes, 1 <= count <= 16, and zeros.
WHIT_INLINE int8x16_t load_first_s8x16(const s8* p, isize count) {
  if (count <= 8) return vcombine_s8(vcreate_s8(load_first_u64(p, count)), vdup_n_s8(0));
  return vcombine_s8(vld1_s8(p), vcreate_s8(load_first_u64(p + 8, count - 8)));
}

struct Pairs {
  static constexpr int kRows = 4, kColumnVectors = 1, kLanes = 4, kGroup = 16;

  template <int R>
  WHIT_INLINE static void step(Int (&acc)[R][kLanes], const int8x16_t (&x)[R], const s8* rhs) {
    int8x16_t w[kLanes];
    WHIT_UNROLL for (int c = 0; c < kLanes; ++c) w[c] = vld1q_s8(rhs + c * kGroup);
    WHIT_UNROLL for (int c = 0; c < kLanes; ++c) {
      int16x8_t products[R];
      WHIT_UNROLL for (int r = 0; r < R; ++r) products[r] = vmull_s8(vget_low_s8(x[r]), vget_low_s8(w[c]));
      WHIT_UNROLL for (int r = 0; r < R; ++r) products[r] = vmlal_high_s8(products[r], x[r], w[c]);
      WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][c] = vpadalq_s16(acc[r][c], products[r]);
      keep_order();
    }
  }

  /// The low 8 of 16 k alone.
  template <int R>
  WHIT_INLINE static void half_step(Int (&acc)[R][kLanes], const int8x8_t (&x)[R], const s8* rhs) {
    WHIT_UNROLL for (int c = 0; c < kLanes; ++c) {
      const int8x8_t w = vld1_s8(rhs + c * kGroup);
      WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][c] = vpadalq_s16(acc[r][c], vmull_s8(x[r], w));
    }
  }

  template <int R, int>
  static void tile(const Tile& tile, const Epilogue& epilogue) {
    const Args& args = tile.args;
    Int acc[R][kLanes];
    WHIT_UNROLL for (int r = 0; r < R; ++r) { WHIT_UNROLL for (int c = 0; c < kLanes; ++c) acc[r][c] = vdupq_n_s32(0); }
    const s8* rhs = tile.panel + kLanes * sizeof(s32);
    const isize rest = args.k % kGroup, whole = args.k - rest;
    for (isize t = 0; t < args.taps; ++t) {
      const s8* lhs[R];
      WHIT_UNROLL for (int r = 0; r < R; ++r) lhs[r] = lhs_values(args, tile.m + r, t);
      for (isize k = 0; k < whole; k += kGroup, rhs += kLanes * kGroup) {
        int8x16_t x[R];
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = vld1q_s8(lhs[r] + k);
        step(acc, x, rhs);
      }
      if (rest > 8) {
        int8x16_t x[R];
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_first_s8x16(lhs[r] + whole, rest);
        step(acc, x, rhs);
        rhs += kLanes * kGroup;
      } else if (rest) {
        int8x8_t x[R];
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = vcreate_s8(load_first_u64(lhs[r] + whole, rest));
        half_step(acc, x, rhs);
        rhs += kLanes * kGroup;
      }
    }
    const Int bias = vld1q_s32(reinterpret_cast<const s32*>(tile.panel));
    Int sums[R][1];
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      const Int low = vpaddq_s32(acc[r][0], acc[r][1]), high = vpaddq_s32(acc[r][2], acc[r][3]);
      sums[r][0] = vaddq_s32(bias, vpaddq_s32(low, high));
    }
    finish(epilogue, sums, Consecutive{tile.m}, tile.n, static_cast<int>(tile.columns));
  }
};

struct Lanes {
  static constexpr int kRows = 4, kColumnVectors = 4, kLanes = 4, kGroup = 1;
  static constexpr isize kNr = kColumnVectors * kLanes;

  /// Lanes [kLane, count) of x times as many rows of rhs.
  template <int kLane, int R, int C>
  WHIT_INLINE static void step(Int (&acc)[R][C], const int16x8_t (&x)[R], const s8* rhs, isize count) {
    if constexpr (kLane < 8) {
      if (kLane == count) return;
      const int8x16_t bytes = vld1q_s8(rhs + kLane * kNr);
      const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
      WHIT_UNROLL for (int r = 0; r < R; ++r) {
        acc[r][0] = vmlal_laneq_s16(acc[r][0], vget_low_s16(low), x[r], kLane);
        if constexpr (C > 1) acc[r][1] = vmlal_high_laneq_s16(acc[r][1], low, x[r], kLane);
        if constexpr (C > 2) acc[r][2] = vmlal_laneq_s16(acc[r][2], vget_low_s16(high), x[r], kLane);
        if constexpr (C > 3) acc[r][3] = vmlal_high_laneq_s16(acc[r][3], high, x[r], kLane);
      }
      keep_order();
      step<kLane + 1>(acc, x, rhs, count);
    }
  }

  template <int R, int C>
  static void tile(const Tile& tile, const Epilogue& epilogue) {
    const Args& args = tile.args;
    Int acc[R][C];
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const Int bias = vld1q_s32(reinterpret_cast<const s32*>(tile.panel) + c * kLanes);
      WHIT_UNROLL for (int r = 0; r < R; ++r) acc[r][c] = bias;
    }
    const s8* rhs = tile.panel + kNr * sizeof(s32);
    for (isize t = 0; t < args.taps; ++t) {
      const s8* lhs[R];
      int16x8_t x[R];
      WHIT_UNROLL for (int r = 0; r < R; ++r) lhs[r] = lhs_values(args, tile.m + r, t);
      isize k = 0;
      for (; k + 8 <= args.k; k += 8, rhs += 8 * kNr) {
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = vmovl_s8(vld1_s8(lhs[r] + k));
        step<0>(acc, x, rhs, 8);
      }
      if (const isize rest = args.k - k) {
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = vmovl_s8(vcreate_s8(load_first_u64(lhs[r] + k, rest)));
        step<0>(acc, x, rhs, rest);
        rhs += rest * kNr;
      }
    }
    finish(epilogue, acc, Consecutive{tile.m}, tile.n, static_cast<int>(tile.columns - (C - 1) * kLanes));
  }
};

}  // namespace

void gemm_s8s8s32_4x4k16_neon(const Args& args, isize m, isize rows, isize n, isize n_end) {
  walk<Pairs>(args, m, rows, n, n_end, Epilogue(args.epilogue, args.out, args.out_stride));
}

void gemm_s8s8s32_4x16k1_neon(const Args& args, isize m, isize rows, isize n, isize n_end) {
  walk<Lanes>(args, m, rows, n, n_end, Epilogue(args.epilogue, args.out, args.out_stride));
}

}  // namespace whit::gemm_s8
