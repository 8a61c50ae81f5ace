#include "base/slab.h"

#include <algorithm>
#include <utility>

#include "base/types.h"

namespace whit {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t kLeastChunk = 1;  // each block by itself, so that what lies around it is guarded
constexpr bool kAhead = false;
#else
constexpr std::size_t kLeastChunk = 256 << 10;
constexpr bool kAhead = true;
#endif
// Pages are brought in for several small blocks at once.
constexpr std::size_t kPopulated = 64 << 10;

}  // namespace

std::byte* Slab::allocate(std::size_t bytes) {
  if (bytes == 0 || bytes > std::size_t{PTRDIFF_MAX} - kAlignment) return nullptr;
  bytes = aligned_size(bytes, kAlignment);
  if (size_ - used_ < bytes && !grow(bytes)) return nullptr;
  std::byte* const chunk = chunks_.back().get();
  before_ = used_;
  used_ += bytes;
  expected_ -= std::min(expected_, bytes);
  if (used_ > populated_) {
    const std::size_t end = std::min(size_, std::max(used_, populated_ + kPopulated));
    populate_pages(chunk + populated_, end - populated_);
    populated_ = end;
  }
  return chunk + before_;
}

bool Slab::grow(std::size_t bytes) {
  chunks_.reserve(chunks_.size() + 1);
  const std::size_t size = aligned_size(std::max({bytes, kLeastChunk, kAhead ? expected_ : 0}), kAlignment);
  AlignedMemory chunk = allocate_aligned(size);
  if (!chunk) return false;
  chunks_.push_back(std::move(chunk));
  size_ = size;
  used_ = before_ = populated_ = 0;
  return true;
}

}  // namespace whit
