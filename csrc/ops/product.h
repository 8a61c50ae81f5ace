#pragma once
// gemm_s8, gemm_w4 and gemm_f32 behind one set of names, so that conv and gemm are written once for all.

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_s8/gemm_s8.h"
#include "kernels/gemm_w4/gemm_w4.h"
#include "ops/epilogue_params.h"

namespace whit::ops {

/// The bias that check_constant_bias has passed, from channel `first` on, or null.
template <class T>
const T* constant_bias(std::span<const TensorInfo> inputs, isize first = 0) {
  const TensorInfo* bias = optional_input(inputs, 2);
  return bias ? bias->constant<T>() + first : nullptr;
}

struct ProductS8 {
  using Element = s8;
  using Kernel = gemm_s8::Kernel;
  using Lhs = gemm_s8::Lhs;
  using EpilogueParams = EpilogueParamsS8;

  static const Kernel& select(std::span<const TensorInfo>, isize m, isize n, isize taps, isize k, IsaSet isa) {
    return gemm_s8::select({m, n, taps, k}, isa);
  }
  static isize tile_rows(const Kernel& kernel) { return gemm_s8::tile_rows(kernel); }
  static std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k) {
    return gemm_s8::packed_bytes(kernel, n, taps, k);
  }
  /// Scratch that a thread needs to multiply m rows, which may be given by offsets.
  static std::size_t scratch_bytes(const Kernel& kernel, isize, isize taps, isize k, bool offsets) {
    return offsets ? gemm_s8::scratch_bytes(kernel, taps, k) : 0;
  }
  /// Whether weights are unpacked for each call, so that it had better be given many rows, and threads share columns.
  static constexpr bool kUnpacks = false;
  static isize padded_k(const Kernel& kernel, isize k) { return gemm_s8::padded_k(kernel, k); }
  /// What a padding pixel holds.
  static s8 padding(const TensorInfo& x) { return static_cast<s8>(x.quantization().zero_point[0]); }
  /// False when memory is short.
  static bool pack(const Kernel& kernel, std::span<const TensorInfo> inputs, isize first, isize n, isize taps, isize k,
                   std::byte* out) {
    const s32* bias = constant_bias<s32>(inputs, first);
    const s8* values = inputs[1].constant<s8>() + first * taps * k;
    gemm_s8::pack(kernel, {values, bias, n, taps, k, inputs[0].quantization().zero_point[0]}, out, 0, n);
    return true;
  }
  static void run(const Kernel& kernel, const Lhs& lhs, const std::byte* packed, isize n, isize taps, isize k,
                  const EpilogueS8& epilogue, std::byte* out, isize out_stride, isize m_begin, isize m_end,
                  isize n_begin, isize n_end, std::byte* scratch) {
    gemm_s8::run(kernel, {lhs, packed, n, taps, k, epilogue, out, out_stride, scratch}, m_begin, m_end, n_begin, n_end);
  }
  /// The epilogue for the channels that begin at `first`.
  static EpilogueS8 epilogue_at(const EpilogueParamsS8& params, const std::byte* residual, isize stride, isize first) {
    EpilogueS8 epilogue = params.at(residual, stride);
    epilogue.scale += first;
    if (epilogue.residual) epilogue.residual += first;
    return epilogue;
  }
};

/// s8 weights of few values, which stay codes of 4 or 2 bits in memory.
struct ProductW4 : ProductS8 {
  using Kernel = gemm_w4::Kernel;

  /// Whether a constant w has few enough values, and is large enough for that to matter.
  static bool suits(const Tensor& w);
  /// Whether such a product of m rows is about as fast as one of s8: looked up codes of few rows are slower where
  /// weights come from a near cache.
  static bool suits(const TensorInfo& w, isize m, IsaSet isa);

