#pragma once
// 3x3 depthwise convolution on ARMv7 NEON, 8 channels at a time, along the columns of a row of output: three columns of
// input and the weights stay in registers, and the oldest column makes way for the next one.
//
//     d0 d1 d2, d3 d4 d5, d6 d7 d8    columns a, b, c of three rows, in turns
//     d9 - d17                        weights, row by row
//     q9 q10, q11 q12                 bias, scale
//     q13 q15                         accumulators, once the first products are there
//     q14 and half of column a        products; column a is used up first
//
// It is assembly because nothing may be spilled: compilers know no way to keep all 16 registers occupied. Include
// simd_s8/neon32.h before.

#include "kernels/dwconv_s8/neon32_bounds.h"

namespace whit::dwconv_s8 {
namespace {

using Int = Vector::Int;

// clang-format off
/// Sums of an output pixel, two taps at a time. `free` is the register of column a, with its halves.
#define WHIT_PAIRS(a0, a1, a2, b0, b1, b2, c0, c1, c2, free, low, high)                         \
  "vmull.s8 q15, " a0 ", d9\n"                                                                  \
  "vmull.s8 q14, " a1 ", d12\n"                                                                 \
  "vmlal.s8 q15, " b0 ", d10\n"                                                                 \
  "vmlal.s8 q14, " a2 ", d15\n"                                                                 \
  "vmull.s8 " free ", " b1 ", d13\n"                                                            \
  "vaddw.s16 q13, q9, d30\n"                                                                    \
  "vaddw.s16 q15, q10, d31\n"                                                                   \
  "vmlal.s8 " free ", " b2 ", d16\n"                                                            \
  "vaddw.s16 q13, q13, d28\n"                                                                   \
  "vaddw.s16 q15, q15, d29\n"                                                                   \
  "vmull.s8 q14, " c0 ", d11\n"                                                                 \
  "vaddw.s16 q13, q13, " low "\n"                                                               \
  "vmlal.s8 q14, " c1 ", d14\n"                                                                 \
  "vaddw.s16 q15, q15, " high "\n"                                                              \
  "vmull.s8 " free ", " c2 ", d17\n"                                                            \
  "vaddw.s16 q13, q13, d28\n"                                                                   \
  "vaddw.s16 q15, q15, d29\n"                                                                   \
  "vaddw.s16 q13, q13, " low "\n"                                                               \
  "vaddw.s16 q15, q15, " high "\n"
/// The same where the products of the first row's three taps fit in s16 together.
#define WHIT_TRIPLE(a0, a1, a2, b0, b1, b2, c0, c1, c2, free, low, high)                        \
  "vmull.s8 q15, " a0 ", d9\n"                                                                  \
  "vmull.s8 q14, " a1 ", d12\n"                                                                 \
  "vmlal.s8 q15, " b0 ", d10\n"                                                                 \
  "vmlal.s8 q14, " a2 ", d15\n"                                                                 \
  "vmlal.s8 q15, " c0 ", d11\n"                                                                 \
  "vmull.s8 " free ", " b1 ", d13\n"                                                            \
  "vaddw.s16 q13, q9, d30\n"                                                                    \
  "vaddw.s16 q15, q10, d31\n"                                                                   \
  "vmlal.s8 " free ", " b2 ", d16\n"                                                            \
  "vaddw.s16 q13, q13, d28\n"                                                                   \
  "vaddw.s16 q15, q15, d29\n"                                                                   \
  "vmull.s8 q14, " c1 ", d14\n"                                                                 \
  "vaddw.s16 q13, q13, " low "\n"                                                               \
  "vmlal.s8 q14, " c2 ", d17\n"                                                                 \
  "vaddw.s16 q15, q15, " high "\n"                                                              \
  "vaddw.s16 q13, q13, d28\n"                                                                   \
  "vaddw.s16 q15, q15, d29\n"

/// From sums to steps of the output in s16: the low bits after 1.5 * 2^23 is added, which rounds, ties to even.
#define WHIT_ROUND                                                                              \
  "vcvt.f32.s32 q13, q13\n"                                                                     \
  "vld1.32 {d28-d29}, [%[strip]]\n"                                                             \
  "vcvt.f32.s32 q15, q15\n"                                                                     \
  "vmul.f32 q13, q13, q11\n"                                                                    \
  "vmul.f32 q15, q15, q12\n"                                                                    \
  "vadd.f32 q13, q13, q14\n"                                                                    \
  "vadd.f32 q15, q15, q14\n"                                                                    \
  "vuzp.16 q13, q15\n"
#define WHIT_STEPS                                                                              \
  WHIT_ROUND                                                                                    \
  "vqmovn.s16 d26, q13\n"                                                                       \
  "vst1.8 {d26}, [%[out]], %[out_step]\n"
#define WHIT_CLAMPED                                                                            \
  WHIT_ROUND                                                                                    \
  "vldr d28, [%[strip], #16]\n"                                                                 \
  "vldr d29, [%[strip], #24]\n"                                                                 \
  "vadd.i16 q13, q13, q14\n"                                                                    \
  "vldr d28, [%[strip], #32]\n"                                                                 \
  "vqmovn.s16 d26, q13\n"                                                                       \
  "vldr d29, [%[strip], #40]\n"                                                                 \
  "vmax.s8 d26, d26, d28\n"                                                                     \
  "vmin.s8 d26, d26, d29\n"                                                                     \
  "vst1.8 {d26}, [%[out]], %[out_step]\n"
#define WHIT_SUMS                                                                               \
  "vst1.32 {d26-d27}, [%[out]]!\n"                                                              \
  "vst1.32 {d30-d31}, [%[out]]!\n"

#define WHIT_COLUMN0 "d0", "d1", "d2"
#define WHIT_COLUMN1 "d3", "d4", "d5"
#define WHIT_COLUMN2 "d6", "d7", "d8"
#define WHIT_EXPAND(macro, ...) macro(__VA_ARGS__)
#define WHIT_LOAD(x0, x1, x2)                                                                   \
  "vld1.8 {" x0 "}, [%[p0]], %[s0]\n"                                                           \
  "vld1.8 {" x1 "}, [%[p1]], r8\n"                                                              \
  "vld1.8 {" x2 "}, [%[p2]], r9\n"
#define WHIT_LOAD_COLUMN(column) WHIT_EXPAND(WHIT_LOAD, column)
/// An output column; then on to the next one, until those whose inputs lie inside of the image are done.
#define WHIT_STEP(sum, finish, a, b, c, free, low, high, next)                                  \
  WHIT_EXPAND(sum, a, b, c, free, low, high)                                                    \
  finish                                                                                        \
  "subs %[count], %[count], #1\n"                                                               \
  next "\n"
#define WHIT_STEPS_BEHIND                                                                       \
  "ldr %[count], [%[strip], #52]\n"                                                             \
  "cmp %[count], #0\n"                                                                          \
  "beq 9f\n"                                                                                    \
  "mov %[s0], #0\n"                                                                             \
  "str %[s0], [%[strip], #52]\n"
/// From here on, columns are behind the image.
#define WHIT_BEHIND1(next)                                                                      \
  WHIT_STEPS_BEHIND                                                                             \
  "ldr %[p0], [%[strip], #48]\n"                                                                \
  "mov %[p1], %[p0]\n"                                                                          \
  "mov %[p2], %[p0]\n"                                                                          \
  "mov r8, %[s0]\n"                                                                             \
  "mov r9, %[s0]\n"                                                                             \
  "b " next "b\n"
/// For one output, whose column b is the last one of the image.
#define WHIT_BEHIND2(next)                                                                      \
  WHIT_STEPS_BEHIND                                                                             \
  "ldr %[s0], [%[strip], #48]\n"                                                                \
  "sub r8, %[s0], %[p1]\n"                                                                      \
  "sub r9, %[s0], %[p2]\n"                                                                      \
  "sub %[s0], %[s0], %[p0]\n"                                                                   \
  "b " next "b\n"
/// `count` is the block at first. The steps of rows 1 and 2 are in r8 and r9, for compilers run out of operands.
#define WHIT_CONSTANTS                                                                          \
  "vldmia %[count]!, {d18-d25}\n"                                                               \
  "vldmia %[count], {d9-d17}\n"                                                                 \
  "ldr r8, [%[strip], #72]\n"                                                                   \
  "ldr r9, [%[strip], #76]\n"                                                                   \
  WHIT_LOAD_COLUMN(WHIT_COLUMN0)                                                                \
  "ldr %[s0], [%[strip], #56]\n"                                                                \
  "ldr r8, [%[strip], #60]\n"                                                                   \
  "ldr r9, [%[strip], #64]\n"                                                                   \
  "ldr %[count], [%[strip], #68]\n"
#define WHIT_STRIP1(sum, finish)                                                                \
  WHIT_CONSTANTS                                                                                \
  WHIT_LOAD_COLUMN(WHIT_COLUMN1)                                                                \
  "cmp %[count], #0\n"                                                                          \
  "beq 4f\n"                                                                                    \
  "1:\n" WHIT_LOAD_COLUMN(WHIT_COLUMN2)                                                         \
  WHIT_STEP(sum, finish, WHIT_COLUMN0, WHIT_COLUMN1, WHIT_COLUMN2, "q0", "d0", "d1", "beq 5f")  \
  "2:\n" WHIT_LOAD_COLUMN(WHIT_COLUMN0)                                                         \
  WHIT_STEP(sum, finish, WHIT_COLUMN1, WHIT_COLUMN2, WHIT_COLUMN0, "q2", "d4", "d5", "beq 6f")  \
  "3:\n" WHIT_LOAD_COLUMN(WHIT_COLUMN1)                                                         \
  WHIT_STEP(sum, finish, WHIT_COLUMN2, WHIT_COLUMN0, WHIT_COLUMN1, "q3", "d6", "d7", "bne 1b")  \
  "4:\n" WHIT_BEHIND1("1")                                                                      \
  "5:\n" WHIT_BEHIND1("2")                                                                      \
  "6:\n" WHIT_BEHIND1("3")                                                                      \
  "9:\n"
#define WHIT_STRIP2(sum, finish)                                                                \
  WHIT_CONSTANTS                                                                                \
  "cmp %[count], #0\n"                                                                          \
  "beq 3f\n"                                                                                    \
  "1:\n" WHIT_LOAD_COLUMN(WHIT_COLUMN1) WHIT_LOAD_COLUMN(WHIT_COLUMN2)                          \
  WHIT_STEP(sum, finish, WHIT_COLUMN0, WHIT_COLUMN1, WHIT_COLUMN2, "q0", "d0", "d1", "beq 4f")  \
  "2:\n" WHIT_LOAD_COLUMN(WHIT_COLUMN1) WHIT_LOAD_COLUMN(WHIT_COLUMN0)                          \
  WHIT_STEP(sum, finish, WHIT_COLUMN2, WHIT_COLUMN1, WHIT_COLUMN0, "q3", "d6", "d7", "bne 1b")  \
  "3:\n" WHIT_BEHIND2("1")                                                                      \
  "4:\n" WHIT_BEHIND2("2")                                                                      \
  "9:\n"
// clang-format on

/// The epilogue of N pixels from their sums, in any form. Out of line, for it is large and seldom needed.
template <int N>
[[gnu::noinline]] void finish_pixels(const Epilogue& epilogue, const s32* sums, isize pixel, isize channel) {
  Int acc[N][2];
  WHIT_UNROLL for (int i = 0; i < 2 * N; ++i) acc[i / 2][i % 2] = Vector::load(sums + 4 * i);
  finish(epilogue, acc, Consecutive{pixel}, channel, Vector::kLanes);
}

/// 3x3 taps at stride S, without dilation. Any::pixel(args, epilogue, y, x, channel) computes the channels from
/// `channel` on of single pixels, for what is not whole blocks of channels.
template <int S, class Any>
struct Sliding {
  static constexpr int kSpan = 256;         // channels whose constants are derived once for all rows
  static constexpr int kStripColumns = 64;  // output columns of a strip

