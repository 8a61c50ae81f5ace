#include "kernels/gemm_s8/gemm_s8.h"

#include "bench/kernels/family/gemm_shared.h"
#include "kernels/gemm_s8/kernel.h"

namespace whit::bench {
namespace {

Group build(const GemmShape& s, IsaSet isa) {
  Group group;
  group.work = Work::s8;
  group.exact = true;
  group.operations = 2.0 * static_cast<f64>(s.m * s.n * s.k * s.taps);
  group.bytes = static_cast<f64>(s.n * s.k * s.taps + s.m * s.k + s.m * s.n);
  group.memory_bound = s.m == 1;
  constexpr s32 kZeroPoint = -3;
  const auto lhs = random<s8>(group, s.m * s.k, 40);
  const auto pad = filled<s8>(group, s.k, kZeroPoint);
  const auto weights = random<s8>(group, s.n * s.k * s.taps, 32);
  const auto bias = filled<s32>(group, s.n, 100);
  // Outputs spread over s8: the deviation of a sum of products is 40 * 32 * sqrt(their number).
  const f32 scale = 50.0f / (40 * 32 * std::sqrt(static_cast<f32>(s.k * s.taps)));
  const auto scales = filled<f32>(group, s.n, scale);
  const auto out = allocate<s8>(group, s.m * s.n);
  const s32* offsets = s.taps > 1 ? window_offsets(group, s).data() : nullptr;
  group.output = bytes_of(out);
  const gemm_s8::Kernel* selected = &gemm_s8::select({.m = s.m, .n = s.n, .taps = s.taps, .k = s.k}, isa);
  for (const gemm_s8::Kernel& kernel : gemm_s8::kernels()) {
    if (!isa.has(kernel.isa)) continue;
    const auto packed = allocate<std::byte>(group, static_cast<isize>(gemm_s8::packed_bytes(kernel, s.n, s.taps, s.k)));
    gemm_s8::pack(kernel,
                  {.values = weights.data(),
                   .bias = bias.data(),
                   .n = s.n,
                   .taps = s.taps,
                   .k = s.k,
                   .lhs_zero_point = kZeroPoint},
                  packed.data(), 0, s.n);
    const isize scratch = static_cast<isize>(gemm_s8::scratch_bytes(kernel, s.taps, s.k));
    gemm_s8::Args args{
        .lhs = {.base = lhs.data(), .row_stride = s.k, .offsets = offsets, .pad = pad.data()},
        .packed = packed.data(),
        .n = s.n,
        .taps = s.taps,
        .k = s.k,
        .epilogue = {.output = EpilogueS8::Output::s8, .scale = scales.data(), .clamp_min = 0, .clamp_max = 255},
        .out = out.data(),
        .out_stride = s.n};
    args.epilogue.zero_point = -128;
    if (scratch > 0) args.scratch = allocate<std::byte>(group, scratch).data();
    group.jobs.push_back({kernel.name, kernel.isa, &kernel == selected,
                          [&kernel, args, s] { gemm_s8::run(kernel, args, 0, s.m, 0, s.n); }});
  }
  return group;
}

}  // namespace

void add_gemm_s8(const Options& options, Entries& entries) {
  for (const GemmShape& s : gemm_shapes(options))
    entries.push_back({"gemm_s8", shape_name(s), [&s, isa = options.isa] { return build(s, isa); }});
}

}  // namespace whit::bench
