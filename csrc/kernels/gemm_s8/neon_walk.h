#pragma once
// What the kernels of ARMv8 share: tiles of 4 rows x 16 columns, rows read in place. So large a tile keeps what is not
// multiplication small, and a row of the epilogue is one store. The kernels differ in a Body:
//
//     kGroup                                   k side by side in a panel: 2, 4 or 8
//     Accumulators<R, C>                       of R rows x C vectors of 4 columns, C 4 or 2
//     start(acc, from)                         from[16] in every row
//     step(acc, x, rhs)                        8 k: x, and 128 bytes of a panel; unless kReadsRows
//     last_step(acc, x, rhs, count)            the first 1 to 7 of them; what follows these is multiplied by zeros
//     sums(acc, sums[R][C])                    where Accumulators<R, C> are no such array themselves
//     kInterleaves                             whether it pays to put rows side by side before several panels
//     step(acc, side_by_side, rhs)             8 k of the 4 rows of a tile, 8 bytes of each; where kInterleaves
//     kReadsRows                               whether it takes x from the rows itself, many steps at a time:
//     steps(acc, lhs[R], rhs, runs, begin)     begin() and all whole 8 k of a tap; lhs, rhs, and runs of kernel.h move

#include <type_traits>

#include "kernels/gemm_s8/kernel.h"
#include "kernels/gemm_s8/tile.h"
#include "kernels/simd_s8/neon_epilogue.h"

namespace whit::gemm_s8 {
namespace {

using Int = Vector::Int;

constexpr int kTileRows = 4, kPanelColumns = 16;

/// 8 k of each row of a tile, the last row up to the end of the tile. Longer than a tile: GCC takes an array of up to
/// four vectors for one operand and copies it whole.
using Lhs8 = int8x8_t[2 * kTileRows];

/// x, taken from compilers' sight, which would make its lanes in other ways than taking them from it.
WHIT_INLINE int8x8_t settled(int8x8_t x) {
  __asm__("" : "+w"(x));
  return x;
}

/// p, of which compilers must take it that it may have changed: they load from it again instead of copying registers,
/// which would take the time of multiplications.
WHIT_INLINE const s32* again(const s32* p) {
  __asm__ volatile("" : "+r"(p));
  return p;
}

/// Where the rows of a tile are: one after another, where a table says, or side by side in a buffer.
enum class Layout { in_place, indirect, interleaved };

/// In registers of its own, since the compiler must take it that every byte stored to the output may change what memory
/// holds.
template <Layout kLayout>
struct Rows {
  WHIT_INLINE Rows(const Lhs& lhs, isize taps, isize m)
      : base(lhs.base), step(kLayout == Layout::indirect ? taps : lhs.row_stride), pad(lhs.pad), offsets(lhs.offsets) {
    advance(m);
  }

  template <int R>
  WHIT_INLINE void tap(isize t, const s8* (&p)[R]) const {
    if constexpr (kLayout == Layout::indirect) {
      const s32* offset = offsets + t;
      WHIT_UNROLL for (int r = 0; r < R; ++r, offset += step) p[r] = *offset >= 0 ? base + *offset : pad;
    } else {
      WHIT_UNROLL for (int r = 0; r < R; ++r) p[r] = r ? p[r - 1] + step : base;
    }
  }

  WHIT_INLINE void advance(isize rows) {
    if constexpr (kLayout == Layout::indirect) {
      offsets += rows * step;
    } else {
      base += rows * step;
    }
  }

