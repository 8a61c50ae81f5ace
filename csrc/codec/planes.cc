#include <bit>

#include "codec/coders.h"

namespace whit::codec {
namespace {

template <class T>
T folded(T value, bool is_real) {
  if (is_real) return std::rotl(value, 1);
  using S = std::make_signed_t<T>;
  return static_cast<T>(value << 1) ^ static_cast<T>(static_cast<S>(value) >> (8 * sizeof(T) - 1));
}

template <class T>
T unfolded(T value, bool is_real) {
  if (is_real) return std::rotr(value, 1);
  return static_cast<T>(value >> 1) ^ static_cast<T>(0 - (value & 1));
}

template <class T>
void split(Bytes values, bool is_real, std::byte* planes) {
  const std::size_t count = values.size() / sizeof(T);
  for (std::size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, values.data() + i * sizeof(T), sizeof(T));
    value = folded(value, is_real);
    for (std::size_t k = 0; k < sizeof(T); ++k)
      planes[k * count + i] = static_cast<std::byte>(value >> (8 * (sizeof(T) - 1 - k)));
  }
}

template <class T>
void join(const std::byte* planes, bool is_real, MutableBytes values) {
  const std::size_t count = values.size() / sizeof(T);
  for (std::size_t i = 0; i < count; ++i) {
    u32 value = 0;
    for (std::size_t k = 0; k < sizeof(T); ++k) value = value << 8 | static_cast<u32>(planes[k * count + i]);
    const T result = unfolded(static_cast<T>(value), is_real);
    std::memcpy(values.data() + i * sizeof(T), &result, sizeof(T));
  }
}

}  // namespace

void split_planes(Bytes values, const Symbols& symbols, MutableBytes planes) {
  const bool is_real = symbols.values.kind == Values::real;
  if (symbols.values.bits == 16) return split<u16>(values, is_real, planes.data());
  if (symbols.values.bits == 32) return split<u32>(values, is_real, planes.data());
  BitReader reader(values);
  for (std::byte& symbol : planes) symbol = static_cast<std::byte>(reader.take(symbols.values.bits));
}

void join_planes(Bytes planes, const Symbols& symbols, MutableBytes values) {
  const bool is_real = symbols.values.kind == Values::real;
  if (symbols.values.bits == 16) return join<u16>(planes.data(), is_real, values);
  if (symbols.values.bits == 32) return join<u32>(planes.data(), is_real, values);
  const auto bits = static_cast<std::size_t>(symbols.values.bits);
  const std::size_t per_byte = 8 / bits;
  for (std::size_t i = 0; i < values.size(); ++i) {
    u32 byte = 0;
    for (std::size_t k = i * per_byte; k < std::min((i + 1) * per_byte, planes.size()); ++k)
      byte |= static_cast<u32>(planes[k]) << (bits * (k % per_byte));
    values[i] = static_cast<std::byte>(byte);
  }
}

}  // namespace whit::codec
