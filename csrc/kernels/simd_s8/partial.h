#pragma once
// Fewer bytes than a register holds, without touching the memory beside them.

#include <cstring>

#include "base/types.h"
#include "kernels/simd_f32/unroll.h"

namespace whit {
namespace {

template <class T>
WHIT_INLINE T load_as(const void* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

/// The `count` bytes at p, 1 <= count <= 4, as a little-endian number.
WHIT_INLINE u32 load_first_u32(const void* p, isize count) {
  const u8* bytes = static_cast<const u8*>(p);
  if (count == 4) return load_as<u32>(p);
  const isize middle = count >> 1, end = count - 1;  // 0 0, 1 1, 1 2: some byte may be set twice
  return bytes[0] | u32{bytes[middle]} << (8 * middle) | u32{bytes[end]} << (8 * end);
}

/// The same for 1 <= count <= 8.
WHIT_INLINE u64 load_first_u64(const void* p, isize count) {
  if (count <= 4) return load_first_u32(p, count);
  const u64 low = load_as<u32>(p);
  const u64 high = load_as<u32>(static_cast<const u8*>(p) + count - 4);
  return low | (high >> (8 * (8 - count))) << 32;
}

/// Writes the low `count` bytes of value, 1 <= count <= 8.
WHIT_INLINE void store_first_u64(void* p, u64 value, isize count) {
  u8* bytes = static_cast<u8*>(p);
  if (count == 8) {
    std::memcpy(bytes, &value, 8);
  } else if (count >= 4) {
    const u32 low = static_cast<u32>(value), high = static_cast<u32>(value >> (8 * (count - 4)));
    std::memcpy(bytes, &low, 4);
    std::memcpy(bytes + count - 4, &high, 4);
  } else {
    bytes[0] = static_cast<u8>(value);
    bytes[count >> 1] = static_cast<u8>(value >> (8 * (count >> 1)));
    bytes[count - 1] = static_cast<u8>(value >> (8 * (count - 1)));
  }
}

}  // namespace
}  // namespace whit
