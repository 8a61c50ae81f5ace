#include "kernels/eltwise/eltwise.h"

#include "bench/kernels/family/table_shared.h"

namespace whit::bench {
namespace {

using eltwise::Binary;
using eltwise::Unary;

Group add_s8(isize n, IsaSet isa) {
  Group group;
  group.bytes = 3.0 * static_cast<f64>(n);
  group.exact = true;
  const auto a = random<s8>(group, n, 40), b = random<s8>(group, n, 40), y = allocate<s8>(group, n);
  group.output = bytes_of(y);
  eltwise::BinaryArgs args{a.data(), b.data(), y.data(), 1, n, n, n, 1, 1, {}};
  args.params = {.clamp_min = -118, .clamp_max = 137, .a_zero_point = 3, .b_zero_point = -5, .zero_point = -10};
  args.params.a_scale = 0.7f;
  args.params.b_scale = 0.6f;
  add_tables(group, "add_s8", eltwise::tables(), isa, [args](const eltwise::Table& table) {
    return [args, run = table.binary_s8[static_cast<int>(Binary::add)]] { run(args); };
  });
  return group;
}

Group add_f32(isize n, IsaSet isa) {
  Group group;
  group.bytes = 12.0 * static_cast<f64>(n);
  const auto a = random<f32>(group, n, 1), b = random<f32>(group, n, 1), y = allocate<f32>(group, n);
  group.output = bytes_of(y);
  eltwise::BinaryArgs args{a.data(), b.data(), y.data(), 1, n, n, n, 1, 1, {}};
  args.params.clamp_min = 0;
  add_tables(group, "add_f32", eltwise::tables(), isa, [args](const eltwise::Table& table) {
    return [args, run = table.binary_f32[static_cast<int>(Binary::add)]] { run(args); };
  });
  return group;
}

Group unary(const char* name, Unary function, isize n, IsaSet isa) {
  Group group;
  group.bytes = 8.0 * static_cast<f64>(n);
  const auto x = random<f32>(group, n, 2), y = allocate<f32>(group, n);
  group.output = bytes_of(y);
  const eltwise::UnaryArgs args{.x = x.data(), .y = y.data(), .n = n, .p = 0, .q = 6};
  add_tables(group, name, eltwise::tables(), isa, [args, function](const eltwise::Table& table) {
    return [args, run = table.unary[static_cast<int>(function)]] { run(args); };
  });
  return group;
}

}  // namespace

void add_eltwise(const Options& options, Entries& entries) {
  for (const ImageShape& s : image_shapes(options)) {
    const isize n = elements(s);
    const IsaSet isa = options.isa;
    const auto add = [&](const char* name, std::function<Group()> build) {
      entries.push_back({"eltwise", std::string(name) + " " + shape_name(s), std::move(build)});
    };
    add("add s8", [=] { return add_s8(n, isa); });
    add("add f32", [=] { return add_f32(n, isa); });
    add("hard_swish", [=] { return unary("hard_swish_f32", Unary::hard_swish, n, isa); });
    add("sigmoid", [=] { return unary("sigmoid_f32", Unary::sigmoid, n, isa); });
    add("gelu", [=] { return unary("gelu_f32", Unary::gelu, n, isa); });
  }
}

}  // namespace whit::bench
