#include "ops/product.h"

namespace whit::ops {
namespace {

std::optional<gemm_w4::Codebook> find_codebook(const Tensor& w) {
  constexpr s64 kFewWeights = 1 << 12;
  const s64 count = w.shape.elements();
  if (w.dtype != DType::s8 || count < kFewWeights) return std::nullopt;
  return gemm_w4::codebook({reinterpret_cast<const s8*>(w.data), static_cast<std::size_t>(count)});
}

/// Beyond near caches.
bool is_large(const TensorInfo& w) { return w.shape.elements() > 1 << 20; }

}  // namespace

bool ProductW4::suits(const Tensor& w) { return find_codebook(w).has_value(); }

std::optional<ProductW4::Weights> ProductW4::suiting(const TensorInfo& w, isize m, IsaSet isa) {
  constexpr isize kFewRows = 4;                                // that read the codes themselves
  if (isa.has(Isa::amx) && m > kFewRows) return std::nullopt;  // tiles of s8 are several times as fast as anything else
  const auto codebook = w.is_constant() ? find_codebook(*w.tensor) : std::nullopt;
  if (!codebook) return std::nullopt;
  const bool fast = m > kFewRows || (codebook->is_linear() && !isa.has(Isa::neondot));
  if (!fast && !is_large(w)) return std::nullopt;
  return Weights{ProductS8::Weights(w), *codebook};
}

std::optional<ProductW1::Weights> ProductW1::suiting(const TensorInfo& w, isize m, isize n, IsaSet isa) {
  constexpr isize kColumns = 256, kColumnsOfOneRow = 64;                // that make up for a row's tables
  if (!isa.has(Isa::neon) && !isa.has(Isa::avx2)) return std::nullopt;  // ARMv7 looks up 8 bytes, slower than products
  if (isa.has(Isa::avxvnni) || isa.has(Isa::avx512vnni)) return std::nullopt;
  if (isa.has(Isa::neondot) && (m > 1 || !is_large(w))) return std::nullopt;
  if (n < (m == 1 ? kColumnsOfOneRow : kColumns) || !w.is_constant() || !ProductW4::suits(*w.tensor))
    return std::nullopt;
  const auto two = gemm_w1::two_values({w.constant<s8>(), static_cast<std::size_t>(w.shape.elements())});
  if (!two) return std::nullopt;
  return Weights{ProductS8::Weights(w), *two};
}

}  // namespace whit::ops
