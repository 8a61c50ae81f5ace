#pragma once
// vpdpbusd multiplies u8 with s8. The weights are packed as w + 128 so that they can be the u8 operand, and nothing is
// done to either operand in the loop: every row starts at  bias - 128 * (sum of its lhs), computed once per block. For
// short rows those sums cost more than the products do. So tiles of them take a copy of the lhs, as x + 128, for the u8
// operand, and a copy of the panel as s8, whose columns start at  bias - 128 * (sum of the column).
// The latency is 5 cycles on two ports: tiles of few rows split k over several accumulators.
//
// Include a file before that defines Vector (see simd_s8) and struct Dot with
//     kRows, kColumnVectors                        of a tile
//     Int dot4(Int acc, Int u, Int s)              acc + the four products of every lane, u of u8
//     sum_rows(args, m, rows, s32* sums)           128 * (sum of all taps of each row), and up to three more sums
//     copy_rows(args, m, rows, isize stride, s8*)  the k bytes of each row + 128, `stride` bytes apart, a multiple of
//     32

#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/partial.h"
#include "kernels/simd_s8/x86_epilogue.h"

namespace whit::gemm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kLanes = Vector::kLanes, kGroup = 4;
constexpr isize kNr = Dot::kColumnVectors * kLanes;
constexpr int kAhead = 48;  // groups of k that weights are fetched ahead

/// Of 16 registers, compilers give the loop all accumulators only beside an epilogue that is short.
constexpr bool kPlentyRegisters = Vector::kMasked;

constexpr isize kCopiedStep = 32;        // row strides of a copy are multiples of it
constexpr isize kMostCopiedK = 64;       // longer rows are read where they are
constexpr isize kMostCopied = 24 << 10;  // bytes of a block's copy

/// A copy of rows, and room for one of a panel.
struct Copy {
  const s8* rows = nullptr;  // null if there is none
  isize stride = 0;
  s8* values = nullptr;
};

/// What tiles of a panel share.
struct Panel {
  const Args& args;
  const Epilogue& epilogue;
  const EpilogueColumns<Dot::kColumnVectors>& columns;
  const s32* row_sums;  // of row m_begin on
  const Copy& copy;     // from row m_begin on
  const s8* values;
  isize m_begin, n, count;
};

/// R rows `stride` apart: a pointer for every four of them, which reaches the others by an index.
template <int R>
struct Evenly {
  WHIT_INLINE Evenly(const s8* first, isize row_stride) : stride(row_stride), stride3(3 * row_stride) {
    WHIT_UNROLL for (int q = 0; q < kPointers; ++q) rows[q] = first + 4 * q * stride;
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

/// Rows that follow each other in memory.
template <int R>
struct InPlace : Evenly<R> {
  static constexpr bool kCopied = false;
  WHIT_INLINE InPlace(const Panel& panel, isize m)
      : Evenly<R>(panel.args.lhs.base + m * panel.args.lhs.row_stride, panel.args.lhs.row_stride) {}
};

/// Rows of the copy.
template <int R>
struct Copied : Evenly<R> {
  static constexpr bool kCopied = true;
  WHIT_INLINE Copied(const Panel& panel, isize m)
      : Evenly<R>(panel.copy.rows + (m - panel.m_begin) * panel.copy.stride, panel.copy.stride) {}
};

/// R rows with a pointer each.
template <int R>
struct Anywhere {
  static constexpr bool kCopied = false;
  WHIT_INLINE Anywhere(const Panel& panel, isize m) : first(m) { tap(panel.args, 0); }
  WHIT_INLINE void tap(const Args& args, isize t) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) rows[r] = lhs_values(args, first + r, t);
    k = 0;
  }
  WHIT_INLINE const s8* operator[](int r) const { return rows[r] + k; }
  WHIT_INLINE void advance(isize bytes) { k += bytes; }

  const s8* rows[R];
  isize first, k = 0;
};

template <bool kCopied, int R, int C>
WHIT_INLINE void step(Int (&acc)[R][C], const u32 (&lhs)[R], const s8* rhs) {
  Int w[C];
  WHIT_UNROLL for (int c = 0; c < C; ++c) w[c] = Vector::load(reinterpret_cast<const s32*>(rhs) + c * kLanes);
  WHIT_UNROLL for (int r = 0; r < R; ++r) {
    const Int x = Vector::broadcast(static_cast<s32>(lhs[r]));
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      acc[r][c] = kCopied ? Dot::dot4(acc[r][c], x, w[c]) : Dot::dot4(acc[r][c], w[c], x);
    }
  }
}

