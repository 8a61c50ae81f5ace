#pragma once
// What dense products share: checks of their arrays, packed weights, and how threads share the work.

#include <new>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/isa.h"
#include "bindings/bindings.h"
#include "bindings/pools.h"

namespace whit::bindings {

/// `value` if it is a C-contiguous int8 matrix; `what` and `wanted` are for the error.
inline py::array checked_matrix(const py::handle& value, const std::string& what, const char* wanted) {
  if (py::isinstance<py::array>(value)) {
    const py::array array = py::reinterpret_borrow<py::array>(value);
    if (array.dtype().equal(numpy_dtype(DType::s8)) && array.ndim() == 2 && (array.flags() & py::array::c_style))
      return array;
    raise_error(Code::invalid_argument, what + " must be C-contiguous int8 " + wanted + "; got " + describe(array));
  }
  raise_error(Code::invalid_argument, what + " must be a numpy array, int8 " + wanted);
}

/// w of pack_s8 or another function: a matrix that is not empty.
inline py::array checked_weights(const py::handle& weights, const std::string& function) {
  py::array w = checked_matrix(weights, function + ": w", "[n, k]");
  if (w.size() == 0) raise_error(Code::shape, function + ": w must not be empty; got " + describe(w));
  return w;
}

/// x of a product with weights of k columns.
inline py::array checked_lhs(const py::handle& lhs, const std::string& function, isize k) {
  py::array x = checked_matrix(lhs, function + ": x", "[m, k]");
  if (x.shape(1) != k)
    raise_error(Code::shape, function + ": x must have k = " + std::to_string(k) + " columns; got " + describe(x));
  return x;
}

/// int32 [m, n]: `out` if it is given, else a new one.
inline py::array checked_out(const py::object& out, const std::string& function, isize m, isize n, const py::array& x) {
  if (out.is_none()) return py::array(numpy_dtype(DType::s32), std::vector<py::ssize_t>{m, n});
  const std::string wanted =
      function + ": out must be writable C-contiguous int32 [" + std::to_string(m) + ", " + std::to_string(n) + "]";
  if (!py::isinstance<py::array>(out)) raise_error(Code::invalid_argument, wanted);
  py::array array = py::reinterpret_borrow<py::array>(out);
  if (!array.dtype().equal(numpy_dtype(DType::s32)) || array.ndim() != 2 || array.shape(0) != m ||
      array.shape(1) != n || !(array.flags() & py::array::c_style) || !array.writeable())
    raise_error(Code::shape, wanted + "; got " + describe(array));
  if (overlap(array, x)) raise_error(Code::invalid_argument, function + ": out overlaps x");
  return array;
}

/// A matrix [n, k] packed for a kernel of a family, and products with it. A Family has the types Kernel and Args of its
/// kernels' namespace and
///     kProduct                           the name of the product, for errors
///     select(n, k, isa)                  a kernel for any m
///     pack(kernel, w, n, k, packed)      w as the class that takes it from Python has it; false when memory is short
///     scratch_bytes(kernel, m, k)        of each thread
///     set_lhs(args, rows, k)             x without gaps between rows, for s32 out
template <class Family>
class PackedMatrix {
 public:
  using Weights = typename Family::Weights;

  PackedMatrix(const Weights& w, isize n, isize k) : n_(n), k_(k) {
    kernel_ = &Family::select(n, k, unwrap(isa_active()));
    buffer_ = AlignedBuffer(packed_bytes(*kernel_, n, 1, k));
    bool packed = buffer_.data();
    if (packed) {
      const GilRelease release;
      packed = Family::pack(*kernel_, w, n, k, buffer_.data());
    }
    if (!packed) throw std::bad_alloc();
  }

  isize k() const { return k_; }
  py::tuple shape() const { return py::make_tuple(n_, k_); }
  std::size_t bytes() const { return buffer_.bytes(); }
  const char* kernel() const { return name(*kernel_); }

 protected:
  /// x @ w.T, where `rows` has the m rows of `x` as the kernels take them.
  py::array product(const py::array& x, const void* rows, isize m, const py::object& out,
                    const std::optional<int>& threads) const {
    py::array result = checked_out(out, Family::kProduct, m, n_, x);
    if (m == 0) return result;
    const int count = thread_count(threads);
    const isize each = round_up(static_cast<isize>(Family::scratch_bytes(*kernel_, m, k_)), isize{kAlignment});
    AlignedBuffer scratch(static_cast<std::size_t>(each * count));
    if (each && !scratch.data()) throw std::bad_alloc();
    typename Family::Args args{};
    Family::set_lhs(args, rows, k_);
    args.packed = buffer_.data();
    args.n = n_, args.taps = 1, args.k = k_;
    args.out = static_cast<std::byte*>(result.mutable_data());
    args.out_stride = n_;
    const auto run_part = [&](isize m_begin, isize m_end, isize n_begin, isize n_end, int thread) {
      typename Family::Args mine = args;
      mine.scratch = scratch.data() + thread * each;
      run(*kernel_, mine, m_begin, m_end, n_begin, n_end);
    };
    const GilRelease release;
    const LentPool pool(count);
    const isize rows_at_once = tile_rows(*kernel_), columns_at_once = panel_columns(*kernel_);
    // Of rows where there are tiles for all threads, else of columns.
    if (ceil_div(m, rows_at_once) >= count || n_ <= columns_at_once)
      pool->parallel_for(m, rows_at_once,
                         [&](isize begin, isize end, int thread) { run_part(begin, end, 0, n_, thread); });
    else
      pool->parallel_for(n_, columns_at_once,
                         [&](isize begin, isize end, int thread) { run_part(0, m, begin, end, thread); });
    return result;
  }

 private:
  isize n_, k_;
  const typename Family::Kernel* kernel_;
  AlignedBuffer buffer_;
};

/// The Python class of a PackedMatrix with multiply(x, out, threads); constructors are the caller's.
template <class Packed>
py::class_<Packed> bind_packed(py::module_& module, const char* name) {
  return py::class_<Packed>(module, name)
      .def("multiply", &Packed::multiply, py::arg("x"), py::arg("out") = py::none(), py::arg("threads") = py::none())
      .def_property_readonly("shape", &Packed::shape)
      .def_property_readonly("nbytes", &Packed::bytes)
      .def_property_readonly("kernel", &Packed::kernel);
}

}  // namespace whit::bindings
