#pragma once
// Short runs of bytes, for which a call of memcpy costs more than the copy.

#include <cstring>

#include "base/types.h"

namespace whit::copy {

template <class T>
inline T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <class T>
inline void store(std::byte* p, T value) {
  std::memcpy(p, &value, sizeof value);
}

/// `bytes` of at least 1, as two words that may overlap where it is short.
inline void copy_run(std::byte* to, const std::byte* from, isize bytes) {
  const auto both_ends = [&]<class T>(T) {
    const T head = load<T>(from), tail = load<T>(from + bytes - sizeof(T));
    store(to, head);
    store(to + bytes - sizeof(T), tail);
  };
  if (bytes > 16)
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
  else if (bytes >= 8)
    both_ends(u64{});
  else if (bytes >= 4)
    both_ends(u32{});
  else if (bytes >= 2)
    both_ends(u16{});
  else
    *to = *from;
}

}  // namespace whit::copy
