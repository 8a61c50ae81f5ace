#pragma once

#include "base/pages.h"

namespace whit {

/// Uninitialised memory on a 64-byte boundary, its pages brought in. data() is null if the allocation failed, if the
/// size is 0, or if it is more than an object may have (PTRDIFF_MAX).
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes) : data_(allocate_aligned(bytes)), bytes_(data_ ? bytes : 0) {
    populate_pages(data_.get(), bytes_);
  }
  std::byte* data() const { return data_.get(); }
  std::size_t bytes() const { return bytes_; }

 private:
  AlignedMemory data_;
  std::size_t bytes_ = 0;
};

}  // namespace whit
