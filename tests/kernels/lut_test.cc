// Every level of the table lookup against plain indexing.
#include "kernels/lut/lut.h"

#include <algorithm>

#include "kernels/table_support.h"

namespace whit::lut {
namespace {

TEST_CASE("every entry, every length, in place") {
  test::Random random(1);
  s8 entries[kEntries];
  test::for_each_level(tables(), [&](const Table& table) {
    for (int round = 0; round < 4; ++round) {
      random.fill_integers<s8>(entries, -128, 127);
      for (isize n : {0, 1, 15, 16, 17, 31, 64, 127, 128, 129, 255, 256, 257, 300, 511, 1000, 4096}) {
        test::Guarded<s8> x(n), y(n);
        for (isize i = 0; i < n; ++i) x[i] = static_cast<s8>(n >= 256 ? i : random.integer(-128, 127));
        table.map_s8(x.data(), y.data(), n, entries);
        isize wrong = 0;
        for (isize i = 0; i < n; ++i) wrong += y[i] != entries[static_cast<u8>(x[i])];
        INFO("n = ", n);
        CHECK(wrong == 0);
        table.map_s8(x.data(), x.data(), n, entries);
        CHECK(std::equal(x.data(), x.data() + n, y.data()));
      }
    }
  });
}

}  // namespace
}  // namespace whit::lut
