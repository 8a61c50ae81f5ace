#include "codec/encoding.h"

#include <doctest/doctest.h>

#include <array>
#include <string>

using namespace whit;

namespace {

constexpr Values kThree = {3, 32, Values::real, 3, 1};

Code parse(Encoding encoding, std::span<const std::byte> parameters, std::size_t payload_bytes, Values values) {
  const std::vector<std::byte> payload(payload_bytes);
  return parse_encoding(encoding, parameters, payload, values).status().code();
}

}  // namespace

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
  CHECK(parse(Encoding::dense, {}, 12, kThree) == Code::ok);
  CHECK(parse(Encoding::dense, {}, 11, kThree) == Code::format);
  CHECK(parse(Encoding::dense, {}, 13, kThree) == Code::format);
  CHECK(parse(Encoding::dense, parameters, 12, kThree) == Code::format);
}

TEST_CASE("a huge tensor needs a payload in proportion, before there is memory for it") {
  const std::array blocks{std::byte{0}};
  constexpr Values kHuge = {s64{1} << 40, 8, Values::integer, 1, 1};
  CHECK(parse(Encoding::entropy_coded, blocks, 1000, kHuge) == Code::format);
  CHECK(parse(Encoding::entropy_coded, blocks, 1000, {256000, 8, Values::integer, 1, 1}) == Code::ok);
  CHECK(parse(Encoding::entropy_coded, blocks, 1000, {256001, 8, Values::integer, 1, 1}) == Code::format);
  // csr and bitmap of no values: counts or masks that are coded, which alone might stand for more.
  const auto bytes = [](std::vector<int> values) {
    std::vector<std::byte> result;
    for (int value : values) result.push_back(static_cast<std::byte>(value));
    return result;
  };
  const auto counts = bytes({1, 1, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 7, 5, 0, 0});
  const auto masks = bytes({0, 0, 0, 0, 10, 0, 0, 0, 7, 5, 0, 0});
  CHECK(parse(Encoding::csr, counts, 10, {2560, 8, Values::integer, 1, 1}) == Code::ok);
  CHECK(parse(Encoding::csr, counts, 10, {2561, 8, Values::integer, 1, 1}) == Code::format);
  CHECK(parse(Encoding::csr, counts, 10, {5120, 8, Values::integer, 2, 2}) == Code::format);
  CHECK(parse(Encoding::csr, counts, 10, kHuge) == Code::format);
  CHECK(parse(Encoding::bitmap, masks, 10, {2560, 8, Values::integer, 1, 1}) == Code::ok);
  CHECK(parse(Encoding::bitmap, masks, 10, {2561, 8, Values::integer, 1, 1}) == Code::format);
  CHECK(parse(Encoding::bitmap, masks, 10, kHuge) == Code::format);
}

TEST_CASE("encodings that are unknown are unsupported, by name") {
  for (int number : {8, 9, 70}) {
    const auto encoding = static_cast<Encoding>(number);
    const Status status = parse_encoding(encoding, {}, {}, kThree).status();
    CHECK(status.code() == Code::unsupported);
    const std::string wanted = std::to_string(number) + " (" + encoding_name(encoding) + ")";
    CHECK_MESSAGE(status.message().find(wanted) != std::string::npos, status.message());
  }
  CHECK(std::string(encoding_name(Encoding::entropy_coded)) == "entropy_coded");
  CHECK(std::string(encoding_name(static_cast<Encoding>(8))) == "unknown");
}
