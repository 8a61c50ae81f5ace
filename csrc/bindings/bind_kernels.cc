// whit.kernels: dense matrix products without a model around them.

#include <cstring>

#include "base/buffer.h"
#include "bindings/bindings.h"
#include "bindings/dense_s8.h"
#include "bindings/pools.h"
#include "kernels/gemm_s8/gemm_s8.h"

namespace whit::bindings {
namespace {

class PackedS8 {
 public:
  explicit PackedS8(const py::handle& weights) {
    const py::array w = checked_matrix(weights, "pack_s8: w", "[n, k]");
    n_ = w.shape(0), k_ = w.shape(1);
    if (n_ < 1 || k_ < 1) raise_error(Code::shape, "pack_s8: w must not be empty; got " + describe(w));
    const s8* values = static_cast<const s8*>(w.data());
    if (std::memchr(values, 0x80, static_cast<std::size_t>(n_ * k_)))
      raise_error(Code::invalid_argument, "pack_s8: w contains -128; weights go from -127 to 127");
    kernel_ = &gemm_s8::select({0, n_, 1, k_}, unwrap(isa_active()));
    buffer_ = AlignedBuffer(gemm_s8::packed_bytes(*kernel_, n_, 1, k_));
    if (!buffer_.data()) throw std::bad_alloc();
    const GilRelease release;
    gemm_s8::pack(*kernel_, {values, nullptr, n_, 1, k_, 0}, buffer_.data(), 0, n_);
  }

  py::object multiply(const py::handle& lhs, const py::object& out, const std::optional<int>& threads) const {
    const py::array x = checked_lhs(lhs, "gemm_s8", k_);
    const isize m = x.shape(0);
    py::array result = checked_out(out, "gemm_s8", m, n_, x);
    if (m == 0) return result;
    const int count = thread_count(threads);
    gemm_s8::Args args{};
    args.lhs = {static_cast<const s8*>(x.data()), k_, nullptr, nullptr};
    args.packed = buffer_.data();
    args.n = n_, args.taps = 1, args.k = k_;
    args.epilogue.output = EpilogueS8::Output::s32;
    args.out = result.mutable_data();
    args.out_stride = n_;
    const GilRelease release;
    const LentPool pool(count);
    share_product(*pool, count, m, gemm_s8::tile_rows(*kernel_), n_, gemm_s8::panel_columns(*kernel_),
                  [&](isize m_begin, isize m_end, isize n_begin, isize n_end, int) {
                    gemm_s8::run(*kernel_, args, m_begin, m_end, n_begin, n_end);
                  });
    return result;
  }

  isize n() const { return n_; }
  isize k() const { return k_; }
  std::size_t bytes() const { return buffer_.bytes(); }
  const char* kernel() const { return gemm_s8::name(*kernel_); }

 private:
  isize n_ = 0, k_ = 0;
  const gemm_s8::Kernel* kernel_ = nullptr;
  AlignedBuffer buffer_;
};

}  // namespace

void bind_kernels(py::module_& module) {
  py::class_<PackedS8>(module, "PackedS8")
      .def(py::init([](const py::object& w) { return std::make_unique<PackedS8>(w); }), py::arg("w"))
      .def("multiply", &PackedS8::multiply, py::arg("x"), py::arg("out") = py::none(), py::arg("threads") = py::none())
      .def_property_readonly("shape", [](const PackedS8& self) { return py::make_tuple(self.n(), self.k()); })
      .def_property_readonly("nbytes", &PackedS8::bytes)
      .def_property_readonly("kernel", &PackedS8::kernel);
}

}  // namespace whit::bindings
