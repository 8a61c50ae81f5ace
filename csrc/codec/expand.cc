#include "codec/expand.h"

#include <bit>
#include <cmath>

#include "codec/bits.h"

namespace whit::codec {
namespace {

template <class T>
T load(Bytes bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <class T>
void store(MutableBytes bytes, std::size_t index, T value) {
  std::memcpy(bytes.data() + index * sizeof(T), &value, sizeof(T));
}

/// Calls work with a number of the type that has `bits` bits.
template <class Work>
Status with_type(int bits, const Work& work) {
  if (bits == 8) return work(u8{});
  if (bits == 16) return work(u16{});
  return work(u32{});
}

/// Exact.
f32 half_to_float(u16 half) {
  const u32 sign = static_cast<u32>(half & 0x8000) << 16, exponent = (half >> 10) & 31, mantissa = half & 0x3ff;
  if (exponent == 0) {
    const f32 value = static_cast<f32>(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<f32>(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13);
}

}  // namespace

Status unpack(const StoredValues& stored, MutableBytes out) {
  return with_type(stored.values.bits, [&]<class T>(T) -> Status {
    const T base = load<T>(stored.base, 0);
    BitReader reader(stored.payload);
    for (std::size_t i = 0; i < out.size() / sizeof(T); ++i)
      store(out, i, static_cast<T>(base + reader.take(stored.width)));
    if (!reader.rest_is_zero()) return error(Code::format, "unused bits at the end of the codes are not zero");
    return {};
  });
}

Status look_up(const StoredValues& stored, Bytes indices, MutableBytes out) {
  return with_type(stored.values.bits, [&]<class T>(T) -> Status {
    T table[256] = {};
    std::memcpy(table, stored.table.data(), stored.table.size());
    const std::size_t count = stored.table.size() / sizeof(T);
    std::size_t highest = 0;
    for (std::size_t i = 0; i < indices.size(); ++i) {
      const auto index = static_cast<std::size_t>(indices[i]);
      highest = std::max(highest, index);
      store(out, i, table[index]);
    }
    if (highest < count || indices.empty()) return {};
    return error(Code::format, "index %zu into a palette of %zu values", highest, count);
  });
}

Status scale_codes(const StoredValues& stored, Bytes codes, MutableBytes out) {
  const std::size_t elements = codes.size();
  const auto plane = stored.group > 0 ? static_cast<std::size_t>(stored.values.plane) : elements;
  const auto group = stored.group > 0 ? static_cast<std::size_t>(stored.group) : elements;
  std::size_t next = 0;
  for (std::size_t begin = 0; begin < elements; ++next) {
    const std::size_t end = std::min(begin + group, (begin / plane + 1) * plane);
    const f32 scale = stored.is_half ? half_to_float(load<u16>(stored.scales, next)) : load<f32>(stored.scales, next);
    if (!std::isfinite(scale)) return error(Code::format, "a scale that is not finite");
    const s32 zero = stored.zeros.empty() ? 0 : load<s16>(stored.zeros, next);
    for (std::size_t i = begin; i < end; ++i) {
      const s32 code = stored.is_signed ? load<s8>(codes, i) : load<u8>(codes, i);
      store(out, i, static_cast<f32>(code - zero) * scale);
    }
    begin = end;
  }
  return {};
}

Status scatter(const StoredValues& stored, Bytes gaps, Bytes values, MutableBytes out) {
  return with_type(stored.values.bits, [&]<class T>(T) -> Status {
    const T base = load<T>(stored.base, 0);
    const std::size_t elements = out.size() / sizeof(T), count = values.size() / sizeof(T);
    for (std::size_t i = 0; i < elements; ++i) store(out, i, base);
    const auto escape = static_cast<std::size_t>(stored.escape);
    std::size_t at = 0, used = 0;
    for (std::byte byte : gaps) {
      const auto gap = static_cast<std::size_t>(byte);
      if (gap > escape) return error(Code::format, "a gap of %zu, where %zu is the longest", gap, escape);
      if (gap > elements - at) return error(Code::format, "gaps that lead beyond the last value");
      at += gap;
      if (gap == escape) continue;
      if (at == elements || used == count)
        return error(Code::format, "more gaps than the %zu values that follow them", count);
      store(out, at++, load<T>(values, used++));
    }
    if (used != count) return error(Code::format, "%zu gaps before %zu values", used, count);
    return {};
  });
}

}  // namespace whit::codec
