// Changes .whit files section by section and makes sizes, places and checksums right again, so that the changes reach
// the code behind those checks. One change in eight is left as it is, for the checks themselves.

#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "base/crc32c.h"
#include "model/file_format.h"

// libFuzzer's.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using namespace whit;
using namespace whit::file_format;

struct Section {
  u32 type, flags;
  std::vector<u8> contents;
};

template <class T>
T load(const u8* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

template <class T>
void store(std::vector<u8>* file, std::size_t at, T value) {
  std::memcpy(file->data() + at, &value, sizeof value);
}

u32 checksum(std::span<const u8> bytes) { return crc32c(std::as_bytes(bytes)); }

/// The sections of a file; empty if the table makes no sense.
std::vector<Section> split(std::span<const u8> file) {
  std::vector<Section> sections;
  if (file.size() < kHeaderBytes) return sections;
  const u32 count = load<u32>(file.data() + 12);
  if (count > kMaxSections || file.size() < kHeaderBytes + count * kSectionEntryBytes) return sections;
  for (u32 i = 0; i < count; ++i) {
    const u8* entry = file.data() + kHeaderBytes + i * kSectionEntryBytes;
    const u64 offset = load<u64>(entry + 8), bytes = load<u64>(entry + 16);
    if (offset > file.size() || bytes > file.size() - offset) return {};
    const auto contents = file.subspan(offset, bytes);
    sections.push_back({load<u32>(entry), load<u32>(entry + 4), {contents.begin(), contents.end()}});
  }
  return sections;
}

std::vector<u8> join(const std::vector<Section>& sections) {
  const std::size_t table_end = kHeaderBytes + sections.size() * kSectionEntryBytes;
  std::vector<u8> file(table_end);
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const auto& [type, flags, contents] = sections[i];
    file.resize((file.size() + kAlignment - 1) / kAlignment * kAlignment);
    const std::size_t entry = kHeaderBytes + i * kSectionEntryBytes;
    store(&file, entry, type);
    store(&file, entry + 4, flags);
    store<u64>(&file, entry + 8, file.size());
    store<u64>(&file, entry + 16, contents.size());
    store(&file, entry + 24, checksum(contents));
    file.insert(file.end(), contents.begin(), contents.end());
  }
  std::memcpy(file.data(), kMagic, sizeof kMagic);
  store<u16>(&file, 8, kMajor);
  store<u16>(&file, 10, kMinor);
  store<u32>(&file, 12, static_cast<u32>(sections.size()));
  store<u64>(&file, 16, file.size());
  store(&file, kHeaderCrcAt, checksum(std::span(file).first(table_end)));
  return file;
}

/// Overwrites an aligned-or-not number with one that is often at a limit.
void change_number(std::vector<u8>* contents, std::minstd_rand* random) {
  constexpr u64 kValues[] = {
      0,   1,    2,     7,          8,          9,          63,           64,           65,          127,    128,
      255, 1024, 65535, 0x7fffffff, 0x80000000, 0xffffffff, u64{1} << 40, ~u64{0} >> 1, ~u64{0} - 1, ~u64{0}};
  const std::size_t width = std::size_t{1} << ((*random)() % 4);
  if (contents->size() < width) return;
  const u64 value = kValues[(*random)() % std::size(kValues)];
  std::memcpy(contents->data() + (*random)() % (contents->size() - width + 1), &value, width);
}

void change_contents(std::vector<u8>* contents, std::minstd_rand* random, std::size_t room) {
  if ((*random)() % 3 == 0) return change_number(contents, random);
  const std::size_t size = contents->size();
  if (size + room == 0) return;
  contents->resize(size + room);
  contents->resize(LLVMFuzzerMutate(contents->data(), size, size + room));
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::minstd_rand random(seed);
  std::vector<Section> sections = split({data, size});
  if (sections.empty() || random() % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);

  // Room that a section may grow by, after padding every section once more.
  const std::size_t room = max_size > size + 128 ? max_size - size - 128 : 0;
  Section& section = sections[random() % sections.size()];
  switch (random() % 16) {
    case 0: section.flags = random() % 4; break;
    case 1: std::swap(section, sections[random() % sections.size()]); break;
    case 2: sections.push_back({fourcc("abcd"), static_cast<u32>(random() % 2), {1, 2, 3}}); break;
    default: change_contents(&section.contents, &random, room);
  }
  const std::vector<u8> file = join(sections);
  if (file.size() > max_size) return size;
  std::memcpy(data, file.data(), file.size());
  return file.size();
}
