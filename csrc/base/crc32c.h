#pragma once

#include <span>

#include "base/types.h"

namespace whit {

/// CRC-32C (Castagnoli, reflected, RFC 3720): "123456789" gives 0xE3069283. `crc` is the result for the bytes before
/// these, so that crc32c(b, crc32c(a)) is the CRC of a followed by b. Uses the CPU's instruction where it has one.
u32 crc32c(std::span<const std::byte> bytes, u32 crc = 0);

/// The same from tables alone, for CPUs without the instruction.
u32 crc32c_portable(std::span<const std::byte> bytes, u32 crc = 0);

/// True if crc32c() runs on a CPU instruction.
bool crc32c_is_accelerated();

}  // namespace whit
