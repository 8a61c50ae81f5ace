#pragma once
// Depthwise convolution on x86: a four-way dot product of bytes takes four taps of a channel, which unpacking lays side
// by side.
//
// Unpacking and packing work within 128 bits, 16 channels: four registers of kChannels bytes, one per tap, become four
// vectors of dwords; vector i has channels 4i to 4i + 3 of every 16. Narrowing their four sums to bytes puts channels
// in order again, so nothing is ever moved across a register. Packed weights, biases and scales have the vectors'
// order.
//
// Which taps share a group of four: quads.h.
//
// Include a file before that defines Vector (see simd_s8) and ForChannels::choose(count, body), which calls body with
// that one of the file's structs which blocks of `count` channels want. They have
//     kChannels, kAccumulators                     channels of a register of bytes; vectors of sums kept at a time
//     kPixels                                      pixels of kChannels channels in a register, see sliding.h
//     Mask mask(count)                             of the first `count` channels, all that load and store touch
//     Bytes, zero(), load(p, mask, zero)
//     keep(zero)                                   compilers load or make constants again and again if they may
//     unpack(taps[4], vectors[4])                  in their order
//     load_operand, store_operand, Int dot4(Int acc, Bytes x, const s8* w)
//     Int, Float, load, to_float, float_bits, mul, fma, round, store: of the epilogue
//     Narrowing(epilogue), narrow, narrow_relu     sums of the forms `plain` and `relu` to bytes

#include <cstdint>
#include <cstring>

#include "kernels/dwconv_s8/quads.h"
#include "kernels/dwconv_s8/taps.h"
#include "kernels/simd_s8/x86_epilogue.h"

namespace whit::dwconv_s8 {
namespace {

WHIT_INLINE int smaller(isize a, isize b) { return static_cast<int>(a < b ? a : b); }

/// What the epilogue of a block of channels needs, in the order of the vectors.
struct Constants {
  alignas(64) s32 start[kBlockChannels];
  alignas(64) f32 scale[kBlockChannels];
  alignas(64) f32 offset[kBlockChannels];
  EpilogueForm form;
};

/// narrow_relu() takes 0 for the lower bound.
WHIT_INLINE bool is_fast_here(const EpilogueS8& epilogue) {
  return is_fast(epilogue) && epilogue.clamp_min <= 0 && (epilogue.clamp_min < 0 || epilogue.clamp_max >= 0);
}

template <class L>
[[gnu::noinline]] void set_constants(const Args& args, isize taps, isize channel, int count, const s8* block,
                                     Constants* constants) {
  // The bias may be that of inputs which are 128 higher.
  const f32 reach = static_cast<f32>(taps) * (2 * 128 * 127);
  const s32* bias = reinterpret_cast<const s32*>(block);
  std::memcpy(constants->start, bias, L::kChannels * sizeof(s32));
  constants->form = EpilogueForm::general;
  if (!is_fast_here(args.epilogue)) return;
  std::memset(constants->scale, 0, sizeof(constants->scale));
  const f32* scale = args.epilogue.scale + channel;
  for (int c = 0; c < count; ++c) constants->scale[c % 16 / 4 * (L::kChannels / 4) + c / 16 * 4 + c % 4] = scale[c];
  constants->form = choose_form(
      args.epilogue, bias, constants->scale, [&](int) { return Vector::broadcast(reach); }, L::kChannels,
      constants->start, constants->offset);
}

struct Pixel {
  isize index;
  WHIT_INLINE bool has(int) const { return true; }
  WHIT_INLINE isize operator[](int) const { return index; }
};
/// The sums of a pixel, every fourth of them `stride` after the last, through the epilogue of every case.
[[gnu::noinline]] void finish_sums(const Epilogue& epilogue, const s32* vectors, int lanes, int stride, isize pixel,
                                   isize channel, int count) {
  alignas(64) s32 sums[kBlockChannels];
  for (int c = 0; c < 4 * lanes; ++c) sums[c] = vectors[c % 16 / 4 * stride + c / 16 * 4 + c % 4];
  for (int c = 0; c < count; c += Vector::kLanes) {
    Vector::Int acc[1][1] = {{Vector::load(sums + c)}};
    finish(epilogue, acc, Pixel{pixel}, channel + c, smaller(Vector::kLanes, count - c));
  }
}

/// One block of channels of some output rows.
template <class L>
struct Block {
  using Int = typename L::Int;
  static constexpr int kLanes = L::kChannels / 4;

