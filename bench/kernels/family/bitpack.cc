#include "kernels/bitpack/bitpack.h"

#include "bench/kernels/family/table_shared.h"

namespace whit::bench {
namespace {

template <class T>
Group build(const ImageShape& s, void (*bitpack::Table::*pack)(const bitpack::Args<T>&, isize, isize), IsaSet isa) {
  Group group;
  const isize pixels = s.side * s.side, bytes = (s.channels + 7) / 8;
  group.bytes = static_cast<f64>(pixels * (s.channels * static_cast<isize>(sizeof(T)) + bytes));
  group.exact = true;
  const auto x = random<T>(group, pixels * s.channels, 60), thresholds = random<T>(group, s.channels, 20);
  const auto bits = allocate<u8>(group, pixels * bytes);
  group.output = bytes_of(bits);
  const bitpack::Args<T> args{x.data(), s.channels, s.channels, thresholds.data(), T{0}, bits.data(), bytes};
  add_tables(group, sizeof(T) == 1 ? "bitpack_s8" : "bitpack_f32", bitpack::tables(), isa,
             [=](const bitpack::Table& table) { return [=, run = table.*pack] { run(args, 0, pixels); }; });
  return group;
}

}  // namespace

void add_bitpack(const Options& options, Entries& entries) {
  for (const ImageShape& s : image_shapes(options)) {
    entries.push_back({"bitpack", "f32 " + shape_name(s),
                       [s, isa = options.isa] { return build<f32>(s, &bitpack::Table::pack_f32, isa); }});
    entries.push_back({"bitpack", "s8 " + shape_name(s),
                       [s, isa = options.isa] { return build<s8>(s, &bitpack::Table::pack_s8, isa); }});
  }
}

}  // namespace whit::bench
