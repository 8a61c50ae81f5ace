// kernel_bench: GOP/s of every kernel, and per cent of what the same core does at most, measured in the same minute.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bench/kernels/harness.h"

namespace whit::bench {
namespace {

constexpr const char* kUsage =
    "usage: kernel_bench [--filter TEXT] [--scalar] [--rounds N] [--sample-ms MS] [--smoke] [--json]\n"
    "  --filter TEXT   groups whose family and shape, or kernels whose name, contain TEXT\n"
    "  --scalar        portable kernels too\n"
    "  --rounds N      samples of each kernel, taken in turns (default 11)\n"
    "  --sample-ms MS  length of a sample (default 2)\n"
    "  --smoke         small shapes, one call each: do the kernels run here, and agree?\n"
    "  --json          JSON instead of a table\n"
    "WHIT_ISA=LEVEL leaves out what is above that level. One thread, CPU time; pin it with taskset where cores "
    "differ.\n";

int fail(const std::string& message) {
  std::fprintf(stderr, "kernel_bench: %s\n%s", message.c_str(), kUsage);
  return 2;
}

/// The level, or with nothing but portable kernels that.
IsaSet without_scalar(IsaSet isa) {
  IsaSet result;
  for (int i = 1; i < kIsaCount; ++i)
    if (isa.has(static_cast<Isa>(i))) result = result.with(static_cast<Isa>(i));
  return result == IsaSet() ? isa : result;
}

std::string cpu_name() {
  std::FILE* file = std::fopen("/proc/cpuinfo", "r");
  std::string name = "unknown";
  char line[256];
  while (file && std::fgets(line, sizeof line, file)) {
    if (std::strncmp(line, "model name", 10) != 0 && std::strncmp(line, "Model", 5) != 0) continue;
    if (const char* colon = std::strchr(line, ':')) name = colon + 1;
    break;
  }
  if (file) std::fclose(file);
  std::erase_if(name, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' '; });
  return name.substr(std::min(name.find_first_not_of(' '), name.size()));
}

const char* work_name(Work work) {
  switch (work) {
    case Work::s8: return "s8";
    case Work::f32: return "f32";
    case Work::b1: return "b1";
    default: return "aside";
  }
}

class Report {
 public:
  explicit Report(const Options& options) : json_(options.json), smoke_(options.smoke) {}

  void head(const Options& options, std::span<const f64> peak_gops, std::span<const Bandwidth> bandwidths) {
    const std::string isa = isa_list(options.isa), cpu = cpu_name();
    if (json_) {
      std::printf(
          "{\"schema\": 1, \"cpu\": \"%s\", \"isa\": \"%s\",\n \"rounds\": %d, \"sample_ms\": %g,\n \"peaks\": [",
          cpu.c_str(), isa.c_str(), options.smoke ? 1 : options.rounds, options.smoke ? 0 : options.sample_ms);
    } else {
      std::printf("%s: %s\n\n%-44s %10s\n", cpu.c_str(), isa.c_str(), "peak of one core", "GOP/s");
    }
    const char* separator = "";
    for (std::size_t i = 0; i < peak_gops.size(); ++i) {
      const Peak& peak = peaks()[i];
      if (peak_gops[i] == 0) continue;
      if (json_) {
        std::printf("%s\n  {\"name\": \"%s\", \"isa\": \"%s\", \"work\": \"%s\", \"gops\": %.4g}", separator, peak.name,
                    isa_name(peak.isa), work_name(peak.work), peak_gops[i]);
      } else {
        std::printf("%-44s %10.1f\n", peak.name, peak_gops[i]);
      }
      separator = ",";
    }
    if (json_) std::printf("],\n \"bandwidths\": [");
    if (!json_) std::printf("\n%-44s %10s\n", "read by one core", "GB/s");
    separator = "";
    for (const Bandwidth& each : bandwidths) {
      if (json_) {
        std::printf("%s\n  {\"level\": \"%s\", \"gb_s\": %.4g}", separator, each.level, each.gb_s);
      } else {
        std::printf("%-44s %10.1f\n", each.level, each.gb_s);
      }
      separator = ",";
    }
    if (json_) std::printf("],\n \"results\": [");
  }

  void group(const Group& group, std::span<const Line> lines) {
    if (!json_) std::printf("\n%s %s\n", group.family.c_str(), group.shape.c_str());
    for (std::size_t i = 0; i < lines.size(); ++i) {
      json_ ? json_line(group, group.jobs[i], lines[i]) : text_line(group, group.jobs[i], lines[i]);
    }
    std::fflush(stdout);
  }

  void end() const {
    if (json_) {
      std::printf("]}\n");
    } else {
      std::printf("\n* the kernel that the engine takes here%s\n",
                  smoke_ ? "" : "; medians, with the fastest and slowest");
    }
  }

