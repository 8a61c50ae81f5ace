#pragma once
// The sums of an LSTM's gates: products of rows, of x or of states, with one matrix [4 * hidden, k] per direction.

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/checked.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_s8/gemm_s8.h"
#include "ops/epilogue_params.h"
#include "ops/product_parts.h"
#include "ops/rounded_rows.h"

namespace whit::ops {

class Gates {
 public:
  virtual ~Gates() = default;

  /// Packs weights [d, n, k] that lstm has checked, under a key of their own, for up to `m` rows at a time, and takes
  /// bias [d][n] or nothing.
  virtual Status prepare(const PrepareContext& context, const TensorInfo& weights, const std::string& key, isize m,
                         std::span<const f32> bias) = 0;
  virtual const char* kernel_name() const = 0;
  /// Of run().
  virtual isize scratch_bytes() const = 0;
  /// out[m][n] = lhs[m][k] * w'[direction] + bias + residual[m][n], which may be null. Without a pool, on this thread.
  virtual void run(int direction, const f32* lhs, const f32* residual, f32* out, isize m, ThreadPool* pool,
                   std::byte* scratch) const = 0;

 protected:
  /// part(m_begin, m_end, n_begin, n_end) for all of [m, n].
  template <class Part>
  static void in_parts(const ProductParts& parts, ThreadPool* pool, const Part& part) {
    if (!pool) return part(isize{0}, parts.m, isize{0}, parts.n);
    run_in_parts(parts, *pool, [&](isize m_begin, isize m_end, isize n_begin, isize n_end, int) {
      part(m_begin, m_end, n_begin, n_end);
    });
  }
  /// Packs with pack(d, out) of `bytes` bytes for each direction.
  template <class Pack>
  Status pack_directions(const PrepareContext& context, const std::string& key, s64 directions, std::size_t bytes,
                         const Pack& pack) {
    const isize each = static_cast<isize>(bytes / kAlignment * kAlignment + kAlignment);
    const std::byte* packed = nullptr;
    WHIT_RETURN_IF_ERROR(pack_weights(
        context, kernel_name() + ("/" + key), allocation_bytes(u64{bytes} + kAlignment, directions),
        [&](std::byte* out) {
          for (s64 d = 0; d < directions; ++d)
            if (!pack(static_cast<isize>(d), out + static_cast<isize>(d) * each)) return false;
          return true;
        },
        &packed));
    for (s64 d = 0; d < directions; ++d) packed_[d] = packed + static_cast<isize>(d) * each;
    return {};
  }

  const std::byte* packed_[2] = {};
  isize n_ = 0, k_ = 0;
};

class GatesF32 final : public Gates {
 public:
  Status prepare(const PrepareContext& context, const TensorInfo& weights, const std::string& key, isize m,
                 std::span<const f32> bias) override {
    n_ = weights.shape[1], k_ = weights.shape[2];
    kernel_ = &gemm_f32::select({m, n_, 1, k_}, context.isa);
    AlignedBuffer expanded;
    const f32* values = nullptr;
    const auto pack = [&](isize d, std::byte* out) {
      if (!values) values = weights_as_f32(weights, &expanded);
      if (!values) return false;
      gemm_f32::pack(*kernel_, {values + d * n_ * k_, bias.empty() ? nullptr : bias.data() + d * n_, n_, 1, k_}, out, 0,
                     n_);
      return true;
    };
    return pack_directions(context, key, weights.shape[0], gemm_f32::packed_bytes(*kernel_, n_, 1, k_), pack);
  }
  const char* kernel_name() const override { return gemm_f32::name(*kernel_); }
  isize scratch_bytes() const override { return 0; }
  void run(int direction, const f32* lhs, const f32* residual, f32* out, isize m, ThreadPool* pool,
           std::byte*) const override {
    constexpr f32 kInfinity = std::numeric_limits<f32>::infinity();
    const EpilogueF32 epilogue{Activation::clamp, residual, n_, -kInfinity, kInfinity};
    const gemm_f32::Args args{{lhs, k_, nullptr, nullptr}, packed_[direction], n_, 1, k_, epilogue, out, n_};
    in_parts({m, n_, k_, gemm_f32::panel_columns(*kernel_)}, pool,
             [&](isize m_begin, isize m_end, isize n_begin, isize n_end) {
               gemm_f32::run(*kernel_, args, m_begin, m_end, n_begin, n_end);
             });
  }

