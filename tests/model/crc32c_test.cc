#include "base/crc32c.h"

#include <doctest/doctest.h>
#if defined(__linux__) && defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include <span>
#include <string_view>
#include <vector>

using whit::crc32c;
using whit::crc32c_portable;
using whit::u32;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

TEST_CASE("known vectors: the check value of the algorithm, and RFC 3720 B.4") {
  const std::vector<std::byte> zeros(32, std::byte{0}), ones(32, std::byte{0xff});
  std::vector<std::byte> rising(32), falling(32);
  for (std::size_t i = 0; i < 32; ++i) rising[i] = falling[31 - i] = static_cast<std::byte>(i);
  for (const auto crc : {crc32c, crc32c_portable}) {
    CHECK(crc({}, 0) == 0);
    CHECK(crc(bytes_of("123456789"), 0) == 0xe3069283);
    CHECK(crc(zeros, 0) == 0x8a9136aa);
    CHECK(crc(ones, 0) == 0x62a8ab43);
    CHECK(crc(rising, 0) == 0x46dd794e);
    CHECK(crc(falling, 0) == 0x113fdb5c);
  }
}

TEST_CASE("instruction and tables agree at every length and alignment, whole and in parts") {
  std::vector<std::byte> data(300);
  u32 state = 12345;
  for (std::byte& byte : data) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  for (std::size_t begin = 0; begin < 9; ++begin)
    for (std::size_t length = 0; begin + length <= data.size(); ++length) {
      const auto part = std::span<const std::byte>(data).subspan(begin, length);
      const u32 expected = crc32c_portable(part);
      REQUIRE(crc32c(part) == expected);
      const std::size_t cut = length / 3;
      REQUIRE(crc32c(part.subspan(cut), crc32c(part.first(cut))) == expected);
      REQUIRE(crc32c_portable(part.subspan(cut), crc32c_portable(part.first(cut))) == expected);
    }
}

TEST_CASE("instruction and tables agree where the instruction takes several runs at once") {
  std::vector<std::byte> data(40000);
  u32 state = 54321;
  for (std::byte& byte : data) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  for (std::size_t length = 6100; length < data.size(); length += 331) {
    const auto part = std::span<const std::byte>(data).subspan(length % 9, length - length % 9);
    REQUIRE(crc32c(part, 0x12345678) == crc32c_portable(part, 0x12345678));
  }
}

TEST_CASE("the instruction is used where there is one, so that the tests above cover it") {
#if defined(__x86_64__)
  CHECK(whit::crc32c_is_accelerated() == (__builtin_cpu_supports("sse4.2") != 0));
#elif defined(__linux__) && defined(__aarch64__)
  CHECK(whit::crc32c_is_accelerated() == ((getauxval(AT_HWCAP) & (1u << 7)) != 0));
#else
  CHECK_FALSE(whit::crc32c_is_accelerated());
#endif
}