 private:
  void text_line(const Group& group, const Job& job, const Line& line) const {
    if (smoke_) {
      std::printf("%c %s ran\n", job.selected ? '*' : ' ', job.kernel.c_str());
      return;
    }
    std::printf("%c %-42s %9.4f ms (%.4f to %.4f)", job.selected ? '*' : ' ', job.kernel.c_str(), line.time.median_ms,
                line.time.min_ms, line.time.max_ms);
    if (group.operations > 0) std::printf("  %8.1f GOP/s", line.gops);
    if (line.peak_gops > 0) std::printf(" %5.1f %% of peak", 100 * line.gops / line.peak_gops);
    if (compares_bytes(group) && line.level)
      std::printf("  %7.1f GB/s %5.1f %% of %s", line.gb_s, 100 * line.gb_s / line.level_gb_s, line.level);
    std::printf("\n");
  }

  void json_line(const Group& group, const Job& job, const Line& line) {
    std::printf("%s\n  {\"family\": \"%s\", \"shape\": \"%s\", \"kernel\": \"%s\", \"isa\": \"%s\", \"selected\": %s, ",
                separator_, group.family.c_str(), group.shape.c_str(), job.kernel.c_str(), isa_name(job.isa),
                job.selected ? "true" : "false");
    std::printf("\"median_ms\": %.6g, \"min_ms\": %.6g, \"max_ms\": %.6g, \"gops\": ", line.time.median_ms,
                line.time.min_ms, line.time.max_ms);
    number_or_null(line.gops);
    std::printf(", \"peak_gops\": ");
    number_or_null(line.peak_gops);
    std::printf(", \"percent_of_peak\": ");
    number_or_null(line.peak_gops > 0 ? 100 * line.gops / line.peak_gops : 0);
    std::printf(", \"gb_s\": %.4g, \"memory_bound\": %s, \"level\": \"%s\", \"percent_of_level\": ", line.gb_s,
                compares_bytes(group) ? "true" : "false", line.level ? line.level : "");
    number_or_null(line.level_gb_s > 0 ? 100 * line.gb_s / line.level_gb_s : 0);
    std::printf("}");
    separator_ = ",";
  }

  static bool compares_bytes(const Group& group) { return group.memory_bound || group.operations == 0; }

  static void number_or_null(f64 value) { value > 0 ? std::printf("%.4g", value) : std::printf("null"); }

  bool json_, smoke_;
  const char* separator_ = "";
};

bool names_group(std::string_view filter, const Entry& entry) {
  return (entry.family + " " + entry.shape).find(filter) != std::string::npos;
}

int run(const Options& options) {
  Entries entries;
#define FAMILY(name) add_##name(options, entries);
#include "bench/kernels/family/families.inc"
#undef FAMILY
  const std::vector<Bandwidth> bandwidths = measure_bandwidths(options);
  Report report(options);
  report.head(options, measure_peaks(options), bandwidths);
  // A filter that names no family and shape may name kernels, which only a group that is built knows.
  const bool groups_are_named =
      std::ranges::any_of(entries, [&](const Entry& entry) { return names_group(options.filter, entry); });
  int shown = 0;
  bool wrong = false;
  for (const Entry& entry : entries) {
    const bool named = names_group(options.filter, entry);
    if (groups_are_named && !named) continue;
    Group group = entry.build();
    group.family = entry.family;
    group.shape = entry.shape;
    if (!named)
      std::erase_if(group.jobs, [&](const Job& job) { return job.kernel.find(options.filter) == std::string::npos; });
    if (group.jobs.empty()) continue;
    wrong |= !agree(group);
    report.group(group, measure(group, options, bandwidths));
    ++shown;
  }
  report.end();
  if (shown == 0) return fail("--filter " + std::string(options.filter) + ": no such family, shape or kernel here");
  return wrong ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  bool scalar = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    const bool takes_value = option == "--filter" || option == "--rounds" || option == "--sample-ms";
    if (takes_value && i + 1 == argc) return fail(std::string(option) + " wants a value");
    if (option == "--filter") {
      options.filter = argv[++i];
    } else if (option == "--rounds") {
      options.rounds = std::atoi(argv[++i]);
    } else if (option == "--sample-ms") {
      options.sample_ms = std::atof(argv[++i]);
    } else if (option == "--scalar") {
      scalar = true;
    } else if (option == "--smoke") {
      options.smoke = scalar = true;
    } else if (option == "--json") {
      options.json = true;
    } else if (option == "--help") {
      std::printf("%s", kUsage);
      return 0;
    } else {
      return fail("no option " + std::string(option));
    }
  }
  if (options.rounds < 1 || !(options.sample_ms > 0)) return fail("--rounds and --sample-ms must be above 0");
  const Result<IsaSet> active = isa_active();
  if (!active.ok()) return fail(active.status().message());
  options.isa = scalar ? *active : without_scalar(*active);
  return run(options);
}

}  // namespace whit::bench

int main(int argc, char** argv) { return whit::bench::main(argc, argv); }
