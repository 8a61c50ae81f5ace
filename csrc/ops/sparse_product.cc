#include "ops/sparse_product.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace whit::ops {
namespace {

/// What a kernel takes, in the time that the dense kernel for the same product on the same instruction set needs for a
/// multiply-accumulate. x86: fitted to `kernel_bench --filter spmm` and to the layers of MobileNetV2, 85 % zeros in
/// 1x4. ARM: between what `python -m bench.arm.spmm` counts for the Cortex-A53 and A72; for dot products what it counts
/// for the A76; f32 on 32-bit ARM: instructions.
struct Cost {
  const char* kernel;
  f64 weight;   ///< of a stored weight and a pixel
  f64 in, out;  ///< of a value that becomes part of a line; of one that goes from an accumulator through the epilogue
  /// Of one pixel: how many times as long the dense product takes where its weights are more than kNear bytes. x86:
  /// measured at 2048 x 2048; ARM: from what memory brings in a cycle.
  f64 far = 1;
};

constexpr s64 kNear = 2 << 20;  // weights that stay in L2

/// Dense products of s8 that are faster than those of the level below: many pixels, one pixel. i8mm: `python -m
/// bench.arm.spmm` for both levels; amx: half of what its peak is to that of VNNI.
struct Step {
  Isa isa, below;
  f64 many, one;
};

constexpr Step kSteps[] = {
    {Isa::amx, Isa::avx512vnni, 4, 1},
    {Isa::i8mm, Isa::neondot, 1.8, 1.2},
    {Isa::neondot, Isa::neon, 3.5, 1.4},
};

/// How many times as fast the dense product of one level is as that of another.
f64 speed(Isa dense, Isa than, isize pixels) {
  f64 times = 1;
  for (const Step& step : kSteps) {
    if (dense == than || step.isa != dense) continue;
    times *= pixels == 1 ? step.one : step.many;
    dense = step.below;
  }
  return times;
}

constexpr Cost kCosts[] = {
    {"spmm_s8s8s32_1x4_avx512vnni", 2.6, 8, 42},
    {"spmm_s8s8s32_4x1_avx512vnni", 3.3, 8, 42},
    {"spmm_s8s8s32_1x4_column_avx512vnni", 7, 0, 40, 4.5},
    {"spmm_s8s8s32_1x1_column_avx512vnni", 25, 0, 50, 4.5},
    {"spmm_s8s8s32_1x4_avxvnni", 2.05, 5, 25},
    {"spmm_s8s8s32_4x1_avxvnni", 2.9, 5, 25},
    {"spmm_s8s8s32_1x4_column_avxvnni", 5.3, 0, 110, 3.3},
    {"spmm_s8s8s32_1x1_column_avxvnni", 17.5, 0, 150, 3.3},
    {"spmm_s8s8s32_1x4_avx2", 1.25, 1, 5},
    {"spmm_s8s8s32_4x1_avx2", 1.5, 1, 5},
    {"spmm_s8s8s32_1x1_short_avx2", 1.4, 1, 5},
    {"spmm_s8s8s32_1x1_avx2", 2.0, 1, 5},
    {"spmm_s8s8s32_1x4_column_avx2", 3.2, 0, 70, 2},
    {"spmm_s8s8s32_1x1_column_avx2", 10, 0, 110, 2},
    {"spmm_s8s8s32_1x4_neondot", 1.6, 18, 42},
    {"spmm_s8s8s32_4x1_neondot", 2.3, 18, 42},
    {"spmm_s8s8s32_1x1_neondot", 4.2, 18, 42},
    {"spmm_s8s8s32_1x4_column_neondot", 4.5, 0, 150, 2.5},
    {"spmm_s8s8s32_1x4_neon", 1.4, 4, 9},
    {"spmm_s8s8s32_4x1_neon", 1.55, 4, 9},
    {"spmm_s8s8s32_1x1_short_neon", 1.3, 4, 9},
    {"spmm_s8s8s32_1x1_neon", 1.8, 4, 9},
    {"spmm_s8s8s32_1x4_column_neon", 3.3, 0, 90, 1.5},
    {"spmm_s8s8s32_1x1_column_neon", 9.2, 0, 80, 1.5},
    {"spmm_s8s8s32_1x4_neon32", 1.5, 4, 10},
    {"spmm_s8s8s32_4x1_neon32", 1.65, 4, 10},
    {"spmm_s8s8s32_1x1_short_neon32", 1.4, 4, 10},
    {"spmm_s8s8s32_1x1_neon32", 1.9, 4, 10},
    {"spmm_s8s8s32_1x4_column_neon32", 3.6, 0, 90, 1.5},
    {"spmm_s8s8s32_1x1_column_neon32", 10, 0, 80, 1.5},
    {"spmm_s8s8s32_1x1_scalar", 1.5, 3, 7},
    {"spmm_s8s8s32_1x1_column_scalar", 2.5, 0, 10},
    {"spmm_f32_1x80_avx512vnni", 1.9, 4, 8},
    {"spmm_f32_1x16_avx512vnni", 2.2, 4, 8},
    {"spmm_f32_4x80_avx512vnni", 1.7, 4, 8},
    {"spmm_f32_8x48_avx512vnni", 1.6, 4, 8},
    {"spmm_f32_16x1_avx512vnni", 2.6, 1, 3},
    {"spmm_f32_1x64_avx2", 1.65, 2.5, 5.5},
    {"spmm_f32_1x24_avx2", 1.9, 2.5, 5.5},
    {"spmm_f32_4x24_avx2", 1.4, 2.5, 5.5},
    {"spmm_f32_8x8_avx2", 1.4, 2.5, 5.5},
    {"spmm_f32_8x1_avx2", 2.6, 1, 3},
    {"spmm_f32_1x32_neon", 2.1, 3.5, 7},
    {"spmm_f32_1x16_neon", 2.3, 3.5, 7},
    {"spmm_f32_4x20_neon", 1.45, 3.7, 10.5},
    {"spmm_f32_8x12_neon", 1.45, 3.7, 8},
    {"spmm_f32_8x1_neon", 7, 4.5, 30, 2.4},
    {"spmm_f32_1x32_neon32", 2.1, 8, 17},
    {"spmm_f32_1x16_neon32", 1.45, 8, 18},
    {"spmm_f32_4x8_neon32", 1.25, 8, 19},
    {"spmm_f32_8x4_neon32", 1.65, 3, 16},
    {"spmm_f32_4x1_neon32", 2.7, 2, 21},
    {"spmm_f32_1x4_scalar", 1.5, 2.5, 5.5},
    {"spmm_f32_4x4_scalar", 1.5, 2.5, 5.5},
    {"spmm_f32_8x2_scalar", 1.5, 2.5, 5.5},
    {"spmm_f32_4x1_scalar", 2.0, 1, 3},
};

const Cost* find_cost(const char* kernel) {
  const auto found = std::find_if(std::begin(kCosts), std::end(kCosts),
                                  [&](const Cost& cost) { return std::strcmp(cost.kernel, kernel) == 0; });
  return found == std::end(kCosts) ? nullptr : found;
}

template <class T>
s64 zeros(const std::byte* data, s64 count) {
  const T* values = reinterpret_cast<const T*>(data);
  s64 found = 0;
  for (s64 i = 0; i < count; ++i) found += values[i] == 0;
  return found;
}

int largest(std::span<const s8> values) {
  int most = 0;
  for (s8 value : values) most = std::max(most, std::abs(int{value}));
  return most;
}

}  // namespace

