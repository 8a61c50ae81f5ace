#include "kernels/lut/lut.h"

#include "bench/kernels/family/table_shared.h"

namespace whit::bench {
namespace {

Group build(isize n, IsaSet isa) {
  Group group;
  group.bytes = 2.0 * static_cast<f64>(n);
  group.exact = true;
  const auto x = random<s8>(group, n, 60), y = allocate<s8>(group, n), entries = random<s8>(group, lut::kEntries, 50);
  group.output = bytes_of(y);
  add_tables(group, "lut", lut::tables(), isa, [=](const lut::Table& table) {
    return [=, map = table.map_s8] { map(x.data(), y.data(), n, entries.data()); };
  });
  return group;
}

}  // namespace

void add_lut(const Options& options, Entries& entries) {
  for (const ImageShape& s : image_shapes(options))
    entries.push_back({"lut", shape_name(s), [n = elements(s), isa = options.isa] { return build(n, isa); }});
}

}  // namespace whit::bench
