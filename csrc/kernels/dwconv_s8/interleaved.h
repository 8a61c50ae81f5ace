#pragma once
// Depthwise convolution on x86: a four-way dot product of bytes takes four taps of a channel, which unpacking lays side
// by side.
//
// Unpacking and packing work within 128 bits, 16 channels: four registers of kChannels bytes, one per tap, become four
// vectors of dwords; vector i has channels 4i to 4i + 3 of every 16. Narrowing their four sums to bytes puts channels
// in order again, so nothing is ever moved across a register. Packed weights, biases and scales have the vectors'
// order.
//
// Taps that share a group of four are taken along the column: an interleaved column of four input rows serves all
// output columns and, with shifted weights, all output rows that it is part of (3x3, two output rows):
//
//     input row 0  w00        .
//     input row 1  w10       w00      one interleaved column of 4 rows, 2 x 3 dot products:
//     input row 2  w20       w10      j = 0, 1, 2 for each of 2 output rows
//     input row 3   .        w20
//                output 0  output 1
//
// Include a file before that defines Vector (see simd_s8) and struct Wide, and struct Half or Half = Wide, with
//     kChannels, kAccumulators                     channels of a register of bytes; vectors of sums kept at a time
//     Mask mask(count)                             of the first `count` channels, all that load and store touch
//     Bytes, load(p, mask), zero()
//     unpack(taps[4], vectors[4])                  in their order
//     load_operand, store_operand, Int dot4(Int acc, Bytes x, const s8* w)
//     Int, Float, load, to_float, float_bits, mul, fma, round, Narrowing, narrowing, narrow, store: of the epilogue

#include <cstring>

#include "kernels/dwconv_s8/taps.h"
#include "kernels/simd_s8/x86_epilogue.h"

