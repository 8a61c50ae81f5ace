#pragma once
// Shared by the parts of the extension module. One bind_*.cc per part; module.cc calls them.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "base/status.h"
#include "model/model.h"

namespace whit::bindings {

namespace py = pybind11;

/// Raises the exception of whit.errors that fits the Status; nothing if it is ok.
void raise_if_error(const Status& status);

/// Raises InvalidArgumentError / ShapeError with a message.
[[noreturn]] void raise_error(Code code, const std::string& message);

/// The value of a Result, or its Status raised.
template <class T>
T unwrap(Result<T> result) {
  raise_if_error(result.status());
  return std::move(*result);
}

/// The numpy dtype that holds one element; raises for sub-byte dtypes.
py::dtype numpy_dtype(DType dtype);

/// "float32 [1, 3, 224, 224]" for error texts.
std::string describe(const py::array& array);

/// Whether two C-contiguous arrays share memory.
bool overlap(const py::array& a, const py::array& b);

/// Checks an optional thread count from Python: None gives WHIT_NUM_THREADS or the CPUs available.
int thread_count(const std::optional<int>& threads);

/// Releases the GIL for a scope. If the interpreter ends meanwhile, the thread stays here until the process is gone:
/// before Python 3.14, PyEval_RestoreThread would unwind it through destructors, which is std::terminate.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease();
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

void bind_b1(py::module_& module);
void bind_codec(py::module_& module);
void bind_model(py::module_& module);
void bind_kernels(py::module_& module);
void bind_sparse(py::module_& module);
void bind_system(py::module_& module);
void bind_w4(py::module_& module);

}  // namespace whit::bindings
