#include "kernels/gemm_f32/gemm_f32.h"

#include "bench/kernels/family/gemm_shared.h"
#include "kernels/gemm_f32/kernel.h"

namespace whit::bench {
namespace {

Group build(const GemmShape& s, IsaSet isa) {
  Group group;
  group.work = Work::f32;
  group.operations = 2.0 * static_cast<f64>(s.m * s.n * s.k * s.taps);
  group.bytes = 4.0 * static_cast<f64>(s.n * s.k * s.taps + s.m * s.k + s.m * s.n);
  group.memory_bound = s.m == 1;
  const auto lhs = random<f32>(group, s.m * s.k, 1);
  const auto pad = filled<f32>(group, s.k, 0);
  const auto weights = random<f32>(group, s.n * s.k * s.taps, 0.1f);
  const auto bias = filled<f32>(group, s.n, 0.5f);
  const auto out = allocate<f32>(group, s.m * s.n);
  const s32* offsets = s.taps > 1 ? window_offsets(group, s).data() : nullptr;
  group.output = bytes_of(out);
  const gemm_f32::Kernel* selected = &gemm_f32::select({.m = s.m, .n = s.n, .taps = s.taps, .k = s.k}, isa);
  for (const gemm_f32::Kernel& kernel : gemm_f32::kernels()) {
    if (!isa.has(kernel.isa)) continue;
    const auto packed =
        allocate<std::byte>(group, static_cast<isize>(gemm_f32::packed_bytes(kernel, s.n, s.taps, s.k)));
    gemm_f32::pack(kernel, {.values = weights.data(), .bias = bias.data(), .n = s.n, .taps = s.taps, .k = s.k},
                   packed.data(), 0, s.n);
    gemm_f32::Args args{.lhs = {.base = lhs.data(), .row_stride = s.k, .offsets = offsets, .pad = pad.data()},
                        .packed = packed.data(),
                        .n = s.n,
                        .taps = s.taps,
                        .k = s.k,
                        .epilogue = {},
                        .out = out.data(),
                        .out_stride = s.n};
    args.epilogue.clamp_min = 0;
    args.epilogue.clamp_max = __builtin_inff();
    group.jobs.push_back({kernel.name, kernel.isa, &kernel == selected,
                          [&kernel, args, s] { gemm_f32::run(kernel, args, 0, s.m, 0, s.n); }});
  }
  return group;
}

}  // namespace

void add_gemm_f32(const Options& options, Entries& entries) {
  for (const GemmShape& s : gemm_shapes(options))
    entries.push_back({"gemm_f32", shape_name(s), [&s, isa = options.isa] { return build(s, isa); }});
}

}  // namespace whit::bench
