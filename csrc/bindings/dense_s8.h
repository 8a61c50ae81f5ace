#pragma once
// What dense products of s8 share: checks of their arrays, and how threads share them.

#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "bindings/bindings.h"

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

/// run(m_begin, m_end, n_begin, n_end, thread) for parts of [0, m) x [0, n): of rows where there are tiles of `rows`
/// for all threads, else of columns.
template <class Run>
void share_product(ThreadPool& pool, int threads, isize m, isize rows, isize n, isize columns, const Run& run) {
  if (ceil_div(m, rows) >= threads || n <= columns) {
    pool.parallel_for(m, rows, [&](isize begin, isize end, int thread) { run(begin, end, isize{0}, n, thread); });
  } else {
    pool.parallel_for(n, columns, [&](isize begin, isize end, int thread) { run(isize{0}, m, begin, end, thread); });
  }
}

}  // namespace whit::bindings
