#include "codec/encoding.h"

#include <iterator>

#include "codec/coders.h"

namespace whit {
namespace {

using namespace codec;

constexpr const char* kNames[] = {"dense",  "bit_packed",    "palette", "csr",
                                  "bitmap", "entropy_coded", "linear",  "sparse"};

/// A coded byte stands for at most this many values: longer runs of zeros are not worth the memory they could fill.
constexpr s64 kMaxExpansion = 256;

unsigned long long ull(s64 value) { return static_cast<unsigned long long>(value); }

/// Reads one encoding and those nested in it. `path` has a bit for each encoding around this one: none may nest in
/// itself, so the recursion ends.
class Parser {
 public:
  Parser(ByteReader* parameters, Bytes payload) : parameters_(*parameters), payload_(payload) {}

  Result<StoredValues> parse(Encoding encoding, const Values& values, u64 payload_bytes, u32 path) {
    StoredValues stored;
    stored.encoding = encoding;
    stored.values = values;
    const u32 bit = 1u << (static_cast<u32>(encoding) & 31);
    if (path & bit) return error(Code::format, "encoding %s within itself", encoding_name(encoding));
    path |= bit;
    const Status status = [&]() -> Status {
      switch (encoding) {
        case Encoding::dense: return dense(&stored, payload_bytes);
        case Encoding::bit_packed: return bit_packed(&stored, payload_bytes);
        case Encoding::palette: return palette(&stored, payload_bytes, path);
        case Encoding::csr: return csr(&stored, payload_bytes, path);
        case Encoding::bitmap: return bitmap(&stored, payload_bytes, path);
        case Encoding::entropy_coded: return entropy_coded(&stored, payload_bytes);
        case Encoding::linear: return linear(&stored, payload_bytes, path);
        case Encoding::sparse: return sparse(&stored, payload_bytes, path);
        default:
          return error(Code::unsupported, "encoding %u (%s) needs a newer version of whit",
                       static_cast<unsigned>(encoding), encoding_name(encoding));
      }
    }();
    if (!status.ok()) return status;
    return stored;
  }

 private:
  Status cut(Encoding encoding) const {
    return error(Code::format, "the parameters of encoding %s are cut", encoding_name(encoding));
  }

  Status needs_whole_bytes(const StoredValues& stored) const {
    if (stored.values.bits >= 8) return {};
    return error(Code::format, "encoding %s of values of %d bits", encoding_name(stored.encoding), stored.values.bits);
  }

  /// The next `bytes` of the payload.
  Bytes take_payload(u64 bytes) {
    const Bytes result = payload_.first(static_cast<std::size_t>(bytes));
    payload_ = payload_.subspan(static_cast<std::size_t>(bytes));
    return result;
  }

  Status dense(StoredValues* stored, u64 payload_bytes) {
    const auto wanted = static_cast<u64>(stored->values.bytes());
    if (payload_bytes != wanted)
      return error(Code::format, "%llu dense values of %d bits take %llu bytes, but %llu are given",
                   ull(stored->values.elements), stored->values.bits, static_cast<unsigned long long>(wanted),
                   static_cast<unsigned long long>(payload_bytes));
    stored->payload = take_payload(payload_bytes);
    return {};
  }

  Status bit_packed(StoredValues* stored, u64 payload_bytes) {
    WHIT_RETURN_IF_ERROR(needs_whole_bytes(*stored));
    stored->width = parameters_.number<u8>();
    stored->base = parameters_.take(static_cast<u64>(stored->values.bits) / 8);
    if (!parameters_.ok()) return cut(stored->encoding);
    if (stored->width < 1 || stored->width >= stored->values.bits)
      return error(Code::format, "codes of %d bits for values of %d bits", stored->width, stored->values.bits);
    const u64 wanted = packed_bytes(static_cast<u64>(stored->values.elements), stored->width);
    if (payload_bytes != wanted)
      return error(Code::format, "%llu codes of %d bits take %llu bytes, but %llu are given",
                   ull(stored->values.elements), stored->width, static_cast<unsigned long long>(wanted),
                   static_cast<unsigned long long>(payload_bytes));
    stored->payload = take_payload(payload_bytes);
    return {};
  }

