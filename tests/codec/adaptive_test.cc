// The adaptive coder: what is encoded comes back, chains and all; what is not an encoder's work never leads out of
// bounds.

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "codec/coders.h"

using namespace whit;
using namespace whit::codec;

namespace {

std::vector<std::byte> weights(std::size_t count, u32 seed, u32 spread) {
  std::mt19937 random(seed);
  std::vector<std::byte> values(count);
  for (std::byte& value : values)
    value = static_cast<std::byte>(random() % (spread + 1) + random() % (spread + 1) - spread);
  return values;
}

constexpr Symbols kMatrix = {{1200, 8, Values::integer, 30, 30}, 0};

}  // namespace

TEST_CASE("a chain comes back") {
  AdaptiveEncoder encoder;
  AdaptiveDecoder decoder;
  for (const Symbols& symbols :
       {kMatrix, Symbols{{300, 8, Values::integer, 3, 9}, 100}, Symbols{{64, 32, Values::real, 8, 8}, 0},
        Symbols{{64, 32, Values::integer, 64, 1}, 0}, Symbols{{50, 4, Values::integer, 50, 50}, 3},
        Symbols{{1, 8, Values::integer, 1, 1}, 0}, Symbols{{77, 16, Values::real, 7, 1 << 30}, 255}}) {
    auto planes = weights(symbols.count(), 1, 40);
    for (std::byte& symbol : planes) symbol &= static_cast<std::byte>((1 << symbols.bits()) - 1);
    const auto payload = encoder.encode(planes, symbols);
    std::vector<std::byte> out(planes.size(), std::byte{0xee});
    REQUIRE(decoder.decode(payload, symbols, out).ok());
    CHECK(out == planes);
  }
}

TEST_CASE("all extremes") {
  for (int value : {-128, -127, -1, 0, 1, 127}) {
    const std::vector<std::byte> planes(1200, static_cast<std::byte>(value));
    const auto payload = AdaptiveEncoder().encode(planes, kMatrix);
    CHECK(payload.size() < 120);
    CHECK(payload.size() >= least_payload(1200));
    std::vector<std::byte> out(1200);
    REQUIRE(AdaptiveDecoder().decode(payload, kMatrix, out).ok());
    CHECK(out == planes);
  }
}

TEST_CASE("what is cut, grown or changed") {
  const auto planes = weights(1200, 2, 6);
  const auto payload = AdaptiveEncoder().encode(planes, kMatrix);
  std::vector<std::byte> out(1200);
  for (std::size_t length = 0; length < payload.size(); length += 7) {
    const std::vector<std::byte> cut(payload.begin(), payload.begin() + static_cast<isize>(length));
    CHECK_FALSE(AdaptiveDecoder().decode(cut, kMatrix, out).ok());
  }
  auto changed = payload;
  changed.push_back(std::byte{0});
  CHECK_FALSE(AdaptiveDecoder().decode(changed, kMatrix, out).ok());
  for (std::size_t at = 0; at < payload.size(); at += 5) {
    changed = payload;
    changed[at] ^= std::byte{16};
    (void)AdaptiveDecoder().decode(changed, kMatrix, out);
    CHECK(out != planes);
  }
}

TEST_CASE("near the entropy, and contexts pay") {
  const auto planes = weights(1200 * 20, 3, 6);  // 13 values, 3.45 bits
  const Symbols symbols = {{1200 * 20, 8, Values::integer, 30, 30}, 0};
  CHECK(AdaptiveEncoder().encode(planes, symbols).size() < 24000 * 345 / 800 * 103 / 100);
  auto channels = planes;
  for (std::size_t i = 0; i < channels.size(); ++i)
    if (i / 30 % 2) channels[i] = std::byte{0};
  CHECK(AdaptiveEncoder().encode(channels, symbols).size() < 24000 * 345 / 1600 * 106 / 100);
}

TEST_CASE("values that are predicted") {
  // Rows of filters are alike: what is left of each value, once the ones before it are known, is one of 9 values.
  std::mt19937 random(5);
  const Symbols symbols = {{2000 * 9, 8, Values::integer, 3, 9}, 0};
  std::vector<std::byte> planes(symbols.count());
  for (std::size_t i = 0; i < planes.size(); i += 9) {
    int value = static_cast<int>(random() % 161) - 80;
    for (std::size_t k = 0; k < 9; ++k, value += static_cast<int>(random() % 9) - 4)
      planes[i + k] = static_cast<std::byte>(value);
  }
  const auto payload = AdaptiveEncoder().encode(planes, symbols);
  const double entropy = 2000 * (std::log2(161) + 8 * std::log2(9)) / 8;
  CHECK(static_cast<double>(payload.size()) < entropy * 1.2);
  std::vector<std::byte> out(planes.size());
  REQUIRE(AdaptiveDecoder().decode(payload, symbols, out).ok());
  CHECK(out == planes);
}

