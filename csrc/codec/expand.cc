#include "codec/expand.h"

#include <bit>
#include <cmath>

#include "base/half.h"
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

/// Reads Rice codes: zeros and a one are the high part of a number, the next bits the low one.
class GapReader {
 public:
  explicit GapReader(Bytes bytes) : bytes_(bytes) {}

  /// False if that is not there, or the gap is above `most`. `low_bits` is at most 32.
  bool take(int low_bits, u64 most, u64* gap) {
    u64 high = 0;
    for (refill(); buffer_ == 0; refill()) {
      high += static_cast<u64>(count_);
      if (at_ == bytes_.size() || high > most) return false;
      count_ = 0;
    }
    const int zeros = std::countr_zero(buffer_);
    high += static_cast<u64>(zeros);
    drop(zeros + 1);
    if (count_ < low_bits) refill();
    if (count_ < low_bits || high > most >> low_bits) return false;
    *gap = high << low_bits | (buffer_ & ((u64{1} << low_bits) - 1));
    drop(low_bits);
    return *gap <= most;
  }

  /// True if nothing is left but zeros that fill up a byte.
  bool is_at_end() const { return at_ == bytes_.size() && count_ < 8 && buffer_ == 0; }

 private:
  /// At least 56 bits, if they are there.
  void refill() {
    for (; count_ <= 56 && at_ < bytes_.size(); count_ += 8) buffer_ |= static_cast<u64>(bytes_[at_++]) << count_;
  }
  void drop(int bits) {
    buffer_ = bits < 64 ? buffer_ >> bits : 0;
    count_ -= bits;
  }

  Bytes bytes_;
  std::size_t at_ = 0;
  u64 buffer_ = 0;  ///< bits that are not there are zero
  int count_ = 0;
};

u64 load_count(Bytes counts, int bits, std::size_t index) {
  if (bits == 8) return load<u8>(counts, index);
  return bits == 16 ? load<u16>(counts, index) : load<u32>(counts, index);
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

int gap_bits(u64 places, u64 count) {
  int bits = 0;
  while ((count << bits) * 128 < 31 * (2 * places - count)) ++bits;
  return bits;
}

Status place_entries(const StoredValues& stored, Bytes counts, Bytes values, MutableBytes out) {
  const int count_bits = stored.nested[0].values.bits;
  const auto plane = static_cast<std::size_t>(stored.values.plane);
  const auto rows = static_cast<std::size_t>(stored.rows), columns = static_cast<std::size_t>(stored.columns);
  const u64 places = plane / columns;
  const std::size_t groups = static_cast<std::size_t>(stored.values.elements) / plane / rows;
  return with_type(stored.values.bits, [&]<class T>(T) -> Status {
    const T base = load<T>(stored.base, 0);
    for (std::size_t i = 0; i < out.size() / sizeof(T); ++i) store(out, i, base);
    GapReader gaps(stored.gaps);
    auto left = static_cast<u64>(stored.entries);
    std::size_t used = 0;
    for (std::size_t group = 0; group < groups; ++group) {
      const u64 count = load_count(counts, count_bits, group);
      if (count > places || count > left)
        return error(Code::format, "%llu entries in a row of %llu places, of %llu that are left",
                     static_cast<unsigned long long>(count), static_cast<unsigned long long>(places),
                     static_cast<unsigned long long>(left));
      if (count == 0) continue;
      left -= count;
      const int low_bits = gap_bits(places, count);
      u64 place = 0;  // the first that the next entry may have
      for (u64 i = 0; i < count; ++i, ++place) {
        u64 gap = 0;
        // So many places are left if each entry that follows takes one.
        if (!gaps.take(low_bits, places - place - (count - i), &gap))
          return error(Code::format, "entries that lead beyond the end of their row, or gaps that are cut");
        place += gap;
        std::size_t to = group * rows * plane + static_cast<std::size_t>(place) * columns;
        for (std::size_t row = 0; row < rows; ++row, to += plane)
          for (std::size_t column = 0; column < columns; ++column) store(out, to + column, load<T>(values, used++));
      }
    }
    if (left != 0) return error(Code::format, "%llu entries too many", static_cast<unsigned long long>(left));
    if (!gaps.is_at_end()) return error(Code::format, "bits follow the last gap");
    return {};
  });
}

Status place_by_mask(const StoredValues& stored, Bytes masks, Bytes values, MutableBytes out) {
  const auto elements = static_cast<std::size_t>(stored.values.elements);
  const auto eight = [&](std::size_t i) {  // masks, as one of 64 bits
    u64 mask = 0;
    std::memcpy(&mask, masks.data() + i, std::min<std::size_t>(8, masks.size() - i));
    return mask;
  };
  std::size_t ones = 0;
  for (std::size_t i = 0; i < masks.size(); i += 8) ones += static_cast<std::size_t>(std::popcount(eight(i)));
  if (elements % 8 != 0 && static_cast<u32>(masks.back()) >> elements % 8 != 0)
    return error(Code::format, "unused bits of the last mask are not zero");
  return with_type(stored.values.bits, [&]<class T>(T) -> Status {
    if (ones != values.size() / sizeof(T))
      return error(Code::format, "masks for %zu values, but there are %zu", ones, values.size() / sizeof(T));
    const T base = load<T>(stored.base, 0);
    for (std::size_t i = 0; i < elements; ++i) store(out, i, base);
    std::size_t used = 0;
    for (std::size_t i = 0; i < masks.size(); i += 8)
      for (u64 mask = eight(i); mask != 0; mask &= mask - 1)
        store(out, 8 * i + static_cast<std::size_t>(std::countr_zero(mask)), load<T>(values, used++));
    return {};
  });
}

}  // namespace whit::codec
