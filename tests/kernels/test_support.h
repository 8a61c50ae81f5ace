#pragma once
// What every kernel test needs: seeded random numbers, buffers beside a guard page, and the loop over the kernels
// that this CPU can run.

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/isa.h"
#include "base/types.h"
#include "coverage.h"

namespace whit::test {

/// splitmix64: the same numbers on every machine and standard library.
class Random {
 public:
  explicit Random(u64 seed) : state_(seed) {}

  u64 next() {
    u64 z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// In [low, high], both included.
  s64 integer(s64 low, s64 high) { return low + static_cast<s64>(next() % static_cast<u64>(high - low + 1)); }
  /// In [low, high).
  f32 real(f32 low, f32 high) {
    return low + (high - low) * (static_cast<f32>(next() >> 40) / static_cast<f32>(1 << 24));
  }

  template <class T>
  void fill_integers(std::span<T> values, s64 low, s64 high) {
    for (T& value : values) value = static_cast<T>(integer(low, high));
  }
  void fill_reals(std::span<f32> values, f32 low, f32 high) {
    for (f32& value : values) value = real(low, high);
  }

 private:
  u64 state_;
};

/// `count` elements that end at an unreadable page (`end`: one element too far faults) or begin behind one (`begin`).
/// The rest of the mapping is poisoned, so that a read beside the buffer that does not fault gives wrong results.
template <class T>
class Guarded {
 public:
  enum class Side { begin, end };

  explicit Guarded(isize count, Side side = Side::end) : count_(static_cast<std::size_t>(count)) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = count_ * sizeof(T);
    const std::size_t inner = (bytes + page - 1) / page * page + (bytes == 0 ? page : 0);
    mapping_bytes_ = inner + 2 * page;
    void* mapping = mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) std::abort();
    mapping_ = static_cast<std::byte*>(mapping);
    std::memset(mapping_, 0x5b, mapping_bytes_);
    data_ = reinterpret_cast<T*>(mapping_ + page + (side == Side::end ? inner - bytes : 0));
    if (mprotect(mapping_, page, PROT_NONE) || mprotect(mapping_ + page + inner, page, PROT_NONE)) std::abort();
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  Guarded(Guarded&& other) noexcept
      : mapping_(std::exchange(other.mapping_, nullptr)),
        mapping_bytes_(other.mapping_bytes_),
        data_(other.data_),
        count_(other.count_) {}
  ~Guarded() {
    if (mapping_) munmap(mapping_, mapping_bytes_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  isize size() const { return static_cast<isize>(count_); }
  T& operator[](isize i) { return data_[i]; }
  const T& operator[](isize i) const { return data_[i]; }
  std::span<T> span() { return {data_, count_}; }

 private:
  std::byte* mapping_ = nullptr;
  std::size_t mapping_bytes_ = 0;
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

/// 64-byte aligned bytes for packed weights, with a guard page right behind them where the size is a multiple of 64.
class PackedBuffer {
 public:
  explicit PackedBuffer(std::size_t bytes)
      : storage_(round_up(static_cast<isize>(bytes), static_cast<isize>(kAlignment))) {}
  std::byte* data() { return storage_.data(); }
  const std::byte* data() const { return storage_.data(); }

 private:
  Guarded<std::byte> storage_;
};

/// The levels that this CPU has, this build contains and WHIT_ISA allows.
inline IsaSet runnable_isa() {
  const Result<IsaSet> active = isa_active();
  if (!active.ok()) {
    std::fprintf(stderr, "%s\n", active.status().message().c_str());
    std::exit(2);
  }
#ifdef WHIT_MODELLED_ISA  // the rest of the kernel needs this much
  if (active->has(Isa::avx512vnni)) return active->with(*isa_from_name(WHIT_MODELLED_ISA));
#endif
  return *active;
}

// Set for each test of a kernel family: its name, and the levels that it has a file for.
#ifndef WHIT_FAMILY
#define WHIT_FAMILY ""
#define WHIT_FAMILY_LEVELS ""
#endif

/// The levels that the family under test is written for, as far as this machine runs them. They come from the files in
/// the family's folder, not from its list of kernels: a kernel that is missing in the list is found.
inline IsaSet family_levels() {
  IsaSet levels;
  for (int i = 0; i < kIsaCount; ++i) {
    const Isa level = static_cast<Isa>(i);
    if (std::string_view(" " WHIT_FAMILY_LEVELS " ").find(" " + std::string(isa_name(level)) + " ") !=
        std::string_view::npos)
      levels = levels.with(level);
  }
  return levels & runnable_isa();
}

/// Calls check(kernel) for every kernel that can run here, and notes it; fails where one of family_levels() has no
/// kernel, so that a level cannot be lost unnoticed. Kernel must be complete, with name(kernel) and isa(kernel).
template <class Kernel, class Check>
void for_each_kernel(std::span<const Kernel> kernels, Check&& check) {
  const IsaSet levels = runnable_isa();
  IsaSet covered;
  for (const Kernel& kernel : kernels) {
    if (!levels.has(isa(kernel))) continue;
    covered = covered.with(isa(kernel));
    note_kernel(name(kernel));
    INFO("kernel ", std::string(name(kernel)));
    check(kernel);
  }
  CHECK(isa_list(covered) == isa_list(family_levels()));
}

}  // namespace whit::test
