#pragma once
// The numbers of docs/FORMAT.md.

#include "base/types.h"

namespace whit::file_format {

inline constexpr u8 kMagic[8] = {0x89, 'W', 'H', 'I', 'T', '\r', '\n', 0x1a};
inline constexpr int kMajor = 1;
inline constexpr int kMinor = 0;

inline constexpr std::size_t kHeaderBytes = 32;
inline constexpr std::size_t kHeaderCrcAt = 24;
inline constexpr std::size_t kSectionEntryBytes = 32;
inline constexpr u32 kSectionOptional = 1;  ///< flag: readers that do not know the section may ignore it
inline constexpr u32 kSectionCoded = 2;     ///< flag: the contents are stored as coded bytes
inline constexpr u64 kMaxSectionExpansion = 256;

/// A section's type as it reads in a little-endian file.
constexpr u32 fourcc(const char (&text)[5]) {
  u32 value = 0;
  for (int i = 3; i >= 0; --i) value = (value << 8) | static_cast<u8>(text[i]);
  return value;
}
inline constexpr u32 kGraph = fourcc("GRPH");
inline constexpr u32 kTensors = fourcc("TENS");
inline constexpr u32 kMetadata = fourcc("META");
inline constexpr u32 kData = fourcc("DATA");

inline constexpr u32 kMaxSections = 64;
inline constexpr u32 kMaxTensors = 1u << 18;
inline constexpr u32 kMaxNodes = 1u << 18;
inline constexpr u32 kMaxAttributes = 64;
inline constexpr u32 kMaxTextBytes = 1024;
inline constexpr u64 kMaxMetadataBytes = 1u << 24;
inline constexpr int kMaxJsonDepth = 32;
inline constexpr s64 kMaxElements = s64{1} << 40;

enum QuantizationKind : u8 { kNotQuantized = 0, kPerTensor = 1, kPerAxis = 2, kSymmetricPerAxis = 3, kPerGroup = 4 };

}  // namespace whit::file_format
