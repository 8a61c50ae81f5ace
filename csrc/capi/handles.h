#pragma once
// What is behind the handles of whit.h, and how a Status becomes a whit_error. Nothing leaves these files but a status.

#include <atomic>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <vector>

#include "engine/session.h"
#include "include/whit/whit.h"

struct whit_model {
  std::shared_ptr<whit::PreparedModel> prepared;
};

struct whit_session {
  std::shared_ptr<whit::PreparedModel> prepared;
  std::unique_ptr<whit::Session> session;
  std::vector<const std::byte*> inputs;  // of the run at hand; sized once
  std::vector<std::byte*> outputs;
  std::atomic_flag busy;
};

namespace whit::capi {

/// Fills in `error` (may be null) without allocating; returns the status.
whit_status report(whit_error* error, const Status& status);
whit_status report(whit_error* error, whit_status status, const char* message);

/// Runs `work` (a callable that returns a Status) at the boundary: what the C++ library throws where memory is short
/// becomes a status.
template <class Work>
whit_status guarded(whit_error* error, const Work& work) {
  try {
    return report(error, work());
  } catch (const std::bad_alloc&) {
    return report(error, WHIT_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& problem) {
    return report(error, WHIT_INTERNAL, problem.what());
  }
}

/// Copies the fields that the caller knows; the others keep their values. `name` is the struct's, for errors.
Status read_options(const void* given, std::size_t known_bytes, const char* name, void* options);

/// The caller's options, or the defaults for null. Options is a struct of whit.h that begins with struct_bytes.
template <class Options>
Status read_options(const Options* given, const char* name, Options* options) {
  *options = {};
  return given ? read_options(given, sizeof(Options), name, options) : Status();
}

/// An invalid_argument that names the argument, if it is null.
Status check_not_null(const void* argument, const char* name);

inline constexpr whit_shape kNoShape = {-1, 0, {}};
whit_shape to_c(const Shape& shape);

inline const whit_tensor* to_c(const Tensor& tensor) { return reinterpret_cast<const whit_tensor*>(&tensor); }
inline const Tensor* from_c(const whit_tensor* tensor) { return reinterpret_cast<const Tensor*>(tensor); }

}  // namespace whit::capi
