#pragma once

#include <bit>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace whit {

static_assert(std::endian::native == std::endian::little, "the file is little-endian, and payloads are used in place");

/// Reads a section of a file from front to back. The first failure is kept: every later read gives zeros or nothing,
/// so that a caller asks ok() once per item. Failures are Code::format and begin "offset N: ", N from the file's start.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, u64 file_offset) : bytes_(bytes), file_offset_(file_offset) {}

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  /// Position in the file of the next byte.
  u64 offset() const { return file_offset_ + at_; }
  std::size_t left() const { return bytes_.size() - at_; }

  /// The next bytes, as they are. `what` names them in an error, here and below.
  std::span<const std::byte> take(std::size_t count, const char* what);

  template <class T>
  T number(const char* what) {
    T value{};
    const std::span<const std::byte> source = take(sizeof(T), what);
    if (!source.empty()) std::memcpy(&value, source.data(), sizeof value);
    return value;
  }

  /// `count` items of so many bytes, as they are.
  std::span<const std::byte> items(u64 count, std::size_t item_bytes, const char* what) {
    if (count <= left() / item_bytes) return take(static_cast<std::size_t>(count) * item_bytes, what);
    too_short(what);
    return {};
  }

  /// `count` numbers. Allocates after the bytes are known to be there.
  template <class T>
  std::vector<T> numbers(u64 count, const char* what) {
    const std::span<const std::byte> source = items(count, sizeof(T), what);
    std::vector<T> values(source.size() / sizeof(T));
    if (!source.empty()) std::memcpy(values.data(), source.data(), source.size());
    return values;
  }

  /// A u32 that counts items of at least `item_bytes` bytes each, which follow: at most `limit`, and no more than fit.
  u32 count(u32 limit, std::size_t item_bytes, const char* what);

  /// A u16 length and that many bytes of plain text (text.h), at most 1024.
  std::string text(const char* what);

  /// Fails unless every byte has been read.
  void finish(const char* what);

  /// Keeps `status` as the failure, with "offset N: " in front, N being `offset` or the current one.
  void fail(const Status& status, u64 offset);
  void fail(const Status& status) { fail(status, offset()); }

 private:
  void too_short(const char* what);

  std::span<const std::byte> bytes_;
  u64 file_offset_;
  std::size_t at_ = 0;
  Status status_;
};

/// `text` in quotes, cut to what an error message can show.
std::string quoted(std::string_view text);

/// The failure with "offset N: " in front.
Status at_offset(u64 offset, const Status& status);

}  // namespace whit
