// ARMv8.0 NEON. Two products fit in s16 (128 * 127 * 2 = 32512): smull, smlal for a pair of taps, saddw, saddw2 into
// s32. All taps of a 3x3 kernel would fit where a channel's sum of |w| is at most 255, but weights that are scaled by
// channel have one of 127 in every channel, and of the real models' blocks of 8 channels none stays below the bound.
// Three at a time, rows or columns of the kernel, pass it in about 1 % of the blocks of 16 channels.

#include "kernels/simd_s8/neon.h"
// after the vector
#include "kernels/dwconv_s8/strip.h"

namespace whit::dwconv_s8 {
namespace {

using Int = Vector::Int;

constexpr isize kChannels = 8;

WHIT_INLINE isize block_bytes(const Args& args) {
  return kChannels * (static_cast<isize>(sizeof(s32)) + args.geometry.kernel_h * args.geometry.kernel_w);
}

WHIT_INLINE void accumulate(Int (&acc)[2], int16x8_t products) {
  __asm__("saddw %0.4s, %1.4s, %2.4h" : "=w"(acc[0]) : "w"(acc[0]), "w"(products));
  __asm__("saddw2 %0.4s, %1.4s, %2.8h" : "=w"(acc[1]) : "w"(acc[1]), "w"(products));
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

/// Products of the lower (kHalf 0) or upper 8 channels, and their sums. As instructions, since compilers copy the
/// halves of registers to other registers before they multiply or add them.
template <int kHalf>
WHIT_INLINE int16x8_t multiply(int8x16_t x, int8x16_t w) {
  int16x8_t products;
  if constexpr (kHalf == 0) {
    __asm__("smull %0.8h, %1.8b, %2.8b" : "=w"(products) : "w"(x), "w"(w));
  } else {
    __asm__("smull2 %0.8h, %1.16b, %2.16b" : "=w"(products) : "w"(x), "w"(w));
  }
  return products;
}
template <int kHalf>
WHIT_INLINE int16x8_t multiply_add(int16x8_t products, int8x16_t x, int8x16_t w) {
  if constexpr (kHalf == 0) {
    __asm__("smlal %0.8h, %1.8b, %2.8b" : "+w"(products) : "w"(x), "w"(w));
  } else {
    __asm__("smlal2 %0.8h, %1.16b, %2.16b" : "+w"(products) : "w"(x), "w"(w));
  }
  return products;
}

/// 3 x 3 taps, 16 channels. The weights and three columns of input live in registers; every step of one output column
/// loads the S columns that are new.
template <int S, int kMaxRows>
struct Square3 {
  static constexpr int kSize = 3, kStride = S, kRows = kMaxRows, kLanes = 16, kStep = 1;
  static constexpr int kBlockBytes = kLanes * (4 + 9);

  using Channels = Relu::Channels<4>;

  template <int T>
  static void strip(const Block& block, const Channels& channels) {
    channels.relu ? walk<T, true>(block, channels) : walk<T, false>(block, channels);
  }

  template <int T, bool kRelu>
  static void walk(const Block& block, const Channels& channels) {
    constexpr int R = (T - 1) * S + 3;
    using Column = int8x16_t[R];
    const Relu relu = kRelu ? *block.relu : Relu();
    int8x16_t w[9];
    WHIT_UNROLL for (int i = 0; i < 9; ++i) w[i] = vld1q_s8(block.block + kLanes * (4 + i));

    const s8* const* in = block.in;
    s8* out = block.out;
    const isize out_row = block.out_row, out_step = block.out_step;
    const int columns = block.columns;
    int column = 0;
    const Channels* values[T];  // a pointer for each row, so that none gets a copy of the other one's registers
    WHIT_UNROLL for (int t = 0; t < T; ++t) values[t] = &channels;
    const auto load = [&](Column& x) __attribute__((always_inline)) {
      WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = vld1q_s8(in[r] + block.in_channel);
      in += R;
    };
    const auto step = [&](const Column& a, const Column& b, const Column& c) __attribute__((always_inline)) {
      int16x8_t low[T];
      const auto half = [&]<int kHalf>() __attribute__((always_inline)) {
        WHIT_UNROLL for (int t = 0; t < T; ++t) forget(values[t]);
        const float32x4_t scale[2] = {values[0]->scale[2 * kHalf], values[0]->scale[2 * kHalf + 1]};
        WHIT_UNROLL for (int t = 0; t < T; ++t) {
          const int8x16_t x[9] = {a[t * S],     b[t * S],     c[t * S],     a[t * S + 1], b[t * S + 1],
                                  c[t * S + 1], a[t * S + 2], b[t * S + 2], c[t * S + 2]};
          Int sums[2] = {values[0]->start[2 * kHalf], values[0]->start[2 * kHalf + 1]};
          WHIT_UNROLL for (int i = 0; i < 8; i += 2)
              accumulate(sums, multiply_add<kHalf>(multiply<kHalf>(x[i], w[i]), x[i + 1], w[i + 1]));
          accumulate(sums, multiply<kHalf>(x[8], w[8]));
          if (!kRelu) {
            s32* p = block.sums + (t * kStripColumns + column) * kLanes + 8 * kHalf;
            vst1q_s32(p, sums[0]);
            vst1q_s32(p + 4, sums[1]);
          } else if (kHalf == 0) {
            low[t] = Relu::steps(sums, scale, values[t]->minus);
          } else {
            vst1q_s8(out + t * out_row, relu.bytes(low[t], Relu::steps(sums, scale, values[t]->minus + 2)));
          }
        }
      };
      half.template operator()<0>();
      half.template operator()<1>();
      out += out_step;
      ++column;
    };
    Column a, b, c;
    load(a);
    if constexpr (S == 1) {
      load(b);
      for (;;) {
        load(c);
        step(a, b, c);
        if (column == columns) return;
        load(a);
        step(b, c, a);
        if (column == columns) return;
        load(b);
        step(c, a, b);
        if (column == columns) return;
      }
    } else {
      for (;;) {
        load(b);
        load(c);
        step(a, b, c);
        if (column == columns) return;
        load(b);
        load(a);
        step(c, b, a);
        if (column == columns) return;
      }
    }
  }
};

/// 5 x 5 taps, 16 channels by 2 columns of one output row, one row of taps after the other. The fifth product of an
/// even row waits for that of the next one.
template <int S>
struct Square5 {
  static constexpr int kSize = 5, kStride = S, kRows = 1, kLanes = 16, kStep = 2;
  static constexpr int kBlockBytes = kLanes * (4 + 25);
  using Channels = Relu::Channels<4>;

  template <int>
  static void strip(const Block& block, const Channels& channels) {
    channels.relu ? walk<true>(block, channels) : walk<false>(block, channels);
  }

  template <bool kRelu>
  static void walk(const Block& block, const Channels& channels) {
    constexpr int kInColumns = (kStep - 1) * S + 5;
    const Relu relu = kRelu ? *block.relu : Relu();
    const s8* weights = block.block + kLanes * 4;
    const isize out_step = block.out_step, in_channel = block.in_channel;
    const int columns = block.columns;
    s8* out = block.out;
    const s8* const* in = block.in;
    const Channels* values[kStep] = {&channels, &channels};
    for (int column = 0; column < columns; column += kStep, in += kStep * S * 5) {
      WHIT_UNROLL for (int o = 0; o < kStep; ++o) forget(values[o]);
      Int acc[kStep][2][2];
      int16x8_t fifth[kStep][2];
      const auto row = [&]<int i>() __attribute__((always_inline)) {
        forget(weights);
        forget(in);
        int8x16_t w[5], x[kInColumns];
        WHIT_UNROLL for (int j = 0; j < 5; ++j) w[j] = vld1q_s8(weights + (i * 5 + j) * kLanes);
        WHIT_UNROLL for (int j = 0; j < kInColumns; ++j) x[j] = vld1q_s8(in[j * 5 + i] + in_channel);
        const auto half = [&]<int kHalf>() __attribute__((always_inline)) {
          WHIT_UNROLL for (int o = 0; o < kStep; ++o) {
            const int8x16_t* p = x + o * S;
            if (i == 0) {
              acc[o][kHalf][0] = values[0]->start[2 * kHalf];
              acc[o][kHalf][1] = values[0]->start[2 * kHalf + 1];
            }
            accumulate(acc[o][kHalf], multiply_add<kHalf>(multiply<kHalf>(p[0], w[0]), p[1], w[1]));
            accumulate(acc[o][kHalf], multiply_add<kHalf>(multiply<kHalf>(p[2], w[2]), p[3], w[3]));
            fifth[o][kHalf] =
                i % 2 == 0 ? multiply<kHalf>(p[4], w[4]) : multiply_add<kHalf>(fifth[o][kHalf], p[4], w[4]);
            if (i % 2 == 1 || i == 4) accumulate(acc[o][kHalf], fifth[o][kHalf]);
          }
        };
        half.template operator()<0>();
        half.template operator()<1>();
        keep_order();
      };
      row.template operator()<0>();
      row.template operator()<1>();
      row.template operator()<2>();
      row.template operator()<3>();
      row.template operator()<4>();
      WHIT_UNROLL for (int o = 0; o < kStep; ++o) {
        if constexpr (kRelu) {
          const float32x4_t low[2] = {values[0]->scale[0], values[0]->scale[1]};
          const float32x4_t high[2] = {values[0]->scale[2], values[0]->scale[3]};
          const int8x16_t bytes = relu.bytes(Relu::steps(acc[o][0], low, values[o]->minus),
                                             Relu::steps(acc[o][1], high, values[o]->minus + 2));
          if (o == 0 || column + 1 < columns) vst1q_s8(out, bytes);
          out += out_step;
        } else if (column + o < columns) {
          s32* p = block.sums + (column + o) * kLanes;
          WHIT_UNROLL for (int v = 0; v < 4; ++v) vst1q_s32(p + 4 * v, acc[o][v / 2][v % 2]);
        }
      }
    }
  }
};

}  // namespace

void dwconv_s8_3x3s1_neon(const Args& args, isize row_begin, isize row_end) {
  Strips<Square3<1, 2>>::run(args, row_begin, row_end);
}
void dwconv_s8_3x3s2_neon(const Args& args, isize row_begin, isize row_end) {
  Strips<Square3<2, 1>>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s1_neon(const Args& args, isize row_begin, isize row_end) {
  Strips<Square5<1>>::run(args, row_begin, row_end);
}
void dwconv_s8_5x5s2_neon(const Args& args, isize row_begin, isize row_end) {
  Strips<Square5<2>>::run(args, row_begin, row_end);
}
void dwconv_s8_any_neon(const Args& args, isize row_begin, isize row_end) { Any::run(args, row_begin, row_end); }

}  // namespace whit::dwconv_s8