  const Epilogue& epilogue;
  const Constants& constants;
  const s8* weights;  // behind the biases
  isize channel;
  int count;
  EpilogueForm form;
  typename L::Mask mask;
  typename L::Narrowing narrowing;

  WHIT_INLINE void start(Int (&acc)[4]) const {
    WHIT_UNROLL for (int v = 0; v < 4; ++v) acc[v] = L::load(constants.start + v * kLanes);
  }

  /// Sums to bytes, in a form other than general.
  WHIT_INLINE typename L::Bytes narrow(const Int (&acc)[4]) const {
    Int x[4];
    if (form == EpilogueForm::relu) {
      WHIT_UNROLL for (int v = 0; v < 4; ++v) {
        x[v] = L::round(L::fma(L::float_bits(acc[v]), L::load(constants.scale + v * kLanes),
                               L::load(constants.offset + v * kLanes)));
      }
      return L::narrow_relu(x, narrowing);
    }
    WHIT_UNROLL for (int v = 0; v < 4; ++v) x[v] =
        L::round(L::mul(L::to_float(acc[v]), L::load(constants.scale + v * kLanes)));
    return L::narrow(x, narrowing);
  }

  /// Stores a pixel, or two neighbours where registers have two, of which `exist` do; in any form.
  WHIT_INLINE void finish_any(const Int (&acc)[4], isize pixel, int exist) const {
    constexpr int kStride = kLanes * L::kPixels;
    alignas(64) s32 vectors[4 * kStride];
    WHIT_UNROLL for (int v = 0; v < 4; ++v) L::store_operand(reinterpret_cast<s8*>(vectors + v * kStride), acc[v]);
    for (int i = 0; i < L::kPixels && i < exist; ++i)
      finish_sums(epilogue, vectors + i * kLanes, kLanes, kStride, pixel + i, channel, count);
  }

  WHIT_INLINE void finish(const Int (&acc)[4], isize pixel, int exist = 1) const {
    if (form == EpilogueForm::general) return finish_any(acc, pixel, exist);
    s8* const out = static_cast<s8*>(epilogue.out) + pixel * epilogue.out_stride + channel;
    if constexpr (L::kPixels == 2) {
      L::store(out, exist > 1 ? out + epilogue.out_stride : nullptr, narrow(acc), mask);
    } else {
      L::store(out, narrow(acc), mask);
    }
  }
};

/// Calls body<L>(block) for every block of channels: what a block has of weights, and of input rows that are needed
/// again, stays in L1.
template <class Channels, class Body>
WHIT_INLINE void for_each_block(const Args& args, isize vectors, Body body) {
  const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
  const isize channels = args.geometry.channels, taps = args.geometry.kernel_h * args.geometry.kernel_w;
  const isize lane_bytes = static_cast<isize>(sizeof(s32)) + 4 * vectors;
  for (isize channel = 0; channel < channels; channel += kBlockChannels) {
    const int count = smaller(kBlockChannels, channels - channel);
    const s8* packed = reinterpret_cast<const s8*>(args.packed) + channel * lane_bytes;
    Channels::choose(count, [&]<class L>() {
      Constants constants;
      set_constants<L>(args, taps, channel, count, packed, &constants);
      body.template operator()<L>({epilogue, constants, packed + L::kChannels * sizeof(s32), channel, count,
                                   constants.form, L::mask(count), epilogue});
    });
  }
}

/// The quads of K x K taps at stride S for T output rows x P output columns, without dilation.
template <int K, int S, int T, int P>
struct Square {
  static constexpr Quads kQuads = make_quads(K, S, T, P);
  static constexpr int kCount = kQuads.count, kPeriods = kQuads.periods, kWidth = kQuads.period_columns();
  static constexpr int kProducts = kQuads.products();

