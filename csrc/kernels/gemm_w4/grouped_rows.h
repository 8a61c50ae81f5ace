#pragma once
// A few rows times panels of groups. Local to the file that includes it. The codes are weights + 8, so 8 * (sum of the
// row) is taken off the sum of a group; a row of ones gives what zero points take off. Include Product of few.h before,
// with sum(sums, r, c), the sums of vector c of columns, and a struct Lanes of such vectors: as Vector of simd_s8, and
//     kRows                                       at a time, at most kMostGroupedRows
//     Float fma(a, b, c)                          a * b + c
//     Float load_f16(const u16* p)

#include <cstring>

#include "kernels/gemm_w4/grouped_kernel.h"

namespace whit::gemm_w4 {
namespace {

/// 8 * (sum over k of a group of x - zero_point), group by group.
WHIT_INLINE void sum_groups(const s8* x, isize k, s32 zero_point, s32* sums) {
  for (; k > 0; k -= kScaleGroup, x += kScaleGroup) {
    const isize count = k < kScaleGroup ? k : kScaleGroup;
    s32 sum = 0;
    for (isize i = 0; i < count; ++i) sum += x[i];
    *sums++ = 8 * (sum - zero_point * static_cast<s32>(count));
  }
}

template <int R, bool kZeroPoint>
[[gnu::noinline]] void grouped_rows(const GroupedArgs& args, isize m, isize n, isize n_end) {
  using Codes4 = Product<4, false>;
  using Float = Lanes::Float;
  using Int = Lanes::Int;
  constexpr isize kNr = Codes4::kNr, kCodesBytes = kStep * kNr / 2;
  constexpr int kVectors = kNr / Lanes::kLanes, kOnes = R, kRows = R + (kZeroPoint ? 1 : 0);
  constexpr u8 kNoTable[16] = {};
  const Codes4 product(kNoTable);
  const isize rest = args.k % kStep, whole = args.k / kStep, groups = whole + (rest ? 1 : 0);
  s32* const eights = reinterpret_cast<s32*>(args.scratch);
  alignas(64) s8 padded[kRows][kStep] = {};
  const s8* rows[kRows];
  Float minus_zero_points[R];
  for (int r = 0; r < R; ++r) {
    const s32 zero_point = kZeroPoint ? args.zero_point[m + r] : 0;
    rows[r] = args.lhs + (m + r) * args.row_stride;
    if (rest) std::memcpy(padded[r], rows[r] + whole * kStep, static_cast<std::size_t>(rest));
    sum_groups(rows[r], args.k, zero_point, eights + r * groups);
    minus_zero_points[r] = Lanes::broadcast(static_cast<f32>(-zero_point));
  }
  if constexpr (kZeroPoint) {
    for (s8& one : padded[kOnes]) one = 1;
    rows[kOnes] = padded[kOnes];
  }
  const std::byte* panel = args.packed + n / kNr * (kNr * 4 + groups * (kCodesBytes + kNr * 2));
  for (; n < n_end; n += kNr) {
    const f32* bias = reinterpret_cast<const f32*>(panel);
    panel += kNr * sizeof(f32);
    Float y[R][kVectors];
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int v = 0; v < kVectors; ++v) y[r][v] = Lanes::broadcast(0.0f);
    }
    for (isize g = 0; g < groups; ++g, panel += kCodesBytes + kNr * 2) {
      const s8* x[kRows];
      WHIT_UNROLL for (int r = 0; r < kRows; ++r) x[r] = g < whole && r != kOnes ? rows[r] + g * kStep : padded[r];
      typename Codes4::template Sums<kRows> sums;
      product.zero(sums);
      product.step(sums, x, reinterpret_cast<const u8*>(panel));
      const u16* scales = reinterpret_cast<const u16*>(panel + kCodesBytes);
      WHIT_UNROLL for (int v = 0; v < kVectors; ++v) {
        const Float scale = Lanes::load_f16(scales + v * Lanes::kLanes);
        WHIT_UNROLL for (int r = 0; r < R; ++r) {
          const Int eight = Lanes::broadcast(eights[r * groups + g]);
          Float sum = Lanes::to_float(Lanes::sub(Codes4::sum(sums, r, v), eight));
          if constexpr (kZeroPoint)  // integers below 2^24: exact, fused or not
            sum = Lanes::fma(Lanes::to_float(Codes4::sum(sums, kOnes, v)), minus_zero_points[r], sum);
          y[r][v] = Lanes::add(y[r][v], Lanes::mul(sum, scale));
        }
      }
    }
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      const Float scale = Lanes::broadcast(args.lhs_scale[m + r]);
      f32* out = args.out + (m + r) * args.out_stride + n;
      WHIT_UNROLL for (int v = 0; v < kVectors; ++v) {
        const isize count = n_end - n - v * Lanes::kLanes;
        if (count <= 0) break;
        const Float t = Lanes::add(Lanes::mul(y[r][v], scale), Lanes::load(bias + v * Lanes::kLanes));
        if (count >= Lanes::kLanes) {
          Lanes::store(out + v * Lanes::kLanes, t);
        } else {
          Lanes::store_first(out + v * Lanes::kLanes, t, static_cast<int>(count));
        }
      }
    }
  }
}

template <bool kZeroPoint, int R = Lanes::kRows>
WHIT_INLINE void grouped_rows(const GroupedArgs& args, isize m, isize rows, isize n, isize n_end) {
  if constexpr (R > 1) {
    if (rows < R) return grouped_rows<kZeroPoint, R - 1>(args, m, rows, n, n_end);
  }
  grouped_rows<R, kZeroPoint>(args, m, n, n_end);
}

WHIT_INLINE void grouped(const GroupedArgs& args, isize m, isize rows, isize n, isize n_end) {
  for (; rows > 0; rows -= Lanes::kRows, m += Lanes::kRows) {
    bool any = false;
    for (isize r = 0; args.zero_point && r < rows; ++r) any |= args.zero_point[m + r] != 0;
    any ? grouped_rows<true>(args, m, rows, n, n_end) : grouped_rows<false>(args, m, rows, n, n_end);
  }
}

}  // namespace
}  // namespace whit::gemm_w4

#define GEMM_W4_GROUPED_LEVEL(isa)                                                                                     \
  void whit::gemm_w4::gemm_s8w4f32_grouped_##isa(const GroupedArgs& args, isize m, isize rows, isize n, isize n_end) { \
    grouped(args, m, rows, n, n_end);                                                                                  \
  }
