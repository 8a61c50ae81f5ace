#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "bench/kernels/harness.h"
#include "bench/kernels/memory_levels.h"

namespace whit::bench {
namespace {

/// Of this thread alone: another program that takes its turn on the core does not count.
f64 cpu_ms() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<f64>(now.tv_sec) * 1e3 + static_cast<f64>(now.tv_nsec) * 1e-6;
}

/// Something that is timed again and again: `calls` of it a sample.
struct Timed {
  std::function<void(u64 calls)> run;
  u64 calls = 1;
  std::vector<f64> ms = {};

  /// Calls until a sample lasts as long as it should.
  void calibrate(f64 sample_ms) {
    for (;;) {
      const f64 start = cpu_ms();
      run(calls);
      const f64 took = cpu_ms() - start;
      if (took >= 0.6 * sample_ms || calls > u64{1} << 40) return;
      const f64 factor = sample_ms / std::max(took, 1e-4);
      calls = static_cast<u64>(static_cast<f64>(calls) * std::clamp(factor, 1.2, 100.0)) + 1;
    }
  }
  void sample() {
    const f64 start = cpu_ms();
    run(calls);
    ms.push_back(std::max(cpu_ms() - start, 1e-6) / static_cast<f64>(calls));
  }
  Timing timing() {
    std::ranges::sort(ms);
    return {ms[ms.size() / 2], ms.front(), ms.back()};
  }
};

/// In turns: a clock that changes or another program meets all alike.
void sample_in_turns(std::vector<Timed>& all, const Options& options) {
  for (Timed& timed : all) timed.calibrate(options.smoke ? 0 : options.sample_ms);
  for (int round = 0; round < (options.smoke ? 1 : options.rounds); ++round)
    for (Timed& timed : all) timed.sample();
}

/// The loop `peak` and what its `calls` are: rounds of it. `operations` receives those of one round.
Timed timed_peak(const Peak& peak, f64& operations) {
  operations = peak.run(1);
  return {[&peak](u64 rounds) { peak.run(rounds); }};
}

}  // namespace

bool agree(const Group& group) {
  std::vector<std::byte> first;
  bool same = true;
  for (const Job& job : group.jobs) {
    if (group.exact) std::ranges::fill(group.output, std::byte{0x5a});
    job.run();
    if (!group.exact) continue;
    if (first.empty()) {
      first.assign(group.output.begin(), group.output.end());
    } else if (std::memcmp(first.data(), group.output.data(), first.size()) != 0) {
      std::fprintf(stderr, "kernel_bench: %s %s: %s and %s give different results\n", group.family.c_str(),
                   group.shape.c_str(), group.jobs.front().kernel.c_str(), job.kernel.c_str());
      same = false;
    }
  }
  return same;
}

std::vector<Line> measure(const Group& group, const Options& options, std::span<const Bandwidth> bandwidths) {
  std::vector<Timed> all;
  for (const Job& job : group.jobs) {
    all.push_back({[&job](u64 calls) {
      for (u64 i = 0; i < calls; ++i) job.run();
    }});
  }
  std::vector<const Peak*> used;
  std::vector<f64> operations;
  for (const Peak& peak : peaks()) {
    if (group.work == Work::aside || peak.work != group.work || !options.isa.has(peak.isa)) continue;
    used.push_back(&peak);
    all.push_back(timed_peak(peak, operations.emplace_back()));
  }
  sample_in_turns(all, options);

  const std::size_t jobs = group.jobs.size();
  std::vector<Line> lines;
  for (std::size_t i = 0; i < jobs; ++i) {
    Line line{.time = all[i].timing()};
    line.gops = group.operations / line.time.median_ms / 1e6;
    const IsaSet below = isa_up_to(group.jobs[i].isa);
    for (std::size_t p = 0; p < used.size(); ++p) {
      if (!below.has(used[p]->isa)) continue;
      line.peak_gops = std::max(line.peak_gops, operations[p] / all[jobs + p].timing().median_ms / 1e6);
    }
    line.gb_s = group.bytes / line.time.median_ms / 1e6;
    for (const Bandwidth& each : bandwidths) {
      const bool fits = group.bytes <= static_cast<f64>(each.capacity);
      if (!fits && &each != &bandwidths.back()) continue;
      line.level = each.level;
      line.level_gb_s = each.gb_s;
      break;
    }
    lines.push_back(line);
  }
  return lines;
}

std::vector<f64> measure_peaks(const Options& options) {
  std::vector<f64> result(peaks().size(), 0), operations(peaks().size(), 0);
  std::vector<Timed> all;
  std::vector<std::size_t> index;
  for (std::size_t i = 0; i < peaks().size(); ++i) {
    if (!options.isa.has(peaks()[i].isa)) continue;
    index.push_back(i);
    all.push_back(timed_peak(peaks()[i], operations[i]));
  }
  sample_in_turns(all, options);
  for (std::size_t i = 0; i < all.size(); ++i)
    result[index[i]] = operations[index[i]] / all[i].timing().median_ms / 1e6;
  return result;
}

std::vector<Bandwidth> measure_bandwidths(const Options& options) {
  const Reader& reader = bench::reader(options.isa);
  std::vector<Bandwidth> result;
  for (const MemoryLevel& level : memory_levels()) {
    const std::size_t bytes = options.smoke ? 4096 : level.sample_bytes / 512 * 512;
    AlignedBuffer buffer(bytes);
    if (!buffer.data()) continue;
    std::memset(buffer.data(), 1, bytes);
    std::vector<Timed> timed;
    timed.push_back({[&](u64 calls) {
      for (u64 i = 0; i < calls; ++i) reader.read(buffer.data(), bytes);
    }});
    sample_in_turns(timed, options);
    result.push_back({level.name, level.capacity, static_cast<f64>(bytes) / timed[0].timing().median_ms / 1e6});
  }
  return result;
}

}  // namespace whit::bench
