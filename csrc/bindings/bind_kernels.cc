// whit.kernels: dense matrix products without a model around them.

#include <cstring>

#include "bindings/bindings.h"
#include "bindings/dense_product.h"
#include "kernels/gemm_s8/gemm_s8.h"

namespace whit::bindings {
namespace {

struct FamilyS8 {
  using Kernel = gemm_s8::Kernel;
  using Args = gemm_s8::Args;
  using Weights = const s8*;
  static constexpr const char* kProduct = "gemm_s8";

  static const Kernel& select(isize n, isize k, IsaSet isa) { return gemm_s8::select({0, n, 1, k}, isa); }
  static bool pack(const Kernel& kernel, const s8* w, isize n, isize k, std::byte* packed) {
    gemm_s8::pack(kernel, {w, nullptr, n, 1, k, 0}, packed, 0, n);
    return true;
  }
  static std::size_t scratch_bytes(const Kernel&, isize, isize) { return 0; }  // rows have no offsets
  static void set_lhs(Args& args, const void* rows, isize k) {
    args.lhs = {static_cast<const s8*>(rows), k, nullptr, nullptr};
    args.epilogue.output = EpilogueS8::Output::s32;
  }
};

struct PackedS8 : PackedMatrix<FamilyS8> {
  using PackedMatrix::PackedMatrix;

  static PackedS8 make(const py::handle& weights) {
    const py::array w = checked_weights(weights, "pack_s8");
    const s8* values = static_cast<const s8*>(w.data());
    if (std::memchr(values, 0x80, static_cast<std::size_t>(w.size())))
      raise_error(Code::invalid_argument, "pack_s8: w contains -128; weights go from -127 to 127");
    return {values, w.shape(0), w.shape(1)};
  }

  py::array multiply(const py::handle& lhs, const py::object& out, const std::optional<int>& threads) const {
    const py::array x = checked_lhs(lhs, "gemm_s8", k());
    return product(x, x.data(), x.shape(0), out, threads);
  }
};

}  // namespace

void bind_kernels(py::module_& module) {
  bind_packed<PackedS8>(module, "PackedS8").def(py::init(&PackedS8::make), py::arg("w"));
}

}  // namespace whit::bindings
