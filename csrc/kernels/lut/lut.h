#pragma once
// Any function of one s8 as a table of 256 entries.

#include <span>

#include "base/isa.h"
#include "base/types.h"

namespace whit::lut {

inline constexpr int kEntries = 256;

struct Table {
  Isa isa;
  const char* name;
  /// y[i] = entries[u8(x[i])] (so entry 0 is that of 0, entry 255 that of -1). y may be x.
  void (*map_s8)(const s8* x, s8* y, isize n, const s8* entries);
};

/// Every level of this build, best first.
std::span<const Table* const> tables();
/// The best level of a set. Pure.
const Table& select(IsaSet isa);

}  // namespace whit::lut
