#include "ops/product.h"

namespace whit::ops {
namespace {

std::optional<gemm_w4::Codebook> find_codebook(const Tensor& w) {
  constexpr s64 kFewWeights = 1 << 12;
  const s64 count = w.shape.elements();
  if (w.dtype != DType::s8 || count < kFewWeights) return std::nullopt;
  return gemm_w4::codebook({reinterpret_cast<const s8*>(w.data), static_cast<std::size_t>(count)});
}

}  // namespace

bool ProductW4::suits(const Tensor& w) { return find_codebook(w).has_value(); }

bool ProductW4::suits(const TensorInfo& w, isize m, IsaSet isa) {
  constexpr s64 kNearCaches = 1 << 20;
  constexpr isize kFewRows = 4;                         // that read the codes themselves
  if (isa.has(Isa::amx) && m > kFewRows) return false;  // tiles of s8 are several times as fast as anything else
  const auto codebook = w.is_constant() ? find_codebook(*w.tensor) : std::nullopt;
  return codebook && (codebook->is_linear() || m > kFewRows || w.shape.elements() > kNearCaches);
}

}  // namespace whit::ops