  Status entropy_coded(StoredValues* stored, u64 payload_bytes) {
    stored->coder = parameters_.number<u8>();
    if (stored->coder >= static_cast<int>(Coder::adaptive)) stored->pivot = parameters_.number<u8>();
    if (!parameters_.ok()) return cut(stored->encoding);
    if (stored->coder > static_cast<int>(Coder::adaptive_continued))
      return error(Code::unsupported, "entropy coder %d needs a newer version of whit", stored->coder);
    if (stored->values.elements > 0 &&
        payload_bytes < static_cast<u64>((stored->values.elements - 1) / kMaxExpansion + 1))
      return error(Code::format, "%llu values in %llu coded bytes; a byte may hold at most %llu",
                   ull(stored->values.elements), static_cast<unsigned long long>(payload_bytes), ull(kMaxExpansion));
    stored->payload = take_payload(payload_bytes);
    return {};
  }

  Status palette(StoredValues* stored, u64 payload_bytes, u32 path) {
    WHIT_RETURN_IF_ERROR(needs_whole_bytes(*stored));
    const u64 count = u64{parameters_.number<u8>()} + 1;
    stored->table = parameters_.take(count * static_cast<u64>(stored->values.bits) / 8);
    if (!parameters_.ok()) return cut(stored->encoding);
    Values indices = stored->values;
    indices.bits = 8;
    indices.kind = Values::integer;
    return nest(stored, indices, payload_bytes, path);
  }

  Status linear(StoredValues* stored, u64 payload_bytes, u32 path) {
    if (stored->values.bits != 32 || stored->values.kind != Values::real)
      return error(Code::format, "encoding linear of values that are not f32");
    const u32 flags = parameters_.number<u8>();
    const s64 group = parameters_.varint();
    if (!parameters_.ok()) return cut(stored->encoding);
    if (flags > 7) return error(Code::format, "flags %u of encoding linear", flags);
    const s64 elements = stored->values.elements;
    // A scale for each group, of which a plane has a whole number, the last one perhaps shorter.
    s64 scales = 1;
    if (group > 0) {
      if (group > stored->values.plane) return error(Code::format, "groups of %llu values", ull(group));
      scales = elements / stored->values.plane * ((stored->values.plane - 1) / group + 1);
    }
    stored->group = group;
    stored->is_signed = flags & 1;
    stored->is_half = flags & 2;
    stored->scales = parameters_.take(static_cast<u64>(scales) * (stored->is_half ? 2 : 4));
    if (flags & 4) stored->zeros = parameters_.take(static_cast<u64>(scales) * 2);
    if (!parameters_.ok()) return cut(stored->encoding);
    Values codes = stored->values;
    codes.bits = 8;
    codes.kind = Values::integer;
    return nest(stored, codes, payload_bytes, path);
  }

  Status sparse(StoredValues* stored, u64 payload_bytes, u32 path) {
    WHIT_RETURN_IF_ERROR(needs_whole_bytes(*stored));
    const u64 count = parameters_.number<u32>(), gaps = parameters_.number<u32>();
    const u64 gap_bytes = parameters_.number<u32>();
    stored->escape = parameters_.number<u8>();
    stored->base = parameters_.take(static_cast<u64>(stored->values.bits) / 8);
    if (!parameters_.ok()) return cut(stored->encoding);
    const auto elements = static_cast<u64>(stored->values.elements);
    if (stored->escape < 1 || count > gaps || count > elements || gaps - count > elements)
      return error(Code::format, "%llu gaps of at most %d before %llu of %llu values",
                   static_cast<unsigned long long>(gaps), stored->escape, static_cast<unsigned long long>(count),
                   ull(stored->values.elements));
    if (gap_bytes > payload_bytes) return error(Code::format, "the gaps have more bytes than the payload");
    WHIT_RETURN_IF_ERROR(is_worth_its_bytes(*stored, payload_bytes));
    WHIT_RETURN_IF_ERROR(nest(stored, list(gaps, 8), gap_bytes, path));
    return nest(stored, list(count, stored->values.bits, stored->values.kind), payload_bytes - gap_bytes, path);
  }

