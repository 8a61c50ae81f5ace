#include "kernels/winograd_f32/winograd_f32.h"

#include <algorithm>

#include "bench/kernels/family/gemm_shared.h"
#include "kernels/winograd_f32/kernel.h"

namespace whit::bench {
namespace {

/// Tiles that are transformed into the same matrices, which stay in L2 as they do in a convolution.
constexpr isize kBlock = 12;

/// A transform of a whole image with `tile` x `tile` outputs a tile: of its inputs, or back to its outputs.
Group build(const GemmShape& s, IsaSet isa, isize tile, bool input) {
  const isize side = side_of(s), channels = input ? s.k : s.n, size = tile + 2;
  const winograd_f32::Geometry g{side, side, s.k, 1, 1, side, side, s.n};
  const winograd_f32::Kernel* selected = &winograd_f32::select(tile, isa);
  const isize tiles = winograd_f32::tiles_per_image(*selected, g);
  const isize row = round_up(channels, winograd_f32::kRowMultiple), element = kBlock * row + winograd_f32::kRowMultiple;
  Group group;
  group.bytes = 4.0 * static_cast<f64>(s.m * channels + tiles * size * size * channels);
  const auto image = random<f32>(group, s.m * channels, 1), matrices = random<f32>(group, size * size * element, 1);
  const auto zeros = filled<f32>(group, channels, 0);
  group.output = input ? bytes_of(matrices) : bytes_of(image);
  for (const winograd_f32::Kernel& kernel : winograd_f32::kernels()) {
    if (!isa.has(kernel.isa) || kernel.tile != tile) continue;
    const winograd_f32::InputArgs to{.geometry = g,
                                     .in = image.data(),
                                     .zeros = zeros.data(),
                                     .out = matrices.data(),
                                     .row_stride = row,
                                     .element_stride = element};
    winograd_f32::OutputArgs from{.geometry = g,
                                  .in = matrices.data(),
                                  .row_stride = row,
                                  .element_stride = element,
                                  .bias = zeros.data(),
                                  .epilogue = {},
                                  .out = image.data(),
                                  .out_stride = channels};
    from.epilogue.clamp_min = 0;
    from.epilogue.clamp_max = __builtin_inff();
    group.jobs.push_back({kernel.name, kernel.isa, &kernel == selected, [&kernel, to, from, tiles, input] {
                            for (isize first = 0; first < tiles; first += kBlock) {
                              const isize end = std::min(tiles, first + kBlock);
                              if (input) {
                                winograd_f32::transform_input(kernel, to, first, end);
                              } else {
                                winograd_f32::transform_output(kernel, from, first, end);
                              }
                            }
                          }});
  }
  return group;
}

}  // namespace

void add_winograd_f32(const Options& options, Entries& entries) {
  for (const GemmShape& s : gemm_shapes(options)) {
    if (s.taps != 9) continue;
    for (const isize tile : {4, 2}) {
      for (const bool input : {true, false}) {
        const std::string shape = std::string(input ? "inputs of " : "outputs of ") + shape_name(s);
        entries.push_back(
            {"winograd_f32", shape, [&s, tile, input, isa = options.isa] { return build(s, isa, tile, input); }});
      }
    }
  }
}

}  // namespace whit::bench
