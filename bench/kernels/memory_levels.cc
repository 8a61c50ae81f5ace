#include "bench/kernels/memory_levels.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace whit::bench {
namespace {

/// Bytes of cpu0's data or unified cache of this level; 0 if there is none.
std::size_t cache_bytes(int level) {
  for (int index = 0; index < 8; ++index) {
    const auto read = [index](const char* name, char* text, int size) {
      char path[96];
      std::snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, name);
      std::FILE* file = std::fopen(path, "r");
      if (!file) return false;
      const bool found = std::fgets(text, size, file) != nullptr;
      std::fclose(file);
      return found;
    };
    char number[32], type[32], size[32];
    if (!read("level", number, sizeof number) || !read("type", type, sizeof type) || !read("size", size, sizeof size))
      continue;
    unsigned its_level = 0, amount = 0;
    char unit = 'K';
    if (std::sscanf(number, "%u", &its_level) != 1 || std::sscanf(size, "%u%c", &amount, &unit) < 1) continue;
    if (static_cast<int>(its_level) == level && type[0] != 'I')
      return static_cast<std::size_t>(amount) << (unit == 'M' ? 20 : 10);
  }
  return 0;
}

}  // namespace

std::vector<MemoryLevel> memory_levels() {
  std::size_t l1 = cache_bytes(1), l2 = cache_bytes(2);
  const std::size_t l3 = cache_bytes(3);
  if (l1 == 0) l1 = 32 << 10;
  if (l2 == 0) l2 = 512 << 10;
  std::vector<MemoryLevel> levels = {{"L1", l1, l1 / 2}, {"L2", l2, std::max(l2 / 2, 2 * l1)}};
  if (l3 > l2) levels.push_back({"L3", l3, std::max(std::min(l3 / 2, 4 * l2), l2 + l2 / 2)});
  // Well beyond the last cache, but not more than a share of the memory that is there.
  const std::size_t pages = static_cast<std::size_t>(std::max(sysconf(_SC_AVPHYS_PAGES), 0L));
  const std::size_t free = pages * static_cast<std::size_t>(std::max(sysconf(_SC_PAGESIZE), 0L));
  const std::size_t wanted = std::max<std::size_t>(64 << 20, 4 * std::max(l2, l3));
  levels.push_back({"DRAM", SIZE_MAX, std::max<std::size_t>(8 << 20, std::min(wanted, free / 4))});
  return levels;
}

}  // namespace whit::bench
