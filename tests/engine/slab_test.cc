// Blocks of a slab lie apart, can be written to the end, and are given out again after undo alone.

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/slab.h"
#include "base/types.h"

namespace whit {
namespace {

struct Block {
  std::byte* data;
  std::size_t bytes;
};

/// Fills each block with its number, then looks for numbers of others.
void check_apart(const std::vector<Block>& blocks) {
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    REQUIRE(blocks[i].data);
    CHECK(reinterpret_cast<std::uintptr_t>(blocks[i].data) % kAlignment == 0);
    std::memset(blocks[i].data, static_cast<int>(i), blocks[i].bytes);
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    bool same = true;
    for (std::size_t j = 0; j < blocks[i].bytes; ++j) same &= blocks[i].data[j] == static_cast<std::byte>(i);
    CHECK(same);
  }
}

TEST_CASE("blocks lie apart, whether what was expected comes or more") {
  for (std::size_t expected : {std::size_t{0}, std::size_t{5000}, std::size_t{3} << 20, std::size_t{40} << 20}) {
    Slab slab(expected);
    std::vector<Block> blocks;
    for (std::size_t bytes : {1, 64, 65, 100000, 7, 3 << 20, 4096, 300000, 1, 5 << 20})
      blocks.push_back({slab.allocate(bytes), bytes});
    check_apart(blocks);
  }
}

TEST_CASE("undo takes back the last block and nothing else") {
  Slab slab(1 << 16);
  std::vector<Block> blocks{{slab.allocate(100), 100}};
  [[maybe_unused]] std::byte* const second = slab.allocate(200);
  slab.undo();
  blocks.push_back({slab.allocate(1000), 1000});
#ifndef __SANITIZE_ADDRESS__  // there, every block has memory of its own
  CHECK(blocks[1].data == second);
#endif
  slab.allocate(1 << 20);  // in another chunk
  slab.undo();
  blocks.push_back({slab.allocate(3000), 3000});
  check_apart(blocks);
}

TEST_CASE("sizes that no object may have") {
  Slab slab(0);
  CHECK(slab.allocate(0) == nullptr);
  CHECK(slab.allocate(SIZE_MAX) == nullptr);
  CHECK(slab.allocate(std::size_t{PTRDIFF_MAX}) == nullptr);
  CHECK(slab.allocate(1) != nullptr);
}

}  // namespace
}  // namespace whit
