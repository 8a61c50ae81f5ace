// place_blocks: where tensors lie in the arena.

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "engine/plan.h"

namespace whit {
namespace {

bool alive_together(const ArenaBlock& a, const ArenaBlock& b) { return a.first <= b.last && b.first <= a.last; }

/// Every rule that holds for any blocks; returns the bytes needed.
s64 placed(std::vector<ArenaBlock>& blocks) {
  const s64 total = place_blocks(blocks);
  s64 end = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const ArenaBlock& a = blocks[i];
    CHECK(a.offset >= 0);
    CHECK(a.offset % static_cast<s64>(kAlignment) == 0);
    end = std::max(end, a.offset + a.bytes);
    for (std::size_t j = 0; j < i; ++j) {
      const ArenaBlock& b = blocks[j];
      if (!alive_together(a, b) || a.bytes == 0 || b.bytes == 0) continue;
      const bool apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
      CHECK_MESSAGE(apart, "[", a.first, ", ", a.last, "] at ", a.offset, "+", a.bytes, " and [", b.first, ", ", b.last,
                    "] at ", b.offset, "+", b.bytes);
    }
  }
  CHECK(total == (end + 63) / 64 * 64);
  return total;
}

/// What any placement needs: the bytes alive at the worst moment.
s64 lower_bound(const std::vector<ArenaBlock>& blocks) {
  s64 most = 0;
  for (const ArenaBlock& moment : blocks) {
    s64 alive = 0;
    for (const ArenaBlock& b : blocks)
      if (b.first <= moment.first && moment.first <= b.last) alive += b.bytes;
    most = std::max(most, alive);
  }
  return most;
}

TEST_CASE("nothing needs nothing") {
  std::vector<ArenaBlock> blocks;
  CHECK(placed(blocks) == 0);
  blocks = {{0, 0, 3}, {0, 1, 1}};
  CHECK(placed(blocks) == 0);
}

TEST_CASE("one block is rounded up to the alignment") {
  std::vector<ArenaBlock> blocks{{1, 0, 0}};
  CHECK(placed(blocks) == 64);
  blocks = {{64, 0, 0}};
  CHECK(placed(blocks) == 64);
  blocks = {{65, 0, 0}};
  CHECK(placed(blocks) == 128);
}

TEST_CASE("blocks whose lifetimes are apart share memory, those that touch do not") {
  std::vector<ArenaBlock> blocks{{640, 0, 1}, {640, 2, 3}, {320, 4, 9}};
  CHECK(placed(blocks) == 640);
  blocks = {{640, 0, 2}, {640, 2, 3}};
  CHECK(placed(blocks) == 1280);
}

TEST_CASE("a chain of equal tensors takes turns in two places") {
  std::vector<ArenaBlock> blocks;
  for (int i = 0; i < 50; ++i) blocks.push_back({1024, i, i + 1});
  CHECK(placed(blocks) == 2048);
}

TEST_CASE("a chain of any sizes needs its largest pair of neighbours") {
  const s64 sizes[] = {64, 6400, 128, 3200, 1600, 1600, 64};
  std::vector<ArenaBlock> blocks;
  s64 most = 0;
  for (int i = 0; i < 7; ++i) {
    blocks.push_back({sizes[i], i, i + 1});
    if (i > 0) most = std::max(most, sizes[i] + sizes[i - 1]);
  }
  CHECK(placed(blocks) == most);
}

TEST_CASE("small blocks fill the gaps between large ones") {
  // A long-lived block above a short-lived one: what comes later goes below it.
  std::vector<ArenaBlock> blocks{{1024, 0, 1}, {512, 1, 9}, {256, 3, 4}, {512, 4, 5}, {256, 5, 6}};
  CHECK(placed(blocks) == 1536);
}

TEST_CASE("a skip connection costs one more tensor") {
  std::vector<ArenaBlock> blocks{{1024, 0, 9}};
  for (int i = 1; i < 9; ++i) blocks.push_back({1024, i, i + 1});
  CHECK(placed(blocks) == 3072);
}

TEST_CASE("offsets beyond 4 GiB do not wrap, on 32-bit systems either") {
  constexpr s64 kBytes = s64{3} << 30;
  std::vector<ArenaBlock> blocks{{kBytes, 0, 2}, {kBytes, 0, 2}, {kBytes, 1, 2}};
  CHECK(placed(blocks) == 3 * kBytes);
}

TEST_CASE("random blocks never overlap and come close to what must be alive") {
  std::mt19937 random(7);
  const auto draw = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  for (int round = 0; round < 200; ++round) {
    std::vector<ArenaBlock> blocks;
    const int count = draw(1, 60), span = draw(1, 40);
    for (int i = 0; i < count; ++i) {
      const int first = draw(0, 60);
      const s64 bytes = draw(0, 9) == 0 ? 0 : draw(1, 3) == 1 ? draw(1, 200) : 64 * draw(1, 500);
      blocks.push_back({bytes, first, first + draw(0, span)});
    }
    const s64 total = placed(blocks), least = lower_bound(blocks);
    CHECK(total >= least);
    CHECK(total <= 2 * least + 64 * count);
    const std::vector<ArenaBlock> before = blocks;
    CHECK(placed(blocks) == total);  // the same input gives the same places
    for (std::size_t i = 0; i < blocks.size(); ++i) CHECK(blocks[i].offset == before[i].offset);
  }
}

}  // namespace
}  // namespace whit
