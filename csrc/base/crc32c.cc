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

constexpr u32 kPolynomial = 0x82f63b78;  // x^31 is the lowest bit

// tables[k][b]: the CRC of byte b followed by k zero bytes, so that eight bytes are eight independent look-ups.
constexpr Tables make_tables() {
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
#define WHIT_CRC32_TARGET __attribute__((target("sse4.2,crc32")))
#else
#define WHIT_CRC32_TARGET __attribute__((target("sse4.2")))
#endif

WHIT_CRC32_TARGET inline u32 add_byte(u32 state, u8 byte) { return _mm_crc32_u8(state, byte); }
WHIT_CRC32_TARGET inline u32 add_word(u32 state, u64 word) { return static_cast<u32>(_mm_crc32_u64(state, word)); }

bool has_instruction() {
  u32 a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2);
}

#elif defined(__linux__) && defined(__aarch64__)

#define WHIT_CRC32_TARGET

// Assembly, because the intrinsics of GCC and Clang exist only in files compiled for CPUs that have the instruction.
inline u32 add_byte(u32 state, u8 byte) {
  __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(state) : "r"(byte));
  return state;
}
inline u32 add_word(u32 state, u64 word) {
  __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(state) : "r"(word));
  return state;
}

bool has_instruction() {
  constexpr u64 kCrc32 = 1u << 7;
  return (getauxval(AT_HWCAP) & kCrc32) != 0;
}

#endif

#if defined(WHIT_CRC32_TARGET)

// The instruction's result takes three cycles, but one can begin in each: three runs of this many bytes at a time.
constexpr std::size_t kRun = 2048;

/// a * b modulo the polynomial; the highest bit is the coefficient of x^0.
constexpr u32 multiply(u32 a, u32 b) {
  u32 product = 0;
  for (; a; a <<= 1) {
    if (a & 0x80000000u) product ^= b;
    b = (b >> 1) ^ ((b & 1) ? kPolynomial : 0);
  }
  return product;
}

using SkipTables = std::array<std::array<u32, 256>, 4>;

// tables[k][b]: what byte k of a state, b, becomes by a run of zero bytes.
constexpr SkipTables make_skip_tables() {
  u32 power = 0x80000000u >> 1;  // x
  for (std::size_t bits = 8 * kRun; bits > 1; bits /= 2) power = multiply(power, power);
  SkipTables tables{};
  for (std::size_t k = 0; k < tables.size(); ++k)
    for (u32 byte = 0; byte < 256; ++byte) tables[k][byte] = multiply(byte << (8 * k), power);
  return tables;
}

constexpr SkipTables kSkip = make_skip_tables();

u32 skip_run(u32 state) {
  return kSkip[0][state & 0xff] ^ kSkip[1][(state >> 8) & 0xff] ^ kSkip[2][(state >> 16) & 0xff] ^
         kSkip[3][state >> 24];
}

WHIT_CRC32_TARGET u32 crc32c_instruction(std::span<const std::byte> bytes, u32 crc) {
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  u32 state = ~crc;
  const auto word = [](const std::byte* at) {
    u64 value;
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  for (; left >= 3 * kRun; p += 3 * kRun, left -= 3 * kRun) {
    u32 second = 0, third = 0;
    for (std::size_t i = 0; i < kRun; i += 8) {
      state = add_word(state, word(p + i));
      second = add_word(second, word(p + kRun + i));
      third = add_word(third, word(p + 2 * kRun + i));
    }
    state = skip_run(skip_run(state) ^ second) ^ third;
  }
  for (; left >= 8; p += 8, left -= 8) state = add_word(state, word(p));
  for (; left > 0; ++p, --left) state = add_byte(state, static_cast<u8>(*p));
  return ~state;
}

Crc32c accelerated() { return has_instruction() ? crc32c_instruction : nullptr; }

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
