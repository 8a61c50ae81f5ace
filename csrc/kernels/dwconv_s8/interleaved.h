#pragma once
// Depthwise convolution on a four-way dot product of bytes: four taps of a channel lie side by side.
//
// Include a file before that defines Vector (see simd_s8) and struct Interleave with
//     kChannels                                    channels that a register of bytes holds, a multiple of kLanes
//     Bytes, load(p, count), zero()                the first `count` channels at p (no byte beside them is read)
//     store(Bytes (&taps)[4], s8* p, count)        channel after channel of the first `count`, its four taps together;
//                                                  rounded up to 16 channels
//     Operand operand(const s8* p)                 kLanes of those channels as an operand of
//     Int dot4(Int acc, Operand x, Int w)          acc + the four products of every lane
//
// Taps that share a group of four are taken along the column: an interleaved column of four input rows serves all
// output columns and, with shifted weights, all output rows that it is part of (3x3, two output rows):
//
//     input row 0  w00        .
//     input row 1  w10       w00      one interleaved column of 4 rows, 2 x 3 dot products:
//     input row 2  w20       w10      j = 0, 1, 2 for each of 2 output rows
//     input row 3   .        w20
//                output 0  output 1

#include "kernels/dwconv_s8/taps.h"
#include "kernels/simd_s8/epilogue.h"

namespace whit::dwconv_s8 {
namespace {

using Int = Vector::Int;

WHIT_INLINE int smaller(isize a, isize b) { return static_cast<int>(a < b ? a : b); }

/// Pixels of the output that a register tile computes, T rows of kColumns from pixel (y, x), in that order.
template <int T, int kColumns>
class Pixels {
 public:
  Pixels(const Geometry& g, isize y, isize row_end, isize x) : first_(y * g.out_w + x), row_stride_(g.out_w) {
    const u32 row = ~0u >> (32 - smaller(kColumns, g.out_w - x));
    for (isize t = 0; t < T && y + t < row_end; ++t) present_ |= row << (t * kColumns);
  }
  WHIT_INLINE bool has(int i) const { return (present_ >> i) & 1; }
  WHIT_INLINE isize operator[](int i) const { return first_ + i / kColumns * row_stride_ + i % kColumns; }

 private:
  isize first_, row_stride_;
  u32 present_ = 0;
};

/// K x K taps at stride S, T output rows together, without dilation.
template <int K, int S, int T>
struct Square {
  static constexpr int kInRows = (T - 1) * S + K, kGroups = (kInRows + 3) / 4;
  static constexpr int kRegisterColumns = 8 / T, kColumns = 8;  // output columns of a register tile and of a tile
  static constexpr int kInColumns = (kColumns - 1) * S + K;
  static constexpr int kVectorBytes = Vector::kLanes * 4;
  static constexpr int kBlockBytes = kVectorBytes * (1 + K * kGroups * T);
  using Column = s8[kGroups][Interleave::kChannels * 4];

  /// Columns of the tile from output column x, `count` channels from `channel`.
  static void interleave(const Geometry& g, const s8* pad, const s8* const (&rows)[kInRows], isize x, int columns,
                         isize channel, int count, Column* out) {
    const isize ix_begin = x * S - g.pad_left;
    for (int column = 0; column < columns; ++column) {
      const isize ix = ix_begin + column;
      const bool inside = ix >= 0 && ix < g.in_w;
      const isize offset = ix * g.channels + channel;
      WHIT_UNROLL for (int group = 0; group < kGroups; ++group) {
        Interleave::Bytes taps[4];
        WHIT_UNROLL for (int l = 0; l < 4; ++l) {
          const int row = 4 * group + l;
          if (row < kInRows) {
            taps[l] = Interleave::load(inside && rows[row] ? rows[row] + offset : pad + channel, count);
          } else {
            taps[l] = Interleave::zero();
          }
        }
        Interleave::store(taps, out[column][group], count);
      }
    }
  }

