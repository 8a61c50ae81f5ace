#pragma once
// What a kernel family gives to kernel_bench: for each shape a group of kernels that do the same work.

#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/isa.h"
#include "bench/kernels/peaks.h"

namespace whit::bench {

struct Options {
  IsaSet isa;          ///< kernels of these levels
  bool smoke = false;  ///< small shapes, one call each: does it work?
  int rounds = 11;
  f64 sample_ms = 2;
  std::string_view filter;  ///< part of a family's, shape's or kernel's name
  bool json = false;
};

/// A kernel on the data of its group.
struct Job {
  std::string kernel;
  Isa isa;
  bool selected;              ///< the one that the engine takes on this machine
  std::function<void()> run;  ///< one call
};

/// Kernels that compute the same from the same operands, into the same output.
struct Group {
  std::string family, shape;
  Work work = Work::aside;
  f64 operations = 0;         ///< of one call; 0 where only the bytes count
  f64 bytes = 0;              ///< that one call reads and writes at least
  bool memory_bound = false;  ///< compared with the bandwidth of the level that the bytes fit in
  std::span<std::byte> output;
  bool exact = false;  ///< all kernels give the same bytes
  std::vector<Job> jobs;
  std::vector<std::shared_ptr<void>> data;  ///< what the jobs use, freed with the group
};

/// A group that is built when its turn comes, so that the operands of one shape are in memory at a time.
struct Entry {
  std::string family, shape;
  std::function<Group()> build;
};
using Entries = std::vector<Entry>;

// One function a family: family/<name>.cc.
#define FAMILY(name) void add_##name(const Options& options, Entries& entries);
#include "bench/kernels/family/families.inc"
#undef FAMILY

/// Memory that lives as long as `group`.
template <class T>
std::span<T> allocate(Group& group, isize count) {
  auto buffer = std::make_shared<AlignedBuffer>(static_cast<std::size_t>(count) * sizeof(T));
  group.data.push_back(buffer);
  return {reinterpret_cast<T*>(buffer->data()), static_cast<std::size_t>(count)};
}

/// Normally distributed, of mean 0; integers clipped to [-127, 127].
template <class T>
std::span<T> random(Group& group, isize count, f32 deviation) {
  static std::mt19937 generator(1);
  std::normal_distribution<f32> normal(0, deviation);
  const std::span<T> values = allocate<T>(group, count);
  for (T& value : values) {
    const f32 x = normal(generator);
    if constexpr (std::is_integral_v<T>) {
      value = static_cast<T>(x < -127 ? -127 : x > 127 ? 127 : x);
    } else {
      value = x;
    }
  }
  return values;
}

template <class T>
std::span<T> filled(Group& group, isize count, T value) {
  const std::span<T> values = allocate<T>(group, count);
  for (T& each : values) each = value;
  return values;
}

/// For Group::output.
template <class T>
std::span<std::byte> bytes_of(std::span<T> values) {
  return std::as_writable_bytes(values);
}

// --- measuring ---

/// Of the samples, milliseconds of one call.
struct Timing {
  f64 median_ms, min_ms, max_ms;
};

struct Line {
  Timing time;
  f64 gops = 0, peak_gops = 0;  ///< peak: measured between the samples; 0 if the level has none
  f64 gb_s = 0, level_gb_s = 0;
  const char* level = nullptr;  ///< "L1", ... where it counts
};

/// A level of the memory and how fast one core reads it.
struct Bandwidth {
  const char* level;
  std::size_t capacity;
  f64 gb_s;
};

/// Calls each kernel once. False, with a message on stderr, if the group is exact and their results differ.
bool agree(const Group& group);
/// Measures by interleaved samples: kernels and the peaks of their levels in turns. One Line a job.
std::vector<Line> measure(const Group& group, const Options& options, std::span<const Bandwidth> bandwidths);
/// GOP/s of each of peaks() that this CPU has, 0 for the others.
std::vector<f64> measure_peaks(const Options& options);
std::vector<Bandwidth> measure_bandwidths(const Options& options);

}  // namespace whit::bench
