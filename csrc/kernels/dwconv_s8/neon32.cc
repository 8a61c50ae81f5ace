// ARMv7 NEON, 8 channels at a time. Two products fit in s16 (128 * 127 * 2 = 32512): vmull.s8, vmlal.s8 for a pair of
// taps, two vaddw.s16 into s32.
//
// 3x3 slides along the columns in assembly (neon32_sliding.h). 5x5 goes through the kernel row by row: the inputs of a
// row are loaded once for all output columns of the tile, which are as many as leave registers for a row of inputs and
// weights: 8 accumulators (4 columns), 8 or 11 half registers of input, 5 of weights, the products.

#include "kernels/simd_s8/neon32.h"
// after the vector
#include "kernels/dwconv_s8/neon32_sliding.h"
#include "kernels/dwconv_s8/taps.h"

namespace whit::dwconv_s8 {
namespace {

WHIT_INLINE isize block_bytes(const Args& args) {
  return kChannels * (static_cast<isize>(sizeof(s32)) + args.geometry.kernel_h * args.geometry.kernel_w);
}

WHIT_INLINE void accumulate(Int (&acc)[2], int16x8_t products) {
  acc[0] = vaddw_s16(acc[0], vget_low_s16(products));
  acc[1] = vaddw_s16(acc[1], vget_high_s16(products));
}

/// Any kernel, stride and dilation, one output pixel at a time.
struct Any {
  static constexpr isize kTaps = 64, kSpan = 64;  // taps and channels for which addresses are computed once

  WHIT_INLINE static int8x8_t load(const s8* p, isize count) {
    return count == kChannels ? vld1_s8(p) : vcreate_s8(load_first_u64(p, count));
  }

  /// Channels [channel, end), at most kSpan.
  static void span(const Args& args, const Epilogue& epilogue, isize y, isize x, isize channel, isize end) {
    const isize all = args.geometry.kernel_h * args.geometry.kernel_w, bytes = block_bytes(args);
    const s8* first_block = reinterpret_cast<const s8*>(args.packed) + channel / kChannels * bytes;
    const Consecutive pixel{y * args.geometry.out_w + x};
    s32 sums[kSpan];
    Taps taps(args, y, x);
    for (isize done = 0; done < all; done += kTaps) {
      const isize some = all - done < kTaps ? all - done : kTaps;
      const s8* pixels[kTaps];
      for (isize t = 0; t < some; ++t) pixels[t] = taps.next();
      const s8* block = first_block;
      s32* sum = sums;
      for (isize c = channel; c < end; c += kChannels, block += bytes, sum += kChannels) {
        const isize count = end - c < kChannels ? end - c : kChannels;
        const s32* start = done == 0 ? reinterpret_cast<const s32*>(block) : sum;
        const s8* weights = block + kChannels * (static_cast<isize>(sizeof(s32)) + done);
        Int acc[1][2] = {{Vector::load(start), Vector::load(start + 4)}};
        isize t = 0;
        for (; t + 2 <= some; t += 2) {
          const int16x8_t product = vmull_s8(load(pixels[t] + c, count), vld1_s8(weights + t * kChannels));
          accumulate(acc[0], vmlal_s8(product, load(pixels[t + 1] + c, count), vld1_s8(weights + (t + 1) * kChannels)));
        }
        if (t < some) accumulate(acc[0], vmull_s8(load(pixels[t] + c, count), vld1_s8(weights + t * kChannels)));
        if (done + some < all) {
          Vector::store(sum, acc[0][0]);
          Vector::store(sum + 4, acc[0][1]);
        } else if (count > 4) {
          finish(epilogue, acc, pixel, c, static_cast<int>(count - 4));
        } else {
          Int low[1][1] = {{acc[0][0]}};
          finish(epilogue, low, pixel, c, static_cast<int>(count));
        }
      }
    }
  }

