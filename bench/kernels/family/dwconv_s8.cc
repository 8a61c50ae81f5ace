#include "kernels/dwconv_s8/dwconv_s8.h"

#include "bench/kernels/family/depthwise_shared.h"
#include "kernels/dwconv_s8/kernel.h"

namespace whit::bench {
namespace {

Group build(const DepthwiseShape& s, IsaSet isa) {
  const auto g = geometry_of<dwconv_s8::Geometry>(s);
  const isize taps = s.kernel * s.kernel, outputs = g.out_h * g.out_w * s.channels;
  Group group;
  group.work = Work::s8;
  group.exact = true;
  group.operations = 2.0 * static_cast<f64>(outputs * taps);
  group.bytes = static_cast<f64>(s.side * s.side * s.channels + outputs + s.channels * taps);
  constexpr s32 kZeroPoint = -128;
  const auto in = random<s8>(group, s.side * s.side * s.channels, 40);
  const auto pad = filled<s8>(group, s.channels, kZeroPoint);
  const auto weights = random<s8>(group, s.channels * taps, 32);
  const auto bias = filled<s32>(group, s.channels, 100);
  const auto scales = filled<f32>(group, s.channels, 0.005f);
  const auto out = allocate<s8>(group, outputs);
  group.output = bytes_of(out);
  const dwconv_s8::Kernel* selected = &dwconv_s8::select(g, isa);
  for (const dwconv_s8::Kernel& kernel : dwconv_s8::kernels()) {
    const bool serves = kernel.size == 0 || (kernel.size == s.kernel && kernel.stride == s.stride);
    if (!isa.has(kernel.isa) || !serves) continue;
    const auto packed =
        allocate<std::byte>(group, static_cast<isize>(dwconv_s8::packed_bytes(kernel, s.channels, taps)));
    dwconv_s8::pack(kernel,
                    {.values = weights.data(),
                     .bias = bias.data(),
                     .channels = s.channels,
                     .taps = taps,
                     .lhs_zero_point = kZeroPoint},
                    packed.data());
    dwconv_s8::Args args{
        .geometry = g,
        .in = in.data(),
        .pad = pad.data(),
        .packed = packed.data(),
        .epilogue = {.output = EpilogueS8::Output::s8, .scale = scales.data(), .clamp_min = 0, .clamp_max = 255},
        .out = out.data(),
        .out_stride = s.channels};
    args.epilogue.zero_point = -128;
    group.jobs.push_back({kernel.name, kernel.isa, &kernel == selected,
                          [&kernel, args] { dwconv_s8::run(kernel, args, 0, args.geometry.out_h); }});
  }
  return group;
}

}  // namespace

void add_dwconv_s8(const Options& options, Entries& entries) {
  for (const DepthwiseShape& s : depthwise_shapes(options))
    entries.push_back({"dwconv_s8", shape_name(s), [&s, isa = options.isa] { return build(s, isa); }});
}

}  // namespace whit::bench
