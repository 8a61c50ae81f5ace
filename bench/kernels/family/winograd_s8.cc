#include "kernels/winograd_s8/winograd_s8.h"

#include <algorithm>

#include "bench/kernels/family/gemm_shared.h"
#include "kernels/gemm_s8/gemm_s8.h"
#include "kernels/winograd_s8/kernel.h"

namespace whit::bench {
namespace {

/// Tiles that are taken from inputs to outputs together.
constexpr isize kBlock = 32;

/// A whole convolution on one thread. Its operations are those of gemm_s8 for the same shape, of which it does a
/// quarter, so that the two can be compared; the peak is not its limit.
Group build(const GemmShape& s, IsaSet isa) {
  using winograd_s8::kElements;
  Group group;
  group.work = Work::s8;
  group.exact = true;
  group.operations = 2.0 * static_cast<f64>(s.m * s.n * s.k * s.taps);
  group.bytes = static_cast<f64>(2 * kElements * s.n * s.k + s.m * s.k + s.m * s.n);
  constexpr s32 kZeroPoint = -3;
  const isize side = side_of(s);
  const winograd_s8::Geometry g{side, side, s.k, 1, 1, side, side, s.n};
  const isize tiles = winograd_s8::tiles_per_image(g), row = round_up(s.k, winograd_s8::kGroup);
  const isize element = kBlock * row + 32;
  const auto in = random<s8>(group, s.m * s.k, 40), weights = random<s8>(group, s.n * s.k * s.taps, 32);
  const auto pad = filled<s8>(group, s.k, kZeroPoint);
  const auto bias = filled<s32>(group, s.n, 100);
  const auto scales = filled<f32>(group, s.n, 50.0f / (40 * 32 * std::sqrt(static_cast<f32>(s.k * s.taps))));
  const auto packed = allocate<std::byte>(group, static_cast<isize>(winograd_s8::packed_bytes(s.n, s.k)));
  winograd_s8::pack({weights.data(), bias.data(), s.n, s.k, kZeroPoint}, packed.data());
  const auto transformed = allocate<s16>(group, kElements * element);
  const auto products = allocate<s32>(group, kBlock * kElements * winograd_s8::kColumns);
  const auto out = allocate<s8>(group, s.m * s.n);
  group.output = bytes_of(out);
  const winograd_s8::InputArgs to{g, in.data(), pad.data(), transformed.data(), row, element};
  winograd_s8::OutputArgs from{g,  transformed.data(), row, element, packed.data(), products.data(),
                               {}, out.data(),         s.n};
  from.epilogue.scale = scales.data();
  from.epilogue.clamp_min = 0;
  from.epilogue.clamp_max = 255;
  from.epilogue.zero_point = -128;
  const winograd_s8::Kernel* selected = &winograd_s8::select(isa);
  // Where gemm_s8 has kernels of a better level, convolutions go there.
  const bool is_taken = selected->isa == gemm_s8::isa(gemm_s8::select({s.m, s.n, s.taps, s.k}, isa));
  for (const winograd_s8::Kernel& kernel : winograd_s8::kernels()) {
    if (!isa.has(kernel.isa)) continue;
    group.jobs.push_back(
        {kernel.name, kernel.isa, is_taken && &kernel == selected, [&kernel, to, from, tiles, n = s.n] {
           for (isize first = 0; first < tiles; first += kBlock) {
             const isize end = std::min(tiles, first + kBlock);
             winograd_s8::transform_input(kernel, to, first, end);
             winograd_s8::multiply(kernel, from, first, end, 0, n);
           }
         }});
  }
  return group;
}

}  // namespace

void add_winograd_s8(const Options& options, Entries& entries) {
  for (const GemmShape& s : gemm_shapes(options))
    if (s.taps == 9)
      entries.push_back({"winograd_s8", shape_name(s), [&s, isa = options.isa] { return build(s, isa); }});
}

}  // namespace whit::bench
