#pragma once
// spmm_s8 and spmm_f32 behind one set of names, and when weights that are mostly 0 are faster through them than through
// gemm_s8 and gemm_f32.

#include <optional>
#include <string>

#include "kernels/spmm_f32/spmm_f32.h"
#include "kernels/spmm_s8/spmm_s8.h"
#include "ops/conv_geometry.h"
#include "ops/product.h"

namespace whit::ops {

struct SparseS8 {
  using Element = s8;
  using Accumulator = s32;
  using Product = ProductS8;
  using Kernel = spmm_s8::Kernel;
  using Csr = spmm::Csr<s8>;
  using Rows = spmm_s8::Rows;

  /// Empty if the weights are not such as spmm takes, or memory is short.
  static std::optional<spmm::OwnedCsr<s8>> weights(std::span<const TensorInfo> inputs, isize n, isize taps, isize k);
  static const Kernel& select(const Csr& csr, spmm::Block block, isize pixels, IsaSet isa);
  static std::size_t packed_bytes(const Kernel& kernel, const Csr& csr) { return spmm_s8::packed_bytes(kernel, csr); }
  static void pack(const Kernel& kernel, const Csr& csr, std::span<const TensorInfo> inputs, std::byte* packed) {
    spmm_s8::pack(kernel, csr, constant_bias<s32>(inputs), inputs[0].quantization().zero_point[0], packed);
  }
  static isize pixel_step(const Kernel& kernel) { return spmm_s8::pixel_step(kernel); }
  static isize line_bytes(const Kernel& kernel, isize pixels) { return spmm_s8::line_bytes(kernel, pixels); }
  static isize line_count(const Kernel& kernel, isize k) { return spmm_s8::line_count(kernel, k); }
  static Isa dense_isa(const gemm_s8::Problem& problem, IsaSet isa) {
    return gemm_s8::isa(gemm_s8::select(problem, isa));
  }
  /// What the kernel stores together.
  static spmm::Block entry(const Kernel& kernel) {
    return {spmm_s8::layout(kernel).rows, spmm_s8::layout(kernel).lines};
  }
  static void lines_from_rows(const Kernel& kernel, const Rows& rows, isize begin, isize count, isize k,
                              std::byte* lines, isize line_stride) {
    spmm_s8::lines_from_rows(kernel, rows, begin, count, k, lines, line_stride);
  }
  static void run(const Kernel& kernel, const std::byte* packed, const std::byte* lines, isize line_stride,
                  const s32* offsets, s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels) {
    spmm_s8::run(kernel, {packed, lines, line_stride, offsets, acc, acc_stride}, n_begin, n_end, pixels);
  }
  static void store(const Kernel& kernel, const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
                    const EpilogueS8& epilogue, std::byte* out, isize out_stride, isize first_row) {
    spmm_s8::store(kernel, acc, acc_stride, n_begin, n_end, pixels, epilogue, out, out_stride, first_row);
  }
};

struct SparseF32 {
  using Element = f32;
  using Accumulator = f32;
  using Product = ProductF32;
  using Kernel = spmm_f32::Kernel;
  using Csr = spmm::Csr<f32>;
  using Rows = spmm_f32::Rows;

  static std::optional<spmm::OwnedCsr<f32>> weights(std::span<const TensorInfo> inputs, isize n, isize taps, isize k);
  static const Kernel& select(const Csr& csr, spmm::Block block, isize pixels, IsaSet isa) {
    return spmm_f32::select({csr.n, csr.taps, csr.k, pixels, block}, isa);
  }
  static std::size_t packed_bytes(const Kernel& kernel, const Csr& csr) { return spmm_f32::packed_bytes(kernel, csr); }
  static void pack(const Kernel& kernel, const Csr& csr, std::span<const TensorInfo> inputs, std::byte* packed) {
    spmm_f32::pack(kernel, csr, constant_bias<f32>(inputs), packed);
  }
  static isize pixel_step(const Kernel&) { return 1; }
  static isize line_bytes(const Kernel&, isize pixels) { return pixels * static_cast<isize>(sizeof(f32)); }
  static isize line_count(const Kernel&, isize k) { return k; }
  static Isa dense_isa(const gemm_f32::Problem& problem, IsaSet isa) {
    return gemm_f32::isa(gemm_f32::select(problem, isa));
  }
  static spmm::Block entry(const Kernel& kernel) { return {spmm_f32::entry_rows(kernel), 1}; }
  static void lines_from_rows(const Kernel&, const Rows& rows, isize begin, isize count, isize k, std::byte* lines,
                              isize line_stride) {
    spmm_f32::lines_from_rows(rows, begin, count, k, reinterpret_cast<f32*>(lines), elements(line_stride));
  }
  static void run(const Kernel& kernel, const std::byte* packed, const std::byte* lines, isize line_stride,
                  const s32* offsets, f32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels) {
    spmm_f32::run(kernel,
                  {packed, reinterpret_cast<const f32*>(lines), elements(line_stride), offsets, acc, acc_stride},
                  n_begin, n_end, pixels);
  }
  static void store(const Kernel& kernel, const f32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
                    const EpilogueF32& epilogue, std::byte* out, isize out_stride, isize first_row) {
    spmm_f32::store(kernel, acc, acc_stride, n_begin, n_end, pixels, epilogue, reinterpret_cast<f32*>(out), out_stride,
                    first_row);
  }

 private:
  static isize elements(isize bytes) { return bytes / static_cast<isize>(sizeof(f32)); }
};

/// Whether so many of the weights of a constant are 0 that a sparse product may be faster: a pass over them.
bool has_many_zeros(const Tensor& w);

/// Whether the estimate knows this kernel, by its name.
bool has_cost(const char* kernel);

/// Weights to be packed for a kernel.
template <class Sparse>
struct SparseWeights {
  spmm::OwnedCsr<typename Sparse::Element> csr;
  const typename Sparse::Kernel* kernel;
};

template <class Sparse>
struct ProductChoice {
  std::optional<SparseWeights<Sparse>> sparse;  ///< empty: dense is faster
  std::string reason;                           ///< empty where weights have few zeros: nobody asks
};

/// Of constant weights w [n][taps][k] times `pixels` rows: sparse where an estimate (sparse_product.cc) says that it
/// takes less time on these ISA levels. The dense product takes `dense` times the multiplications of the definition.
/// Pure, and the same for every number of threads.
template <class Sparse>
ProductChoice<Sparse> choose_product(const PrepareContext& context, isize n, isize taps, isize k, isize pixels,
                                     f64 dense);

}  // namespace whit::ops
