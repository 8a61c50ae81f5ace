#pragma once
// Products of b1 inputs: +1 and -1 as bits, times s8 weights that are all +1 or -1 (kernels/gemm_b1).

#include "base/buffer.h"
#include "kernels/gemm_b1/gemm_b1.h"
#include "ops/operator.h"

namespace whit::ops {

/// w [n, taps, k] packed, and what its sums become. For nodes with inputs [x, w, bias?] and attributes activation,
/// clamp_min, clamp_max:
///     y[m][n] = clamp(f32(acc) * w scale[n] + bias[n])     in steps of y if that is s8; bits are y < 0
class BinaryProduct {
 public:
  /// Checks dtypes and quantisation, chooses the kernel for about `m` rows (0: any) and packs. x is b1 with k in
  /// multiples of 8; w a constant, symmetric per tensor or along axis 0; bias f32; y f32, s8 per tensor or b1.
  Status prepare(const PrepareContext& context, isize m, isize n, isize taps, isize k);

  const char* kernel_name() const { return name(*kernel_); }
  isize scratch_per_thread() const;
  isize out_bits() const { return out_bits_; }
  /// Of a row of taps; they are those of w, bit 1 for -1.
  const u8* weight_bits(isize n) const { return bits_.data() + n * taps_ * k_ / 8; }
  void drop_weight_bits() { bits_ = {}; }

  /// out[i][j] for rows [0, m), `out_stride` elements from row to row. `scratch`: scratch_per_thread() for each thread.
  void run(const gemm_b1::Lhs& lhs, const gemm_b1::Border& border, isize m, std::byte* out, isize out_stride,
           ThreadPool& pool, std::byte* scratch) const;

 private:
  Status fill_epilogue(const PrepareContext& context);
  Status fill_bits(const PrepareContext& context);
  void fill_thresholds(s32 depth);
  /// What the epilogue makes of a sum in f32.
  f32 value(std::size_t n, s32 acc) const;

  const gemm_b1::Kernel* kernel_ = nullptr;
  const std::byte* packed_ = nullptr;
  isize n_ = 0, taps_ = 0, k_ = 0, out_bits_ = 0;
  EpilogueB1 epilogue_;
  std::vector<f32> scale_, bias_;
  std::vector<s32> threshold_;
  std::vector<u8> bits_;
};

}  // namespace whit::ops
