#pragma once
// vpdpbusd multiplies u8 with s8: the weights are the u8 operand (packed as w + 128, so that nothing is done to either
// operand in the loop) and every row starts at  bias - 128 * (sum of its lhs), computed once per block. Its latency is
// 5 cycles on two ports: tiles of few rows split k over several accumulators.
//
// Include a file before that defines Vector (see simd_s8) and struct Dot with
//     kRows, kColumnVectors                        of a tile
//     Int dot4(Int acc, Int w, Int x)              acc + the four products of every lane, w of u8
//     sum_rows(args, m, rows, s32* sums)           128 * (sum of all taps of each row), and up to three more sums

#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/partial.h"
#include "kernels/simd_s8/x86_epilogue.h"

namespace whit::gemm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kLanes = Vector::kLanes, kGroup = 4;
constexpr isize kNr = Dot::kColumnVectors * kLanes;
constexpr int kAhead = 48;  // groups of k that weights are fetched ahead

/// What tiles of a panel share.
struct Panel {
  const Args& args;
  const Epilogue& epilogue;
  const EpilogueColumns<Dot::kColumnVectors>& columns;
  const s32* row_sums;  // of row m_begin on
  const s8* values;
  isize m_begin, n, count;
};

/// R rows that follow each other in memory: a pointer for every four of them, which reaches the others by an index.
template <int R>
struct InPlace {
  WHIT_INLINE InPlace(const Args& args, isize m) : stride(args.lhs.row_stride), stride3(3 * args.lhs.row_stride) {
    WHIT_UNROLL for (int q = 0; q < kPointers; ++q) rows[q] = args.lhs.base + (m + 4 * q) * stride;
    __asm__("" : "+r"(stride3));  // else compilers would make it anew in every step
  }
  WHIT_INLINE void tap(const Args&, isize) {}
  WHIT_INLINE const s8* operator[](int r) const {
    return rows[r / 4] + (r % 4 == 0 ? 0 : r % 4 == 1 ? stride : r % 4 == 2 ? 2 * stride : stride3);
  }
  WHIT_INLINE void advance(isize bytes) {
    WHIT_UNROLL for (int q = 0; q < kPointers; ++q) {
      rows[q] += bytes;
      __asm__("" : "+r"(rows[q]));  // else compilers would keep all R of them
    }
  }

  static constexpr int kPointers = (R + 3) / 4;
  const s8* rows[kPointers];
  isize stride, stride3;
};

/// R rows with a pointer each.
template <int R>
struct Anywhere {
  WHIT_INLINE Anywhere(const Args& args, isize m) : first(m) { tap(args, 0); }
  WHIT_INLINE void tap(const Args& args, isize t) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) rows[r] = lhs_values(args, first + r, t);
    k = 0;
  }
  WHIT_INLINE const s8* operator[](int r) const { return rows[r] + k; }
  WHIT_INLINE void advance(isize bytes) { k += bytes; }

  const s8* rows[R];
  isize first, k = 0;
};

template <int R, int C>
WHIT_INLINE void step(Int (&acc)[R][C], const u32 (&lhs)[R], const s8* rhs) {
  Int w[C];
  WHIT_UNROLL for (int c = 0; c < C; ++c) w[c] = Vector::load(reinterpret_cast<const s32*>(rhs) + c * kLanes);
  WHIT_UNROLL for (int r = 0; r < R; ++r) {
    const Int x = Vector::broadcast(static_cast<s32>(lhs[r]));
    WHIT_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = Dot::dot4(acc[r][c], w[c], x);
  }
}

