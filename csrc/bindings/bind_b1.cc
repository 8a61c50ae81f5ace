// whit.kernels: products of +1 and -1, a bit each.

#include <algorithm>

#include "base/buffer.h"
#include "bindings/bindings.h"
#include "bindings/dense_s8.h"
#include "bindings/pools.h"
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

class PackedB1 {
 public:
  PackedB1(const py::handle& weights, const std::optional<s64>& k) {
    const BitRows w(weights, "pack_b1: w", "n", 0, k);
    n_ = w.count, k_ = w.k;
    if (n_ < 1) raise_error(Code::shape, "pack_b1: w must not be empty; got " + describe(w.array()));
    kernel_ = &gemm_b1::select({0, n_, 1, k_}, unwrap(isa_active()));
    buffer_ = AlignedBuffer(gemm_b1::packed_bytes(*kernel_, n_, 1, k_));
    if (!buffer_.data()) throw std::bad_alloc();
    const GilRelease release;
    gemm_b1::pack(*kernel_, {w.bits, n_, 1, k_}, buffer_.data(), 0, n_);
  }

  py::object multiply(const py::handle& lhs, const py::object& out, const std::optional<int>& threads) const {
    const BitRows x(lhs, "gemm_b1: x", "m", k_, std::nullopt);
    const isize m = x.count;
    py::array result = checked_out(out, "gemm_b1", m, n_, x.array());
    if (m == 0) return result;
    const int count = thread_count(threads);
    const isize each =
        round_up(static_cast<isize>(gemm_b1::scratch_bytes(*kernel_, 1, k_)), static_cast<isize>(kAlignment));
    const AlignedBuffer scratch(static_cast<std::size_t>(each * count));
    if (!scratch.data()) throw std::bad_alloc();
    gemm_b1::Args args{};
    args.lhs = {x.bits, gemm_b1::bit_bytes(k_), nullptr, nullptr};
    args.packed = buffer_.data();
    args.n = n_, args.taps = 1, args.k = k_;
    args.out = result.mutable_data();
    args.out_stride = n_;
    const GilRelease release;
    const LentPool pool(count);
    share_product(*pool, count, m, gemm_b1::tile_rows(*kernel_), n_, gemm_b1::panel_columns(*kernel_),
                  [&](isize m_begin, isize m_end, isize n_begin, isize n_end, int thread) {
                    gemm_b1::Args mine = args;
                    mine.scratch = const_cast<std::byte*>(scratch.data()) + thread * each;
                    gemm_b1::run(*kernel_, mine, m_begin, m_end, n_begin, n_end);
                  });
    return result;
  }

  isize n() const { return n_; }
  isize k() const { return k_; }
  std::size_t bytes() const { return buffer_.bytes(); }
  const char* kernel() const { return gemm_b1::name(*kernel_); }

 private:
  isize n_ = 0, k_ = 0;
  const gemm_b1::Kernel* kernel_ = nullptr;
  AlignedBuffer buffer_;
};

}  // namespace

void bind_b1(py::module_& module) {
  py::class_<PackedB1>(module, "PackedB1")
      .def(py::init([](const py::object& w, const std::optional<s64>& k) { return std::make_unique<PackedB1>(w, k); }),
           py::arg("w"), py::arg("k") = py::none())
      .def("multiply", &PackedB1::multiply, py::arg("x"), py::arg("out") = py::none(), py::arg("threads") = py::none())
      .def_property_readonly("shape", [](const PackedB1& self) { return py::make_tuple(self.n(), self.k()); })
      .def_property_readonly("nbytes", &PackedB1::bytes)
      .def_property_readonly("kernel", &PackedB1::kernel);
}

}  // namespace whit::bindings
