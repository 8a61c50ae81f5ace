// Header and section table.

#include <algorithm>
#include <cstring>
#include <string>

#include "base/crc32c.h"
#include "codec/coders.h"
#include "model/file_format.h"
#include "model/reader.h"

namespace whit::reader {
namespace {

using namespace file_format;
using Bytes = std::span<const std::byte>;

struct Header {
  u16 major, minor;
  u32 section_count;
  u64 file_bytes;
  u32 crc, reserved;
};

struct Entry {
  u32 type, flags;
  u64 offset, bytes;
  u32 crc, reserved;
};

constexpr u64 align(u64 offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

bool begins_with(Bytes file, std::size_t at, std::string_view text) {
  return file.size() >= at + text.size() && std::memcmp(file.data() + at, text.data(), text.size()) == 0;
}

/// What a file that is not a .whit file probably is, and what to do about it.
const char* guess(Bytes file) {
  using namespace std::string_view_literals;
  if (begins_with(file, 0, "\x89WHIT"sv)) return "a .whit file damaged by a transfer in text mode; copy it as binary";
  if (begins_with(file, 0, "PK\x03\x04"sv))
    return "a zip archive (a PyTorch or numpy file?); export the model to ONNX, then use `whit compress`";
  if (begins_with(file, 4, "TFL3"sv)) return "a TensorFlow Lite model; convert it to ONNX, then use `whit compress`";
  if (begins_with(file, 0, "\x89HDF"sv))
    return "an HDF5 file (Keras?); export the model to ONNX, then use `whit compress`";
  if (begins_with(file, 0, "\x93NUMPY"sv)) return "a numpy array, not a model";
  if (begins_with(file, 0, "\x1f\x8b"sv)) return "gzip-compressed data; unpack it first";
  if (begins_with(file, 0, "version https://git-lfs"sv)) return "a Git LFS pointer; fetch the file itself";
  // ModelProto: field 1 (ir_version, a small number), then any other length-delimited field of the message.
  if (file.size() > 2 && file[0] == std::byte{0x08} && file[1] < std::byte{0x20}) {
    const auto tag = static_cast<u8>(file[2]);
    if ((tag & 7) == 2 && tag <= (25 << 3 | 2))
      return "an ONNX model; use `whit compress` to turn it into a .whit file";
  }
  return nullptr;
}

Status check_magic(Bytes file) {
  if (file.empty()) return error(Code::format, "offset 0: the file is empty; was it written or copied completely?");
  if (std::memcmp(file.data(), kMagic, std::min(file.size(), sizeof kMagic)) == 0) {
    if (file.size() >= kHeaderBytes) return {};
    return error(Code::format, "offset %zu: the file is truncated: it ends within the header", file.size());
  }
  const char* found = guess(file);
  if (found) return error(Code::format, "offset 0: not a .whit file: this looks like %s", found);
  return error(Code::format, "offset 0: not a .whit file: it does not begin as one");
}

std::string type_name(u32 type) {
  std::string name(4, '?');
  for (std::size_t i = 0; i < 4; ++i) {
    const u32 c = (type >> (8 * i)) & 0xff;
    if (c > 0x20 && c < 0x7f) name[i] = static_cast<char>(c);
  }
  return name;
}

bool is_type(u32 type) {
  for (int i = 0; i < 4; ++i) {
    const u32 c = (type >> (8 * i)) & 0xff;
    if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
  }
  return true;
}

Status truncated(u64 declared, u64 actual) {
  return error(Code::format, "offset %llu: the file is truncated: it has %llu bytes of %llu; copy or write it again",
               static_cast<unsigned long long>(actual), static_cast<unsigned long long>(actual),
               static_cast<unsigned long long>(declared));
}

Result<Header> read_header(Bytes file) {
  WHIT_RETURN_IF_ERROR(check_magic(file));
  Cursor cursor(file.subspan(sizeof kMagic), sizeof kMagic);
  Header header;
  header.major = cursor.number<u16>("version");
  header.minor = cursor.number<u16>("version");
  header.section_count = cursor.number<u32>("section count");
  header.file_bytes = cursor.number<u64>("file size");
  header.crc = cursor.number<u32>("checksum");
  header.reserved = cursor.number<u32>("reserved field");
  WHIT_RETURN_IF_ERROR(cursor.status());
  if (header.major != kMajor)
    return error(Code::version, "offset 8: the file has format version %u.%u; this whit reads version %d. %s",
                 header.major, header.minor, kMajor,
                 header.major > kMajor ? "Update whit, or write the file with an older one"
                                       : "Write the file again with this whit");
  if (header.section_count > kMaxSections)
    return error(Code::format, "offset 12: %u sections; at most %u are allowed", header.section_count, kMaxSections);
  const std::size_t table_end = kHeaderBytes + header.section_count * kSectionEntryBytes;
  if (file.size() < table_end)
    return error(Code::format, "offset %zu: the file is truncated: it ends within the section table", file.size());

  // The checksum covers its own field as zeros.
  constexpr std::byte kZeros[4]{};
  u32 crc = crc32c(file.first(kHeaderCrcAt));
  crc = crc32c(kZeros, crc);
  crc = crc32c(file.subspan(kHeaderCrcAt + 4, table_end - kHeaderCrcAt - 4), crc);
  if (crc != header.crc) {
    return error(Code::format, "offset %zu: the header is damaged: its checksum is %08x, not %08x; copy the file again",
                 kHeaderCrcAt, crc, header.crc);
  }
  if (header.reserved != 0) return error(Code::format, "offset 28: the reserved field is %u, not 0", header.reserved);
  if (header.file_bytes > file.size()) return truncated(header.file_bytes, file.size());
  if (header.file_bytes < file.size())
    return error(Code::format, "offset %llu: %llu bytes follow the end of the file's contents",
                 static_cast<unsigned long long>(header.file_bytes),
                 static_cast<unsigned long long>(file.size() - header.file_bytes));
  return header;
}

Entry read_entry(Cursor* cursor) {
  Entry entry;
  entry.type = cursor->number<u32>("section type");
  entry.flags = cursor->number<u32>("section flags");
  entry.offset = cursor->number<u64>("section offset");
  entry.bytes = cursor->number<u64>("section size");
  entry.crc = cursor->number<u32>("section checksum");
  entry.reserved = cursor->number<u32>("reserved field");
  return entry;
}

/// The place in `layout` of a section that this version knows, else null.
Section* known_section(u32 type, Layout* layout) {
  switch (type) {
    case kGraph: return &layout->graph;
    case kTensors: return &layout->tensors;
    case kMetadata: return &layout->metadata;
    case kData: return &layout->data;
    default: return nullptr;
  }
}

/// Checks one entry of the table against the end of what stands before it; the section's bytes are in *out.
Status check_entry(Bytes file, const Entry& entry, u64 end_before, Section* out) {
  const std::string name = type_name(entry.type);
  if (!is_type(entry.type)) return error(Code::format, "section type '%s' is not four letters or digits", name.c_str());
  if (entry.flags & ~(kSectionOptional | kSectionCoded))
    return error(Code::format, "section %s has unknown flags %08x", name.c_str(), entry.flags);
  if (entry.reserved != 0) return error(Code::format, "section %s: the reserved field is not 0", name.c_str());
  const u64 start = align(end_before);
  if (entry.offset != start)
    return error(Code::format, "section %s begins at %llu; it must begin at %llu", name.c_str(),
                 static_cast<unsigned long long>(entry.offset), static_cast<unsigned long long>(start));
  if (start > file.size() || entry.bytes > file.size() - start)
    return error(Code::format, "section %s has %llu bytes, but the file ends before", name.c_str(),
                 static_cast<unsigned long long>(entry.bytes));
  if (!is_zero(file.subspan(end_before, start - end_before)))
    return error(Code::format, "the padding before section %s (from offset %llu) is not zero", name.c_str(),
                 static_cast<unsigned long long>(end_before));
  const Bytes bytes = file.subspan(start, entry.bytes);
  const u32 crc = crc32c(bytes);
  if (crc != entry.crc)
    return error(Code::format, "section %s (at offset %llu) is damaged: its checksum is %08x, not %08x; copy it again",
                 name.c_str(), static_cast<unsigned long long>(start), crc, entry.crc);
  *out = {start, bytes, nullptr};
  return {};
}

/// A section that is stored as u32 size, and that many bytes coded.
Status decode_section(Section* section) {
  Cursor cursor = section->cursor();
  const u64 size = cursor.number<u32>("size of a coded section");
  if (!cursor.ok()) return error(Code::format, "it is coded, but has no size");
  const auto coded = section->bytes.subspan(sizeof(u32));
  if (size > kMaxSectionExpansion * coded.size())
    return error(Code::format, "%llu bytes in %zu coded ones; a byte may hold at most %llu",
                 static_cast<unsigned long long>(size), coded.size(),
                 static_cast<unsigned long long>(kMaxSectionExpansion));
  auto decoded = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(size));
  WHIT_RETURN_IF_ERROR(codec::decode_bytes(coded, *decoded));
  section->bytes = *decoded;
  section->decoded = std::move(decoded);
  return {};
}

}  // namespace

bool is_zero(Bytes bytes) {
  for (std::byte byte : bytes)
    if (byte != std::byte{0}) return false;
  return true;
}

Result<Layout> read_layout(Bytes file) {
  const Result<Header> header = read_header(file);
  if (!header.ok()) return header.status();
  Layout layout;
  layout.version_major = header->major;
  layout.version_minor = header->minor;

  const std::size_t table_bytes = header->section_count * kSectionEntryBytes;
  Cursor cursor(file.subspan(kHeaderBytes, table_bytes), kHeaderBytes);
  u64 end = kHeaderBytes + table_bytes;
  std::vector<u32> seen;
  for (u32 i = 0; i < header->section_count; ++i) {
    const u64 position = cursor.offset();
    const Entry entry = read_entry(&cursor);
    Section section;
    if (const Status status = check_entry(file, entry, end, &section); !status.ok()) return at_offset(position, status);
    for (u32 type : seen)
      if (type == entry.type)
        return at_offset(position, error(Code::format, "section %s appears twice", type_name(type).c_str()));
    seen.push_back(entry.type);
    end = section.offset + section.bytes.size();

    if (Section* known = known_section(entry.type, &layout)) {
      if (entry.flags & kSectionOptional)
        return at_offset(position, error(Code::format, "section %s cannot be optional", type_name(entry.type).c_str()));
      *known = section;
      if (!(entry.flags & kSectionCoded)) continue;
      if (entry.type == kData) return at_offset(position, error(Code::format, "section DATA cannot be coded"));
      if (const Status status = decode_section(known); !status.ok())
        return at_offset(section.offset, status.in("section " + type_name(entry.type)));
    } else if (entry.flags & kSectionCoded) {
      return at_offset(position, error(Code::format, "section %s cannot be coded", type_name(entry.type).c_str()));
    } else if (!(entry.flags & kSectionOptional)) {
      return at_offset(position,
                       error(Code::unsupported, "section %s needs a newer version of whit (the file is %d.%d)",
                             type_name(entry.type).c_str(), layout.version_major, layout.version_minor));
    }
  }
  for (u32 type : {kGraph, kTensors, kMetadata, kData})
    if (known_section(type, &layout)->offset == 0)
      return error(Code::format, "offset %zu: section %s is missing", kHeaderBytes, type_name(type).c_str());
  if (end != file.size())
    return error(Code::format, "offset %llu: %llu bytes follow the last section", static_cast<unsigned long long>(end),
                 static_cast<unsigned long long>(file.size() - end));
  return layout;
}

}  // namespace whit::reader