bool has_cost(const char* kernel) { return find_cost(kernel) != nullptr; }

bool has_many_zeros(const Tensor& w) {
  constexpr f64 kFewZeros = 0.4;  // no kernel is so fast that fewer would do
  if (!w.is_constant()) return false;
  const s64 count = w.shape.elements();
  const s64 found = w.dtype == DType::f32  ? zeros<f32>(w.data, count)
                    : w.dtype == DType::s8 ? zeros<s8>(w.data, count)
                                           : 0;
  return static_cast<f64>(found) >= kFewZeros * static_cast<f64>(count) && count > 0;
}

std::optional<spmm::OwnedCsr<s8>> SparseS8::weights(std::span<const TensorInfo> inputs, isize n, isize taps, isize k) {
  return spmm::csr_from_dense(inputs[1].constant<s8>(), n, taps, k);
}

const SparseS8::Kernel& SparseS8::select(const Csr& csr, spmm::Block block, isize pixels, IsaSet isa) {
  return spmm_s8::select({csr.n, csr.taps, csr.k, pixels, block, largest(csr.values)}, isa);
}

std::optional<spmm::OwnedCsr<f32>> SparseF32::weights(std::span<const TensorInfo> inputs, isize n, isize taps,
                                                      isize k) {
  AlignedBuffer expanded;
  const f32* values = weights_as_f32(inputs[1], &expanded);
  return values ? spmm::csr_from_dense(values, n, taps, k) : std::nullopt;
}

template <class Sparse>
ProductChoice<Sparse> choose_product(const PrepareContext& context, isize n, isize taps, isize k, isize pixels,
                                     f64 dense) {
  constexpr f64 kMargin = 1.1;  // estimates are rough
  if (pixels < 1 || !has_many_zeros(*context.inputs[1].tensor)) return {};
  const s64 total = s64{n} * taps * k;
  auto weights = Sparse::weights(context.inputs, n, taps, k);
  if (!weights) return {};
  const auto csr = weights->view();
  const spmm::Block block = spmm::block_of(csr);
  const auto& kernel = Sparse::select(csr, block, pixels, context.isa);
  const Cost* cost = find_cost(name(kernel));
  if (!cost) return {};
  const isize taken = round_up(pixels, Sparse::pixel_step(kernel));
  const f64 stored = static_cast<f64>(csr.values.size()) / spmm::fill(csr, Sparse::entry(kernel));
  const f64 sparse = static_cast<f64>(taken) *
                     (stored * cost->weight + static_cast<f64>(k) * cost->in + static_cast<f64>(n) * cost->out);
  if (pixels == 1 && total > kNear) dense *= cost->far;
  const f64 times = speed(Sparse::dense_isa({pixels, n, taps, k}, context.isa), isa(kernel), pixels);
  const f64 faster = dense * static_cast<f64>(total) * static_cast<f64>(pixels) / (sparse * times);
  char text[96];
  std::snprintf(text, sizeof text, "%.0f %% zeros in blocks of %dx%d: sparse would be %.2f times as fast by estimate",
                100.0 * (1 - static_cast<f64>(csr.values.size()) / static_cast<f64>(total)), block.rows, block.lines,
                faster);
  ProductChoice<Sparse> choice{std::nullopt, text};
  if (faster >= kMargin) choice.sparse = {std::move(*weights), &kernel};
  return choice;
}

template ProductChoice<SparseS8> choose_product(const PrepareContext&, isize, isize, isize, isize, f64);
template ProductChoice<SparseF32> choose_product(const PrepareContext&, isize, isize, isize, isize, f64);

}  // namespace whit::ops