namespace whit::dwconv_s8 {
namespace {

WHIT_INLINE int smaller(isize a, isize b) { return static_cast<int>(a < b ? a : b); }

/// What the epilogue of a block of channels needs, in the order of the vectors.
struct Constants {
  alignas(64) s32 start[Wide::kChannels];
  alignas(64) f32 scale[Wide::kChannels];
  alignas(64) f32 offset[Wide::kChannels];
  EpilogueForm form;
};

template <class L>
[[gnu::noinline]] void set_constants(const Args& args, isize taps, isize channel, int count, const s8* block,
                                     Constants* constants) {
  // The bias may be that of inputs which are 128 higher.
  const f32 reach = static_cast<f32>(taps) * (2 * 128 * 127);
  const s32* bias = reinterpret_cast<const s32*>(block);
  std::memcpy(constants->start, bias, L::kChannels * sizeof(s32));
  constants->form = EpilogueForm::general;
  if (!is_fast(args.epilogue)) return;
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
/// The sums of a pixel, four vectors of `lanes`, through the epilogue of every case.
[[gnu::noinline]] void finish_sums(const Epilogue& epilogue, const s32* vectors, int lanes, isize pixel, isize channel,
                                   int count) {
  alignas(64) s32 sums[Wide::kChannels];
  for (int c = 0; c < 4 * lanes; ++c) sums[c] = vectors[c % 16 / 4 * lanes + c / 16 * 4 + c % 4];
  for (int c = 0; c < count; c += Vector::kLanes) {
    Vector::Int acc[1][1] = {{Vector::load(sums + c)}};
    finish(epilogue, acc, Pixel{pixel}, channel + c, smaller(Vector::kLanes, count - c));
  }
}

/// One block of channels of some output rows.
template <class L>
struct Block {
  using Int = typename L::Int;

  const Epilogue& epilogue;
  const Constants& constants;
  const s8* weights;  // behind the biases
  isize channel;
  int count;
  EpilogueForm form;

  WHIT_INLINE void start(Int (&acc)[4]) const {
    WHIT_UNROLL for (int v = 0; v < 4; ++v) acc[v] = L::load(constants.start + v * (L::kChannels / 4));
  }

  /// Sums to bytes, in a form other than general.
  WHIT_INLINE typename L::Bytes narrow(const Int (&acc)[4], const typename L::Narrowing& narrowing) const {
    Int x[4];
    if (form == EpilogueForm::relu) {
      WHIT_UNROLL for (int v = 0; v < 4; ++v) {
        x[v] = L::round(L::fma(L::float_bits(acc[v]), L::load(constants.scale + v * kLanes),
                               L::load(constants.offset + v * kLanes)));
      }
    } else {
      WHIT_UNROLL for (int v = 0; v < 4; ++v) {
        x[v] = L::round(L::mul(L::to_float(acc[v]), L::load(constants.scale + v * kLanes)));
      }
    }
    return L::narrow(x, narrowing);
  }

  /// Stores one pixel, in any form.
  WHIT_INLINE void finish_any(const Int (&acc)[4], isize pixel) const {
    alignas(64) s32 vectors[L::kChannels];
    WHIT_UNROLL for (int v = 0; v < 4; ++v) L::store_operand(reinterpret_cast<s8*>(vectors + v * kLanes), acc[v]);
    finish_sums(epilogue, vectors, kLanes, pixel, channel, count);
  }

  /// Stores one pixel.
  WHIT_INLINE void finish_pixel(const Int (&acc)[4], isize pixel) const {
    if (form == EpilogueForm::general) return finish_any(acc, pixel);
    const auto narrowing = L::narrowing(epilogue.spec.zero_point, epilogue.minimum, epilogue.maximum);
    s8* out = static_cast<s8*>(epilogue.out) + pixel * epilogue.out_stride + channel;
    L::store(out, narrow(acc, narrowing), L::mask(count));
  }

 private:
  static constexpr int kLanes = L::kChannels / 4;
};

/// Calls strip<L>(block, y) for every block of channels of every `rows` output rows from row_begin on.
template <class Strip>
WHIT_INLINE void for_each_strip(const Args& args, isize row_begin, isize row_end, isize rows, isize vectors,
                                const Strip& strip) {
  constexpr int kBlocks = 12;  // constants of so many fit into L1 beside the rest
  const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
  const isize channels = args.geometry.channels, taps = args.geometry.kernel_h * args.geometry.kernel_w;
  const isize lane_bytes = static_cast<isize>(sizeof(s32)) + 4 * vectors;
  Constants constants[kBlocks];
  for (isize first = 0; first < channels; first += kBlocks * Wide::kChannels) {
    const isize last = channels - first < kBlocks * Wide::kChannels ? channels : first + kBlocks * Wide::kChannels;
    for (isize y = row_begin; y < row_end; y += rows) {
      for (isize channel = first; channel < last; channel += Wide::kChannels) {
        const int count = smaller(Wide::kChannels, channels - channel);
        const s8* block = reinterpret_cast<const s8*>(args.packed) + channel * lane_bytes;
        Constants& own = constants[(channel - first) / Wide::kChannels];
        const auto with = [&]<class L>() {
          if (y == row_begin) set_constants<L>(args, taps, channel, count, block, &own);
          const Block<L> values{epilogue, own, block + L::kChannels * sizeof(s32), channel, count, own.form};
          strip.template operator()<L>(values, y);
        };
        if (count <= Half::kChannels) {
          with.template operator()<Half>();
        } else {
          with.template operator()<Wide>();
        }
      }
    }
  }
}

/// K x K taps at stride S, T output rows together, without dilation.
template <int K, int S, int T>
struct Square {
  static constexpr int kInRows = (T - 1) * S + K, kGroups = (kInRows + 3) / 4;
  static constexpr int kColumns = 8;  // output columns of a tile
  static constexpr int kInColumns = (kColumns - 1) * S + K;

  template <class L>
  using Column = s8[kGroups][4][L::kChannels];

  /// `columns` input columns from ix on. Rows outside of the image are null.
  template <class L>
  [[gnu::noinline]] static void interleave(const Geometry& g, const s8* pad, const s8* const (&rows)[kInRows], isize ix,
                                           int columns, isize channel, int count, Column<L>* out) {
    const typename L::Mask mask = L::mask(count);
    for (; columns > 0; --columns, ++ix, ++out) {
      const bool inside = ix >= 0 && ix < g.in_w;
      const isize offset = ix * g.channels + channel;
      WHIT_UNROLL for (int group = 0; group < kGroups; ++group) {
        typename L::Bytes taps[4], vectors[4];
        WHIT_UNROLL for (int l = 0; l < 4; ++l) {
          const int row = 4 * group + l;
          if (row < kInRows) {
            taps[l] = L::load(inside && rows[row] ? rows[row] + offset : pad + channel, mask);
          } else {
            taps[l] = L::zero();
          }
        }
        L::unpack(taps, vectors);
        WHIT_UNROLL for (int v = 0; v < 4; ++v) L::store_operand((*out)[group][v], vectors[v]);
      }
    }
  }

  /// T rows x P columns of output pixels from (y, x) on, `columns` of which exist.
  template <class L, int P>
  WHIT_INLINE static void register_tile(const Block<L>& block, const Column<L>* in, isize pixel, isize out_w,
                                        isize rows, int columns) {
    typename L::Int acc[T][P][4];
    WHIT_UNROLL for (int t = 0; t < T; ++t) { WHIT_UNROLL for (int p = 0; p < P; ++p) block.start(acc[t][p]); }
    const s8* weights = block.weights;
    __asm__ volatile("" : "+r"(weights));  // else compilers keep 160 addresses, in memory, instead of one
    // Vectors inside, so that sums which do not wait for each other are side by side.
    WHIT_UNROLL for (int column = 0; column < (P - 1) * S + K; ++column) {
      WHIT_UNROLL for (int group = 0; group < kGroups; ++group) {
        WHIT_UNROLL for (int v = 0; v < 4; ++v) {
          const auto x = L::load_operand(in[column][group][v]);
          WHIT_UNROLL for (int p = 0; p < P; ++p) {
            const int j = column - p * S;
            if (j < 0 || j >= K) continue;
            WHIT_UNROLL for (int t = 0; t < T; ++t) {
              if (4 * group + 3 < t * S || 4 * group >= t * S + K) continue;
              const s8* w = weights + (((j * kGroups + group) * T + t) * 4 + v) * L::kChannels;
              acc[t][p][v] = L::dot4(acc[t][p][v], x, w);
            }
          }
        }
      }
    }
    WHIT_UNROLL for (int t = 0; t < T; ++t) {
      if (t >= rows) break;
      WHIT_UNROLL for (int p = 0; p < P; ++p) {
        if (p < columns) block.finish_pixel(acc[t][p], pixel + t * out_w + p);
      }
    }
  }

  struct Strip {
    const Args& args;
    isize row_end;

    template <class L>
    [[gnu::noinline]] void operator()(const Block<L>& shared_block, isize y) const {
      constexpr int kPixels = L::kAccumulators / (4 * T) > 0 ? L::kAccumulators / (4 * T) : 1;
      const Block<L> block = shared_block;
      const Geometry g = args.geometry;  // copies, which stores to s8 cannot alias
      const s8* const pad = args.pad;
      const s8* rows[kInRows];
      for (int i = 0; i < kInRows; ++i) {
        const isize iy = y * S - g.pad_top + i;
        rows[i] = iy >= 0 && iy < g.in_h ? args.in + iy * g.in_w * g.channels : nullptr;
      }
      alignas(64) Column<L> in[kInColumns];
      for (isize x = 0; x < g.out_w; x += kColumns) {
        const int columns = smaller(kColumns, g.out_w - x);
        const int computed = (columns + kPixels - 1) / kPixels * kPixels;
        interleave<L>(g, pad, rows, x * S - g.pad_left, (computed - 1) * S + K, block.channel, block.count, in);
        for (int o = 0; o < columns; o += kPixels)
          register_tile<L, kPixels>(block, in + o * S, y * g.out_w + x + o, g.out_w, row_end - y, columns - o);
      }
    }
  };

  static void run(const Args& args, isize row_begin, isize row_end) {
    for_each_strip(args, row_begin, row_end, T, K * kGroups * T, Strip{args, row_end});
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
    const typename L::Mask mask = L::mask(block.count);
    for (isize tap = 0; tap < taps; tap += 4, w += 4 * L::kChannels) {
      WHIT_UNROLL for (int p = 0; p < P; ++p) {
        typename L::Bytes bytes[4], vectors[4];
        WHIT_UNROLL for (int l = 0; l < 4; ++l) {
          bytes[l] = tap + l < taps ? L::load(pixels[p].next() + block.channel, mask) : L::zero();
        }
        L::unpack(bytes, vectors);
        WHIT_UNROLL for (int v = 0; v < 4; ++v) acc[p][v] = L::dot4(acc[p][v], vectors[v], w + v * L::kChannels);
      }
    }
    WHIT_UNROLL for (int p = 0; p < P; ++p) {
      if (p < columns) block.finish_pixel(acc[p], y * g.out_w + x + p);
    }
  }

  struct Strip {
    const Args& args;

    template <class L>
    [[gnu::noinline]] void operator()(const Block<L>& block, isize y) const {
      constexpr int kPixels = 2;
      for (isize x = 0; x < args.geometry.out_w; x += kPixels)
        tile<L, kPixels>(args, block, y, x, smaller(kPixels, args.geometry.out_w - x));
    }
  };

  static void run(const Args& args, isize row_begin, isize row_end) {
    const isize taps = args.geometry.kernel_h * args.geometry.kernel_w;
    for_each_strip(args, row_begin, row_end, 1, (taps + 3) / 4, Strip{args});
  }
};

}  // namespace
}  // namespace whit::dwconv_s8
