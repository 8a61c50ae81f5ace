// Decodes any bytes as the stored values of a tensor: the first ones say which encoding, what values, and how many of
// the others are parameters.

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "codec/decoder.h"

using namespace whit;

namespace {

constexpr s64 kMaxElements = 1 << 14;

u64 number(const uint8_t*& data, size_t& size, int bytes) {
  u64 value = 0;
  for (int i = 0; i < bytes && size > 0; ++i, ++data, --size) value = value << 8 | *data;
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int kBits[] = {8, 32, 16, 4, 2, 1, 8, 32};
  const auto encoding = static_cast<Encoding>(number(data, size, 1));
  const u64 kind = number(data, size, 1);
  Values values;
  values.bits = kBits[kind & 7];
  values.kind = kind & 8 ? Values::real : Values::integer;
  values.elements = static_cast<s64>(number(data, size, 2)) % kMaxElements + 1;
  values.row = static_cast<s64>(number(data, size, 1)) + 1;
  values.plane = static_cast<s64>(number(data, size, 1)) + 1;
  const size_t parameters = std::min<size_t>(number(data, size, 1), size);
  // Each in memory of its own, so that the sanitizer sees what is read beyond it.
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  const std::vector<std::byte> first(bytes, bytes + parameters), second(bytes + parameters, bytes + size);
  auto stored = parse_encoding(encoding, first, second, values);
  if (!stored.ok()) return 0;
  std::vector<std::byte> out(static_cast<size_t>(values.bytes()));
  Decoder decoder;
  if (!decoder.add(std::move(*stored), out.data(), 0).ok()) return 0;
  std::size_t failed = 1;
  if (!decoder.run(1, &failed).ok() && failed != 0) std::abort();
  return 0;
}