  enum class Finish { sums, clamped, steps };

  /// What the assembly reads, as it is laid out here.
  struct Block {
    s32 bias[kChannels];
    f32 scale[kChannels];
    s8 weights[9][kChannels];
    u8 rows[3];  // which row of the kernel those of the weights are
    bool triple;
    Finish finish;
  };
  struct Strip {
    f32 magic[4];
    s16 zero_point[8];
    s8 minimum[8], maximum[8];
    const s8* pad;        // of the block's channels
    isize behind;         // output columns that need those behind the image
    isize step[3];        // from pixel to pixel, by row
    isize count;          // output columns before those
    isize first_step[2];  // from the first pixel to the second one, of the last two rows
  };
  static_assert(offsetof(Block, weights) == 64 && offsetof(Strip, zero_point) == 16 && offsetof(Strip, minimum) == 32 &&
                offsetof(Strip, maximum) == 40 && offsetof(Strip, pad) == 48 && offsetof(Strip, behind) == 52 &&
                offsetof(Strip, step) == 56 && offsetof(Strip, count) == 68 && offsetof(Strip, first_step) == 72);

  /// A row of input pixels: the first one that a strip needs, the way to the second one, and from there on.
  struct Row {
    const s8* first;
    isize first_step, step;
  };

  explicit Sliding(const Args& args) : args(args), epilogue(args.epilogue, args.out, args.out_stride) {
    if (is_clamp(epilogue.spec)) finish_small = is_plain(epilogue) ? Finish::steps : Finish::clamped;
    const s32 zero_point = epilogue.spec.zero_point;
    const f32 magic = 12582912.0f + static_cast<f32>(finish_small == Finish::steps ? zero_point : 0);
    vst1q_f32(strip.magic, vdupq_n_f32(magic));
    vst1q_s16(strip.zero_point, vdupq_n_s16(static_cast<s16>(zero_point)));
    vst1_s8(strip.minimum, vdup_n_s8(epilogue.minimum));
    vst1_s8(strip.maximum, vdup_n_s8(epilogue.maximum));
  }