  struct Index {
    int of[kPeriods][kCount][P][T];
  };
  /// Of a dot product's weights, -1 without.
  static constexpr Index kIndex = [] {
    Index index{};
    for (auto& period : index.of)
      for (auto& quad : period)
        for (auto& column : quad)
          for (int& row : column) row = -1;
    int next = 0;
    kQuads.for_each([&](int period, int quad, int t, int p) { index.of[period][quad][p][t] = next++; });
    return index;
  }();

  /// The input of R of the T output rows, period by period of columns, or two of them where a register has two pixels.
  template <class L, int R>
  struct Input {
    static constexpr int kInRows = (R - 1) * S + K, kTaken = kWidth * L::kPixels;

    WHIT_INLINE Input(const Args& args, const Block<L>& block, isize y, isize column)
        : mask(block.mask),
          zero(L::zero()),
          pad(reinterpret_cast<std::uintptr_t>(args.pad + block.channel)),
          in_w(static_cast<std::size_t>(args.geometry.in_w)),
          channels(static_cast<std::size_t>(args.geometry.channels)),
          adjacent(block.count == L::kChannels && args.geometry.channels == L::kChannels),
          ix(column) {
      L::keep(zero);
      WHIT_UNROLL for (int i = 0; i < kInRows; ++i) {
        const isize iy = y * S - args.geometry.pad_top + i;
        const bool inside = iy >= 0 && iy < args.geometry.in_h;
        all_rows &= inside;
        const s8* row = args.in + (inside ? iy * args.geometry.in_w * args.geometry.channels : 0) + block.channel;
        rows[i] = reinterpret_cast<std::uintptr_t>(row) - pad;
        in_rows[i] = std::uintptr_t{0} - inside;
      }
    }

    /// True if no pixel of the period is padding.
    WHIT_INLINE bool is_inside() const { return all_rows && ix >= 0 && ix + kTaken <= static_cast<isize>(in_w); }

    /// Without branches, which narrow images would mispredict. kInside: where is_inside(), in a loop of its own, since
    /// compilers copy sums from register to register where ways meet.
    template <bool kInside>
    WHIT_INLINE const s8* pixel(int row, int column) const {
      const std::uintptr_t x = static_cast<std::uintptr_t>(ix + column);
      if constexpr (kInside) return reinterpret_cast<const s8*>(pad + x * channels + rows[row]);
      const std::uintptr_t in_row = std::uintptr_t{0} - (x < in_w);
      return reinterpret_cast<const s8*>(pad + ((rows[row] + x * channels) & in_rows[row] & in_row));
    }

    /// One quad of the period.
    template <bool kInside>
    WHIT_INLINE void quad(int quad, typename L::Bytes (&vectors)[4]) const {
      typename L::Bytes taps[4];
      WHIT_UNROLL for (int l = 0; l < 4; ++l) {
        const int row = kQuads.pixels[quad][l].row, column = kQuads.pixels[quad][l].column;
        if (row >= kInRows) {
          taps[l] = zero;
          continue;
        }
        const s8* p = pixel<kInside>(row, column);
        if constexpr (L::kPixels == 1) {
          taps[l] = L::load(p, mask, zero);
        } else if (kInside && adjacent) {
          taps[l] = L::load(p, zero);
        } else {
          taps[l] = L::load(p, pixel<kInside>(row, column + kWidth), mask, zero);
        }
      }
      L::unpack(taps, vectors);
    }

