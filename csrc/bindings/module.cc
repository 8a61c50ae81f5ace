#include "bindings/bindings.h"

#include <chrono>
#include <thread>

namespace whit::bindings {
namespace {

const char* exception_name(Code code) {
  switch (code) {
    case Code::invalid_argument: return "InvalidArgumentError";
    case Code::format: return "FormatError";
    case Code::version: return "VersionError";
    case Code::unsupported: return "UnsupportedOperatorError";
    case Code::shape: return "ShapeError";
    case Code::io: return "FileError";
    default: return "WhitError";
  }
}

}  // namespace

void raise_error(Code code, const std::string& message) {
  const py::object type = py::module_::import("whit.errors").attr(exception_name(code));
  PyErr_SetString(type.ptr(), message.c_str());
  throw py::error_already_set();
}

void raise_if_error(const Status& status) {
  if (status.ok()) return;
  if (status.code() == Code::out_of_memory) {
    PyErr_SetString(PyExc_MemoryError, status.message().c_str());
    throw py::error_already_set();
  }
  raise_error(status.code(), status.message());
}

GilRelease::~GilRelease() {
  try {
    PyEval_RestoreThread(state_);
  } catch (...) {  // the forced unwinding of pthread_exit
    while (true) std::this_thread::sleep_for(std::chrono::hours(1));
  }
}

py::dtype numpy_dtype(DType dtype) {
  switch (dtype) {
    case DType::f32: return py::dtype::of<f32>();  // not by name, which takes longer than the checks of a whole call
    case DType::s8: return py::dtype::of<s8>();
    case DType::u8: return py::dtype::of<u8>();
    case DType::s32: return py::dtype::of<s32>();
    case DType::s16: return py::dtype::of<s16>();
    case DType::f16: return py::dtype("f2");
    default: break;
  }
  raise_error(Code::unsupported, std::string("numpy has no dtype for ") + dtype_name(dtype));
}

std::string describe(const py::array& array) {
  std::string text = py::str(array.dtype()).cast<std::string>() + " [";
  for (py::ssize_t i = 0; i < array.ndim(); ++i) {
    if (i) text += ", ";
    text += std::to_string(array.shape(i));
  }
  return text + "]";
}

bool overlap(const py::array& a, const py::array& b) {
  const char* first = static_cast<const char*>(a.data());
  const char* second = static_cast<const char*>(b.data());
  return first < second + b.nbytes() && second < first + a.nbytes();
}

}  // namespace whit::bindings

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled half of whit. Use the whit package instead; this module's names may change.";
  whit::bindings::bind_system(module);
  whit::bindings::bind_codec(module);
  whit::bindings::bind_model(module);
  whit::bindings::bind_kernels(module);
  whit::bindings::bind_sparse(module);
  whit::bindings::bind_w4(module);
  whit::bindings::bind_b1(module);
}
