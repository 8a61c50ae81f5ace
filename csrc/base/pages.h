#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace whit {

struct Free {
  void operator()(std::byte* p) const { std::free(p); }
};
using AlignedMemory = std::unique_ptr<std::byte, Free>;

/// Uninitialised memory on a 64-byte boundary. Null if there is none, if `bytes` is 0, or if
/// it is more than an object may have (PTRDIFF_MAX). What is too much for a TLB of small pages (2048 of 4 KB on x86,
/// 512 on a Cortex-A53) lies in huge ones where the system has them; its end never takes a whole one.
AlignedMemory allocate_aligned(std::size_t bytes);

/// Brings in the pages of fresh memory, whose contents stay undefined. All at once they cost a fraction of what a fault
/// for each does, and the first inference does not pay. Nothing for memory too small to matter, nor for so much that
/// the system may not have it: those pages come when they are used, if ever.
void populate_pages(std::byte* begin, std::size_t bytes);

/// Lets the system have the whole pages of [begin, begin + bytes) back, a part of a read-only mapping of a file. What
/// is read there later comes from the file again.
void release_file_pages(const std::byte* begin, std::size_t bytes);

}  // namespace whit