/// Rows of one of ten kinds, which come in any order; what tells rows of a kind apart is about as large.
std::vector<std::byte> rows_alike(std::size_t rows, std::size_t columns, u32 seed) {
  std::mt19937 random(seed);
  std::vector<int> kinds(10 * columns);
  for (int& value : kinds) value = static_cast<int>(random() % 81) - 40;
  std::vector<std::byte> planes(rows * columns);
  for (std::size_t r = 0; r < rows; ++r) {
    const int* kind = kinds.data() + random() % 10 * columns;
    for (std::size_t c = 0; c < columns; ++c)
      planes[r * columns + c] = static_cast<std::byte>(kind[c] + static_cast<int>(random() % 31) - 15);
  }
  return planes;
}

TEST_CASE("rows that rows before them predict") {
  for (auto [rows, columns] : {std::pair<std::size_t, std::size_t>{60, 700}, {1200, 256}}) {
    const auto planes = rows_alike(rows, columns, 8);
    const s64 row = static_cast<s64>(columns);
    const Symbols symbols = {{row * static_cast<s64>(rows), 8, Values::integer, row, row}, 0};
    const auto payload = AdaptiveEncoder().encode(planes, symbols);
    std::vector<std::byte> out(planes.size());
    REQUIRE(AdaptiveDecoder().decode(payload, symbols, out).ok());
    CHECK(out == planes);
    // A value alone has 6.5 bits; what its kind leaves open has 5.
    CHECK(static_cast<double>(payload.size()) * 8 < 5.9 * static_cast<double>(planes.size()));
  }
}

TEST_CASE("extremes, skewed values and rows that say nothing, of all shapes") {
  std::mt19937 random(6);
  for (s64 plane : {1, 2, 9, 60, 384, 385})
    for (int kind = 0; kind < 4; ++kind) {
      const Symbols symbols = {{plane * (plane + 3), 8, Values::integer, plane, plane}, kind == 3 ? 128 : 0};
      std::vector<std::byte> planes(symbols.count());
      for (std::byte& symbol : planes) {
        const u32 x = random();
        symbol = static_cast<std::byte>(kind == 0   ? (x & 1 ? 128 : 127)
                                        : kind == 1 ? (x % 997 == 0 ? 127 : 0)
                                        : kind == 2 ? x % 256
                                                    : 128);
      }
      const auto payload = AdaptiveEncoder().encode(planes, symbols);
      CHECK(payload.size() < planes.size() * 11 / 10 + 16);
      std::vector<std::byte> out(planes.size());
      REQUIRE(AdaptiveDecoder().decode(payload, symbols, out).ok());
      CHECK(out == planes);
    }
}

TEST_CASE("bytes come back") {
  std::vector<std::byte> text;
  for (int i = 0; i < 300; ++i)
    for (char c : "layer" + std::to_string(i % 30) + ".weights") text.push_back(static_cast<std::byte>(c));
  const auto coded = encode_bytes(text);
  CHECK(coded.size() < text.size() / 15);
  std::vector<std::byte> out(text.size());
  REQUIRE(decode_bytes(coded, out).ok());
  CHECK(out == text);
  for (std::size_t length = 0; length < coded.size(); ++length)
    CHECK_FALSE(decode_bytes(std::span(coded).first(length), out).ok());
  CHECK(encode_bytes({}).empty());
  CHECK(decode_bytes({}, {}).ok());
}

TEST_CASE("the same bytes everywhere") {
  // Of another machine or compiler the files must come out alike: a checksum over what the coders write.
  const auto payload = AdaptiveEncoder().encode(weights(1200, 7, 50), kMatrix);
  u32 sum = 0;
  for (std::byte byte : payload) sum = sum * 31 + static_cast<u32>(byte);
  CHECK(payload.size() == 989);
  CHECK(sum == 2694835149u);
  const auto long_rows =
      AdaptiveEncoder().encode(rows_alike(40, 300, 9), {{40 * 300, 8, Values::integer, 300, 300}, 0});
  for (std::byte byte : long_rows) sum = sum * 31 + static_cast<u32>(byte);
  CHECK(long_rows.size() == 9277);
  CHECK(sum == 3730515587u);
}
