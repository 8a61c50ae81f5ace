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
