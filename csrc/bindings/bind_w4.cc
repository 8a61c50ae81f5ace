// whit.kernels: dense products with weights of 4 bits.

#include <algorithm>

#include "bindings/bindings.h"
#include "bindings/dense_product.h"
#include "kernels/gemm_w4/gemm_w4.h"

namespace whit::bindings {
namespace {

struct FamilyW4 {
  using Kernel = gemm_w4::Kernel;
  using Args = gemm_w4::Args;
  using Weights = const s8*;
  static constexpr const char* kProduct = "gemm_w4";

  static const Kernel& select(isize n, isize k, IsaSet isa) { return gemm_w4::select({0, n, 1, k, 4}, isa); }
  static bool pack(const Kernel& kernel, const s8* w, isize n, isize k, std::byte* packed) {
    return gemm_w4::pack(kernel, {{w, nullptr, n, 1, k, 0}, gemm_w4::integers(4)}, packed, 0, n);
  }
  static std::size_t scratch_bytes(const Kernel& kernel, isize m, isize k) {
    return gemm_w4::needs_scratch(m, 1, k) ? gemm_w4::scratch_bytes(kernel, 1, k) : 0;
  }
  static void set_lhs(Args& args, const void* rows, isize k) {
    args.lhs = {static_cast<const s8*>(rows), k, nullptr, nullptr};
    args.epilogue.output = EpilogueS8::Output::s32;
  }
};

struct PackedW4 : PackedMatrix<FamilyW4> {
  using PackedMatrix::PackedMatrix;

  static PackedW4 make(const py::handle& weights) {
    const py::array w = checked_weights(weights, "pack_w4");
    const s8* values = static_cast<const s8*>(w.data());
    const auto [least, most] = std::minmax_element(values, values + w.size());
    if (*least < -8 || *most > 7)
      raise_error(Code::invalid_argument, "pack_w4: w goes from " + std::to_string(*least) + " to " +
                                              std::to_string(*most) + "; weights of 4 bits go from -8 to 7");
    return {values, w.shape(0), w.shape(1)};
  }

  py::array multiply(const py::handle& lhs, const py::object& out, const std::optional<int>& threads) const {
    const py::array x = checked_lhs(lhs, "gemm_w4", k());
    return product(x, x.data(), x.shape(0), out, threads);
  }
};

}  // namespace

void bind_w4(py::module_& module) {
  bind_packed<PackedW4>(module, "PackedW4").def(py::init(&PackedW4::make), py::arg("w"));
}

}  // namespace whit::bindings