  static gemm_w4::Codebook codebook(const TensorInfo& w) {
    return *gemm_w4::codebook({w.constant<s8>(), static_cast<std::size_t>(w.shape.elements())});
  }
  static const Kernel& select(std::span<const TensorInfo> inputs, isize m, isize n, isize taps, isize k, IsaSet isa) {
    return gemm_w4::select({m, n, taps, k, codebook(inputs[1]).bits}, isa);
  }
  static isize tile_rows(const Kernel& kernel) { return gemm_w4::tile_rows(kernel); }
  static std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k) {
    return gemm_w4::packed_bytes(kernel, n, taps, k);
  }
  static std::size_t scratch_bytes(const Kernel& kernel, isize m, isize taps, isize k, bool) {
    return gemm_w4::needs_scratch(m, taps, k) ? gemm_w4::scratch_bytes(kernel, taps, k) : 0;
  }
  static constexpr bool kUnpacks = true;
  static isize padded_k(const Kernel&, isize k) { return k; }
  static bool pack(const Kernel& kernel, std::span<const TensorInfo> inputs, isize first, isize n, isize taps, isize k,
                   std::byte* out) {
    const s8* values = inputs[1].constant<s8>() + first * taps * k;
    const gemm_s8::Rhs weights{values, constant_bias<s32>(inputs, first),     n, taps,
                               k,      inputs[0].quantization().zero_point[0]};
    return gemm_w4::pack(kernel, {weights, codebook(inputs[1])}, out, 0, n);
  }
  static void run(const Kernel& kernel, const Lhs& lhs, const std::byte* packed, isize n, isize taps, isize k,
                  const EpilogueS8& epilogue, std::byte* out, isize out_stride, isize m_begin, isize m_end,
                  isize n_begin, isize n_end, std::byte* scratch) {
    gemm_w4::run(kernel, {lhs, packed, n, taps, k, epilogue, out, out_stride, scratch}, m_begin, m_end, n_begin, n_end);
  }
};

struct ProductF32 {
  using Element = f32;
  using Kernel = gemm_f32::Kernel;
  using Lhs = gemm_f32::Lhs;
  using EpilogueParams = EpilogueParamsF32;

  static const Kernel& select(std::span<const TensorInfo>, isize m, isize n, isize taps, isize k, IsaSet isa) {
    return gemm_f32::select({m, n, taps, k}, isa);
  }
  static isize tile_rows(const Kernel& kernel) { return gemm_f32::tile_rows(kernel); }
  static std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k) {
    return gemm_f32::packed_bytes(kernel, n, taps, k);
  }
  static std::size_t scratch_bytes(const Kernel&, isize, isize, isize, bool) { return 0; }
  static constexpr bool kUnpacks = false;
  static isize padded_k(const Kernel&, isize k) { return k; }
  static f32 padding(const TensorInfo&) { return 0; }
  static bool pack(const Kernel& kernel, std::span<const TensorInfo> inputs, isize first, isize n, isize taps, isize k,
                   std::byte* out) {
    const f32* bias = constant_bias<f32>(inputs, first);
    AlignedBuffer expanded;
    const f32* values = weights_as_f32(inputs[1], &expanded);
    if (!values) return false;
    gemm_f32::pack(kernel, {values + first * taps * k, bias, n, taps, k}, out, 0, n);
    return true;
  }
  static void run(const Kernel& kernel, const Lhs& lhs, const std::byte* packed, isize n, isize taps, isize k,
                  const EpilogueF32& epilogue, std::byte* out, isize out_stride, isize m_begin, isize m_end,
                  isize n_begin, isize n_end, std::byte*) {
    gemm_f32::run(kernel, {lhs, packed, n, taps, k, epilogue, reinterpret_cast<f32*>(out), out_stride}, m_begin, m_end,
                  n_begin, n_end);
  }
  static EpilogueF32 epilogue_at(const EpilogueParamsF32& params, const std::byte* residual, isize stride,
                                 isize first) {
    EpilogueF32 epilogue = params.at(residual, stride);
    if (epilogue.residual) epilogue.residual += first;
    return epilogue;
  }
};

/// Output channels [first, first + n) of w = [channels, taps, k] packed for one kernel. Rows of the lhs come from the
/// caller at run time.
template <class Product>
class PackedProduct {
 public:
  /// Chooses the kernel for about `m` rows (0: any) and packs. bias and w must be constants, checked by fill_epilogue
  /// and check_constant_bias.
  Status prepare(const PrepareContext& context, isize m, isize first, isize n, isize taps, isize k) {
    kernel_ = &Product::select(context.inputs, m, n, taps, k, context.isa);
    n_ = n, taps_ = taps, k_ = k, first_ = first, m_ = m;
    const std::size_t bytes = Product::packed_bytes(*kernel_, n, taps, k);
    const std::string key = std::string(kernel_name()) + "/" + std::to_string(first);
    const auto fill = [&](std::byte* out) { return Product::pack(*kernel_, context.inputs, first, n, taps, k, out); };
    return pack_weights(context, key, bytes, fill, &packed_);
  }

