#include <algorithm>
#include <numeric>

#include "engine/plan.h"

namespace whit {
namespace {

// In s64 everywhere: whether the arena fits into the address space is asked once its size is known.
s64 align(s64 offset) {
  constexpr s64 kStep = kAlignment;
  return (offset + kStep - 1) / kStep * kStep;
}

}  // namespace

s64 place_blocks(std::vector<ArenaBlock>& blocks) {
  std::vector<std::size_t> by_size(blocks.size());
  std::iota(by_size.begin(), by_size.end(), 0u);
  std::stable_sort(by_size.begin(), by_size.end(),
                   [&](std::size_t a, std::size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  std::vector<std::size_t> placed;  // in the order of their offsets
  s64 total = 0;
  for (std::size_t index : by_size) {
    ArenaBlock& block = blocks[index];
    s64 offset = 0;
    for (std::size_t other_index : placed) {
      const ArenaBlock& other = blocks[other_index];
      if (other.last < block.first || block.last < other.first) continue;
      if (offset + block.bytes <= other.offset) break;
      offset = std::max(offset, align(other.offset + other.bytes));
    }
    block.offset = offset;
    total = std::max(total, offset + block.bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), index,
                                   [&](std::size_t a, std::size_t b) { return blocks[a].offset < blocks[b].offset; }),
                  index);
  }
  return align(total);
}

}  // namespace whit
