#include "kernels/spmm_f32/spmm_f32.h"

#include "bench/kernels/harness.h"
#include "kernels/spmm_f32/kernel.h"

namespace whit::bench {
namespace {

/// size x size weights, of whose blocks `zeros` per cent are zeros, times size x columns.
struct Shape {
  isize size, columns;
  int zeros;
  spmm::Block block = {};
};

std::vector<Shape> shapes(const Options& options) {
  if (options.smoke) return {{100, 19, 80}, {100, 1, 80}, {96, 19, 80, {8, 1}}, {96, 1, 80, {8, 1}}};
  std::vector<Shape> shapes;
  for (const isize size : {512, 1024, 2048})
    for (const int zeros : {80, 90, 95})
      for (const isize columns : {16, 49, 196, 1}) shapes.push_back({size, columns, zeros});
  for (const spmm::Block block : {spmm::Block{4, 1}, spmm::Block{8, 1}})
    for (const isize columns : {196, 1}) shapes.push_back({1024, columns, 90, block});
  return shapes;
}

std::string shape_name(const Shape& s) {
  std::string name = std::to_string(s.size) + "x" + std::to_string(s.size) + "x" + std::to_string(s.columns) + " " +
                     std::to_string(s.zeros) + "% zeros";
  if (s.block != spmm::Block{}) name += " in " + std::to_string(s.block.rows) + "x" + std::to_string(s.block.lines);
  return name;
}

std::span<f32> weights(Group& group, const Shape& s) {
  std::mt19937 generator(1);
  std::uniform_int_distribution<int> percent(0, 99);
  const std::span<f32> values = random<f32>(group, s.size * s.size, 0.1f);
  for (isize i = 0; i < s.size; i += s.block.rows) {
    for (isize j = 0; j < s.size; ++j) {
      if (percent(generator) >= s.zeros) continue;
      for (isize r = i; r < i + s.block.rows; ++r) values[static_cast<std::size_t>(r * s.size + j)] = 0;
    }
  }
  return values;
}

Group build(const Shape& s, IsaSet isa) {
  Group group;
  group.work = Work::f32;
  const auto csr = spmm::csr_from_dense(weights(group, s).data(), s.size, 1, s.size);
  if (!csr) return group;
  group.operations = 2.0 * static_cast<f64>(csr->count * s.columns);
  group.bytes = 6.0 * static_cast<f64>(csr->count) + 8.0 * static_cast<f64>(s.size * s.columns);
  group.memory_bound = s.columns == 1;
  const auto x = random<f32>(group, s.size * s.columns, 1);
  const auto out = allocate<f32>(group, s.size * s.columns);
  group.output = bytes_of(out);
  const spmm_f32::Kernel* selected =
      &spmm_f32::select({.n = s.size, .taps = 1, .k = s.size, .pixels = s.columns, .block = s.block}, isa);
  for (const spmm_f32::Kernel& kernel : spmm_f32::kernels()) {
    const bool one_column = spmm_f32::pixel_tile(kernel) == 1;
    if (!isa.has(kernel.isa) || (one_column && s.columns > 1)) continue;
    if (!one_column && kernel.rows > s.block.rows) continue;  // most of its entries would be zeros
    const auto packed = allocate<std::byte>(group, static_cast<isize>(spmm_f32::packed_bytes(kernel, csr->view())));
    spmm_f32::pack(kernel, csr->view(), nullptr, packed.data());
    const spmm_f32::Args args{.packed = packed.data(),
                              .lines = x.data(),
                              .line_stride = s.columns,
                              .offsets = nullptr,
                              .acc = out.data(),
                              .acc_stride = s.columns};
    group.jobs.push_back({kernel.name, kernel.isa, &kernel == selected,
                          [&kernel, args, s] { spmm_f32::run(kernel, args, 0, s.size, s.columns); }});
  }
  return group;
}

}  // namespace

void add_spmm_f32(const Options& options, Entries& entries) {
  for (const Shape& s : shapes(options))
    entries.push_back({"spmm_f32", shape_name(s), [s, isa = options.isa] { return build(s, isa); }});
}

}  // namespace whit::bench
