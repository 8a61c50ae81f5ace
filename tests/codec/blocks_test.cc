// Huffman and rANS: what is encoded comes back; what is not an encoder's work is refused, and never leads out of bounds
// (run under a sanitizer).

#include "codec/blocks.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

#include "codec/coders.h"

using namespace whit;
using namespace whit::codec;

namespace {

std::vector<std::byte> symbols_of(const std::string& kind, std::size_t count, u32 seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> symbols(count);
  for (std::size_t i = 0; i < count; ++i) {
    u32 symbol = random() & 255;
    if (kind == "one") symbol = 77;
    if (kind == "two") symbol = random() % 10 == 0 ? 255 : 0;
    if (kind == "bell") symbol = (random() & 63) + (random() & 63) + (random() & 63);
    if (kind == "steep") symbol = static_cast<u32>(__builtin_ctz(random() | 0x80000000u));  // 1/2, 1/4, 1/8, ...
    if (kind == "once") symbol = i < 256 ? static_cast<u32>(i) : 3;
    symbols[i] = static_cast<std::byte>(symbol);
  }
  return symbols;
}

constexpr const char* kKinds[] = {"any", "one", "two", "bell", "steep", "once"};
constexpr std::size_t kCounts[] = {1, 2, 3, 4, 5, 7, 8, 9, 31, 255, 256, 257, 1000, 65535, 65536};

}  // namespace

TEST_CASE("blocks come back") {
  for (const char* kind : kKinds)
    for (std::size_t count : kCounts)
      for (Block mode : {Block::raw, Block::huffman, Block::rans}) {
        const auto symbols = symbols_of(kind, count, 1);
        std::vector<std::byte> block;
        encode_block(symbols, 8, mode, &block);
        CHECK(block.size() <= 1 + count);
        std::vector<std::byte> out(count);
        const Status status = decode_block(block, 8, out);
        CAPTURE(kind);
        CAPTURE(count);
        REQUIRE_MESSAGE(status.ok(), status.message());
        REQUIRE(out == symbols);
      }
}

TEST_CASE("sizes are near the entropy") {
  const auto steep = symbols_of("steep", 65536, 2);  // two bits each
  std::vector<std::byte> huffman, rans;
  encode_huffman(steep, &huffman);
  encode_rans(steep, &rans);
  CHECK(huffman.size() < 65536 * 2 / 8 + 100);
  CHECK(rans.size() < 65536 * 2 / 8 + 150);
  const auto two = symbols_of("two", 65536, 2);  // 0.469 bits
  rans.clear();
  encode_rans(two, &rans);
  CHECK(rans.size() < 65536 * 47 / 800 + 150);
}

TEST_CASE("what is cut, grown or changed is refused, or other symbols within their bits") {
  for (const char* kind : kKinds)
    for (Block mode : {Block::raw, Block::huffman, Block::rans}) {
      const auto symbols = symbols_of(kind, 300, 3);
      std::vector<std::byte> block;
      encode_block(symbols, 8, mode, &block);
      std::vector<std::byte> out(300);
      for (std::size_t length = 0; length < block.size(); ++length) {
        // As long as the input, so that a sanitizer sees what is read beyond it.
        const std::vector<std::byte> cut(block.begin(), block.begin() + static_cast<isize>(length));
        CHECK_FALSE(decode_block(cut, 8, out).ok());
      }
      std::vector<std::byte> grown = block;
      grown.push_back(std::byte{0});
      CHECK_FALSE(decode_block(grown, 8, out).ok());
      for (std::size_t bit = 0; bit < 8 * block.size(); ++bit) {
        std::vector<std::byte> changed = block;
        changed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
        if (!decode_block(changed, 5, out).ok()) continue;
        for (std::byte symbol : out) REQUIRE(static_cast<u32>(symbol) < 32);
      }
    }
}

TEST_CASE("random bytes") {
  std::mt19937 random(4);
  std::vector<std::byte> out(500);
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::byte> block(random() % 80);
    for (std::byte& byte : block) byte = static_cast<std::byte>(random());
    if (!block.empty()) block[0] = static_cast<std::byte>(random() % 3);
    (void)decode_block(block, 8, std::span(out).first(1 + random() % 500));
  }
}

TEST_CASE("values in blocks: planes, padding") {
  for (int bits : {1, 2, 4, 8, 16, 32})
    for (bool is_real : {false, true}) {
      const s64 elements = 70000;
      const Symbols symbols = {{elements, bits, is_real ? Values::real : Values::integer, 1, 1}, 0};
      std::mt19937 random(5);
      std::vector<std::byte> values(static_cast<std::size_t>(symbols.values.bytes()));
      for (std::byte& byte : values) byte = static_cast<std::byte>(random() & random() & 0x77);
      std::vector<std::byte> planes(symbols.count()), back(values.size()), decoded(symbols.count());
      split_planes(values, symbols, planes);
      join_planes(planes, symbols, back);
      CHECK(back == values);
      const std::vector<std::byte> payload = encode_blocks(planes, symbols);
      std::vector<BlockTask> tasks;
      REQUIRE(find_blocks(payload, symbols, decoded, &tasks).ok());
      CHECK(tasks.size() == 2 * static_cast<std::size_t>(symbols.planes()));
      for (const BlockTask& task : tasks) REQUIRE(decode_block(task.block, symbols.bits(), task.symbols).ok());
      CHECK(decoded == planes);
    }
}
