// How fast the entropy coders decode, and how small they make it: codec_bench [FILE...], files of s8 weights. Without
// files, weights of a normal distribution, dense and pruned. CPU time of one thread, the least of many runs.

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "codec/blocks.h"
#include "codec/coders.h"

using namespace whit;
using namespace whit::codec;

namespace {

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <class Work>
double least_seconds(int runs, const Work& work) {
  double least = 1e9;
  for (int i = 0; i < runs; ++i) {
    const double start = cpu_seconds();
    work();
    least = std::min(least, cpu_seconds() - start);
  }
  return least;
}

void row(const std::string& name, const char* coder, std::size_t values, std::size_t coded, double seconds,
         bool is_same) {
  std::printf("%-24s %-10s %9zu %9zu %6.3f %8.1f%s\n", name.c_str(), coder, values, coded,
              8.0 * static_cast<double>(coded) / static_cast<double>(values),
              static_cast<double>(values) / seconds / 1e6, is_same ? "" : "  WRONG VALUES");
}

void measure_blocks(const std::string& name, const char* coder, Bytes values, int mode) {
  std::vector<std::vector<std::byte>> blocks;
  std::size_t coded = 0;
  for (std::size_t at = 0; at < values.size(); at += kBlockSymbols) {
    const Bytes part = values.subspan(at, std::min(kBlockSymbols, values.size() - at));
    blocks.emplace_back();
    encode_block(part, 8, static_cast<Block>(mode), &blocks.back());
    coded += blocks.back().size();
  }
  std::vector<std::byte> out(values.size());
  const double seconds = least_seconds(40, [&] {
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const std::size_t at = i * kBlockSymbols;
      (void)decode_block(blocks[i], 8, std::span(out).subspan(at, std::min(kBlockSymbols, out.size() - at)));
    }
  });
  row(name, coder, values.size(), coded, seconds, std::equal(out.begin(), out.end(), values.begin()));
}

void measure_default(const std::string& name, Bytes values) {
  const Symbols symbols = {{static_cast<s64>(values.size()), 8, Values::integer, 1, 1}, 0};
  const std::vector<std::byte> payload = encode_blocks(values, symbols);
  std::vector<std::byte> out(values.size());
  const double seconds = least_seconds(40, [&] {
    std::vector<BlockTask> tasks;
    (void)find_blocks(payload, symbols, out, &tasks);
    for (const BlockTask& task : tasks) (void)decode_block(task.block, 8, task.symbols);
  });
  row(name, "default", values.size(), payload.size(), seconds, std::equal(out.begin(), out.end(), values.begin()));
}

void measure_adaptive(const std::string& name, Bytes values) {
  const Symbols symbols = {{static_cast<s64>(values.size()), 8, Values::integer, 256, 256}, 0};
  const std::vector<std::byte> payload = AdaptiveEncoder().encode(values, symbols);
  std::vector<std::byte> out(values.size());
  const double seconds = least_seconds(2, [&] { (void)AdaptiveDecoder().decode(payload, symbols, out); });
  row(name, "adaptive", values.size(), payload.size(), seconds, std::equal(out.begin(), out.end(), values.begin()));
}

void measure(const std::string& name, Bytes values) {
  measure_default(name, values);
  measure_blocks(name, "huffman", values, static_cast<int>(Block::huffman));
  measure_blocks(name, "rans", values, static_cast<int>(Block::rans));
  measure_adaptive(name, values);
}

/// Normal weights in s8, a part of them 0.
std::vector<std::byte> weights(double spread, double zeros) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal(0, spread);
  std::uniform_real_distribution<double> uniform;
  std::vector<std::byte> values(1 << 21);
  for (std::byte& value : values) {
    const double x = std::clamp(std::round(normal(random)), -127.0, 127.0);
    value = static_cast<std::byte>(uniform(random) < zeros ? 0 : static_cast<int>(x));
  }
  return values;
}

}  // namespace

int main(int count, char** files) {
  std::printf("%-24s %-10s %9s %9s %6s %8s\n", "values", "coder", "bytes", "coded", "bits", "MB/s");
  if (count < 2) {
    measure("normal, 32 steps", weights(32, 0));
    measure("normal, 3 steps", weights(3, 0));
    measure("9 of 10 zero", weights(3, 0.9));
  }
  for (int i = 1; i < count; ++i) {
    std::ifstream file(files[i], std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    if (bytes.empty()) {
      std::fprintf(stderr, "codec_bench: nothing to read in %s\n", files[i]);
      return 1;
    }
    const char* slash = std::strrchr(files[i], '/');
    measure(slash ? slash + 1 : files[i], std::as_bytes(std::span(bytes)));
  }
}
