#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <nmmintrin.h>
#elif defined(__linux__) && defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace whit {
namespace {

using Crc32c = u32 (*)(std::span<const std::byte>, u32);
using Tables = std::array<std::array<u32, 256>, 8>;

// tables[k][b]: the CRC of byte b followed by k zero bytes, so that eight bytes are eight independent look-ups.
constexpr Tables make_tables() {
  constexpr u32 kPolynomial = 0x82f63b78;
  Tables tables{};
  for (u32 byte = 0; byte < 256; ++byte) {
    u32 crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < tables.size(); ++k)
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const u32 before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  return tables;
}

constexpr Tables kTables = make_tables();

u32 load_u32(const std::byte* p) {
  const auto byte = [p](int i) { return static_cast<u32>(p[i]); };
  return byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24);
}

#if defined(__x86_64__)

#if defined(__clang__)  // there the checksum instruction is a feature of its own
#define WHIT_TARGET_CRC32 "sse4.2,crc32"
#else
#define WHIT_TARGET_CRC32 "sse4.2"
#endif

__attribute__((target(WHIT_TARGET_CRC32))) u32 crc32c_sse42(std::span<const std::byte> bytes, u32 crc) {
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  u64 state = static_cast<u32>(~crc);
  for (; left >= 8; p += 8, left -= 8) {
    u64 word;
    std::memcpy(&word, p, sizeof word);
    state = _mm_crc32_u64(state, word);
  }
  for (; left > 0; ++p, --left) state = _mm_crc32_u8(static_cast<u32>(state), static_cast<u8>(*p));
  return ~static_cast<u32>(state);
}

Crc32c accelerated() {
  u32 a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) ? crc32c_sse42 : nullptr;
}

#elif defined(__linux__) && defined(__aarch64__)

// Assembly, because the intrinsics of GCC and Clang exist only in files compiled for CPUs that have the instruction.
u32 crc32c_armv8(std::span<const std::byte> bytes, u32 crc) {
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  u32 state = ~crc;
  for (; left >= 8; p += 8, left -= 8) {
    u64 word;
    std::memcpy(&word, p, sizeof word);
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(state) : "r"(word));
  }
  for (; left > 0; ++p, --left) {
    const u32 byte = static_cast<u32>(*p);
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(state) : "r"(byte));
  }
  return ~state;
}

Crc32c accelerated() {
  constexpr u64 kCrc32 = 1u << 7;
  return (getauxval(AT_HWCAP) & kCrc32) ? crc32c_armv8 : nullptr;
}

#else

Crc32c accelerated() { return nullptr; }

#endif

}  // namespace

u32 crc32c_portable(std::span<const std::byte> bytes, u32 crc) {
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  u32 state = ~crc;
  for (; left >= 8; p += 8, left -= 8) {
    const u32 low = state ^ load_u32(p), high = load_u32(p + 4);
    state = kTables[7][low & 0xff] ^ kTables[6][(low >> 8) & 0xff] ^ kTables[5][(low >> 16) & 0xff] ^
            kTables[4][low >> 24] ^ kTables[3][high & 0xff] ^ kTables[2][(high >> 8) & 0xff] ^
            kTables[1][(high >> 16) & 0xff] ^ kTables[0][high >> 24];
  }
  for (; left > 0; ++p, --left) state = (state >> 8) ^ kTables[0][(state ^ static_cast<u32>(*p)) & 0xff];
  return ~state;
}

bool crc32c_is_accelerated() {
  static const bool found = accelerated() != nullptr;
  return found;
}

u32 crc32c(std::span<const std::byte> bytes, u32 crc) {
  static const Crc32c chosen = accelerated() ? accelerated() : crc32c_portable;
  return chosen(bytes, crc);
}

}  // namespace whit