  /// Channels from `channel` on.
  static void pixel(const Args& args, const Epilogue& epilogue, isize y, isize x, isize channel) {
    for (const isize end = args.geometry.channels; channel < end; channel += kSpan)
      span(args, epilogue, y, x, channel, end - channel < kSpan ? end : channel + kSpan);
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
    for (isize y = row_begin; y < row_end; ++y)
      for (isize x = 0; x < args.geometry.out_w; ++x) pixel(args, epilogue, y, x, 0);
  }
};

/// The 8 bytes at p; p moves on by `step`. As an instruction, for compilers compute every address anew.
WHIT_INLINE int8x8_t load_next(const s8*& p, isize step) {
  int8x8_t x;
  __asm__ volatile("vld1.8 {%P0}, [%1], %2" : "=w"(x), "+r"(p) : "r"(step));
  return x;
}

/// The epilogue of N pixels whose results are small and plain (neon32_bounds.h), rounded by adding 1.5 * 2^23.
template <int N>
WHIT_INLINE void finish_plain(const Epilogue& epilogue, Int (&acc)[N][2], isize pixel, isize channel) {
  const f32* scales = epilogue.spec.scale + channel;
  const float32x4_t scale[2] = {vld1q_f32(scales), vld1q_f32(scales + 4)};
  const float32x4_t round = vdupq_n_f32(12582912.0f + static_cast<f32>(epilogue.spec.zero_point));
  s8* out = static_cast<s8*>(epilogue.out) + pixel * epilogue.out_stride + channel;
  WHIT_UNROLL for (int o = 0; o < N; ++o, out += epilogue.out_stride) {
    int16x8_t steps[2];
    WHIT_UNROLL for (int v = 0; v < 2; ++v) steps[v] =
        vreinterpretq_s16_f32(vaddq_f32(vmulq_f32(vcvtq_f32_s32(acc[o][v]), scale[v]), round));
    vst1_s8(out, vqmovn_s16(vuzpq_s16(steps[0], steps[1]).val[0]));
  }
}

/// 5x5 taps at stride S, without dilation.
template <int S>
struct Square {
  static constexpr int K = 5, kColumns = 4;
  static constexpr isize kSpan = 512;  // channels that are looked at once for all rows

  /// After which taps of a row sums of products go from s16 to s32.
  enum Ends : u8 { kPairs = 0b11010, kThreeTwo = 0b10100, kTwoThree = 0b10010, kFive = 0b10000 };
  struct Block {
    Ends ends[K];
    bool plain;  // see finish_plain
  };

  /// A row of input pixels that the kernel meets; the padding's pixel over and over outside of the image.
  struct Row {
    const s8* first;  // of input column 0
    isize step;
  };

  struct Run {
    const Args& args;
    const Epilogue& epilogue;
    const Block* blocks;  // of channels [channel, channel_end)
    isize channel, channel_end;
  };

  template <int N>
  static constexpr int kInColumns = (N - 1) * S + K;

  /// One kernel row times its inputs, for N output columns. Bit j of kEnds: what tap j ends fits in s16.
  template <int N, u32 kEnds>
  WHIT_INLINE static void add_taps(Int (&acc)[N][2], const int8x8_t (&in)[kInColumns<N>], const int8x8_t (&w)[K]) {
    WHIT_UNROLL for (int o = 0; o < N; ++o) {
      int16x8_t products;
      WHIT_UNROLL for (int j = 0; j < K; ++j) {
        const bool first = j == 0 || kEnds >> (j - 1) & 1;
        products = first ? vmull_s8(in[o * S + j], w[j]) : vmlal_s8(products, in[o * S + j], w[j]);
        if (kEnds >> j & 1) accumulate(acc[o], products);
      }
      keep_order();
    }
  }
  template <int N>
  WHIT_INLINE static void add_row(Int (&acc)[N][2], const int8x8_t (&in)[kInColumns<N>], const s8* weights, Ends ends) {
    int8x8_t w[K];
    WHIT_UNROLL for (int j = 0; j < K; ++j) w[j] = vld1_s8(weights + j * kChannels);
    switch (ends) {
      case kPairs: return add_taps<N, kPairs>(acc, in, w);
      case kThreeTwo: return add_taps<N, kThreeTwo>(acc, in, w);
      case kTwoThree: return add_taps<N, kTwoThree>(acc, in, w);
      case kFive: return add_taps<N, kFive>(acc, in, w);
    }
  }

  template <int N>
  WHIT_INLINE static void start(Int (&acc)[N][2], const s32* bias) {
    WHIT_UNROLL for (int o = 0; o < N; ++o) {
      acc[o][0] = Vector::load(bias);
      acc[o][1] = Vector::load(bias + 4);
    }
  }

  static Block look_at(const Epilogue& epilogue, const s8* packed, isize channel) {
    Block block;
    const s8* weights = packed + kChannels * sizeof(s32);
    for (int i = 0; i < K; ++i) {
      const s8* row = weights + i * K * kChannels;
      block.ends[i] = fits(row, 5)                   ? kFive
                      : fits(row, 3)                 ? kThreeTwo
                      : fits(row + 2 * kChannels, 3) ? kTwoThree
                                                     : kPairs;
    }
    block.plain = is_plain(epilogue) &&
                  small_results(reinterpret_cast<const s32*>(packed), weights, K * K, epilogue.spec.scale + channel);
    return block;
  }

