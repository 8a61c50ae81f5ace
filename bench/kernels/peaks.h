#pragma once
// The limits of a core, as loops that do nothing else. peak/peaks.inc lists them.

#include <span>

#include "base/isa.h"
#include "base/types.h"

namespace whit::bench {

enum class Work : u8 { s8, f32, b1, aside };

struct Peak {
  Isa isa;
  Work work;
  const char* name;
  f64 (*run)(u64 rounds);  ///< operations done: a multiplication and an addition are two
};

struct Reader {
  Isa isa;
  const char* name;
  void (*read)(const std::byte* data, std::size_t bytes);  ///< data on 64 bytes, bytes a multiple of 512
};

#define PEAK(isa, work, function) f64 function(u64 rounds);
#define READ(isa, function) void function(const std::byte* data, std::size_t bytes);
#include "bench/kernels/peak/peaks.inc"
#undef PEAK
#undef READ

/// Every loop of this build.
std::span<const Peak> peaks();
/// The widest loads of these levels.
const Reader& reader(IsaSet isa);

}  // namespace whit::bench
