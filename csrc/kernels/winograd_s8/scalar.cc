// The reference: one channel at a time.

#include "kernels/simd_s8/scalar.h"
#include "kernels/simd_f32/unroll.h"
#include "kernels/vectorize.h"
#include "kernels/winograd_s8/kernel.h"

namespace whit::winograd_s8 {
namespace {

struct Inputs {
  using Register = s32;
  static constexpr int kLanes = 1;
  static Register load(const s8* p) { return *p; }
  static Register load_first(const s8* p, int) { return *p; }
  static void store(s16* p, Register x) { *p = static_cast<s16>(x); }
  template <int kBits>
  static Register times(Register x) {
    return x * (1 << kBits);
  }
};

struct OutputEpilogue {
  OutputEpilogue(const EpilogueS8& spec, void* out, isize out_stride) : spec(spec), out(out), out_stride(out_stride) {}
  EpilogueS8 spec;
  void* out;
  isize out_stride;
};

struct Outputs {
  using Register = u32;
  using Acc = s32;
  static constexpr int kLanes = 1;
  static Register load(const s32* p) { return static_cast<u32>(*p); }
  static Acc load_bias(const s32* p) { return *p; }
  static Acc add_64th(Acc start, Register y, u32 factor) {
    return static_cast<s32>(static_cast<u32>(start) + static_cast<u32>(static_cast<s32>(y * factor) >> 6));
  }
  static void finish(const OutputEpilogue& epilogue, Acc (&acc)[4][1], isize pixel, int columns, isize n, int) {
    for (int i = 0; i < columns; ++i)
      whit::finish(epilogue.spec, acc[i][0], pixel + i, n, epilogue.out, epilogue.out_stride);
  }
};

void product(const s16* lhs, isize lhs_stride, const s16* rhs, isize k, s32* out, isize out_stride, isize rows) {
  for (isize i = 0; i < rows; ++i, lhs += lhs_stride, out += out_stride) {
    u32 acc[kPanel] = {};  // wraps
    for (isize c = 0; c < k; ++c)
      for (isize j = 0; j < kPanel; ++j) acc[j] += static_cast<u32>(lhs[c] * rhs[c * kPanel + j]);
    for (isize j = 0; j < kPanel; ++j) out[j] = static_cast<s32>(acc[j]);
  }
}

}  // namespace
}  // namespace whit::winograd_s8

#include "kernels/winograd_s8/transform.inc"

namespace whit::winograd_s8 {

void winograd_s8_input_4x4_scalar(const InputArgs& args, isize tile_begin, isize tile_end) {
  input_tiles(args, tile_begin, tile_end);
}

void winograd_s8_output_4x4_scalar(const OutputArgs& args, isize tile_begin, isize tile_end, isize n_begin,
                                   isize n_end) {
  output_tiles(args, tile_begin, tile_end, n_begin, n_end);
}

}  // namespace whit::winograd_s8