  const char* kernel_name() const { return name(*kernel_); }
  isize packed_bytes() const { return static_cast<isize>(Product::packed_bytes(*kernel_, n_, taps_, k_)); }
  isize tile_rows() const { return Product::tile_rows(*kernel_); }

  /// For callers whose rows have as many values (any) as this returns, at least k: they are read without a remainder
  /// from now on. Needs taps == 1.
  isize pad_k() { return k_ = Product::padded_k(*kernel_, k_); }

  /// The same as run() on the calling thread, of rows without offsets.
  void run_rows(const typename Product::Lhs& lhs, isize m, const typename Product::EpilogueParams& params,
                const std::byte* residual, isize residual_stride, std::byte* out, isize out_element_bytes,
                isize out_stride) const {
    Product::run(*kernel_, lhs, packed_, n_, taps_, k_, Product::epilogue_at(params, residual, residual_stride, first_),
                 out + first_ * out_element_bytes, out_stride, 0, m, 0, n_, nullptr);
  }

  /// Of run(), for each thread, where rows are given by offsets or are not.
  isize scratch_per_thread(bool offsets) const {
    return round_up(static_cast<isize>(Product::scratch_bytes(*kernel_, m_, taps_, k_, offsets)), isize{kAlignment});
  }

  /// out[i][first + j] for rows [0, m), as many as prepare() was told or fewer; `out` and `residual` point to row 0,
  /// channel 0; `scratch` is scratch_per_thread() for each thread of the pool.
  void run(const typename Product::Lhs& lhs, isize m, const typename Product::EpilogueParams& params,
           const std::byte* residual, isize residual_stride, std::byte* out, isize out_element_bytes, isize out_stride,
           ThreadPool& pool, std::byte* scratch) const {
    const auto epilogue = Product::epilogue_at(params, residual, residual_stride, first_);
    std::byte* target = out + first_ * out_element_bytes;
    const isize each = scratch_per_thread(lhs.offsets != nullptr);
    const isize rows = mac_grain(1, s64{n_} * taps_ * k_);
    const isize columns = mac_grain(panel_columns(*kernel_), s64{m} * taps_ * k_);
    // Rows, of which there may be too few tiles for equal shares; then columns, if theirs are smaller by a sixteenth,
    // or not larger by as much where rows cost more.
    constexpr s64 kColumns = Product::kUnpacks ? 15 : 16, kRows = Product::kUnpacks ? 16 : 15;
    if (kColumns * m * pool.largest_share(n_, columns) >= kRows * n_ * pool.largest_share(m, rows)) {
      pool.parallel_for(m, rows, [&](isize begin, isize end, int thread) {
        Product::run(*kernel_, lhs, packed_, n_, taps_, k_, epilogue, target, out_stride, begin, end, 0, n_,
                     scratch + thread * each);
      });
    } else {
      pool.parallel_for(n_, columns, [&](isize begin, isize end, int thread) {
        Product::run(*kernel_, lhs, packed_, n_, taps_, k_, epilogue, target, out_stride, 0, m, begin, end,
                     scratch + thread * each);
      });
    }
  }

 private:
  const typename Product::Kernel* kernel_ = nullptr;
  const std::byte* packed_ = nullptr;
  isize n_ = 0, taps_ = 0, k_ = 0, first_ = 0, m_ = 0;
};

/// The bias of a product is packed with the weights, so it must be known when the plan is made.
inline Status check_constant_bias(const Node& node, std::span<const TensorInfo> inputs, isize n) {
  const TensorInfo* bias = optional_input(inputs, 2);
  if (!bias) return {};
  if (!bias->is_constant())
    return node_error(node, Code::unsupported, "bias '%s' must be a constant", tensor_name(*bias));
  if (bias->shape.rank() != 1 || bias->shape[0] != n)
    return node_error(node, Code::shape, "bias '%s' must have shape [%lld]; it has %s", tensor_name(*bias),
                      static_cast<long long>(n), bias->shape.text().c_str());
  return {};
}

/// The residual of a product is added element by element.
inline Status check_residual_shape(const Node& node, std::span<const TensorInfo> inputs, const Shape& output) {
  const TensorInfo* residual = optional_input(inputs, 3);
  if (!residual || residual->shape == output) return {};
  return node_error(node, Code::shape, "residual '%s' has shape %s, the output has %s", tensor_name(*residual),
                    residual->shape.text().c_str(), output.text().c_str());
}

}  // namespace whit::ops
