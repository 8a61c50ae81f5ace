// TENS and DATA: the values of constants.

#include <algorithm>

#include "base/buffer.h"
#include "base/thread_pool.h"
#include "codec/decoder.h"
#include "model/file_format.h"
#include "model/reader.h"

namespace whit::reader {
namespace {

using namespace file_format;

constexpr std::size_t kEntryBytes = 4 + 2 + 4 + 8 + 8;

struct Payload {
  u64 offset, bytes;
  u32 tensor;
};

/// Follows the payloads through DATA: each new one begins where the one before ends, dense ones at the first aligned
/// place after it, so that nothing overlaps, nothing hides in between, and zeros fill the gaps.
class DataWalker {
 public:
  explicit DataWalker(const Section& data) : data_(data) {}

  /// Checks a payload's place. *shared: the tensor of an earlier entry that has the same, else -1.
  Status place(const Payload& payload, bool is_dense, s64* shared) {
    *shared = -1;
    if (payload.bytes == 0) {
      if (payload.offset == 0) return {};
      return error(Code::format, "a payload of 0 bytes has offset %llu, not 0", ull(payload.offset));
    }
    const u64 next = is_dense ? (end_ + kAlignment - 1) / kAlignment * kAlignment : end_;
    if (payload.offset < next) return find_shared(payload, shared);
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

  Status find_shared(const Payload& payload, s64* shared) const {
    const auto found = std::lower_bound(known_.begin(), known_.end(), payload.offset,
                                        [](const Payload& known, u64 offset) { return known.offset < offset; });
    if (found == known_.end() || found->offset != payload.offset || found->bytes != payload.bytes)
      return error(Code::format, "the payload (%llu bytes at %llu in DATA) overlaps another one", ull(payload.bytes),
                   ull(payload.offset));
    *shared = found->tensor;
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

/// Where the values of a tensor without elements are: nowhere, but not null.
alignas(kAlignment) constexpr std::byte kNoValues[kAlignment]{};

/// What the codec must know of a tensor.
Values values_of(const Tensor& tensor) {
  Values values;
  values.elements = tensor.shape.elements();
  values.bits = dtype_bits(tensor.dtype);
  values.kind = tensor.dtype == DType::f32 || tensor.dtype == DType::f16 ? Values::real : Values::integer;
  values.plane = tensor.shape.elements(1, tensor.shape.rank());
  for (s64 size : tensor.shape)
    if (size != 1) values.row = size;
  return values;
}

struct Entry {
  Encoding encoding;
  std::span<const std::byte> parameters;
  Payload payload;
};

/// Stores the constants one after another; those that are not dense get their values at the end.
class Loader {
 public:
  Loader(const Section& data, Model* model) : data_(data), walker_(data), model_(model) {}

  Status add(const Entry& entry, u64 offset) {
    Tensor& tensor = model_->tensors[entry.payload.tensor];
    if (!tensor.shape.is_static()) return error(Code::format, "its shape %s is not fixed", tensor.shape.text().c_str());
    const bool is_dense = entry.encoding == Encoding::dense;
    s64 shared = -1;
    WHIT_RETURN_IF_ERROR(walker_.place(entry.payload, is_dense, &shared));
    const Values values = values_of(tensor);
    const auto payload = data_.bytes.subspan(static_cast<std::size_t>(entry.payload.offset),
                                             static_cast<std::size_t>(entry.payload.bytes));
    Result<StoredValues> stored = parse_encoding(entry.encoding, entry.parameters, payload, values);
    if (!stored.ok()) return stored.status();

    tensor.encoding = encoding_name(entry.encoding);
    tensor.bytes = values.bytes();
    tensor.stored_bytes = static_cast<s64>(entry.parameters.size() + (shared >= 0 ? 0 : payload.size()));
    if (tensor.bytes == 0 && !is_dense) return error(Code::format, "no values, but they are not dense");
    entries_.push_back({entry, offset});
    if (tensor.bytes == 0) {
      tensor.data = kNoValues;
    } else if (is_dense) {
      if (shared >= 0 && encoding_of(shared) != Encoding::dense)
        return error(Code::format, "a dense payload that is also that of values that are not");
      tensor.data = payload.data();
    } else if (shared >= 0) {
      return share(entry, tensor, shared);
    } else {
      auto buffer = std::make_shared<AlignedBuffer>(static_cast<std::size_t>(tensor.bytes));
      if (!buffer->data())
        return error(Code::out_of_memory, "no memory for %lld bytes", static_cast<long long>(tensor.bytes));
      tensor.data = buffer->data();
      std::byte* out = buffer->data();
      model_->decoded.push_back(std::move(buffer));
      return decoder_.add(std::move(*stored), out, entries_.size() - 1);
    }
    return {};
  }

  Status finish() {
    WHIT_RETURN_IF_ERROR(walker_.finish());
    std::size_t failed = 0;
    const Status status = decoder_.run(available_cpus(), &failed);
    if (!status.ok()) return located(status, entries_[failed]);
    for (const auto& entry : entries_) {
      const Tensor& tensor = model_->tensors[entry.first.payload.tensor];
      const Status values = check_values(tensor, tensor.shape.elements());
      if (!values.ok()) return located(values, entry);
    }
    return {};
  }

  std::string place_of(u32 tensor) const { return "stored tensor " + quoted(model_->tensors[tensor].name); }

 private:
  using Located = std::pair<Entry, u64>;

  Status located(const Status& status, const Located& entry) const {
    return at_offset(entry.second, status.in(place_of(entry.first.payload.tensor)));
  }
  const Located& entry_of(s64 tensor) const {
    return *std::lower_bound(entries_.begin(), entries_.end(), tensor,
                             [](const Located& a, s64 b) { return a.first.payload.tensor < b; });
  }
  Encoding encoding_of(s64 tensor) const { return entry_of(tensor).first.encoding; }

  /// The values that an earlier entry decodes, if it says the same of them.
  Status share(const Entry& entry, Tensor& tensor, s64 shared) {
    const Entry& earlier = entry_of(shared).first;
    const Tensor& source = model_->tensors[static_cast<std::size_t>(shared)];
    if (earlier.encoding != entry.encoding || source.dtype != tensor.dtype || !(source.shape == tensor.shape) ||
        !std::equal(earlier.parameters.begin(), earlier.parameters.end(), entry.parameters.begin(),
                    entry.parameters.end()))
      return error(Code::format, "it shares a payload that is not dense with %s, which is of another kind",
                   quoted(source.name).c_str());
    tensor.data = source.data;
    return {};
  }

  const Section& data_;
  DataWalker walker_;
  Model* model_;
  Decoder decoder_;
  std::vector<Located> entries_;  // by tensor
};

}  // namespace

Status read_tensors(const Section& section, const Section& data, Model* model) {
  Cursor cursor = section.cursor();
  Loader loader(data, model);
  const u32 count = cursor.count(kMaxTensors, kEntryBytes, "stored tensor count");
  s64 before = -1;
  for (u32 i = 0; i < count && cursor.ok(); ++i) {
    const u64 start = cursor.offset();
    const u32 index = cursor.number<u32>("tensor index");
    Entry entry;
    entry.encoding = static_cast<Encoding>(cursor.number<u16>("encoding"));
    const u32 parameter_bytes = cursor.number<u32>("encoding parameters' size");
    entry.parameters = cursor.take(parameter_bytes, "encoding parameters");
    entry.payload.offset = cursor.number<u64>("payload offset");
    entry.payload.bytes = cursor.number<u64>("payload size");
    entry.payload.tensor = index;
    if (!cursor.ok()) break;
    if (index >= model->tensors.size()) {
      cursor.fail(error(Code::format, "stored tensor %u of %zu", index, model->tensors.size()), start);
    } else if (static_cast<s64>(index) <= before) {
      cursor.fail(error(Code::format, "stored tensor %u follows tensor %lld; they must ascend", index,
                        static_cast<long long>(before)),
                  start);
    } else {
      cursor.fail(loader.add(entry, start).in(loader.place_of(index)), start);
    }
    before = index;
  }
  cursor.finish("section TENS");
  return cursor.ok() ? loader.finish() : cursor.status();
}

}  // namespace whit::reader
