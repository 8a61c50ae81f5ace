#include "kernels/winograd_f32/winograd_f32.h"

#include <iterator>

#include "kernels/winograd_f32/kernel.h"

namespace whit::winograd_f32 {
namespace {

constexpr Kernel kKernels[] = {
#define WINOGRAD_F32_KERNEL(isa, tile)                                                             \
  {Isa::isa, "winograd_f32_" #tile "x" #tile "_" #isa, winograd_f32_input_##tile##x##tile##_##isa, \
   winograd_f32_output_##tile##x##tile##_##isa, tile},
#include "kernels/winograd_f32/kernels.inc"
#undef WINOGRAD_F32_KERNEL
};

// A row for each point p: 1, p, p^2, divided by the product of p's distances from the other finite points. The last
// row's scale is undone by transform_output, which multiplies outputs by powers of 3/4.
constexpr f64 kG4[6][3] = {{64.0 / 81, 0, 0},
                           {-128.0 / 243, -96.0 / 243, -72.0 / 243},
                           {-128.0 / 243, 96.0 / 243, -72.0 / 243},
                           {32.0 / 243, 48.0 / 243, 72.0 / 243},
                           {32.0 / 243, -48.0 / 243, 72.0 / 243},
                           {0, 0, 64.0 / 27}};
constexpr f64 kG2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

}  // namespace

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(isize tile, IsaSet isa) {
  for (const Kernel& kernel : kKernels)
    if (isa.has(kernel.isa) && kernel.tile == tile) return kernel;
  return *std::prev(std::end(kKernels));
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }
isize elements(const Kernel& kernel) { return (kernel.tile + 2) * (kernel.tile + 2); }

isize tiles_per_image(const Kernel& kernel, const Geometry& geometry) {
  return ceil_div(geometry.out_h, kernel.tile) * ceil_div(geometry.out_w, kernel.tile);
}

void transform_filters(const Kernel& kernel, const f32* values, isize n, isize k, f32* out) {
  const int size = kernel.tile + 2;
  const f64(*g)[3] = kernel.tile == 4 ? kG4 : kG2;
  // A few channels at a time, so that G w stays in L1.
  constexpr isize kStep = 16;
  for (isize row = 0; row < n; ++row) {
    for (isize c = 0; c < k; c += kStep) {
      const isize count = k - c < kStep ? k - c : kStep;
      f64 half[6][3][kStep];
      for (int i = 0; i < size; ++i) {
        for (int b = 0; b < 3; ++b) {
          const f32* w = values + (row * 9 + b) * k + c;
          for (isize j = 0; j < count; ++j)
            half[i][b][j] = g[i][0] * w[j] + g[i][1] * w[3 * k + j] + g[i][2] * w[6 * k + j];
        }
      }
      for (int i = 0; i < size; ++i) {
        for (int u = 0; u < size; ++u) {
          f32* to = out + ((i * size + u) * n + row) * k + c;
          for (isize j = 0; j < count; ++j)
            to[j] = static_cast<f32>(g[u][0] * half[i][0][j] + g[u][1] * half[i][1][j] + g[u][2] * half[i][2][j]);
        }
      }
    }
  }
}

void transform_input(const Kernel& kernel, const InputArgs& args, isize tile_begin, isize tile_end) {
  kernel.input(args, tile_begin, tile_end);
}

void transform_output(const Kernel& kernel, const OutputArgs& args, isize tile_begin, isize tile_end) {
  kernel.output(args, tile_begin, tile_end);
}

}  // namespace whit::winograd_f32