    /// To the next period.
    WHIT_INLINE void advance() { ix += kTaken; }

    const typename L::Mask mask;
    typename L::Bytes zero;
    const std::uintptr_t pad, in_w, channels;
    const bool adjacent;              // no other channels between those of neighbouring pixels
    bool all_rows = true;             // within the image
    isize ix;                         // of the period's first column
    std::uintptr_t rows[kInRows];     // from the padding to the row
    std::uintptr_t in_rows[kInRows];  // all bits set within the image
  };
};

/// Quads in memory, for some output columns at a time.
template <int K, int S, int T, int P>
struct Tiles : Square<K, S, T, P> {
  using Base = Square<K, S, T, P>;
  using Base::kCount, Base::kPeriods, Base::kQuads, Base::kWidth;
  static constexpr int kTilePeriods = 16 / P;  // of output columns

  template <class L>
  using Period = s8[kCount][4][L::kChannels];

  template <bool kInside, class L>
  WHIT_INLINE static void interleave_period(const typename Base::template Input<L, T>& input, Period<L>& to) {
    WHIT_UNROLL for (int quad = 0; quad < kCount; ++quad) {
      typename L::Bytes vectors[4];
      input.template quad<kInside>(quad, vectors);
      WHIT_UNROLL for (int v = 0; v < 4; ++v) L::store_operand(to[quad][v], vectors[v]);
    }
  }

  template <class L>
  [[gnu::noinline]] static void interleave(const Args& args, const Block<L>& block, isize y, isize ix, int periods,
                                           Period<L>* to) {
    typename Base::template Input<L, T> input(args, block, y, ix);
    for (; periods > 0; --periods, ++to, input.advance()) {
      if (input.is_inside()) {
        interleave_period<true, L>(input, *to);
      } else {
        interleave_period<false, L>(input, *to);
      }
    }
  }

  /// T rows x N periods of P columns of output pixels, `columns` of which exist.
  template <class L, int N>
  WHIT_INLINE static void register_tile(const Block<L>& block, const Period<L>* in, isize pixel, isize out_w,
                                        isize rows, int columns) {
    typename L::Int acc[N][P][T][4];
    WHIT_UNROLL for (int n = 0; n < N; ++n) {
      WHIT_UNROLL for (int p = 0; p < P; ++p) { WHIT_UNROLL for (int t = 0; t < T; ++t) block.start(acc[n][p][t]); }
    }
    const s8* weights = block.weights;
    __asm__ volatile("" : "+r"(weights));  // else compilers keep 160 addresses, in memory, instead of one
    // Vectors inside, so that sums which do not wait for each other are side by side.
    WHIT_UNROLL for (int period = 0; period < N - 1 + kPeriods; ++period) {
      WHIT_UNROLL for (int quad = 0; quad < kCount; ++quad) {
        WHIT_UNROLL for (int v = 0; v < 4; ++v) {
          const auto x = L::load_operand(in[period][quad][v]);
          WHIT_UNROLL for (int n = 0; n < N; ++n) {
            if (period < n || period >= n + kPeriods) continue;
            WHIT_UNROLL for (int p = 0; p < P; ++p) {
              WHIT_UNROLL for (int t = 0; t < T; ++t) {
                const int index = Base::kIndex.of[period - n][quad][p][t];
                if (index < 0) continue;
                acc[n][p][t][v] = L::dot4(acc[n][p][t][v], x, weights + (index * 4 + v) * L::kChannels);
              }
            }
          }
        }
      }
    }
    WHIT_UNROLL for (int t = 0; t < T; ++t) {
      if (t >= rows) break;
      WHIT_UNROLL for (int column = 0; column < N * P; ++column) {
        if (column < columns) block.finish(acc[column / P][column % P][t], pixel + t * out_w + column);
      }
    }
  }