 private:
  const gemm_f32::Kernel* kernel_ = nullptr;
};

/// Rows are rounded to s8, each on a grid of its own (docs/NUMERICS.md, "dynamic"), and multiplied by s8 weights.
class GatesS8 final : public Gates {
 public:
  Status prepare(const PrepareContext& context, const TensorInfo& weights, const std::string& key, isize m,
                 std::span<const f32> bias) override {
    WHIT_RETURN_IF_ERROR(check_weights_s8(context.node, weights, 1));
    n_ = weights.shape[1], k_ = weights.shape[2];
    kernel_ = &gemm_s8::select({m, n_, 1, k_}, context.isa);
    rows_.prepare(context, m, k_);
    const isize rows = weights.shape[0] * n_;
    const s8* values = weights.constant<s8>();
    column_sum_ = column_sums(values, rows, k_);
    const Quantization& q = weights.quantization();
    for (std::size_t i = 0; i < static_cast<std::size_t>(n_); ++i) scale_.push_back(q.scale[q.axis < 0 ? 0 : i]);
    bias_.assign(static_cast<std::size_t>(rows), 0.0f);
    std::copy(bias.begin(), bias.end(), bias_.begin());
    const auto pack = [&](isize d, std::byte* out) {
      gemm_s8::pack(*kernel_, {values + d * n_ * k_, nullptr, n_, 1, k_, 0}, out, 0, n_);
      return true;
    };
    return pack_directions(context, key, weights.shape[0], gemm_s8::packed_bytes(*kernel_, n_, 1, k_), pack);
  }
  const char* kernel_name() const override { return gemm_s8::name(*kernel_); }
  isize scratch_bytes() const override { return static_cast<isize>(rows_.bytes()); }
  void run(int direction, const f32* lhs, const f32* residual, f32* out, isize m, ThreadPool* pool,
           std::byte* scratch) const override {
    constexpr f32 kInfinity = std::numeric_limits<f32>::infinity();
    const RoundedRows::Rows rows = rows_.make(lhs, m, scratch, pool);
    gemm_s8::Args args{.lhs = {rows.values, k_, nullptr, nullptr},
                       .packed = packed_[direction],
                       .n = n_,
                       .taps = 1,
                       .k = k_,
                       .epilogue = {},
                       .out = out,
                       .out_stride = n_};
    args.epilogue.output = EpilogueS8::Output::s32;
    in_parts({m, n_, k_, gemm_s8::panel_columns(*kernel_)}, pool,
             [&](isize m_begin, isize m_end, isize n_begin, isize n_end) {
               gemm_s8::run(*kernel_, args, m_begin, m_end, n_begin, n_end);
             });
    const isize first = direction * n_;
    const auto finish = [&](isize begin, isize end, int) {
      const f32* added = residual ? residual + begin * n_ : nullptr;
      rows_.table().dequantize_rows({reinterpret_cast<std::byte*>(out + begin * n_),
                                     end - begin,
                                     n_,
                                     n_,
                                     rows.scale + begin,
                                     rows.zero_point + begin,
                                     column_sum_.data() + first,
                                     scale_.data(),
                                     bias_.data() + first,
                                     {Activation::clamp, added, n_, -kInfinity, kInfinity}});
    };
    pool ? pool->parallel_for(m, work_grain(n_), finish) : finish(isize{0}, m, 0);
  }

 private:
  const gemm_s8::Kernel* kernel_ = nullptr;
  RoundedRows rows_;
  std::vector<s32> column_sum_;    // [d][n]
  std::vector<f32> scale_, bias_;  // [n], [d][n]
};

}  // namespace whit::ops
