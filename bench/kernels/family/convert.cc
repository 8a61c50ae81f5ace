#include "kernels/convert/convert.h"

#include "bench/kernels/family/table_shared.h"

namespace whit::bench {
namespace {

Group quantize(isize n, IsaSet isa) {
  Group group;
  group.bytes = 5.0 * static_cast<f64>(n);
  group.exact = true;
  const auto x = random<f32>(group, n, 1);
  const auto y = allocate<s8>(group, n);
  const auto scale = filled<f32>(group, 1, 0.03f);
  const auto zero_point = filled<s32>(group, 1, -7);
  group.output = bytes_of(y);
  const convert::QuantizeArgs args{x.data(), y.data(), 1, n, scale.data(), zero_point.data(), false};
  add_tables(group, "quantize_s8", convert::tables(), isa,
             [args](const convert::Table& table) { return [args, run = table.quantize] { run(args); }; });
  return group;
}

}  // namespace

void add_convert(const Options& options, Entries& entries) {
  for (const ImageShape& s : image_shapes(options)) {
    const isize n = elements(s);
    entries.push_back({"convert", "quantize " + shape_name(s), [n, isa = options.isa] { return quantize(n, isa); }});
  }
}

}  // namespace whit::bench
