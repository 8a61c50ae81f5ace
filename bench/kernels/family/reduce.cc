#include "kernels/reduce/reduce.h"

#include "bench/kernels/family/table_shared.h"

namespace whit::bench {
namespace {

constexpr int kSum = static_cast<int>(reduce::Fold::sum);

/// The sums over the pixels of an image, for a global average. They go on growing from call to call, modulo 2^32.
Group sums_s8(ImageShape s, IsaSet isa) {
  Group group;
  group.bytes = static_cast<f64>(elements(s));
  const auto x = random<s8>(group, elements(s), 40);
  const auto sums = filled<s32>(group, s.channels, 0);
  group.output = bytes_of(sums);
  const reduce::ColumnArgs args{x.data(), s.side * s.side, s.channels, s.channels, sums.data()};
  add_tables(group, "columns_s8", reduce::tables(), isa,
             [args](const reduce::Table& table) { return [args, run = table.columns_s8[kSum]] { run(args); }; });
  return group;
}

Group sums_f32(ImageShape s, IsaSet isa) {
  Group group;
  group.bytes = 4.0 * static_cast<f64>(elements(s));
  const auto x = random<f32>(group, elements(s), 1), sums = filled<f32>(group, s.channels, 0);
  group.output = bytes_of(sums);
  const reduce::ColumnArgs args{x.data(), s.side * s.side, s.channels, s.channels, sums.data()};
  add_tables(group, "columns_f32", reduce::tables(), isa,
             [args](const reduce::Table& table) { return [args, run = table.columns_f32[kSum]] { run(args); }; });
  return group;
}

}  // namespace

void add_reduce(const Options& options, Entries& entries) {
  for (const ImageShape& s : image_shapes(options)) {
    const IsaSet isa = options.isa;
    entries.push_back({"reduce", "sums s8 " + shape_name(s), [s, isa] { return sums_s8(s, isa); }});
    entries.push_back({"reduce", "sums f32 " + shape_name(s), [s, isa] { return sums_f32(s, isa); }});
  }
}

}  // namespace whit::bench