  /// Block `block` from the packed weights of channels c ...
  void derive(Block& block, isize c) const {
    const s8* packed = reinterpret_cast<const s8*>(args.packed) + c * (static_cast<isize>(sizeof(s32)) + 9);
    const s32* bias = reinterpret_cast<const s32*>(packed);
    const s8* weights = packed + kChannels * sizeof(s32);
    int first = 0;
    while (first < 3 && !fits(weights + 3 * first * kChannels, 3)) ++first;
    block.triple = first < 3;
    for (int i = 0; i < 3; ++i) {
      block.rows[i] = static_cast<u8>((first + i) % 3);
      std::memcpy(block.weights[3 * i], weights + 3 * block.rows[i] * kChannels, 3 * kChannels);
    }
    std::memcpy(block.bias, bias, sizeof(block.bias));
    block.finish = Finish::sums;
    if (finish_small == Finish::sums) return;
    std::memcpy(block.scale, args.epilogue.scale + c, sizeof(block.scale));
    if (small_results(bias, weights, 9, block.scale)) block.finish = finish_small;
  }

  /// strip.count output columns, then strip.behind more, of one block.
  WHIT_INLINE void run_strip(const Block& block, const Row (&rows)[3], isize channel, s8* out) {
    const Row &row0 = rows[block.rows[0]], &row1 = rows[block.rows[1]], &row2 = rows[block.rows[2]];
    const s8 *p0 = row0.first + channel, *p1 = row1.first + channel, *p2 = row2.first + channel;
    isize s0 = row0.first_step;
    strip.first_step[0] = row1.first_step;
    strip.first_step[1] = row2.first_step;
    const void* block_then_count = &block;
    strip.step[0] = row0.step;
    strip.step[1] = row1.step;
    strip.step[2] = row2.step;
#define WHIT_RUN(code)                                                                                              \
  __asm__ volatile(                                                                                                 \
      code                                                                                                          \
      : [p0] "+r"(p0), [p1] "+r"(p1), [p2] "+r"(p2), [s0] "+r"(s0), [count] "+r"(block_then_count), [out] "+r"(out) \
      : [strip] "r"(&strip), [out_step] "r"(args.out_stride)                                                        \
      : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14", "q15", "r8", \
        "r9", "cc", "memory")
    if constexpr (S == 1) {
      if (block.finish == Finish::sums) {
        WHIT_RUN(WHIT_STRIP1(WHIT_PAIRS, WHIT_SUMS));
      } else if (block.finish == Finish::clamped) {
        WHIT_RUN(WHIT_STRIP1(WHIT_PAIRS, WHIT_CLAMPED));
      } else if (block.triple) {
        WHIT_RUN(WHIT_STRIP1(WHIT_TRIPLE, WHIT_STEPS));
      } else {
        WHIT_RUN(WHIT_STRIP1(WHIT_PAIRS, WHIT_STEPS));
      }
    } else {
      if (block.finish == Finish::sums) {
        WHIT_RUN(WHIT_STRIP2(WHIT_PAIRS, WHIT_SUMS));
      } else if (block.finish == Finish::clamped) {
        WHIT_RUN(WHIT_STRIP2(WHIT_PAIRS, WHIT_CLAMPED));
      } else if (block.triple) {
        WHIT_RUN(WHIT_STRIP2(WHIT_TRIPLE, WHIT_STEPS));
      } else {
        WHIT_RUN(WHIT_STRIP2(WHIT_PAIRS, WHIT_STEPS));
      }
    }
#undef WHIT_RUN
  }

  /// Sums to results, in any form.
  [[gnu::noinline]] void finish_sums(const s32* sums, isize pixel, isize columns, isize channel) const {
    for (; columns >= 4; columns -= 4, pixel += 4, sums += 4 * kChannels)
      finish_pixels<4>(epilogue, sums, pixel, channel);
    for (; columns > 0; --columns, ++pixel, sums += kChannels) finish_pixels<1>(epilogue, sums, pixel, channel);
  }

  /// `columns` pixels of a row of output, of which the last `behind` need columns behind the image.
  [[gnu::noinline]] void strips(const Block* block, const Row (&rows)[3], isize pixel, isize columns, isize behind,
                                isize channel, isize channel_end) {
    s32 sums[kStripColumns * kChannels];
    s8* out = static_cast<s8*>(args.out) + pixel * args.out_stride;
    for (; channel < channel_end; channel += kChannels, ++block) {
      const bool results = block->finish != Finish::sums;
      strip.pad = args.pad + channel;
      strip.behind = behind;
      strip.count = columns - behind;
      run_strip(*block, rows, channel, results ? out + channel : reinterpret_cast<s8*>(sums));
      if (!results) finish_sums(sums, pixel, columns, channel);
    }
  }

  /// Output columns whose column b lies inside of the image, or at stride 1 the first one's.
  struct Inside {
    explicit Inside(const Geometry& g) {
      if (S == 1) {
        begin = least(g.pad_left > 1 ? g.pad_left - 1 : 0, g.out_w);
        end = begin + 1 - g.pad_left < g.in_w ? g.out_w : begin;
        whole = g.in_w - 2 + g.pad_left;
      } else {
        begin = least(g.pad_left / 2, g.out_w);
        end = least((g.in_w + g.pad_left) / 2, g.out_w);
        whole = (g.in_w - 1 + g.pad_left) / 2;
      }
      if (end < begin) end = begin;
    }
    isize begin, end;
    isize whole;  // where those begin whose column c is behind the image
  };

  void row(const Block* blocks, isize channel, isize channel_end, isize y, const Inside& inside) {
    const Geometry& g = args.geometry;
    for (isize x = inside.begin; x < inside.end; x += kStripColumns) {
      const isize columns = least(kStripColumns, inside.end - x);
      const isize whole = inside.whole <= x ? 0 : least(columns, inside.whole - x);
      const isize a = x * S - g.pad_left;
      Row rows[3];
      for (int i = 0; i < 3; ++i) {
        const isize iy = y * S - g.pad_top + i;
        if (iy < 0 || iy >= g.in_h) {
          rows[i] = {args.pad, 0, 0};
          continue;
        }
        const s8* first = args.in + iy * g.in_w * g.channels;
        const s8* pixels[2];
        for (int j = 0; j < 2; ++j) pixels[j] = a + j >= 0 && a + j < g.in_w ? first + (a + j) * g.channels : args.pad;
        rows[i] = {pixels[0], reinterpret_cast<isize>(pixels[1]) - reinterpret_cast<isize>(pixels[0]), g.channels};
      }
      strips(blocks, rows, y * g.out_w + x, columns, columns - whole, channel, channel_end);
    }
  }

  static void run(const Args& args, isize row_begin, isize row_end) {
    const Geometry& g = args.geometry;
    const isize channels = g.channels / kChannels * kChannels;
    const Inside inside(g);
    Sliding sliding(args);
    Block blocks[kSpan / kChannels];
    for (isize c = 0; c < channels; c += kSpan) {
      const isize end = c + least(kSpan, channels - c);
      for (isize i = c; i < end; i += kChannels) sliding.derive(blocks[(i - c) / kChannels], i);
      for (isize y = row_begin; y < row_end; ++y) sliding.row(blocks, c, end, y, inside);
    }
    if (inside.begin == 0 && inside.end == g.out_w && channels == g.channels) return;
    for (isize y = row_begin; y < row_end; ++y) {
      for (isize x = 0; x < g.out_w; ++x)
        Any::pixel(args, sliding.epilogue, y, x, x >= inside.begin && x < inside.end ? channels : 0);
    }
  }

  static isize least(isize a, isize b) { return a < b ? a : b; }

  const Args& args;
  const Epilogue epilogue;
  Finish finish_small = Finish::sums;
  Strip strip;
};

}  // namespace
}  // namespace whit::dwconv_s8
