#include "kernels/dwconv_f32/dwconv_f32.h"

#include "bench/kernels/family/depthwise_shared.h"
#include "kernels/dwconv_f32/kernel.h"

namespace whit::bench {
namespace {

Group build(const DepthwiseShape& s, IsaSet isa) {
  const auto g = geometry_of<dwconv_f32::Geometry>(s);
  const isize taps = s.kernel * s.kernel, outputs = g.out_h * g.out_w * s.channels;
  Group group;
  group.work = Work::f32;
  group.operations = 2.0 * static_cast<f64>(outputs * taps);
  group.bytes = 4.0 * static_cast<f64>(s.side * s.side * s.channels + outputs + s.channels * taps);
  const auto in = random<f32>(group, s.side * s.side * s.channels, 1);
  const auto pad = filled<f32>(group, s.channels, 0);
  const auto weights = random<f32>(group, s.channels * taps, 0.3f);
  const auto bias = filled<f32>(group, s.channels, 0.5f);
  const auto out = allocate<f32>(group, outputs);
  group.output = bytes_of(out);
  const dwconv_f32::Kernel* selected = &dwconv_f32::select(g, isa);
  for (const dwconv_f32::Kernel& kernel : dwconv_f32::kernels()) {
    const bool serves = kernel.kernel_size == 0 || (kernel.kernel_size == s.kernel && kernel.stride == s.stride);
    if (!isa.has(kernel.isa) || !serves) continue;
    const auto packed =
        allocate<std::byte>(group, static_cast<isize>(dwconv_f32::packed_bytes(kernel, s.channels, taps)));
    dwconv_f32::pack(kernel, {.values = weights.data(), .bias = bias.data(), .channels = s.channels, .taps = taps},
                     packed.data());
    dwconv_f32::Args args{.geometry = g,
                          .in = in.data(),
                          .pad = pad.data(),
                          .packed = packed.data(),
                          .epilogue = {},
                          .out = out.data(),
                          .out_stride = s.channels};
    args.epilogue.clamp_min = 0;
    args.epilogue.clamp_max = 6;
    group.jobs.push_back({kernel.name, kernel.isa, &kernel == selected,
                          [&kernel, args] { dwconv_f32::run(kernel, args, 0, args.geometry.out_h); }});
  }
  return group;
}

}  // namespace

void add_dwconv_f32(const Options& options, Entries& entries) {
  for (const DepthwiseShape& s : depthwise_shapes(options))
    entries.push_back({"dwconv_f32", shape_name(s), [&s, isa = options.isa] { return build(s, isa); }});
}

}  // namespace whit::bench
