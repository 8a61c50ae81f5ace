#include "kernels/pool/pool.h"

#include "bench/kernels/family/table_shared.h"

namespace whit::bench {
namespace {

/// The 3x3 windows of stride 2 of a ResNet.
template <class T>
Group build(const char* name, void (*const pool::Table::*function)(const pool::Args&, isize, isize), ImageShape s,
            IsaSet isa) {
  Group group;
  const isize out = (s.side - 1) / 2 + 1;
  group.bytes = static_cast<f64>(sizeof(T)) * static_cast<f64>(elements(s) + out * out * s.channels);
  group.exact = sizeof(T) == 1;
  const auto x = random<T>(group, elements(s), 40), y = allocate<T>(group, out * out * s.channels);
  group.output = bytes_of(y);
  pool::Args args{};
  args.x = x.data();
  args.y = y.data();
  args.geometry = {.in_h = s.side,
                   .in_w = s.side,
                   .out_h = out,
                   .out_w = out,
                   .channels = s.channels,
                   .kernel_h = 3,
                   .kernel_w = 3,
                   .stride_h = 2,
                   .stride_w = 2,
                   .dilation_h = 1,
                   .dilation_w = 1,
                   .pad_top = 1,
                   .pad_left = 1,
                   .pad_bottom = 1,
                   .pad_right = 1};
  add_tables(group, name, pool::tables(), isa, [args, out, function](const pool::Table& table) {
    return [args, out, run = table.*function] { run(args, 0, out); };
  });
  return group;
}

}  // namespace

void add_pool(const Options& options, Entries& entries) {
  for (const ImageShape& s : image_shapes(options)) {
    const IsaSet isa = options.isa;
    const auto add = [&](const char* name, std::function<Group()> make) {
      entries.push_back({"pool", std::string(name) + " 3x3s2 " + shape_name(s), std::move(make)});
    };
    add("max s8", [=] { return build<s8>("max_pool_s8", &pool::Table::max_s8, s, isa); });
    add("average s8", [=] { return build<s8>("average_pool_s8", &pool::Table::average_s8, s, isa); });
    add("max f32", [=] { return build<f32>("max_pool_f32", &pool::Table::max_f32, s, isa); });
    add("average f32", [=] { return build<f32>("average_pool_f32", &pool::Table::average_f32, s, isa); });
  }
}

}  // namespace whit::bench
