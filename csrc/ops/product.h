#pragma once
// gemm_s8, gemm_w4 and gemm_f32 behind one set of names, so that conv and gemm are written once for all.

#include <optional>
#include <string>
#include <vector>

#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_s8/gemm_s8.h"
#include "kernels/gemm_w1/gemm_w1.h"
#include "kernels/gemm_w4/gemm_w4.h"
#include "ops/epilogue_params.h"
#include "ops/product_parts.h"

namespace whit::ops {

/// The bias that check_constant_bias has passed, from channel `first` on, or null.
template <class T>
const T* constant_bias(std::span<const TensorInfo> inputs, isize first = 0) {
  const TensorInfo* bias = optional_input(inputs, 2);
  return bias ? bias->constant<T>() + first : nullptr;
}

struct ProductS8 {
  /// The constant weights of a node, of all its groups.
  class Weights {
   public:
    explicit Weights(const TensorInfo& w) : values_(w.constant<s8>()) {}
    const s8* values() const { return values_; }

   private:
    const s8* values_;
  };

  using Element = s8;
  using Kernel = gemm_s8::Kernel;
  using Lhs = gemm_s8::Lhs;
  using EpilogueParams = EpilogueParamsS8;

  static const Kernel& select(const Weights&, isize m, isize n, isize taps, isize k, IsaSet isa) {
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
  static bool pack(const Kernel& kernel, std::span<const TensorInfo> inputs, const Weights& weights, isize first,
                   isize n, isize taps, isize k, std::byte* out) {
    gemm_s8::pack(kernel, rhs(inputs, weights.values(), first, n, taps, k), out, 0, n);
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

 protected:
  static gemm_s8::Rhs rhs(std::span<const TensorInfo> inputs, const s8* values, isize first, isize n, isize taps,
                          isize k) {
    const s32 zero_point = inputs[0].quantization().zero_point[0];
    return {values + first * taps * k, constant_bias<s32>(inputs, first), n, taps, k, zero_point};
  }
};

/// s8 weights of few values, which stay codes of 4 or 2 bits in memory.
struct ProductW4 : ProductS8 {
  /// With a codebook of their values.
  struct Weights : ProductS8::Weights {
    gemm_w4::Codebook codebook;
  };

  using Kernel = gemm_w4::Kernel;

  /// Whether a constant w has few enough values, and is large enough for that to matter.
  static bool suits(const Tensor& w);
  /// w, where such a product of m rows is about as fast as one of s8: where weights come from a near cache, few rows
  /// are slower with codes that are looked up, and on ARM with dot products with any.
  static std::optional<Weights> suiting(const TensorInfo& w, isize m, IsaSet isa);

  static const Kernel& select(const Weights& weights, isize m, isize n, isize taps, isize k, IsaSet isa) {
    return gemm_w4::select({m, n, taps, k, weights.codebook.bits}, isa);
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
  static bool pack(const Kernel& kernel, std::span<const TensorInfo> inputs, const Weights& weights, isize first,
                   isize n, isize taps, isize k, std::byte* out) {
    return gemm_w4::pack(kernel, {rhs(inputs, weights.values(), first, n, taps, k), weights.codebook}, out, 0, n);
  }
  static void run(const Kernel& kernel, const Lhs& lhs, const std::byte* packed, isize n, isize taps, isize k,
                  const EpilogueS8& epilogue, std::byte* out, isize out_stride, isize m_begin, isize m_end,
                  isize n_begin, isize n_end, std::byte* scratch) {
    gemm_w4::run(kernel, {lhs, packed, n, taps, k, epilogue, out, out_stride, scratch}, m_begin, m_end, n_begin, n_end);
  }
};

/// s8 weights of two values, which stay bits in memory.
struct ProductW1 : ProductS8 {
  /// With the values.
  struct Weights : ProductS8::Weights {
    gemm_w1::TwoValues two;
  };

  using Kernel = gemm_w1::Kernel;

  /// w, where such a product of m rows and n columns is faster than one of s8.
  static std::optional<Weights> suiting(const TensorInfo& w, isize m, isize n, IsaSet isa);

  static const Kernel& select(const Weights&, isize, isize, isize, isize, IsaSet isa) { return gemm_w1::select(isa); }
  static isize tile_rows(const Kernel&) { return 1; }
  static std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k) {
    return gemm_w1::packed_bytes(kernel, n, taps, k);
  }
  static std::size_t scratch_bytes(const Kernel&, isize, isize, isize, bool) { return gemm_w1::scratch_bytes(); }
  static isize padded_k(const Kernel&, isize k) { return k; }
  static bool pack(const Kernel& kernel, std::span<const TensorInfo> inputs, const Weights& weights, isize first,
                   isize n, isize taps, isize k, std::byte* out) {
    gemm_w1::pack(kernel, {rhs(inputs, weights.values(), first, n, taps, k), weights.two}, out, 0, n);
    return true;
  }
  static void run(const Kernel& kernel, const Lhs& lhs, const std::byte* packed, isize n, isize taps, isize k,
                  const EpilogueS8& epilogue, std::byte* out, isize out_stride, isize m_begin, isize m_end,
                  isize n_begin, isize n_end, std::byte* scratch) {
    gemm_w1::run(kernel, {lhs, packed, n, taps, k, epilogue, out, out_stride, scratch}, m_begin, m_end, n_begin, n_end);
  }
};

/// make(weights) for the coded s8 weights that suit a product of m rows and n columns, with Product as its template
/// argument; null where s8 is faster.
template <class Body, class Make>
std::unique_ptr<Body> make_coded(const TensorInfo& w, isize m, isize n, IsaSet isa, const Make& make) {
  if (auto weights = ProductW1::suiting(w, m, n, isa)) return make.template operator()<ProductW1>(*weights);
  if (auto weights = ProductW4::suiting(w, m, isa)) return make.template operator()<ProductW4>(*weights);
  return nullptr;
}

struct ProductF32 {
  /// s8 weights are expanded when values() is called for the first time.
  class Weights {
   public:
    explicit Weights(const TensorInfo& w) : w_(w) {}
    /// Null when memory is short.
    const f32* values() {
      if (!values_) values_ = weights_as_f32(w_, &expanded_);
      return values_;
    }

   private:
    TensorInfo w_;
    AlignedBuffer expanded_;
    const f32* values_ = nullptr;
  };

  using Element = f32;
  using Kernel = gemm_f32::Kernel;
  using Lhs = gemm_f32::Lhs;
  using EpilogueParams = EpilogueParamsF32;

  static const Kernel& select(const Weights&, isize m, isize n, isize taps, isize k, IsaSet isa) {
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
  static bool pack(const Kernel& kernel, std::span<const TensorInfo> inputs, Weights& weights, isize first, isize n,
                   isize taps, isize k, std::byte* out) {
    const f32* bias = constant_bias<f32>(inputs, first);
    const f32* values = weights.values();
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
  /// Chooses the kernel for about `m` rows (0: any) and packs. bias and w, the constant that `weights` are of, have
  /// been checked by fill_epilogue and check_constant_bias.
  Status prepare(const PrepareContext& context, typename Product::Weights& weights, isize m, isize first, isize n,
                 isize taps, isize k) {
    kernel_ = &Product::select(weights, m, n, taps, k, context.isa);
    n_ = n, taps_ = taps, k_ = k, first_ = first, m_ = m;
    const std::size_t bytes = Product::packed_bytes(*kernel_, n, taps, k);
    const std::string key = std::string(kernel_name()) + "/" + std::to_string(first);
    const auto fill = [&](std::byte* out) {
      return Product::pack(*kernel_, context.inputs, weights, first, n, taps, k, out);
    };
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
    const ProductParts parts{m, n_, s64{taps_} * k_, panel_columns(*kernel_), Product::kUnpacks};
    run_in_parts(parts, pool, [&](isize m_begin, isize m_end, isize n_begin, isize n_end, int thread) {
      Product::run(*kernel_, lhs, packed_, n_, taps_, k_, epilogue, target, out_stride, m_begin, m_end, n_begin, n_end,
                   scratch + thread * each);
    });
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