/// R rows from m on times C vectors of columns.
template <template <int> class Rows, EpilogueForm kForm, int R, int C, bool kFetches = R != 1>
WHIT_INLINE void tile(const Panel& panel, isize m) {
  constexpr int kSplit = R * C >= 10 ? 1 : R * C >= 4 ? 2 : 4;
  // Every integer instruction of the loop may take the time of a multiplication, on one of the same ports.
  constexpr int kUnroll = R == Dot::kRows ? 4 : kSplit;
  constexpr bool kCopied = Rows<R>::kCopied;
  const Args& args = panel.args;
  Int acc[kSplit][R][C];
  WHIT_UNROLL for (int c = 0; c < C; ++c) {
    const s32* bias = reinterpret_cast<const s32*>(panel.values);
    const Int start =
        Vector::load((kForm == EpilogueForm::general && !kCopied ? bias : panel.columns.start) + c * kLanes);
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      acc[0][r][c] = kCopied ? start : Vector::sub(start, Vector::broadcast(panel.row_sums[m - panel.m_begin + r]));
      WHIT_UNROLL for (int s = 1; s < kSplit; ++s) acc[s][r][c] = Vector::broadcast(s32{0});
    }
  }
  const s8* rhs = kCopied ? panel.copy.values : panel.values + kNr * sizeof(s32);
  Rows<R> lhs(panel, m);
  for (isize t = 0;;) {
    u32 x[R];
    isize k = kCopied ? (args.k + kGroup - 1) / kGroup * kGroup : args.k;
    for (; k >= kUnroll * kGroup; k -= kUnroll * kGroup) {
      WHIT_UNROLL for (int s = 0; s < kUnroll; ++s) {
        // Panels longer than L1 come from L2 or, once per block of rows, from farther away.
        if constexpr (!kCopied && kFetches) {
          WHIT_UNROLL for (int i = 0; i < kNr * kGroup; i += 64)
              __builtin_prefetch(rhs + (kAhead + s) * kNr * kGroup + i);
        }
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_as<u32>(lhs[r] + s * kGroup);
        step<kCopied>(acc[s % kSplit], x, rhs + s * kNr * kGroup);
      }
      lhs.advance(kUnroll * kGroup);
      rhs += kUnroll * kNr * kGroup;
    }
    if constexpr (kUnroll > 1) {
      for (; k >= kGroup; k -= kGroup, rhs += kNr * kGroup) {
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_as<u32>(lhs[r]);
        step<kCopied>(acc[0], x, rhs);
        lhs.advance(kGroup);
      }
    }
    if (!kCopied && k > 0) {
      WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = load_first_u32(lhs[r], k);
      step<kCopied>(acc[0], x, rhs);
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
  finish<kForm>(panel.epilogue, panel.columns, acc[0], m, panel.n, static_cast<int>(panel.count - (C - 1) * kLanes));
}

/// Two rows or more, but fewer than a tile has, wherever they are, in any form.
template <int R, int C>
[[gnu::noinline]] void last_tile(const Panel& panel, isize m, isize rows) {
  if constexpr (R > 2) {
    if (rows < R) return last_tile<R - 1, C>(panel, m, rows);
  }
  tile<Anywhere, EpilogueForm::general, R, C>(panel, m);
}

/// A panel times some whole tiles of rows.
template <template <int> class Rows, EpilogueForm kForm, int C>
[[gnu::noinline]] void panel_times_tiles(const Panel& panel, isize m, isize m_end) {
  for (; m < m_end; m += Dot::kRows) tile<Rows, kForm, Dot::kRows, C>(panel, m);
}

/// A panel times one row. What is in L2 the CPU fetches better itself, as the single stream that it is.
template <int C>
[[gnu::noinline]] void single_row(const Panel& panel, isize m) {
  constexpr isize kMuch = 4 << 20;
  if (s64{panel.args.n} * panel.args.taps * panel.args.k > kMuch)
    return tile<Anywhere, EpilogueForm::general, 1, C, true>(panel, m);
  tile<Anywhere, EpilogueForm::general, 1, C>(panel, m);
}

/// A panel times the last rows, which are spread evenly: 13 rows are tiles of 7 and 6, not of 12 and 1.
template <int C>
void panel_times_last(const Panel& panel, isize m, isize m_end) {
  if (m_end - m == 1) return single_row<C>(panel, m);
  if (const isize rest = m_end - m; rest > Dot::kRows) {
    last_tile<Dot::kRows - 1, C>(panel, m, rest / 2);
    m += rest / 2;
  }
  if (m < m_end) last_tile<Dot::kRows, C>(panel, m, m_end - m);
}

/// A panel as s8; takes 128 * (sum of the column) off `start`.
template <int C>
WHIT_INLINE void copy_panel(const s8* values, isize groups, s8* out, s32* start) {
  const Int sign = Vector::broadcast(static_cast<s32>(0x80808080));
  Int sum[C];
  WHIT_UNROLL for (int c = 0; c < C; ++c) sum[c] = Vector::broadcast(s32{0});
  for (isize g = 0; g < groups; ++g) {
    WHIT_UNROLL for (int c = 0; c < C; ++c) {
      const isize at = g * kNr * kGroup + c * kLanes * kGroup;
      const Int w = Vector::exclusive_or(Vector::load(reinterpret_cast<const s32*>(values + at)), sign);
      sum[c] = Dot::dot4(sum[c], sign, w);
      Vector::store(reinterpret_cast<s32*>(out + at), w);
    }
  }
  WHIT_UNROLL for (int c = 0; c < C; ++c)
      Vector::store(start + c * kLanes, Vector::sub(Vector::load(start + c * kLanes), sum[c]));
}

/// Rows [m, m_end), whole tiles up to tiles_end, times the panels. Those that are not in the copy have sums.
WHIT_INLINE void multiply_panels(const Args& args, isize m, isize tiles_end, isize m_end, isize n, isize n_end,
                                 const s32* row_sums, const Copy& copy) {
  const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
  const isize stride = panel_bytes(kNr, kGroup, args.taps, args.k);
  const s8* values = reinterpret_cast<const s8*>(args.packed) + n / kNr * stride;
  for (; n < n_end; n += kNr, values += stride) {
    const isize count = n_end - n < kNr ? n_end - n : kNr;
    EpilogueColumns<Dot::kColumnVectors> columns;
    const Panel panel{args, epilogue, columns, row_sums, copy, values, m, n, count};
    const auto multiply = [&]<int C>() {
      if (kPlentyRegisters && args.lhs.offsets) {
        panel_times_tiles<Anywhere, EpilogueForm::general, C>(panel, m, tiles_end);
      } else if (m < tiles_end) {
        const f32* reach = reinterpret_cast<const f32*>(values + stride) - kNr;
        columns.template set<C>(epilogue, reinterpret_cast<const s32*>(values), reach, n, count);
        if (copy.rows)
          copy_panel<C>(values + kNr * sizeof(s32), (args.k + kGroup - 1) / kGroup, copy.values, columns.start);
        with_form(columns.form, [&]<EpilogueForm kForm>() {
          if (copy.rows) return panel_times_tiles<Copied, kForm, C>(panel, m, tiles_end);
          if constexpr (!kPlentyRegisters) {
            if (args.lhs.offsets) return panel_times_tiles<Anywhere, kForm, C>(panel, m, tiles_end);
          }
          panel_times_tiles<InPlace, kForm, C>(panel, m, tiles_end);
        });
      }
      panel_times_last<C>(panel, tiles_end, m_end);
    };
    count <= kLanes ? multiply.template operator()<1>() : multiply.template operator()<2>();
  }
}

[[gnu::noinline]] void multiply_copy(const Args& args, isize m, isize tiles_end, isize m_end, isize n, isize n_end,
                                     isize copied_stride) {
  alignas(64) s8 rows[kMostCopied], values[kMostCopiedK * kNr];
  s32 row_sums[kMaxTilesPerBlock * Dot::kRows + 3];
  Dot::copy_rows(args, m, tiles_end - m, copied_stride, rows);
  Dot::sum_rows(args, tiles_end, m_end - tiles_end, row_sums + (tiles_end - m));
  multiply_panels(args, m, tiles_end, m_end, n, n_end, row_sums, {rows, copied_stride, values});
}

WHIT_INLINE void multiply_vnni(const Args& args, isize m, isize rows, isize n, isize n_end) {
  constexpr isize kRows = Dot::kRows;
  const isize tiles_end = m + (rows % kRows == 0 ? rows : rows < kRows ? 0 : (rows / kRows - 1) * kRows);
  const isize copied_stride = (args.k + kCopiedStep - 1) / kCopiedStep * kCopiedStep;
  if (!args.lhs.offsets && args.k <= kMostCopiedK && tiles_end - m >= 2 * kRows &&
      (tiles_end - m) * copied_stride <= kMostCopied)
    return multiply_copy(args, m, tiles_end, m + rows, n, n_end, copied_stride);
  s32 row_sums[kMaxTilesPerBlock * kRows + 3];
  Dot::sum_rows(args, m, rows, row_sums);
  multiply_panels(args, m, tiles_end, m + rows, n, n_end, row_sums, {});
}

}  // namespace
}  // namespace whit::gemm_s8
