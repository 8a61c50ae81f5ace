#pragma once
// How functions below the bindings report failure: a Status out, no exceptions.

#include <optional>
#include <string>
#include <utility>

namespace whit {

/// What kind of failure it was; the bindings turn each into one Python exception type.
enum class Code {
  ok,
  invalid_argument,  ///< the caller passed something wrong (dtype, shape, name, option)
  format,            ///< the file is damaged, hostile or not a .whit file
  version,           ///< the file is of a version that this library does not read
  unsupported,       ///< valid, but not something this library can run
  shape,             ///< shapes do not fit together
  io,                ///< the operating system refused
  out_of_memory,
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::ok; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  /// The same failure with `where: ` in front, for callers who know more of the place.
  Status in(const std::string& where) const { return ok() ? *this : Status(code_, where + ": " + message_); }

 private:
  Code code_ = Code::ok;
  std::string message_;
};

/// printf-style construction: `return error(Code::shape, "axis %lld of rank %d", axis, rank);`
[[gnu::format(printf, 2, 3)]] Status error(Code code, const char* format, ...);

/// A value or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit by design
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: implicit by design
  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

#define WHIT_RETURN_IF_ERROR(expression)                                                     \
  do {                                                                                       \
    if (::whit::Status whit_status_ = (expression); !whit_status_.ok()) return whit_status_; \
  } while (false)

}  // namespace whit