  template <class L>
  [[gnu::noinline]] static void rows(const Args& args, const Block<L>& shared_block, isize row_begin, isize row_end) {
    constexpr int kTile = L::kAccumulators / (4 * T * P) > 0 ? L::kAccumulators / (4 * T * P) : 1, kUnit = kTile * P;
    const Block<L> block = shared_block;
    const isize out_w = args.geometry.out_w;
    alignas(64) Period<L> in[kTilePeriods - 1 + kPeriods];
    for (isize y = row_begin; y < row_end; y += T) {
      // Tiles of the same size, since each begins with columns that the one before has interleaved, too.
      isize tiles = (out_w + kTilePeriods * P - 1) / (kTilePeriods * P);
      for (isize x = 0, columns; x < out_w; x += columns, --tiles) {
        const isize share = (out_w - x + tiles - 1) / tiles;
        columns = smaller((share + kUnit - 1) / kUnit * kUnit, out_w - x);
        const int computed = static_cast<int>(columns + kUnit - 1) / kUnit * kTile;
        interleave<L>(args, block, y, x * S - args.geometry.pad_left - kQuads.lead, computed - 1 + kPeriods, in);
        for (int n = 0; n < computed; n += kTile) {
          register_tile<L, kTile>(block, in + n, y * out_w + x + n * P, out_w, row_end - y,
                                  static_cast<int>(columns) - n * P);
        }
      }
    }
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    for_each_block<ForChannels>(args, Base::kProducts,
                                [&]<class L>(const Block<L>& block) { rows<L>(args, block, row_begin, row_end); });
  }
};

/// Any kernel, stride and dilation: four taps in the order (i, j), some output columns together.
struct Any {
  template <class L, int P>
  WHIT_INLINE static void tile(const Args& args, const Block<L>& block, isize y, isize x, int columns) {
    const Geometry& g = args.geometry;
    const isize taps = g.kernel_h * g.kernel_w;
    typename L::Int acc[P][4];
    WHIT_UNROLL for (int p = 0; p < P; ++p) block.start(acc[p]);
    Taps pixels[P] = {{args, y, x}, {args, y, columns > 1 ? x + 1 : x}};
    const s8* w = block.weights;
    const isize channel = block.channel;
    const typename L::Mask mask = block.mask;
    for (isize tap = 0; tap < taps; tap += 4, w += 4 * L::kChannels) {
      WHIT_UNROLL for (int p = 0; p < P; ++p) {
        typename L::Bytes bytes[4], vectors[4];
        WHIT_UNROLL for (int l = 0; l < 4; ++l) {
          bytes[l] = tap + l < taps ? L::load(pixels[p].next() + channel, mask, L::zero()) : L::zero();
        }
        L::unpack(bytes, vectors);
        WHIT_UNROLL for (int v = 0; v < 4; ++v) acc[p][v] = L::dot4(acc[p][v], vectors[v], w + v * L::kChannels);
      }
    }
    WHIT_UNROLL for (int p = 0; p < P; ++p) {
      if (p < columns) block.finish(acc[p], y * g.out_w + x + p);
    }
  }

  template <class L>
  [[gnu::noinline]] static void rows(const Args& shared_args, const Block<L>& shared_block, isize row_begin,
                                     isize row_end) {
    constexpr int kPixels = 2;
    const Args args = shared_args;  // copies, which stores to s8 cannot alias
    const Block<L> block = shared_block;
    for (isize y = row_begin; y < row_end; ++y) {
      for (isize x = 0; x < args.geometry.out_w; x += kPixels)
        tile<L, kPixels>(args, block, y, x, smaller(kPixels, args.geometry.out_w - x));
    }
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    const isize taps = args.geometry.kernel_h * args.geometry.kernel_w;
    for_each_block<ForChannels>(args, (taps + 3) / 4,
                                [&]<class L>(const Block<L>& block) { rows<L>(args, block, row_begin, row_end); });
  }
};

}  // namespace
}  // namespace whit::dwconv_s8
