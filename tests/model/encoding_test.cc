#include "codec/encoding.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace whit;

TEST_CASE("dense sizes") {
  CHECK(dense_bytes(0, 32) == 0);
  CHECK(dense_bytes(3, 32) == 12);
  CHECK(dense_bytes(3, 4) == 2);
  CHECK(dense_bytes(4, 2) == 1);
  CHECK(dense_bytes(9, 1) == 2);
  CHECK(dense_bytes(s64{1} << 40, 32) == s64{1} << 42);
}

TEST_CASE("dense: the size must fit and there are no parameters") {
  const std::array<std::byte, 2> parameters{};
  CHECK(check_encoding(Encoding::dense, {}, 12, 3, 32).ok());
  CHECK(check_encoding(Encoding::dense, {}, 11, 3, 32).code() == Code::format);
  CHECK(check_encoding(Encoding::dense, {}, 13, 3, 32).code() == Code::format);
  CHECK(check_encoding(Encoding::dense, parameters, 12, 3, 32).code() == Code::format);
}

TEST_CASE("dense: decoding copies") {
  const std::array payload{std::byte{1}, std::byte{2}, std::byte{3}};
  std::array<std::byte, 3> out{};
  CHECK(decode(Encoding::dense, {}, payload, 3, 8, out).ok());
  CHECK(out == payload);
  CHECK_FALSE(decode(Encoding::dense, {}, payload, 4, 8, out).ok());
}

TEST_CASE("encodings that are reserved or unknown are unsupported, by name") {
  for (int number = 1; number < 8; ++number) {
    const auto encoding = static_cast<Encoding>(number);
    const Status status = check_encoding(encoding, {}, 1, 1, 8);
    CHECK(status.code() == Code::unsupported);
    const std::string wanted = std::to_string(number) + " (" + encoding_name(encoding) + ")";
    CHECK_MESSAGE(status.message().find(wanted) != std::string::npos, status.message());
  }
  CHECK(std::string(encoding_name(Encoding::entropy_coded)) == "entropy_coded");
  CHECK(std::string(encoding_name(static_cast<Encoding>(6))) == "unknown");
}
