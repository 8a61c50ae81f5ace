#pragma once
// Products with weights of 4 and 2 bits beside those of gemm_s8, for kernel_bench and for bench/arm.

#include <algorithm>
#include <cmath>
#include <string>

#include "bench/kernels/family/gemm_shared.h"
#include "kernels/gemm_s8/gemm_s8.h"
#include "kernels/gemm_s8/kernel.h"
#include "kernels/gemm_w1/kernel.h"
#include "kernels/gemm_w4/gemm_w4.h"
#include "kernels/gemm_w4/grouped_kernel.h"
#include "kernels/gemm_w4/kernel.h"

namespace whit::bench {

/// integers of 4 or 2 bits, +1 and -1, or a palette of 16 values.
enum class Weights { w4, w2, w1, palette };

inline std::string weights_name(Weights weights) {
  switch (weights) {
    case Weights::w4: return " 4 bits";
    case Weights::w2: return " 2 bits";
    case Weights::w1: return " 1 bit";
    case Weights::palette: break;
  }
  return " palette of 16";
}

inline gemm_w4::Codebook codebook_of(Weights weights) {
  gemm_w4::Codebook codebook = gemm_w4::integers(weights == Weights::w2 || weights == Weights::w1 ? 2 : 4);
  if (weights == Weights::palette) {
    for (s8& value : codebook.values) value = static_cast<s8>(value * 9 + value / 3);
  }
  return codebook;
}

inline std::size_t scratch_bytes_of(const auto& kernel, isize taps, isize k) { return scratch_bytes(kernel, taps, k); }
inline std::size_t scratch_bytes_of(const gemm_w1::Kernel&, isize, isize) { return gemm_w1::scratch_bytes(); }

/// One product on every kernel of gemm_s8, gemm_w4 and gemm_w1: all give the same bytes.
inline Group gemm_w4_group(const GemmShape& s, Weights kind, IsaSet isa) {
  Group group;
  group.work = Work::s8;
  group.exact = true;
  group.operations = 2.0 * static_cast<f64>(s.m * s.n * s.k * s.taps);
  group.bytes = static_cast<f64>(s.n * s.k * s.taps) / (codebook_of(kind).bits == 2 ? 4 : 2) +
                static_cast<f64>(s.m * s.k + s.m * s.n);
  group.memory_bound = s.m == 1;
  constexpr s32 kZeroPoint = -3;
  const gemm_w4::Codebook codebook = codebook_of(kind);
  const auto lhs = random<s8>(group, s.m * s.k, 40);
  const auto pad = filled<s8>(group, s.k, kZeroPoint);
  const auto weights = random<s8>(group, s.n * s.k * s.taps, 32);
  f64 spread = 0;
  for (s8& w : weights) {
    w = kind == Weights::w1 ? (w & 1) * 2 - 1 : codebook.values[(w + 128) % codebook.size()];
    spread += w * w;
  }
  spread = std::sqrt(spread / static_cast<f64>(weights.size()));
  const auto bias = filled<s32>(group, s.n, 100);
  const auto scales =
      filled<f32>(group, s.n, static_cast<f32>(50 / (40 * spread * std::sqrt(static_cast<f64>(s.k * s.taps)))));
  const auto out = allocate<s8>(group, s.m * s.n);
  group.output = bytes_of(out);
  gemm_s8::Args args{
      .lhs = {.base = lhs.data(),
              .row_stride = s.k,
              .offsets = s.taps > 1 ? window_offsets(group, s).data() : nullptr,
              .pad = pad.data()},
      .packed = nullptr,
      .n = s.n,
      .taps = s.taps,
      .k = s.k,
      .epilogue = {.output = EpilogueS8::Output::s8, .scale = scales.data(), .clamp_min = 0, .clamp_max = 255},
      .out = out.data(),
      .out_stride = s.n};
  args.epilogue.zero_point = -128;
  const gemm_s8::Rhs rhs{weights.data(), bias.data(), s.n, s.taps, s.k, kZeroPoint};
  const auto add = [&](const auto& kernel, bool selected, const auto& pack) {
    const auto packed = allocate<std::byte>(group, static_cast<isize>(packed_bytes(kernel, s.n, s.taps, s.k)));
    pack(packed.data());
    args.packed = packed.data();
    const isize scratch = static_cast<isize>(scratch_bytes_of(kernel, s.taps, s.k));
    args.scratch = scratch ? allocate<std::byte>(group, scratch).data() : nullptr;
    group.jobs.push_back(
        {kernel.name, kernel.isa, selected, [&kernel, args, s] { run(kernel, args, 0, s.m, 0, s.n); }});
  };
  for (const gemm_s8::Kernel& kernel : gemm_s8::kernels()) {
    if (isa.has(kernel.isa)) add(kernel, false, [&](std::byte* packed) { gemm_s8::pack(kernel, rhs, packed, 0, s.n); });
  }
  const gemm_w4::Kernel* selected = &gemm_w4::select({s.m, s.n, s.taps, s.k, codebook.bits}, isa);
  for (const gemm_w4::Kernel& kernel : gemm_w4::kernels()) {
    if (isa.has(kernel.isa) && kernel.bits == codebook.bits)
      add(kernel, &kernel == selected,
          [&](std::byte* packed) { gemm_w4::pack(kernel, {rhs, codebook}, packed, 0, s.n); });
  }
  const auto values = gemm_w1::two_values(weights);
  for (const gemm_w1::Kernel& kernel : gemm_w1::kernels()) {
    if (isa.has(kernel.isa) && values)
      add(kernel, false, [&](std::byte* packed) { gemm_w1::pack(kernel, {rhs, *values}, packed, 0, s.n); });
  }
  return group;
}

/// The same product with a scale for every 32 k.
inline Group gemm_w4_grouped_group(const GemmShape& s, IsaSet isa) {
  Group group;
  group.work = Work::s8;
  group.exact = true;
  group.operations = 2.0 * static_cast<f64>(s.m * s.n * s.k);
  group.bytes = static_cast<f64>(s.n * s.k) * 0.5625 + static_cast<f64>(s.m * s.k + 4 * s.m * s.n);
  group.memory_bound = s.m == 1;
  const auto lhs = random<s8>(group, s.m * s.k, 40), weights = random<s8>(group, s.n * s.k, 3);
  for (s8& w : weights) w = std::clamp<s8>(w, -8, 7);
  const auto scales = filled<u16>(group, s.n * ceil_div(s.k, gemm_w4::kScaleGroup), 0x2e66);  // 0.1
  const auto lhs_scale = filled<f32>(group, s.m, 0.01f);
  const auto zero_point = filled<s32>(group, s.m, -3);
  const auto out = allocate<f32>(group, s.m * s.n);
  group.output = bytes_of(out);
  const gemm_w4::GroupedKernel* selected = &gemm_w4::select_grouped(isa);
  for (const gemm_w4::GroupedKernel& kernel : gemm_w4::grouped_kernels()) {
    if (!isa.has(kernel.isa)) continue;
    const auto packed = allocate<std::byte>(group, static_cast<isize>(packed_bytes(kernel, s.n, s.k)));
    pack(kernel, {weights.data(), scales.data(), nullptr, s.n, s.k}, packed.data(), 0, s.n);
    const auto scratch = allocate<std::byte>(group, static_cast<isize>(scratch_bytes(kernel, s.k)));
    const gemm_w4::GroupedArgs args{lhs.data(), s.k, lhs_scale.data(), zero_point.data(), packed.data(), s.n, s.k,
                                    out.data(), s.n, scratch.data()};
    group.jobs.push_back(
        {kernel.name, kernel.isa, &kernel == selected, [&kernel, args, s] { run(kernel, args, 0, s.m, 0, s.n); }});
  }
  return group;
}

}  // namespace whit::bench
