// TENS and DATA: the values of constants.

#include <algorithm>

#include "base/buffer.h"
#include "codec/encoding.h"
#include "model/file_format.h"
#include "model/reader.h"

namespace whit::reader {
namespace {

using namespace file_format;

constexpr std::size_t kEntryBytes = 4 + 2 + 4 + 8 + 8;

struct Payload {
  u64 offset, bytes;
};

/// Follows the payloads through DATA: each new one begins at the first aligned place after the one before, so that
/// nothing overlaps, nothing hides in between, and zeros fill the gaps.
class DataWalker {
 public:
  explicit DataWalker(const Section& data) : data_(data) {}

  /// Checks a payload's place. *is_shared: an earlier entry has the same.
  Status place(const Payload& payload, bool* is_shared) {
    *is_shared = false;
    if (payload.bytes == 0) {
      if (payload.offset == 0) return {};
      return error(Code::format, "a payload of 0 bytes has offset %llu, not 0", ull(payload.offset));
    }
    const u64 next = (end_ + kAlignment - 1) / kAlignment * kAlignment;
    if (payload.offset < next) return check_shared(payload, is_shared);
    if (payload.offset > next)
      return error(Code::format, "the payload begins at %llu in DATA; it must begin at %llu", ull(payload.offset),
                   ull(next));
    const u64 size = data_.bytes.size();
    if (next > size || payload.bytes > size - next)
      return error(Code::format, "the payload has %llu bytes at %llu in DATA, which ends before (%llu bytes)",
                   ull(payload.bytes), ull(next), ull(size));
    if (!is_zero(data_.bytes.subspan(end_, next - end_)))
      return error(Code::format, "the padding before the payload at %llu in DATA is not zero", ull(next));
    known_.push_back(payload);
    end_ = next + payload.bytes;
    return {};
  }

  Status finish() const {
    if (end_ == data_.bytes.size()) return {};
    return at_offset(data_.offset + end_,
                     error(Code::format, "%llu bytes follow the last payload in DATA", ull(data_.bytes.size() - end_)));
  }

 private:
  static unsigned long long ull(u64 value) { return value; }

  Status check_shared(const Payload& payload, bool* is_shared) const {
    const auto found = std::lower_bound(known_.begin(), known_.end(), payload.offset,
                                        [](const Payload& known, u64 offset) { return known.offset < offset; });
    if (found == known_.end() || found->offset != payload.offset || found->bytes != payload.bytes)
      return error(Code::format, "the payload (%llu bytes at %llu in DATA) overlaps another one", ull(payload.bytes),
                   ull(payload.offset));
    *is_shared = true;
    return {};
  }

  const Section& data_;
  std::vector<Payload> known_;  // by offset
  u64 end_ = 0;
};

/// Bits that fill up the last byte are zero, and ternary values are never 0b10.
Status check_values(const Tensor& tensor, s64 elements) {
  const int bits = dtype_bits(tensor.dtype);
  const int used = static_cast<int>(elements * bits % 8);
  if (used != 0 && (static_cast<u32>(tensor.data[tensor.bytes - 1]) >> used) != 0)
    return error(Code::format, "the unused bits of the last byte are not zero");
  if (tensor.dtype != DType::t2) return {};
  for (s64 i = 0; i < tensor.bytes; ++i) {
    const u32 byte = static_cast<u32>(tensor.data[i]);
    if ((byte & 0xaa) & ~((byte & 0x55) << 1)) return error(Code::format, "a ternary value is 0b10");
  }
  return {};
}

Status decode_payload(Encoding encoding, std::span<const std::byte> parameters, std::span<const std::byte> payload,
                      s64 elements, Tensor* tensor, Model* model) {
  auto buffer = std::make_shared<AlignedBuffer>(static_cast<std::size_t>(tensor->bytes));
  if (!buffer->data())
    return error(Code::out_of_memory, "no memory for %lld bytes", static_cast<long long>(tensor->bytes));
  WHIT_RETURN_IF_ERROR(
      decode(encoding, parameters, payload, elements, dtype_bits(tensor->dtype), {buffer->data(), buffer->bytes()}));
  tensor->data = buffer->data();
  model->decoded.push_back(std::move(buffer));
  return {};
}

/// Where the values of a tensor without elements are: nowhere, but not null.
alignas(kAlignment) constexpr std::byte kNoValues[kAlignment]{};

Status store(Encoding encoding, std::span<const std::byte> parameters, const Payload& payload, const Section& data,
             DataWalker* walker, Tensor* tensor, Model* model) {
  if (!tensor->shape.is_static()) return error(Code::format, "its shape %s is not fixed", tensor->shape.text().c_str());
  const s64 elements = tensor->shape.elements();
  const int bits = dtype_bits(tensor->dtype);
  WHIT_RETURN_IF_ERROR(check_encoding(encoding, parameters, payload.bytes, elements, bits));
  bool is_shared = false;
  WHIT_RETURN_IF_ERROR(walker->place(payload, &is_shared));

  tensor->encoding = encoding_name(encoding);
  tensor->bytes = dense_bytes(elements, bits);
  tensor->stored_bytes = static_cast<s64>(parameters.size() + (is_shared ? 0 : payload.bytes));
  if (tensor->bytes == 0) {
    tensor->data = kNoValues;
    return {};
  }
  const auto stored = data.bytes.subspan(payload.offset, payload.bytes);
  if (encoding == Encoding::dense)
    tensor->data = stored.data();
  else
    WHIT_RETURN_IF_ERROR(decode_payload(encoding, parameters, stored, elements, tensor, model));
  return check_values(*tensor, elements);
}

}  // namespace

Status read_tensors(const Section& section, const Section& data, Model* model) {
  Cursor cursor = section.cursor();
  DataWalker walker(data);
  const u32 count = cursor.count(kMaxTensors, kEntryBytes, "stored tensor count");
  s64 before = -1;
  for (u32 i = 0; i < count && cursor.ok(); ++i) {
    const u64 start = cursor.offset();
    const u32 index = cursor.number<u32>("tensor index");
    const auto encoding = static_cast<Encoding>(cursor.number<u16>("encoding"));
    const u32 parameter_bytes = cursor.number<u32>("encoding parameters' size");
    const auto parameters = cursor.take(parameter_bytes, "encoding parameters");
    Payload payload;
    payload.offset = cursor.number<u64>("payload offset");
    payload.bytes = cursor.number<u64>("payload size");
    if (!cursor.ok()) break;
    if (index >= model->tensors.size()) {
      cursor.fail(error(Code::format, "stored tensor %u of %zu", index, model->tensors.size()), start);
    } else if (static_cast<s64>(index) <= before) {
      cursor.fail(error(Code::format, "stored tensor %u follows tensor %lld; they must ascend", index,
                        static_cast<long long>(before)),
                  start);
    } else {
      Tensor& tensor = model->tensors[index];
      cursor.fail(store(encoding, parameters, payload, data, &walker, &tensor, model)
                      .in("stored tensor " + quoted(tensor.name)),
                  start);
    }
    before = index;
  }
  cursor.finish("section TENS");
  return cursor.ok() ? walker.finish() : cursor.status();
}

}  // namespace whit::reader
