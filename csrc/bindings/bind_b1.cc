// whit.kernels: products of +1 and -1, a bit each.

#include <algorithm>

#include "base/buffer.h"
#include "bindings/bindings.h"
#include "bindings/dense_product.h"
#include "kernels/bitpack/bitpack.h"
#include "kernels/gemm_b1/gemm_b1.h"

namespace whit::bindings {
namespace {

/// Rows of bits: those of an array of uint8, or made from an array of int8.
class BitRows {
 public:
  /// `what` is "gemm_b1: x"; k is known, or 0: then `given` may say it.
  BitRows(const py::handle& value, const std::string& what, const std::string& rows, isize k,
          const std::optional<s64>& given)
      : what_(what) {
    const std::string of = "[" + rows + ", ";
    const std::string wanted =
        what + " must be C-contiguous, int8 " + of + "k] of +1 and -1 or uint8 " + of + "ceil(k / 8)] of bits";
    if (!py::isinstance<py::array>(value)) raise_error(Code::invalid_argument, wanted + ", a numpy array");
    array_ = py::reinterpret_borrow<py::array>(value);
    const bool is_packed = array_.dtype().equal(numpy_dtype(DType::u8));
    if ((!is_packed && !array_.dtype().equal(numpy_dtype(DType::s8))) || array_.ndim() != 2 ||
        !(array_.flags() & py::array::c_style))
      raise_error(Code::invalid_argument, wanted + "; got " + describe(array_));
    if (k == 0 && is_packed && !given)
      raise_error(Code::invalid_argument, what +
                                              " is bits (uint8), of which the last byte may hold fewer than 8: say "
                                              "how many values a row has with k=...");
    const s64 wanted_k = k ? k : given ? *given : array_.shape(1);
    if (wanted_k < 1 || wanted_k > INT32_MAX)
      raise_error(Code::shape, what + ": k must be from 1 to 2^31 - 1; got " + std::to_string(wanted_k));
    this->k = static_cast<isize>(wanted_k);
    const isize columns = is_packed ? gemm_b1::bit_bytes(this->k) : this->k;
    if (array_.shape(1) != columns)
      raise_error(Code::shape, what + " must have " + std::to_string(columns) + (is_packed ? " bytes" : " values") +
                                   " a row for k = " + std::to_string(this->k) + "; got " + describe(array_));
    count = array_.shape(0);
    is_packed ? void(bits = static_cast<const u8*>(array_.data())) : pack();
  }

  const py::array& array() const { return array_; }

  const u8* bits = nullptr;
  isize count = 0, k = 0;

 private:
  void pack() {
    const s8* values = static_cast<const s8*>(array_.data());
    u8 others = 0;  // +1 and -1 plus 1 have no other bit than this one
    for (isize i = 0; i < count * k; ++i) others |= static_cast<u8>((values[i] + 1) & ~2);
    if (others) {
      const isize i = std::find_if(values, values + count * k, [](s8 x) { return x != 1 && x != -1; }) - values;
      raise_error(Code::invalid_argument, what_ + " has " + std::to_string(values[i]) + " at [" +
                                              std::to_string(i / k) + ", " + std::to_string(i % k) +
                                              "]; values must be +1 or -1 (numpy.where(x < 0, -1, 1))");
    }
    const isize bytes = gemm_b1::bit_bytes(k);
    buffer_ = AlignedBuffer(static_cast<std::size_t>(std::max<isize>(count * bytes, 1)));
    if (!buffer_.data()) throw std::bad_alloc();
    u8* packed = reinterpret_cast<u8*>(buffer_.data());
    bitpack::select(unwrap(isa_active())).pack_s8({values, k, k, nullptr, 0, packed, bytes}, 0, count);
    bits = packed;
  }

  std::string what_;
  py::array array_;
  AlignedBuffer buffer_;
};

struct FamilyB1 {
  using Kernel = gemm_b1::Kernel;
  using Args = gemm_b1::Args;
  using Weights = const u8*;
  static constexpr const char* kProduct = "gemm_b1";

  static const Kernel& select(isize n, isize k, IsaSet isa) { return gemm_b1::select({0, n, 1, k}, isa); }
  static bool pack(const Kernel& kernel, const u8* w, isize n, isize k, std::byte* packed) {
    gemm_b1::pack(kernel, {w, n, 1, k}, packed, 0, n);
    return true;
  }
  static std::size_t scratch_bytes(const Kernel& kernel, isize, isize k) {
    return gemm_b1::scratch_bytes(kernel, 1, k);
  }
  static void set_lhs(Args& args, const void* rows, isize k) {
    args.lhs = {static_cast<const u8*>(rows), gemm_b1::bit_bytes(k), nullptr, nullptr};
  }
};

struct PackedB1 : PackedMatrix<FamilyB1> {
  using PackedMatrix::PackedMatrix;

  static PackedB1 make(const py::handle& weights, const std::optional<s64>& k) {
    const BitRows w(weights, "pack_b1: w", "n", 0, k);
    if (w.count < 1) raise_error(Code::shape, "pack_b1: w must not be empty; got " + describe(w.array()));
    return {w.bits, w.count, w.k};
  }

  py::array multiply(const py::handle& lhs, const py::object& out, const std::optional<int>& threads) const {
    const BitRows x(lhs, "gemm_b1: x", "m", k(), std::nullopt);
    return product(x.array(), x.bits, x.count, out, threads);
  }
};

}  // namespace

void bind_b1(py::module_& module) {
  bind_packed<PackedB1>(module, "PackedB1").def(py::init(&PackedB1::make), py::arg("w"), py::arg("k") = py::none());
}

}  // namespace whit::bindings
