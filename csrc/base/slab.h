#pragma once

#include <cstddef>
#include <vector>

#include "base/pages.h"

namespace whit {

/// Memory for many blocks that are kept to the end, in few large pieces, whose pages come in together and may be huge
/// ones (pages.h).
class Slab {
 public:
  /// `expected`: bytes that will be allocated in all, about. No address space beyond it is taken until it is exceeded.
  explicit Slab(std::size_t expected) : expected_(expected) {}

  /// Uninitialised memory on a 64-byte boundary. Null if there is none, or if `bytes` is 0 or more than an object may
  /// have (PTRDIFF_MAX). May throw std::bad_alloc before anything has changed.
  std::byte* allocate(std::size_t bytes);
  /// Takes back what the last allocate() returned.
  void undo() { used_ = before_; }

 private:
  bool grow(std::size_t bytes);

  std::size_t expected_;  // bytes that are still to come
  std::vector<AlignedMemory> chunks_;
  // In the last chunk:
  std::size_t size_ = 0, used_ = 0, before_ = 0, populated_ = 0;
};

}  // namespace whit
