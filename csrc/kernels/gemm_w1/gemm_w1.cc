#include "kernels/gemm_w1/gemm_w1.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/checked.h"
#include "kernels/gemm_w1/kernel.h"

namespace whit::gemm_w1 {
namespace {

constexpr Kernel kKernels[] = {
#define GEMM_W1_KERNEL(isa, nr, add, finish) {Isa::isa, #add, nr, add, finish},
#include "kernels/gemm_w1/kernels.inc"
#undef GEMM_W1_KERNEL
};

/// Of a row, with those that fill up.
isize row_pairs(isize taps, isize k) { return round_up(taps * ceil_div(k, kPairValues), kPairs); }

isize panel_bytes(const Kernel& kernel, isize taps, isize k) {
  return kernel.nr * (static_cast<isize>(sizeof(s32)) + row_pairs(taps, k));
}

using Sums = s16 __attribute__((vector_size(16)));  // compilers know how to add, multiply and narrow them
using EightBytes = u8 __attribute__((vector_size(8)));

/// The table of a group of values.
void make_table(const s8* x, u8* out) {
  const Sums below = Sums{} + s16{kLeast} + x[0] * Sums{0, 1, 0, 1, 0, 1, 0, 1} + x[1] * Sums{0, 0, 1, 1, 0, 0, 1, 1} +
                     x[2] * Sums{0, 0, 0, 0, 1, 1, 1, 1};
  const Sums above = below + s16{x[3]};
  constexpr s16 kLow = (1 << kHalfBits) - 1;
  const auto store = [](Sums sums, u8* to) {
    const EightBytes bytes = __builtin_convertvector(sums, EightBytes);
    std::memcpy(to, &bytes, sizeof(bytes));
  };
  store(below & kLow, out);
  store(above & kLow, out + 8);
  store(below >> kHalfBits, out + 16);
  store(above >> kHalfBits, out + 24);
}

/// A row as its pairs of groups, one after another.
class Row {
 public:
  Row(const Args& args, isize m) : args_(args), m_(m) {}

  /// Makes tables of at most `most` pairs of those that are left, and the sum of their values.
  isize make_tables(isize most, u8* tables) {
    isize made = 0;
    while (made < most && tap_ < args_.taps) {
      const s8* values = tap_values();
      for (; made < most && k_ + kPairValues <= args_.k; ++made, k_ += kPairValues, tables += kTableBytes)
        make_pair(values + k_, tables);
      if (made < most && k_ < args_.k) {
        s8 last[kPairValues] = {};
        std::copy(values + k_, values + args_.k, last);
        make_pair(last, tables);
        k_ = args_.k, ++made, tables += kTableBytes;
      }
      if (k_ == args_.k) k_ = 0, ++tap_;
    }
    const isize filled = round_up(made, kPairs);
    std::memset(tables, 0, static_cast<std::size_t>((filled - made) * kTableBytes));
    pairs_ += made;
    return filled;
  }

  bool is_done() const { return tap_ == args_.taps; }
  s32 sum() const { return sum_; }
  /// That tables were made of.
  isize pairs() const { return pairs_; }

 private:
  const s8* tap_values() const {
    if (!args_.lhs.offsets) return args_.lhs.base + m_ * args_.lhs.row_stride;
    const s32 offset = args_.lhs.offsets[m_ * args_.taps + tap_];
    return offset >= 0 ? args_.lhs.base + offset : args_.lhs.pad;
  }

  void make_pair(const s8* values, u8* tables) {
    for (isize i = 0; i < kPairValues; ++i) sum_ += values[i];
    make_table(values, tables);
    make_table(values + kPairValues / 2, tables + kTableBytes / 2);
  }

