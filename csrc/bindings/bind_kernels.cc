// whit.kernels: dense matrix products without a model around them.

#include <cstring>

#include "base/buffer.h"
#include "bindings/bindings.h"
#include "bindings/pools.h"
#include "kernels/gemm_s8/gemm_s8.h"

namespace whit::bindings {
namespace {

py::array checked_matrix(const py::handle& value, const char* what, const char* wanted) {
  if (py::isinstance<py::array>(value)) {
    const py::array array = py::reinterpret_borrow<py::array>(value);
    if (array.dtype().equal(numpy_dtype(DType::s8)) && array.ndim() == 2 && (array.flags() & py::array::c_style))
      return array;
    raise_error(Code::invalid_argument,
                std::string(what) + " must be C-contiguous int8 " + wanted + "; got " + describe(array));
  }
  raise_error(Code::invalid_argument, std::string(what) + " must be a numpy array, int8 " + wanted);
}

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
    const py::array x = checked_matrix(lhs, "gemm_s8: x", "[m, k]");
    if (x.shape(1) != k_)
      raise_error(Code::shape, "gemm_s8: x must have k = " + std::to_string(k_) + " columns; got " + describe(x));
    const isize m = x.shape(0);
    py::array result =
        out.is_none() ? py::array(numpy_dtype(DType::s32), std::vector<py::ssize_t>{m, n_}) : checked_out(out, m, x);
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
    const isize rows = gemm_s8::tile_rows(*kernel_), columns = gemm_s8::panel_columns(*kernel_);
    if (ceil_div(m, rows) >= count || n_ <= columns) {
      pool->parallel_for(m, rows,
                         [&](isize begin, isize end, int) { gemm_s8::run(*kernel_, args, begin, end, 0, n_); });
    } else {
      pool->parallel_for(n_, columns,
                         [&](isize begin, isize end, int) { gemm_s8::run(*kernel_, args, 0, m, begin, end); });
    }
    return result;
  }

  isize n() const { return n_; }
  isize k() const { return k_; }
  std::size_t bytes() const { return buffer_.bytes(); }
  const char* kernel() const { return gemm_s8::name(*kernel_); }

 private:
  py::array checked_out(const py::object& out, isize m, const py::array& x) const {
    const std::string wanted =
        "gemm_s8: out must be writable C-contiguous int32 [" + std::to_string(m) + ", " + std::to_string(n_) + "]";
    if (!py::isinstance<py::array>(out)) raise_error(Code::invalid_argument, wanted);
    py::array array = py::reinterpret_borrow<py::array>(out);
    if (!array.dtype().equal(numpy_dtype(DType::s32)) || array.ndim() != 2 || array.shape(0) != m ||
        array.shape(1) != n_ || !(array.flags() & py::array::c_style) || !array.writeable())
      raise_error(Code::shape, wanted + "; got " + describe(array));
    if (overlap(array, x)) raise_error(Code::invalid_argument, "gemm_s8: out overlaps x");
    return array;
  }

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
