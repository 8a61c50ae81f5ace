#include "kernels/softmax/softmax.h"

#include "bench/kernels/family/table_shared.h"

namespace whit::bench {
namespace {

Group softmax_rows(isize rows, isize n, IsaSet isa) {
  Group group;
  group.bytes = 8.0 * static_cast<f64>(rows * n);
  const auto x = random<f32>(group, rows * n, 2), y = allocate<f32>(group, rows * n);
  group.output = bytes_of(y);
  const softmax::Args args{.x = x.data(), .y = y.data(), .rows = rows, .n = n, .columns = 1};
  add_tables(group, "softmax", softmax::tables(), isa,
             [args](const softmax::Table& table) { return [args, run = table.softmax] { run(args, 0, 1); }; });
  return group;
}

Group layer_normalization(isize rows, isize n, IsaSet isa) {
  Group group;
  group.bytes = 8.0 * static_cast<f64>(rows * n);
  const auto x = random<f32>(group, rows * n, 2), y = allocate<f32>(group, rows * n);
  const auto scale = filled<f32>(group, n, 1.5f);
  group.output = bytes_of(y);
  const softmax::LayerNormArgs args{x.data(), y.data(), scale.data(), nullptr, rows, n, 1e-5f};
  add_tables(group, "layer_normalization", softmax::tables(), isa,
             [args](const softmax::Table& table) { return [args, run = table.layer_normalization] { run(args); }; });
  return group;
}

}  // namespace

void add_softmax(const Options& options, Entries& entries) {
  for (const ImageShape& s : image_shapes(options)) {
    const isize rows = s.side * s.side, n = s.channels;
    const std::string shape = std::to_string(rows) + "x" + std::to_string(n);
    const IsaSet isa = options.isa;
    entries.push_back({"softmax", "softmax " + shape, [=] { return softmax_rows(rows, n, isa); }});
    entries.push_back({"softmax", "layer_normalization " + shape, [=] { return layer_normalization(rows, n, isa); }});
  }
}

}  // namespace whit::bench
