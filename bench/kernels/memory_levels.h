#pragma once
// The caches of the first CPU and main memory.

#include <vector>

#include "base/types.h"

namespace whit::bench {

struct MemoryLevel {
  const char* name;
  std::size_t capacity;      ///< what it holds; SIZE_MAX for main memory
  std::size_t sample_bytes;  ///< what is read to measure it: more than the level above holds, less than this one
};

/// L1, L2, L3 as far as there are any, then DRAM. Sizes are the system's, or those of a Cortex-A53 if it tells none.
std::vector<MemoryLevel> memory_levels();

}  // namespace whit::bench