  /// T x kRegisterColumns output pixels of kLanes channels.
  static void register_tile(const Epilogue& epilogue, const Pixels<T, kRegisterColumns>& pixels, const Column* in,
                            int lane, const s8* block, isize channel, int count) {
    Int acc[T * kRegisterColumns][1];
    const Int bias = Vector::load(reinterpret_cast<const s32*>(block));
    WHIT_UNROLL for (int i = 0; i < T * kRegisterColumns; ++i) acc[i][0] = bias;
    WHIT_UNROLL for (int column = 0; column < (kRegisterColumns - 1) * S + K; ++column) {
      WHIT_UNROLL for (int group = 0; group < kGroups; ++group) {
        const auto x = Interleave::operand(in[column][group] + lane * 4);
        WHIT_UNROLL for (int o = 0; o < kRegisterColumns; ++o) {
          const int j = column - o * S;
          if (j < 0 || j >= K) continue;
          WHIT_UNROLL for (int t = 0; t < T; ++t) {
            if (4 * group + 3 < t * S || 4 * group >= t * S + K) continue;
            const s8* weights = block + kVectorBytes * (1 + (j * kGroups + group) * T + t);
            Int& sum = acc[t * kRegisterColumns + o][0];
            sum = Interleave::dot4(sum, x, Vector::load(reinterpret_cast<const s32*>(weights)));
          }
        }
      }
    }
    finish(epilogue, acc, pixels, channel, count);
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    const Geometry g = args.geometry;  // a copy, which stores to s8 cannot alias
    const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
    alignas(64) Column in[kInColumns];
    for (isize y = row_begin; y < row_end; y += T) {
      const s8* rows[kInRows];
      for (int i = 0; i < kInRows; ++i) {
        const isize iy = y * S - g.pad_top + i;
        rows[i] = iy >= 0 && iy < g.in_h ? args.in + iy * g.in_w * g.channels : nullptr;
      }
      for (isize channel = 0; channel < g.channels; channel += Interleave::kChannels) {
        const int count = smaller(Interleave::kChannels, g.channels - channel);
        for (isize x = 0; x < g.out_w; x += kColumns) {
          const int columns = smaller(kColumns, g.out_w - x);
          const int computed = (columns + kRegisterColumns - 1) / kRegisterColumns * kRegisterColumns;
          interleave(g, args.pad, rows, x, (computed - 1) * S + K, channel, count, in);
          const s8* block = reinterpret_cast<const s8*>(args.packed) + channel / Vector::kLanes * kBlockBytes;
          for (int lane = 0; lane < count; lane += Vector::kLanes, block += kBlockBytes) {
            for (int o = 0; o < columns; o += kRegisterColumns)
              register_tile(epilogue, {g, y, row_end, x + o}, in + o * S, lane, block, channel + lane,
                            smaller(Vector::kLanes, count - lane));
          }
        }
      }
    }
  }
};

/// Any kernel, stride and dilation: four taps in the order (i, j), four output columns together.
struct Any {
  static constexpr int kColumns = 4, kGroups = 8;  // output columns of a tile, groups of taps interleaved at a time
  static constexpr int kVectorBytes = Vector::kLanes * 4;
  static constexpr int kVectors = Interleave::kChannels / Vector::kLanes;
  using Group = s8[Interleave::kChannels * 4];

  static void tile(const Args& args, const Epilogue& epilogue, isize y, isize x, isize channel) {
    const Geometry& g = args.geometry;
    const isize taps = g.kernel_h * g.kernel_w, groups = (taps + 3) / 4;
    const isize block_bytes = kVectorBytes * (1 + groups);
    const int count = smaller(Interleave::kChannels, g.channels - channel);
    const int columns = smaller(kColumns, g.out_w - x);
    const s8* blocks = reinterpret_cast<const s8*>(args.packed) + channel / Vector::kLanes * block_bytes;
    alignas(64) Group in[kColumns][kGroups];
    alignas(64) s32 sums[kVectors][kColumns][Vector::kLanes];

    Taps pixels[kColumns] = {{args, y, x}, {args, y, x + 1}, {args, y, x + 2}, {args, y, x + 3}};
    for (isize first = 0; first < groups; first += kGroups) {
      const int some = smaller(kGroups, groups - first);
      for (int column = 0; column < columns; ++column) {
        for (int group = 0; group < some; ++group) {
          Interleave::Bytes bytes[4];
          WHIT_UNROLL for (int l = 0; l < 4; ++l) {
            bytes[l] = (first + group) * 4 + l < taps ? Interleave::load(pixels[column].next() + channel, count)
                                                      : Interleave::zero();
          }
          Interleave::store(bytes, in[column][group], count);
        }
      }
      for (int v = 0; v * Vector::kLanes < count; ++v) {
        const s8* block = blocks + v * block_bytes;
        Int acc[kColumns][1];
        WHIT_UNROLL for (int i = 0; i < kColumns; ++i) acc[i][0] =
            Vector::load(first == 0 ? reinterpret_cast<const s32*>(block) : sums[v][i]);
        for (int group = 0; group < some; ++group) {
          const Int w = Vector::load(reinterpret_cast<const s32*>(block + kVectorBytes * (1 + first + group)));
          WHIT_UNROLL for (int i = 0; i < kColumns; ++i) acc[i][0] =
              Interleave::dot4(acc[i][0], Interleave::operand(in[i][group] + v * kVectorBytes), w);
        }
        if (first + some < groups) {
          WHIT_UNROLL for (int i = 0; i < kColumns; ++i) Vector::store(sums[v][i], acc[i][0]);
        } else {
          finish(epilogue, acc, Pixels<1, kColumns>(g, y, y + 1, x), channel + v * Vector::kLanes,
                 smaller(Vector::kLanes, count - v * Vector::kLanes));
        }
      }
    }
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
    for (isize y = row_begin; y < row_end; ++y) {
      for (isize x = 0; x < args.geometry.out_w; x += kColumns) {
        for (isize channel = 0; channel < args.geometry.channels; channel += Interleave::kChannels)
          tile(args, epilogue, y, x, channel);
      }
    }
  }
};

}  // namespace
}  // namespace whit::dwconv_s8