  /// N columns of output from x, whose inputs begin at column ix: all inside of the image, or some not.
  template <int N, bool kInside>
  [[gnu::noinline]] static void tile(const Run& run, isize y, isize x, isize ix, const Row (&rows)[K]) {
    const Args& args = run.args;
    const Geometry& g = args.geometry;
    const s8* pixels[K][kInside ? 1 : kInColumns<N>];
    for (int i = 0; i < K; ++i) {
      for (int column = 0; column < (kInside ? 1 : kInColumns<N>); ++column) {
        const bool exists = kInside || (ix + column >= 0 && ix + column < g.in_w);
        pixels[i][column] = exists ? rows[i].first + (ix + column) * rows[i].step : args.pad;
      }
    }
    const isize first = y * g.out_w + x;
    const s8* packed = reinterpret_cast<const s8*>(args.packed) + run.channel / kChannels * kBlockBytes;
    const Block* block = run.blocks;
    for (isize c = run.channel; c < run.channel_end; c += kChannels, packed += kBlockBytes, ++block) {
      Int acc[N][2];
      start(acc, reinterpret_cast<const s32*>(packed));
      const s8* weights = packed + kChannels * sizeof(s32);
#pragma GCC unroll 1
      for (int i = 0; i < K; ++i, weights += kChannels * K) {
        int8x8_t in[kInColumns<N>];
        const s8* p = pixels[i][0] + c;
        const isize step = rows[i].step;
        WHIT_UNROLL for (int column = 0; column < kInColumns<N>; ++column) in[column] =
            kInside ? load_next(p, step) : vld1_s8(pixels[i][kInside ? 0 : column] + c);
        add_row(acc, in, weights, block->ends[i]);
      }
      if (block->plain) {
        finish_plain(run.epilogue, acc, first, c);
      } else {
        s32 sums[N * kChannels];
        WHIT_UNROLL for (int i = 0; i < 2 * N; ++i) Vector::store(sums + 4 * i, acc[i / 2][i % 2]);
        finish_pixels<N>(run.epilogue, sums, first, c);
      }
    }
  }

  template <int N>
  WHIT_INLINE static void columns(const Run& run, isize y, isize x, const Row (&rows)[K]) {
    const isize ix = x * S - run.args.geometry.pad_left;
    if (ix >= 0 && ix + kInColumns<N> <= run.args.geometry.in_w) {
      tile<N, true>(run, y, x, ix, rows);
    } else {
      tile<N, false>(run, y, x, ix, rows);
    }
  }

  static void row(const Run& run, isize y) {
    const Geometry& g = run.args.geometry;
    Row rows[K];
    for (int i = 0; i < K; ++i) {
      const isize iy = y * S - g.pad_top + i;
      const bool exists = iy >= 0 && iy < g.in_h;
      rows[i] = exists ? Row{run.args.in + iy * g.in_w * g.channels, g.channels} : Row{run.args.pad, 0};
    }
    isize x = 0;
    for (; x + kColumns <= g.out_w; x += kColumns) columns<kColumns>(run, y, x, rows);
    for (; x + 2 <= g.out_w; x += 2) columns<2>(run, y, x, rows);
    for (; x < g.out_w; ++x) columns<1>(run, y, x, rows);
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    const isize channels = args.geometry.channels, whole = channels / kChannels * kChannels;
    const Epilogue epilogue(args.epilogue, args.out, args.out_stride);
    Block blocks[kSpan / kChannels];
    for (isize c = 0; c < whole; c += kSpan) {
      const isize end = whole - c < kSpan ? whole : c + kSpan;
      for (isize i = c; i < end; i += kChannels) {
        const s8* packed = reinterpret_cast<const s8*>(args.packed) + i / kChannels * kBlockBytes;
        blocks[(i - c) / kChannels] = look_at(epilogue, packed, i);
      }
      for (isize y = row_begin; y < row_end; ++y) row({args, epilogue, blocks, c, end}, y);
    }
    if (whole == channels) return;
    for (isize y = row_begin; y < row_end; ++y)
      for (isize x = 0; x < args.geometry.out_w; ++x) Any::pixel(args, epilogue, y, x, whole);
  }

 private:
  static constexpr isize kBlockBytes = kChannels * (static_cast<isize>(sizeof(s32)) + K * K);
};

}  // namespace

void dwconv_s8_3x3s1_neon32(const Args& args, isize row_begin, isize row_end) {
  Sliding<1, Any>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_neon32(const Args& args, isize row_begin, isize row_end) {
  Sliding<2, Any>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_neon32(const Args& args, isize row_begin, isize row_end) {
  Square<1>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_neon32(const Args& args, isize row_begin, isize row_end) {
  Square<2>::run(args, row_begin, row_end);
}
void dwconv_s8_any_neon32(const Args& args, isize row_begin, isize row_end) { Any::run(args, row_begin, row_end); }

}  // namespace whit::dwconv_s8
