// A file's worth of values, decoded on one thread and on many.

#include "codec/decoder.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>

using namespace whit;
using namespace whit::codec;

namespace {

struct Constant {
  Values values;
  std::vector<std::byte> dense, parameters, payload;
};

std::vector<Constant> constants() {
  std::vector<Constant> all;
  AdaptiveEncoder encoder;
  bool is_first = true;
  std::mt19937 random(1);
  for (s64 elements : {10, 200000, 70000, 3, 150000}) {
    for (bool is_adaptive : {false, true}) {
      if (is_adaptive && elements > 70000) continue;
      Constant constant;
      constant.values = {elements, 8, Values::integer, 10, 10};
      constant.dense.resize(static_cast<std::size_t>(elements));
      for (std::byte& byte : constant.dense) byte = static_cast<std::byte>(random() % 9 * (random() % 3));
      const Symbols symbols = {constant.values, 0};
      constant.payload = is_adaptive ? encoder.encode(constant.dense, symbols) : encode_blocks(constant.dense, symbols);
      constant.parameters = {std::byte{0}};
      if (is_adaptive) constant.parameters = {static_cast<std::byte>(is_first ? 1 : 2), std::byte{0}};
      if (is_adaptive) is_first = false;
      all.push_back(std::move(constant));
    }
  }
  return all;
}

Status decode_all(const std::vector<Constant>& all, int threads, std::vector<std::vector<std::byte>>* out,
                  std::size_t* failed) {
  Decoder decoder;
  out->clear();
  for (const Constant& constant : all) out->emplace_back(constant.dense.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto stored = parse_encoding(Encoding::entropy_coded, all[i].parameters, all[i].payload, all[i].values);
    if (!stored.ok()) return stored.status();
    WHIT_RETURN_IF_ERROR(decoder.add(std::move(*stored), (*out)[i].data(), i));
  }
  return decoder.run(threads, failed);
}

}  // namespace

TEST_CASE("any number of threads gives the same values") {
  const std::vector<Constant> all = constants();
  std::vector<std::vector<std::byte>> out;
  std::size_t failed = 0;
  for (int threads : {0, 1, 2, 3, 8, 100}) {
    const Status status = decode_all(all, threads, &out, &failed);
    REQUIRE_MESSAGE(status.ok(), status.message());
    for (std::size_t i = 0; i < all.size(); ++i) CHECK(out[i] == all[i].dense);
  }
}

TEST_CASE("of several failures the first tensor's is told") {
  std::vector<Constant> all = constants();
  // The modes of their first blocks, after the sizes of three large ones and a small one, or of one.
  all[2].payload[11] = std::byte{9};
  all[5].payload[1] = std::byte{9};
  std::vector<std::vector<std::byte>> out;
  for (int threads : {1, 4}) {
    std::size_t failed = 99;
    CHECK(decode_all(all, threads, &out, &failed).code() == Code::format);
    CHECK(failed == 2);
  }
}

TEST_CASE("adaptive values that continue none") {
  Decoder decoder;
  const std::byte parameters[] = {std::byte{2}, std::byte{0}}, payload[] = {std::byte{1}};
  auto stored = parse_encoding(Encoding::entropy_coded, parameters, payload, {5, 8, Values::integer, 5, 5});
  REQUIRE(stored.ok());
  std::byte out[5];
  CHECK(decoder.add(std::move(*stored), out, 0).code() == Code::format);
}

namespace {

/// Decodes 4 x 12 values.
Status decode_one(Encoding encoding, std::vector<u8> parameters, std::vector<u8> payload, std::vector<u8>* out) {
  auto stored = parse_encoding(encoding, std::as_bytes(std::span(parameters)), std::as_bytes(std::span(payload)),
                               {48, 8, Values::integer, 12, 12});
  if (!stored.ok()) return stored.status();
  out->assign(48, 0xee);
  Decoder decoder;
  WHIT_RETURN_IF_ERROR(decoder.add(std::move(*stored), reinterpret_cast<std::byte*>(out->data()), 0));
  std::size_t failed = 0;
  return decoder.run(1, &failed);
}

}  // namespace

TEST_CASE("entries of csr in blocks, and values by a bitmap") {
  std::vector<u8> out;
  // Two groups of 2 rows, entries of 2 x 3: places 0 and 3 of group 0, none in group 1.
  const std::vector<u8> parameters = {2, 3, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0};
  std::vector<u8> payload = {2, 0, 0b1001, 1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16};
  REQUIRE(decode_one(Encoding::csr, parameters, payload, &out).ok());
  std::vector<u8> expected(48, 7);
  for (u8 i = 0; i < 3; ++i) {
    expected[i] = static_cast<u8>(1 + i), expected[12u + i] = static_cast<u8>(4 + i);
    expected[9u + i] = static_cast<u8>(11 + i), expected[21u + i] = static_cast<u8>(14 + i);
  }
  CHECK(out == expected);
  for (u8 gaps : {0, 1, 3, 0b10001, 0b11001, 0b10000}) {
    payload[2] = gaps;
    CHECK(decode_one(Encoding::csr, parameters, payload, &out).ok() == (gaps == 3));
  }
  std::vector<u8> masks = {0x80, 0, 1, 0, 0, 0xc0, 5, 6, 8, 9};
  const std::vector<u8> head = {4, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0};
  REQUIRE(decode_one(Encoding::bitmap, head, masks, &out).ok());
  expected.assign(48, 7);
  expected[7] = 5, expected[16] = 6, expected[46] = 8, expected[47] = 9;
  CHECK(out == expected);
  masks[1] = 4;
  CHECK(decode_one(Encoding::bitmap, head, masks, &out).code() == Code::format);
}

TEST_CASE("sparse values within sparse values that are none") {
  // No value and so no row within: division by the size of a row must not be reached.
  std::vector<u8> out;
  const std::vector<u8> parameters = {0, 0, 0, 0, 6, 0, 0, 0, 7, 0, 3, 1, 1, 0, 0,
                                      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  CHECK(decode_one(Encoding::bitmap, parameters, std::vector<u8>(6), &out).code() == Code::format);
}