/// R rows from m on times C vectors of columns.
template <template <int> class Rows, EpilogueForm kForm, int R, int C>
WHIT_INLINE void tile(const Panel& panel, isize m) {
  constexpr int kSplit = R * C >= 10 ? 1 : R * C >= 4 ? 2 : 4;
  // Every integer instruction of the loop may take the time of a multiplication, on one of the same ports.
  constexpr int kUnroll = R == Dot::kRows ? 4 : kSplit;
  const Args& args = panel.args;
  Int acc[kSplit][R][C];
  WHIT_UNROLL for (int c = 0; c < C; ++c) {
    const s32* bias = reinterpret_cast<const s32*>(panel.values);
    const Int start = Vector::load((kForm == EpilogueForm::general ? bias : panel.columns.start) + c * kLanes);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      acc[0][r][c] = Vector::sub(start, Vector::broadcast(panel.row_sums[m - panel.m_begin + r]));
      WHIT_UNROLL for (int s = 1; s < kSplit; ++s) acc[s][r][c] = Vector::broadcast(s32{0});
    }
  }
  const s8* rhs = panel.values + kNr * sizeof(s32);
  Rows<R> lhs(args, m);
  for (isize t = 0;;) {
    u32 x[R];
    isize k = args.k;
    for (; k >= kUnroll * kGroup; k -= kUnroll * kGroup) {
      WHIT_UNROLL for (int s = 0; s < kUnroll; ++s) {
        // Panels longer than L1 come from L2 or, once per block of rows, from farther away.
        WHIT_UNROLL for (int i = 0; i < kNr * kGroup; i += 64)
            __builtin_prefetch(rhs + (kAhead + s) * kNr * kGroup + i);
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_as<u32>(lhs[r] + s * kGroup);
        step(acc[s % kSplit], x, rhs + s * kNr * kGroup);
      }
      lhs.advance(kUnroll * kGroup);
      rhs += kUnroll * kNr * kGroup;
    }
    if constexpr (kUnroll > 1) {
      for (; k >= kGroup; k -= kGroup, rhs += kNr * kGroup) {
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_as<u32>(lhs[r]);
        step(acc[0], x, rhs);
        lhs.advance(kGroup);
      }
    }
    if (k > 0) {
      WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_first_u32(lhs[r], k);
      step(acc[0], x, rhs);
      rhs += kNr * kGroup;
    }
    if (++t == args.taps) break;
    lhs.tap(args, t);
  }
  WHIT_UNROLL for (int s = 1; s < kSplit; ++s) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < C; ++c) acc[0][r][c] = Vector::add(acc[0][r][c], acc[s][r][c]);
    }
  }
  finish<kForm>(panel.epilogue, panel.columns, acc[0], Consecutive{m}, panel.n,
                static_cast<int>(panel.count - (C - 1) * kLanes));
}

/// Fewer rows than a tile has, wherever they are, in any form.
template <int R, int C>
[[gnu::noinline]] void last_tile(const Panel& panel, isize m, isize rows) {
  if constexpr (R > 1) {
    if (rows < R) return last_tile<R - 1, C>(panel, m, rows);
  }
  tile<Anywhere, EpilogueForm::general, R, C>(panel, m);
}

/// A panel times rows [m, m_end). The last rows are spread evenly: 13 rows are tiles of 7 and 6, not of 12 and 1.
template <template <int> class Rows, EpilogueForm kForm, int C>
[[gnu::noinline]] void panel_times_rows(const Panel& panel, isize m, isize m_end) {
  constexpr isize kRows = Dot::kRows;
  for (; m_end - m >= 2 * kRows || m_end - m == kRows; m += kRows) tile<Rows, kForm, kRows, C>(panel, m);
  if (const isize rest = m_end - m; rest > kRows) {
    last_tile<kRows - 1, C>(panel, m, rest / 2);
    m += rest / 2;
  }
  if (m < m_end) last_tile<kRows, C>(panel, m, m_end - m);
}

WHIT_INLINE void multiply_vnni(const Args& args, isize m, isize rows, isize n, isize n_end) {
  constexpr EpilogueForm kGeneral = EpilogueForm::general;
  const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
  s32 row_sums[kMaxTilesPerBlock * Dot::kRows + 3];
  Dot::sum_rows(args, m, rows, row_sums);
  const isize stride = panel_bytes(kNr, kGroup, args.taps, args.k);
  const s8* values = reinterpret_cast<const s8*>(args.packed) + n / kNr * stride;
  for (; n < n_end; n += kNr, values += stride) {
    const isize count = n_end - n < kNr ? n_end - n : kNr;
    EpilogueColumns<Dot::kColumnVectors> columns;
    const Panel panel{args, epilogue, columns, row_sums, values, m, n, count};
    if (count <= kLanes) {
      panel_times_rows<Anywhere, kGeneral, 1>(panel, m, m + rows);
    } else if (args.lhs.offsets) {
      panel_times_rows<Anywhere, kGeneral, 2>(panel, m, m + rows);
    } else {
      const f32* reach = reinterpret_cast<const f32*>(values + stride) - kNr;
      columns.set(args.epilogue, reinterpret_cast<const s32*>(values), reach, n, count);
      with_form(columns.form, [&]<EpilogueForm kForm>() { panel_times_rows<InPlace, kForm, 2>(panel, m, m + rows); });
    }
  }
}

}  // namespace
}  // namespace whit::gemm_s8