  const Args& args_;
  isize m_, tap_ = 0, k_ = 0, pairs_ = 0;
  s32 sum_ = 0;
};

struct Scratch {
  alignas(64) u8 tables[kMostPairs * kTableBytes];
  alignas(64) s32 sums[kMostColumns];
};

void run_row(const Kernel& kernel, const Args& args, isize stride, isize m, isize n, isize n_end, Scratch& scratch) {
  const Head& head = *reinterpret_cast<const Head*>(args.packed);
  const isize panels = ceil_div(n_end - n, kernel.nr), bias_bytes = kernel.nr * static_cast<isize>(sizeof(s32));
  const std::byte* panel = args.packed + sizeof(Head) + n / kernel.nr * stride;
  const u8* bits = reinterpret_cast<const u8*>(panel + bias_bytes);
  std::fill_n(scratch.sums, panels * kernel.nr, 0);
  Row row(args, m);
  while (!row.is_done()) {
    const isize pairs = row.make_tables(kMostPairs, scratch.tables);
    kernel.add(scratch.tables, pairs, bits, stride, panels, scratch.sums);
    bits += pairs * kernel.nr;
  }
  // The sums hold 2 * kLeast too much for each pair.
  const u32 offset = static_cast<u32>(head.first) * static_cast<u32>(row.sum()) -
                     static_cast<u32>(head.step) * static_cast<u32>(2 * kLeast * row.pairs());
  for (s32* sums = scratch.sums; n < n_end; n += kernel.nr, panel += stride, sums += kernel.nr)
    kernel.finish(args, reinterpret_cast<const s32*>(panel), static_cast<s32>(offset), head.step, sums, m, n,
                  std::min<isize>(kernel.nr, n_end - n));
}

}  // namespace

std::optional<TwoValues> two_values(std::span<const s8> weights) {
  if (weights.empty()) return std::nullopt;
  const auto [least, most] = std::minmax_element(weights.begin(), weights.end());
  const s8 first = *least, last = *most;
  if (!std::all_of(weights.begin(), weights.end(), [&](s8 w) { return w == first || w == last; })) return std::nullopt;
  return TwoValues{first, last - first};
}

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(IsaSet isa) {
  const auto* found = std::ranges::find_if(kKernels, [&](const Kernel& kernel) { return isa.has(kernel.isa); });
  return found != std::end(kKernels) ? *found : *std::prev(std::end(kKernels));
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }
isize panel_columns(const Kernel& kernel) { return kernel.nr; }

std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k) {
  if (s64{taps} * k > PTRDIFF_MAX / 256) return SIZE_MAX;
  const std::size_t panels = allocation_bytes(ceil_div(n, kernel.nr), panel_bytes(kernel, taps, k));
  return panels > SIZE_MAX - sizeof(Head) ? SIZE_MAX : panels + sizeof(Head);
}

std::size_t scratch_bytes() { return sizeof(Scratch); }

void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end) {
  const gemm_s8::Rhs& weights = rhs.weights;
  const auto [first, step] = rhs.values;
  if (n_begin == 0) {
    const Head head{first, step};
    std::memcpy(packed, &head, sizeof(head));
  }
  const isize stride = panel_bytes(kernel, weights.taps, weights.k);
  const isize tap_pairs = ceil_div(weights.k, kPairValues), column = weights.taps * weights.k;
  for (isize n = n_begin; n < n_end; n += kernel.nr) {
    std::byte* panel = packed + sizeof(Head) + n / kernel.nr * stride;
    std::fill_n(panel, stride, std::byte{0});
    s32* bias = reinterpret_cast<s32*>(panel);
    u8* bits = reinterpret_cast<u8*>(bias + kernel.nr);
    for (isize c = 0; c < std::min<isize>(kernel.nr, weights.n - n); ++c) {
      const s8* w = weights.values + (n + c) * column;
      u32 sum = 0;
      for (isize i = 0; i < column; ++i) {
        const isize k = i % weights.k, pair = i / weights.k * tap_pairs + k / kPairValues;
        u8& byte = bits[pair * kernel.nr + c];
        byte = static_cast<u8>(byte | (w[i] != first) << k % kPairValues);
        sum += static_cast<u32>(w[i]);
      }
      const u32 given = weights.bias ? static_cast<u32>(weights.bias[n + c]) : 0;
      bias[c] = static_cast<s32>(given - static_cast<u32>(weights.lhs_zero_point) * sum);
    }
  }
}

void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end) {
  const isize stride = panel_bytes(kernel, args.taps, args.k);
  Scratch& scratch = *reinterpret_cast<Scratch*>(args.scratch);
  for (isize n = n_begin; n < n_end; n += kMostColumns) {
    const isize end = std::min(n + kMostColumns, n_end);
    for (isize m = m_begin; m < m_end; ++m) run_row(kernel, args, stride, m, n, end, scratch);
  }
}

}  // namespace whit::gemm_w1
