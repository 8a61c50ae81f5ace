#include "bench/kernels/peaks.h"

#include <iterator>

namespace whit::bench {
namespace {

constexpr Peak kPeaks[] = {
#define PEAK(isa, work, function) {Isa::isa, Work::work, #function, function},
#define READ(isa, function)
#include "bench/kernels/peak/peaks.inc"
#undef PEAK
#undef READ
    {Isa::scalar, Work::aside, nullptr, nullptr},  // so that the array is never empty
};

constexpr Reader kReaders[] = {
#define PEAK(isa, work, function)
#define READ(isa, function) {Isa::isa, #function, function},
#include "bench/kernels/peak/peaks.inc"
#undef PEAK
#undef READ
};

}  // namespace

std::span<const Peak> peaks() { return {kPeaks, std::size(kPeaks) - 1}; }

const Reader& reader(IsaSet isa) {
  for (const Reader& reader : kReaders)
    if (isa.has(reader.isa)) return reader;
  return *std::prev(std::end(kReaders));
}

void read_scalar(const std::byte* data, std::size_t bytes) {
  const u64* words = reinterpret_cast<const u64*>(data);
  u64 sum = 0;
  for (std::size_t i = 0; i < bytes / sizeof(u64); i += 8)
    for (std::size_t j = 0; j < 8; ++j) sum += words[i + j];
  __asm__ volatile("" ::"r"(sum));
}

}  // namespace whit::bench