  Status csr(StoredValues* stored, u64 payload_bytes, u32 path) {
    WHIT_RETURN_IF_ERROR(needs_whole_bytes(*stored));
    stored->rows = parameters_.number<u8>();
    stored->columns = parameters_.number<u8>();
    const u64 entries = parameters_.number<u32>(), count_bytes = parameters_.number<u32>();
    const u64 gap_bytes = parameters_.number<u32>();
    stored->base = parameters_.take(static_cast<u64>(stored->values.bits) / 8);
    if (!parameters_.ok()) return cut(stored->encoding);
    const auto elements = static_cast<u64>(stored->values.elements), plane = static_cast<u64>(stored->values.plane);
    const auto rows = static_cast<u64>(stored->rows), columns = static_cast<u64>(stored->columns);
    if (elements < 1 || rows < 1 || columns < 1 || elements / plane % rows != 0 || plane % columns != 0 ||
        plane / columns > 0xffffffff)
      return error(Code::format, "entries of %d x %d values for %llu values in rows of %llu", stored->rows,
                   stored->columns, ull(stored->values.elements), ull(stored->values.plane));
    if (entries > elements / (rows * columns))
      return error(Code::format, "%llu entries of %d x %d values in %llu", static_cast<unsigned long long>(entries),
                   stored->rows, stored->columns, static_cast<unsigned long long>(elements));
    if (count_bytes > payload_bytes || gap_bytes > payload_bytes - count_bytes)
      return error(Code::format, "counts and gaps have more bytes than the payload");
    WHIT_RETURN_IF_ERROR(is_worth_its_bytes(*stored, payload_bytes));
    stored->entries = static_cast<s64>(entries);
    const u64 places = plane / columns;
    const int count_bits = places < 1 << 8 ? 8 : places < 1 << 16 ? 16 : 32;
    WHIT_RETURN_IF_ERROR(nest(stored, list(elements / plane / rows, count_bits), count_bytes, path));
    stored->gaps = take_payload(gap_bytes);
    return nest(stored, list(entries * rows * columns, stored->values.bits, stored->values.kind),
                payload_bytes - count_bytes - gap_bytes, path);
  }

  Status bitmap(StoredValues* stored, u64 payload_bytes, u32 path) {
    WHIT_RETURN_IF_ERROR(needs_whole_bytes(*stored));
    const u64 count = parameters_.number<u32>(), mask_bytes = parameters_.number<u32>();
    stored->base = parameters_.take(static_cast<u64>(stored->values.bits) / 8);
    if (!parameters_.ok()) return cut(stored->encoding);
    const auto elements = static_cast<u64>(stored->values.elements);
    if (count > elements)
      return error(Code::format, "%llu of %llu values", static_cast<unsigned long long>(count),
                   static_cast<unsigned long long>(elements));
    if (mask_bytes > payload_bytes) return error(Code::format, "the masks have more bytes than the payload");
    WHIT_RETURN_IF_ERROR(is_worth_its_bytes(*stored, payload_bytes));
    WHIT_RETURN_IF_ERROR(nest(stored, list((elements + 7) / 8, 8), mask_bytes, path));
    return nest(stored, list(count, stored->values.bits, stored->values.kind), payload_bytes - mask_bytes, path);
  }

  /// Values without a shape.
  static Values list(u64 count, int bits, Values::Kind kind = Values::integer) {
    const auto size = static_cast<s64>(count);
    return {size, bits, kind, size, size};
  }

  /// What most values are left out of may not stand for more memory than the file is worth.
  static Status is_worth_its_bytes(const StoredValues& stored, u64 payload_bytes) {
    if (stored.values.elements == 0 || payload_bytes >= least_payload(stored.values.elements)) return {};
    return error(Code::format, "%llu %s values in %llu bytes; a byte may hold at most %llu",
                 ull(stored.values.elements), encoding_name(stored.encoding),
                 static_cast<unsigned long long>(payload_bytes), ull(kMaxExpansion));
  }

  Status nest(StoredValues* stored, const Values& values, u64 payload_bytes, u32 path) {
    const auto encoding = static_cast<Encoding>(parameters_.number<u8>());
    if (!parameters_.ok()) return cut(stored->encoding);
    Result<StoredValues> nested = parse(encoding, values, payload_bytes, path);
    if (!nested.ok()) return nested.status();
    stored->nested.push_back(std::move(*nested));
    return {};
  }

  ByteReader& parameters_;
  Bytes payload_;
};

}  // namespace

const char* encoding_name(Encoding encoding) {
  const auto index = static_cast<std::size_t>(encoding);
  return index < std::size(kNames) ? kNames[index] : "unknown";
}

Result<StoredValues> parse_encoding(Encoding encoding, Bytes parameters, Bytes payload, const Values& values) {
  ByteReader reader(parameters);
  Result<StoredValues> stored = Parser(&reader, payload).parse(encoding, values, payload.size(), 0);
  if (stored.ok() && !reader.left().empty())
    return error(Code::format, "%zu bytes follow the parameters of encoding %s", reader.left().size(),
                 encoding_name(encoding));
  return stored;
}

}  // namespace whit
