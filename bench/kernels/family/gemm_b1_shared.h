#pragma once
// Binary products, for kernel_bench and for counting on ARM.

#include "bench/kernels/family/gemm_shared.h"
#include "kernels/gemm_b1/kernel.h"
#include "kernels/gemm_s8/kernel.h"

namespace whit::bench {

/// The same +1 and -1 as bits, k of them a row.
inline std::span<u8> bits_of(Group& group, std::span<const s8> values, isize k) {
  const isize rows = static_cast<isize>(values.size()) / k, bytes = gemm_b1::bit_bytes(k);
  const auto bits = filled<u8>(group, rows * bytes, 0);
  for (isize i = 0; i < rows * k; ++i)
    if (values[static_cast<std::size_t>(i)] < 0)
      bits[static_cast<std::size_t>(i / k * bytes + i % k / 8)] |= static_cast<u8>(1 << i % k % 8);
  return bits;
}

inline std::span<s8> random_signs(Group& group, isize count) {
  const auto values = random<s8>(group, count, 40);
  for (s8& value : values) value = value < 0 ? -1 : 1;
  return values;
}

/// Products of bits, and of s8 on the same values, which give the same results.
inline Group gemm_b1_group(const GemmShape& s, IsaSet isa) {
  Group group;
  group.work = Work::b1;
  group.exact = true;
  group.operations = 2.0 * static_cast<f64>(s.m * s.n * s.k * s.taps);
  const isize tap_bytes = gemm_b1::bit_bytes(s.k);
  group.bytes = static_cast<f64>(s.n * tap_bytes * s.taps + s.m * tap_bytes + s.m * s.n);
  group.memory_bound = s.m == 1;
  const auto lhs = random_signs(group, s.m * s.k), weights = random_signs(group, s.n * s.k * s.taps);
  const auto lhs_bits = bits_of(group, lhs, s.k), weight_bits = bits_of(group, weights, s.k);
  const auto pad = filled<s8>(group, s.k, 1);
  const auto pad_bits = filled<u8>(group, tap_bytes, 0);
  const auto scales = filled<f32>(group, s.n, 50 / std::sqrt(static_cast<f32>(s.k * s.taps)));
  const auto bias = filled<f32>(group, s.n, 0);
  const auto out = allocate<s8>(group, s.m * s.n);
  group.output = bytes_of(out);
  std::span<s32> offsets, offsets_of_bits;
  if (s.taps > 1) {
    offsets = window_offsets(group, s);
    offsets_of_bits = allocate<s32>(group, s.m * s.taps);
    for (std::size_t i = 0; i < offsets.size(); ++i)
      offsets_of_bits[i] = offsets[i] < 0 ? -1 : offsets[i] / static_cast<s32>(s.k) * static_cast<s32>(tap_bytes);
  }

  const gemm_b1::Kernel* selected = &gemm_b1::select({.m = s.m, .n = s.n, .taps = s.taps, .k = s.k}, isa);
  for (const gemm_b1::Kernel& kernel : gemm_b1::kernels()) {
    if (!isa.has(kernel.isa)) continue;
    const auto packed = allocate<std::byte>(group, static_cast<isize>(gemm_b1::packed_bytes(kernel, s.n, s.taps, s.k)));
    gemm_b1::pack(kernel, {weight_bits.data(), s.n, s.taps, s.k}, packed.data(), 0, s.n);
    const auto scratch = allocate<std::byte>(group, static_cast<isize>(gemm_b1::scratch_bytes(kernel, s.taps, s.k)));
    const gemm_b1::Args args{
        .lhs = {.base = lhs_bits.data(),
                .row_stride = tap_bytes,
                .offsets = s.taps > 1 ? offsets_of_bits.data() : nullptr,
                .pad = pad_bits.data()},
        .packed = packed.data(),
        .n = s.n,
        .taps = s.taps,
        .k = s.k,
        .border = {},
        .epilogue = {.output = EpilogueB1::Output::s8, .scale = scales.data(), .bias = bias.data()},
        .out = out.data(),
        .out_stride = s.n,
        .scratch = scratch.data()};
    group.jobs.push_back({kernel.name, kernel.isa, &kernel == selected,
                          [&kernel, args, s] { gemm_b1::run(kernel, args, 0, s.m, 0, s.n); }});
  }
  for (const gemm_s8::Kernel& kernel : gemm_s8::kernels()) {
    if (!isa.has(gemm_s8::isa(kernel))) continue;
    const auto packed = allocate<std::byte>(group, static_cast<isize>(gemm_s8::packed_bytes(kernel, s.n, s.taps, s.k)));
    gemm_s8::pack(kernel, {weights.data(), nullptr, s.n, s.taps, s.k, 0}, packed.data(), 0, s.n);
    const isize scratch = static_cast<isize>(gemm_s8::scratch_bytes(kernel, s.taps, s.k));
    gemm_s8::Args args{.lhs = {.base = lhs.data(),
                               .row_stride = s.k,
                               .offsets = s.taps > 1 ? offsets.data() : nullptr,
                               .pad = pad.data()},
                       .packed = packed.data(),
                       .n = s.n,
                       .taps = s.taps,
                       .k = s.k,
                       .epilogue = {.output = EpilogueS8::Output::s8, .scale = scales.data()},
                       .out = out.data(),
                       .out_stride = s.n};
    if (scratch > 0) args.scratch = allocate<std::byte>(group, scratch).data();
    group.jobs.push_back({gemm_s8::name(kernel), gemm_s8::isa(kernel), false,
                          [&kernel, args, s] { gemm_s8::run(kernel, args, 0, s.m, 0, s.n); }});
  }
  return group;
}

}  // namespace whit::bench