  const s8* base;
  isize step;
  const s8* pad;
  const s32* offsets;
};

/// A panel, its columns from n, and what it is multiplied over.
struct Panel {
  const s8* values;
  const u8* runs;  // see mild_bytes
  isize n, columns, taps, k;
  const EpilogueColumns* finish;  // of a kind other than general
  WHIT_INLINE isize groups() const { return taps * ((k + 7) / 8); }
};

/// The last `count` of k bytes, which are at p, 1 <= count <= 7, without touching a byte from outside of the k.
WHIT_INLINE int8x8_t load_last(const s8* p, isize k, isize count) {
  return vcreate_s8(k >= 8 ? load_as<u64>(p + count - 8) >> (64 - 8 * count) : load_first_u64(p, count));
}

/// The epilogue from memory, for every case that has no code of its own: once, instead of in every tile.
[[gnu::noinline]] inline void finish_sums(const NeonEpilogue& epilogue, const s32* sums, isize rows, isize m, isize n,
                                          isize columns) {
  for (; rows > 0; --rows, ++m, sums += kPanelColumns) {
    if (columns == kPanelColumns) {
      Int row[1][4] = {{vld1q_s32(sums), vld1q_s32(sums + 4), vld1q_s32(sums + 8), vld1q_s32(sums + 12)}};
      finish(epilogue, row, Consecutive{m}, n, Vector::kLanes);
    } else {
      for (isize c = 0; c < columns; c += 4) {
        Int part[1][1] = {{vld1q_s32(sums + c)}};
        finish(epilogue, part, Consecutive{m}, n + c, static_cast<int>(columns - c < 4 ? columns - c : 4));
      }
    }
  }
}

template <class Body, int R, int C, class Accumulators>
WHIT_INLINE void store_sums(Accumulators& acc, s32* out) {
  const auto store = [&](const auto& sums) {
    WHIT_UNROLL for (int r = 0; r < R; ++r) {
      WHIT_UNROLL for (int c = 0; c < C; ++c) vst1q_s32(out + r * kPanelColumns + 4 * c, sums[r][c]);
    }
  };
  if constexpr (std::is_same_v<Accumulators, Int[R][C]>) {
    store(acc);
  } else {
    Int sums[R][C];
    Body::sums(acc, sums);
    store(sums);
  }
}

/// R rows x C vectors of columns.
template <class Body, EpilogueKind kKind, EpilogueForm kForm, int R, int C, Layout kLayout>
WHIT_INLINE void tile(const Rows<kLayout>& rows, const Panel& panel, const NeonEpilogue& epilogue, isize m) {
  constexpr isize kBytesOf8 = 8 * kPanelColumns;
  typename Body::template Accumulators<R, C> acc;
  constexpr bool kGeneral = kKind == EpilogueKind::general;
  const s32* start = kGeneral ? reinterpret_cast<const s32*>(panel.values) : panel.finish->start;
  const s8* rhs = panel.values + kPanelColumns * sizeof(s32);
  if constexpr (kLayout == Layout::interleaved) {
    const s8* lhs = rows.base;
    Body::start(acc, start);
    for (isize i = panel.groups(); i > 0; --i, lhs += 8 * kTileRows, rhs += kBytesOf8) Body::step(acc, lhs, rhs);
  } else {
    const u8* runs = panel.runs;
    if constexpr (Body::kReadsRows && kLayout == Layout::indirect) Body::start(acc, again(start));
    isize t = 0;
    do {
      const s8* lhs[R];
      Lhs8 x;
      rows.tap(t, lhs);
      if constexpr (Body::kReadsRows) {
        const auto begin = [&]() __attribute__((always_inline)) {
          if constexpr (kLayout == Layout::in_place) Body::start(acc, again(start));
        };
        panel.k >= 8 ? Body::steps(acc, lhs, rhs, runs, begin) : begin();
      } else if (isize k = panel.k; k >= 8) {
        // In every branch, where the first multiplications hide what loading takes.
        if (t == 0) Body::start(acc, again(start));
        do {
          WHIT_UNROLL for (int r = 0; r < R; ++r, lhs[r - 1] += 8) x[r] = settled(vld1_s8(lhs[r]));
          WHIT_UNROLL for (int r = R; r < kTileRows; ++r) x[r] = x[R - 1];
          Body::step(acc, x, rhs);
          k -= 8, rhs += kBytesOf8;
        } while (k >= 8);
      } else if (t == 0) {
        Body::start(acc, again(start));
      }
      if (const isize rest = panel.k & 7) {
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = settled(load_last(lhs[r], panel.k, rest));
        WHIT_UNROLL for (int r = R; r < kTileRows; ++r) x[r] = x[R - 1];
        Body::last_step(acc, x, rhs, rest);
        rhs += (rest + Body::kGroup - 1) / Body::kGroup * Body::kGroup * kPanelColumns;
      }
    } while (kLayout == Layout::indirect && ++t < panel.taps);
  }
  const Consecutive out_rows{m};
  if constexpr (kGeneral) {
    s32 sums[R * kPanelColumns];
    store_sums<Body, R, C>(acc, sums);
    finish_sums(epilogue, sums, R, m, panel.n, panel.columns);
  } else if constexpr (std::is_same_v<decltype(acc), Int[R][C]>) {
    finish<kKind, kForm>(epilogue, *panel.finish, acc, out_rows, panel.n);
  } else {
    Int sums[R][C];
    Body::sums(acc, sums);
    finish<kKind, kForm>(epilogue, *panel.finish, sums, out_rows, panel.n);
  }
}

/// Fewer rows than a tile has, of any kind of epilogue.
template <class Body, int R, int C, Layout kLayout>
[[gnu::noinline]] void last_rows(const Rows<kLayout>& rows, const Panel& panel, const NeonEpilogue& epilogue, isize m,
                                 isize count) {
  if constexpr (R > 1) {
    if (count < R) return last_rows<Body, R - 1, C>(rows, panel, epilogue, m, count);
  }
  tile<Body, EpilogueKind::general, EpilogueForm::any, R, C>(rows, panel, epilogue, m);
}

/// A panel times all rows.
template <class Body, EpilogueKind kKind, EpilogueForm kForm, int C, Layout kLayout>
[[gnu::noinline]] void panel_times_rows(Rows<kLayout> rows, const Panel& shared_panel,
                                        const NeonEpilogue& shared_epilogue, isize m, isize m_end) {
  const Panel panel = shared_panel;
  const NeonEpilogue epilogue = shared_epilogue;
  for (; m + kTileRows <= m_end; m += kTileRows, rows.advance(kTileRows))
    tile<Body, kKind, kForm, kTileRows, C>(rows, panel, epilogue, m);
  if (m < m_end) last_rows<Body, kTileRows - 1, C>(rows, shared_panel, shared_epilogue, m, m_end - m);
}

/// 8 k of the 4 rows of a tile side by side, tile after tile; the last row again where a tile has fewer.
template <Layout kLayout>
void interleave(Rows<kLayout> rows, isize count, isize taps, isize k, s8* out) {
  for (; count > 0; count -= kTileRows, rows.advance(kTileRows)) {
    for (isize t = 0; t < taps; ++t) {
      const s8* lhs[kTileRows];
      if (count >= kTileRows) {
        rows.tap(t, lhs);
      } else {
        Rows<kLayout> row = rows;
        for (int r = 0; r < kTileRows; ++r) {
          const s8* one[1];
          row.tap(t, one);
          lhs[r] = one[0];
          if (r + 1 < count) row.advance(1);
        }
      }
      for (isize i = k; i > 0; i -= 8, out += 8 * kTileRows) {
        WHIT_UNROLL for (int r = 0; r < kTileRows; ++r, lhs[r - 1] += 8)
            vst1_s8(out + 8 * r, i >= 8 ? vld1_s8(lhs[r]) : load_last(lhs[r], k, i));
      }
    }
  }
}

/// Panels outside, so that a panel stays in L1 over the rows of a block. A last panel of neither 16
/// nor 8 columns takes the general epilogue.
template <class Body, EpilogueKind kKind, Layout kLayout>
void walk_panels(const Args& args, const Rows<kLayout>& rows, const NeonEpilogue& epilogue, isize m, isize m_end,
                 isize n, isize n_end) {
  const isize stride = panel_bytes(kPanelColumns, Body::kGroup, args.taps, args.k);
  const isize runs = kPanelColumns * static_cast<isize>(sizeof(s32)) +
                     args.taps * ((args.k + Body::kGroup - 1) / Body::kGroup * Body::kGroup) * kPanelColumns;
  const s8* values = reinterpret_cast<const s8*>(args.packed) + n / kPanelColumns * stride;
  for (; n < n_end; n += kPanelColumns, values += stride) {
    const isize columns = n_end - n < kPanelColumns ? n_end - n : kPanelColumns;
    const auto times_rows = [&]<EpilogueKind kEpilogue, int C>() {
      const u8* mild = reinterpret_cast<const u8*>(values + runs);
      Panel panel{values, mild, n, columns, args.taps, args.k, nullptr};
      if constexpr (kEpilogue == EpilogueKind::general) {
        panel_times_rows<Body, kEpilogue, EpilogueForm::any, C>(rows, panel, epilogue, m, m_end);
      } else {
        const s8* reach = values + stride - kPanelColumns * sizeof(f32);
        EpilogueColumns finish;
        epilogue.columns(reinterpret_cast<const s32*>(values), reinterpret_cast<const f32*>(reach), n, columns, finish);
        panel.finish = &finish;
        with_form(finish.form, [&]<EpilogueForm kForm>() {
          panel_times_rows<Body, kEpilogue, kForm, C>(rows, panel, epilogue, m, m_end);
        });
      }
    };
    if (columns == 16) {
      times_rows.template operator()<kKind, 4>();
    } else if (columns == 8) {
      times_rows.template operator()<kKind, 2>();
    } else if (columns > 8) {
      times_rows.template operator()<EpilogueKind::general, 4>();
    } else {
      times_rows.template operator()<EpilogueKind::general, 2>();
    }
  }
}

/// The same, from a buffer where that pays.
template <class Body, EpilogueKind kKind, Layout kLayout>
void walk_rows(const Args& args, const NeonEpilogue& epilogue, isize m, isize m_end, isize n, isize n_end) {
  const Rows<kLayout> rows(args.lhs, args.taps, m);
  if constexpr (Body::kInterleaves) {
    constexpr isize kBufferBytes = 20 << 10;  // a block of rows is 16 KiB unless one tile is larger
    const isize row_bytes = args.taps * ((args.k + 7) / 8 * 8), tiles = (m_end - m + kTileRows - 1) / kTileRows;
    if (n_end - n > 2 * kPanelColumns && tiles * kTileRows * row_bytes <= kBufferBytes) {
      alignas(64) s8 buffer[kBufferBytes];
      interleave(rows, m_end - m, args.taps, args.k, buffer);
      const Rows<Layout::interleaved> copies({buffer, row_bytes, nullptr, nullptr}, args.taps, 0);
      return walk_panels<Body, kKind>(args, copies, epilogue, m, m_end, n, n_end);
    }
  }
  walk_panels<Body, kKind>(args, rows, epilogue, m, m_end, n, n_end);
}

template <class Body>
WHIT_INLINE void walk_panels(const Args& args, isize m, isize rows, isize n, isize n_end) {
  const NeonEpilogue epilogue(args.epilogue, args.out, args.out_stride);
  with_kind(epilogue_kind(args.epilogue, n, n_end), [&]<EpilogueKind kKind>() {
    if (args.lhs.offsets) {
      walk_rows<Body, kKind, Layout::indirect>(args, epilogue, m, m + rows, n, n_end);
    } else {
      walk_rows<Body, kKind, Layout::in_place>(args, epilogue, m, m + rows, n, n_end);
    }
  });
}

}  // namespace
}  // namespace whit::gemm_s8
