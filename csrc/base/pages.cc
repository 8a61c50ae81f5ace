#include "base/pages.h"

#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include <sys/mman.h>
#include <unistd.h>

#include "base/types.h"

namespace whit {
namespace {

// On x86, and on ARM where pages have 4 KB.
constexpr std::size_t kHugePageBytes = 2 << 20;
// Large enough for a huge page more at the peak to be little beside the rest.
constexpr std::size_t kLeastHuge = 16 << 20;
constexpr std::size_t kLeastBytes = 16 << 10, kMostBytes = 64 << 20;

// Since Linux 5.14; older headers do not have it.
constexpr int kPopulateWrite = 23;

std::uintptr_t page_bytes() {
  static const long bytes = sysconf(_SC_PAGESIZE);
  return bytes > 0 ? static_cast<std::uintptr_t>(bytes) : 4096;
}

}  // namespace

AlignedMemory allocate_aligned(std::size_t bytes) {
  const std::size_t alignment = bytes < kLeastHuge ? kAlignment : kHugePageBytes;
  if (bytes == 0 || bytes > std::size_t{PTRDIFF_MAX} - alignment) return nullptr;
  AlignedMemory memory(static_cast<std::byte*>(std::aligned_alloc(alignment, aligned_size(bytes, alignment))));
#ifdef MADV_HUGEPAGE
  if (memory && bytes >= kLeastHuge) {
    const int before = errno;
    madvise(memory.get(), bytes / kHugePageBytes * kHugePageBytes, MADV_HUGEPAGE);
    errno = before;
  }
#endif
  return memory;
}

void populate_pages(std::byte* begin, std::size_t bytes) {
  if (!begin || bytes < kLeastBytes || bytes > kMostBytes) return;
  const std::uintptr_t page = page_bytes(), first = reinterpret_cast<std::uintptr_t>(begin) / page * page;
  const std::size_t length = reinterpret_cast<std::uintptr_t>(begin) + bytes - first;
#if defined(__linux__)
  const int before = errno;
  const bool populated = madvise(reinterpret_cast<void*>(first), length, kPopulateWrite) == 0;
  errno = before;
  if (populated) return;
#endif
  volatile std::byte* const values = begin;
  for (std::size_t i = 0; i < bytes; i += page) values[i] = std::byte{0};
  values[bytes - 1] = std::byte{0};
}

void release_file_pages(const std::byte* begin, std::size_t bytes) {
  const std::uintptr_t page = page_bytes(), from = reinterpret_cast<std::uintptr_t>(begin);
  const std::uintptr_t first = (from + page - 1) / page * page, last = (from + bytes) / page * page;
  if (first >= last) return;
  const int before = errno;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  errno = before;
}

}  // namespace whit
