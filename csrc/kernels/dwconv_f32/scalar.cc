// The reference: one output at a time, multiply and add rounded apart.

#include "kernels/simd_f32/scalar.h"
#include "kernels/dwconv_f32/kernel.h"

namespace whit::dwconv_f32 {
void dwconv_f32_any_scalar(const Args& args, isize row_begin, isize row_end) {
  const Geometry& g = args.geometry;
  const EpilogueF32& epilogue = args.epilogue;
  for (isize y = row_begin; y < row_end; ++y) {
    for (isize x = 0; x < g.out_w; ++x) {
      const isize pixel = y * g.out_w + x;
      const f32* packed = reinterpret_cast<const f32*>(args.packed);
      for (isize c = 0; c < g.channels; ++c) {
        f32 acc = *packed++;
        for (isize i = 0; i < g.kernel_h; ++i) {
          const isize in_y = y * g.stride_h + i * g.dilation_h - g.pad_top;
          for (isize j = 0; j < g.kernel_w; ++j) {
            const isize in_x = x * g.stride_w + j * g.dilation_w - g.pad_left;
            const bool inside = in_y >= 0 && in_y < g.in_h && in_x >= 0 && in_x < g.in_w;
            const f32* in = inside ? args.in + (in_y * g.in_w + in_x) * g.channels : args.pad;
            acc = acc + in[c] * *packed++;
          }
        }
        const f32* residual = epilogue.residual ? epilogue.residual + pixel * epilogue.residual_stride + c : nullptr;
        args.out[pixel * args.out_stride + c] = finish(epilogue, acc, residual);
      }
    }
  }
}

}  // namespace whit::dwconv_f32
