#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/spmm/stream.h"
#include "test_support.h"

namespace whit::spmm {
namespace {

using namespace whit::test;

template <class T>
std::vector<T> random_dense(Random& random, isize n, isize taps, isize k, int density, Block block, int largest) {
  std::vector<T> dense(n * taps * k);
  for (isize i = 0; i < n; i += block.rows) {
    for (isize t = 0; t < taps; ++t) {
      for (isize l = 0; l < k; l += block.lines) {
        if (random.integer(0, 99) >= density) continue;
        for (isize r = i; r < std::min(n, i + block.rows); ++r)
          for (isize c = l; c < std::min(k, l + block.lines); ++c)
            dense[(r * taps + t) * k + c] =
                static_cast<T>(random.integer(1, largest) * (random.integer(0, 1) ? 1 : -1));
      }
    }
  }
  return dense;
}

TEST_CASE_TEMPLATE("CSR of a dense matrix", T, f32, s8) {
  for (const int density : {0, 20, 100}) {
    Random random(density);
    const isize n = 9, taps = 3, k = 11;
    const std::vector<T> dense = random_dense<T>(random, n, taps, k, density, {}, 100);
    const auto csr = csr_from_dense(dense.data(), n, taps, k);
    REQUIRE(csr);
    const Csr<T> view = csr->view();
    CHECK(valid(view));
    std::vector<T> back(dense.size());
    for (isize i = 0; i < n; ++i) {
      for (s64 e = view.starts[i]; e < view.starts[i + 1]; ++e) {
        CHECK(view.values[e] != 0);
        back[i * taps * k + view.columns[e]] = view.values[e];
      }
    }
    CHECK(back == dense);
  }
}

TEST_CASE("CSR of nothing, of NaN and of minus zero") {
  const auto empty = csr_from_dense<f32>(nullptr, 0, 1, 5);
  REQUIRE(empty);
  CHECK(valid(empty->view()));
  const auto no_columns = csr_from_dense<f32>(nullptr, 3, 1, 0);
  REQUIRE(no_columns);
  CHECK(valid(no_columns->view()));
  const f32 values[] = {-0.0f, std::numeric_limits<f32>::quiet_NaN(), 0};
  const auto csr = csr_from_dense(values, 1, 1, 3);
  REQUIRE(csr);
  CHECK(csr->count == 1);
  CHECK(csr->view().columns[0] == 1);
}

TEST_CASE("sizes that fit no CSR") {
  const f32 value = 1;
  CHECK(!csr_from_dense(&value, -1, 1, 1));
  CHECK(!csr_from_dense(&value, 1, -1, 1));
  CHECK(!csr_from_dense(&value, 1, 1, -1));
  CHECK(!csr_from_dense(&value, 0, 65536, 32768));
  CHECK(!csr_from_dense(&value, 0, PTRDIFF_MAX, PTRDIFF_MAX));
  CHECK(!csr_from_dense(&value, PTRDIFF_MAX, 1, 0));
}

bool is_valid(isize n, isize taps, isize k, std::vector<s64> starts, std::vector<s32> columns, std::size_t values) {
  // Each beside a guard page: what is checked must not be read too far either.
  Guarded<s64> guarded_starts(static_cast<isize>(starts.size()));
  std::copy(starts.begin(), starts.end(), guarded_starts.data());
  Guarded<s32> guarded_columns(static_cast<isize>(columns.size()));
  std::copy(columns.begin(), columns.end(), guarded_columns.data());
  const std::vector<f32> all(values, 1.0f);
  return valid(Csr<f32>{n, taps, k, guarded_starts.span(), guarded_columns.span(), all});
}

TEST_CASE("what is no CSR") {
  CHECK(is_valid(2, 1, 4, {0, 2, 3}, {0, 3, 1}, 3));
  CHECK(is_valid(2, 2, 2, {0, 2, 3}, {0, 3, 1}, 3));
  CHECK(is_valid(0, 1, 4, {0}, {}, 0));
  CHECK_MESSAGE(!is_valid(2, 1, 4, {0, 2}, {0, 3, 1}, 3), "too few starts");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {0, 2, 3, 3}, {0, 3, 1}, 3), "too many starts");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {}, {0, 3, 1}, 3), "no starts");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {1, 2, 3}, {0, 3, 1}, 3), "first start is not 0");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {0, 2, 2}, {0, 3, 1}, 3), "last start is not the count");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {0, 4, 3}, {0, 3, 1}, 3), "a start beyond the count");
  CHECK_MESSAGE(!is_valid(3, 1, 4, {0, 2, 1, 3}, {0, 3, 1}, 3), "descending starts");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {0, -1, 3}, {0, 3, 1}, 3), "a negative start");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {0, 2, 3}, {0, 3, 1}, 2), "fewer values than columns");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {0, 2, 3}, {3, 0, 1}, 3), "unsorted columns");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {0, 2, 3}, {3, 3, 1}, 3), "a column twice");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {0, 2, 3}, {0, 4, 1}, 3), "a column too far");
  CHECK_MESSAGE(!is_valid(2, 1, 4, {0, 2, 3}, {-1, 3, 1}, 3), "a negative column");
  CHECK_MESSAGE(!is_valid(-1, 1, 4, {0}, {}, 0), "negative rows");
  CHECK_MESSAGE(!is_valid(0, -1, -4, {0}, {}, 0), "negative columns");
  CHECK_MESSAGE(!is_valid(0, 65536, 32768, {0}, {}, 0), "2^31 columns");
}

TEST_CASE("the blocks that zeros come in") {
  const isize n = 24, taps = 2, k = 30;
  for (const Block block : {Block{1, 1}, Block{4, 1}, Block{8, 1}, Block{1, 4}}) {
    CAPTURE(block.rows);
    CAPTURE(block.lines);
    Random random(5);
    const std::vector<s8> dense = random_dense<s8>(random, n, taps, k, 20, block, 100);
    const auto csr = csr_from_dense(dense.data(), n, taps, k);
    REQUIRE(csr);
    CHECK(fill(csr->view(), block) == 1);
    CHECK(block_of(csr->view()) == block);
    CHECK(fill(csr->view(), {1, 1}) == 1);
  }
  // 3 of the 4 and 2 of the 3 values of blocks that begin at rows 0 and 4 of 7.
  const std::vector<s8> column = {1, 0, 1, 1, 0, 1, 1};
  const auto csr = csr_from_dense(column.data(), 7, 1, 1);
  REQUIRE(csr);
  CHECK(fill(csr->view(), {4, 1}) == doctest::Approx(5.0 / 7));
  CHECK(block_of(csr->view()) == Block{1, 4});  // lines that do not exist do not count
  CHECK(block_of(csr->view(), 0.5) == Block{8, 1});
  const auto nothing = csr_from_dense<s8>(nullptr, 0, 1, 1);
  REQUIRE(nothing);
  CHECK(fill(nothing->view(), {8, 1}) == 1);
}

/// Where the entries of a band's runs are.
class Bundles {
 public:
  Bundles(const Run* runs, const Start& begin, const Start& end, int bundle)
      : runs_(runs), first_(begin.run), end_(end.run), entry_(begin.entry), bundle_(static_cast<u32>(bundle)) {}

  /// Of run i, in its order; i ascends.
  std::vector<s64> entries(u32 i) {
    while (i >= first_ + size()) {
      for (u32 r = first_, next = first_ + size(); r < next; ++r) entry_ += runs_[r].count;
      first_ += size();
    }
    const s64 least = runs_[first_ + size() - 1].count;
    std::vector<s64> entries;
    for (s64 e = 0; e < least; ++e) entries.push_back(entry_ + e * size() + (i - first_));
    s64 rest = entry_ + least * size();
    for (u32 r = first_; r < i; ++r) rest += runs_[r].count - least;
    for (s64 e = least; e < runs_[i].count; ++e) entries.push_back(rest + e - least);
    return entries;
  }

 private:
  u32 size() const { return end_ - first_ < bundle_ ? 1 : bundle_; }

  const Run* runs_;
  u32 first_, end_;  ///< of the bundle; of the band
  s64 entry_;        ///< the bundle's first
  u32 bundle_;
};

/// What a stream says, as dense[n][taps][k], and its bias. Counts what is not as the header says in `wrong`.
template <class T>
std::vector<T> unpacked(const std::byte* packed, const Layout& layout, isize* wrong) {
  const Stream& s = stream(packed);
  const Start* start = s.at<Start>(s.starts);
  const auto place_of = [&](s64 entry) {
    if (!layout.place_bytes) return s64{s.at<u8>(s.place_list)[entry]};
    const u16 bytes = s.at<u16>(s.place_list)[entry];
    *wrong += bytes % layout.place_bytes != 0;
    return s64{bytes / layout.place_bytes};
  };
  std::vector<T> dense(u64{s.n} * s.taps * s.k);
  const isize groups = ceil_div(static_cast<isize>(s.n), layout.rows);
  const auto value = [&](s64 index) {
    switch (layout.value) {
      case Value::f32: return static_cast<T>(s.at<f32>(s.value_list)[index]);
      case Value::s8: return static_cast<T>(s.at<s8>(s.value_list)[index]);
      case Value::s16: return static_cast<T>(s.at<s16>(s.value_list)[index]);
      case Value::s4: break;
    }
    const int both = s.at<u8>(s.value_list)[index / 64 * 32 + index % 32],
              bits = both >> (index % 64 < 32 ? 0 : 4) & 15;
    return static_cast<T>(bits < 8 ? bits : bits - 16);
  };
  s64 all = 0;
  for (u32 block = 0; block < s.blocks; ++block) {
    std::vector<isize> seen(groups);
    for (u32 band = 0; band < s.bands; ++band) {
      const Start* of = start + u64{block} * s.bands + band;
      *wrong += !(of->entry == all);
      Bundles bundle(s.at<Run>(s.run_list), of[0], of[1], layout.bundle);
      for (u32 i = of[0].run; i < of[1].run; ++i) {
        const Run run = s.at<Run>(s.run_list)[i];
        *wrong += i > of[0].run && !(run.count <= s.at<Run>(s.run_list)[i - 1].count);
        *wrong += !(run.group < layout.band);
        *wrong += !(run.count % layout.multiple == 0);
        const isize group = static_cast<isize>(band) * layout.band + run.group;
        REQUIRE(group < groups);
        ++seen[group];
        const std::vector<s64> entries = bundle.entries(i);
        for (std::size_t e = 0; e < entries.size(); ++e) {
          const s64 entry = entries[e];
          ++all;
          *wrong += e > 0 && !(place_of(entry) >= place_of(entries[e - 1]));
          const s64 place = s64{block} * s.places + place_of(entry);
          *wrong += !(place_of(entry) < s.places);
          *wrong += !(place < s.all_places);
          const s64 set = place / s.taps, tap = place % s.taps, many = layout.multiple;
          for (isize r = 0; r < layout.rows; ++r) {
            for (isize c = 0; c < layout.lines; ++c) {
              const s64 index = ((entry / many * layout.rows + r) * many + entry % many) * layout.lines + c;
              const T v = value(index);
              if (v == 0) continue;
              const s64 row = group * layout.rows + r, line = set * layout.lines + c;
              if (row >= s.n || line >= s.k) {
                ++*wrong;
                continue;
              }
              T& to = dense[(row * s.taps + tap) * s.k + line];
              *wrong += !(to == 0);
              to = v;
            }
          }
        }
      }
    }
    for (const isize times : seen) *wrong += block == 0 ? times != 1 : times > 1;
  }
  REQUIRE(start[u64{s.blocks} * s.bands].entry == all);
  return dense;
}

template <class T>
void check_stream(const Layout& layout, isize n, isize taps, isize k, int density, u64 seed) {
  CAPTURE(layout.rows);
  CAPTURE(layout.lines);
  CAPTURE(layout.multiple);
  CAPTURE(n);
  CAPTURE(taps);
  CAPTURE(k);
  Random random(seed);
  const std::vector<T> dense = random_dense<T>(random, n, taps, k, density, {}, 7);
  const auto csr = csr_from_dense(dense.data(), n, taps, k);
  REQUIRE(csr);
  const std::size_t bytes = packed_bytes(csr->view(), layout);
  REQUIRE(bytes < SIZE_MAX);
  PackedBuffer packed(bytes);
  std::fill_n(packed.data(), bytes, std::byte{0xff});
  std::vector<s32> bias(n);
  random.fill_integers<s32>(bias, -1000, 1000);
  pack(csr->view(), layout, bias.data(), packed.data());
  isize wrong = 0;
  CHECK(unpacked<T>(packed.data(), layout, &wrong) == dense);
  const Stream& s = stream(packed.data());
  const s32* got = s.at<s32>(s.bias);
  for (isize i = 0; i < static_cast<isize>(s.bands) * row_step(layout); ++i) wrong += got[i] != (i < n ? bias[i] : 0);
  CHECK(wrong == 0);
}

TEST_CASE("every weight is in the stream once, at its place") {
  u64 seed = 1;
  for (const Block block : {Block{1, 1}, Block{4, 1}, Block{8, 1}, Block{1, 4}}) {
    for (const int multiple : {1, 2}) {
      for (const int places : {256, 24, 1}) {
        const Layout f32s = {block.rows, block.lines, multiple, 64, 16, Value::f32, places};
        Layout s8s = f32s, s16s = f32s, s4s = f32s, bundles = f32s;
        bundles.bundle = 4, bundles.place_bytes = 240;
        s8s.value = Value::s8, s16s.value = Value::s16, s4s.value = Value::s4;
        for (const isize taps : {1, 3, 300}) {
          const isize k = taps == 300 ? 5 : 75;
          check_stream<f32>(f32s, 37, taps, k, 20, seed++);
          check_stream<f32>(bundles, 37, taps, k, 20, seed++);
          check_stream<s8>(s8s, 37, taps, k, 20, seed++);
          check_stream<s8>(s16s, 130, taps, k, 5, seed++);
          check_stream<s8>(s4s, 9, taps, k, 60, seed++);
        }
      }
    }
  }
}

TEST_CASE("streams of nothing and of all") {
  for (const int density : {0, 100}) {
    check_stream<f32>({}, 20, 1, 300, density, 1);
    check_stream<f32>({}, 20, 1, 0, density, 1);
    check_stream<f32>({}, 0, 1, 20, density, 1);
    check_stream<s8>({1, 4, 1, 256, 64, Value::s8}, 3, 9, 41, density, 1);
  }
}

TEST_CASE("zeros that a CSR holds are left out") {
  const std::vector<s64> starts = {0, 3};
  const std::vector<s32> columns = {0, 1, 2};
  const std::vector<f32> values = {0, 5, -0.0f};
  const Csr<f32> csr = {1, 1, 3, starts, columns, values};
  PackedBuffer packed(packed_bytes(csr, {}));
  pack(csr, {}, nullptr, packed.data());
  const Stream& s = stream(packed.data());
  CHECK(s.at<Start>(s.starts)[1].entry == 1);
  CHECK(s.at<u8>(s.place_list)[0] == 1);
  CHECK(fill(csr, {1, 4}) == doctest::Approx(1.0 / 3));
}

TEST_CASE("where the x of places begins") {
  const isize taps = 3, k = 10;
  const std::vector<s8> dense(taps * k, 1);
  const auto csr = csr_from_dense(dense.data(), 1, taps, k);
  REQUIRE(csr);
  const Layout layout = {1, 4, 1, 256, 64, Value::s8, 5};  // 3 sets of 3 places in blocks of 5
  PackedBuffer packed(packed_bytes(csr->view(), layout));
  pack(csr->view(), layout, nullptr, packed.data());
  const Stream& s = stream(packed.data());
  const s32 offsets[] = {0, 7, -2};
  isize at[256];
  REQUIRE(s.blocks == 2);
  REQUIRE(place_offsets(s, 0, 100, 4, offsets, at) == 5);
  CHECK(std::vector<isize>(at, at + 5) == std::vector<isize>{0, 28, -8, 100, 128});
  REQUIRE(place_offsets(s, 1, 100, 4, offsets, at) == 4);
  CHECK(std::vector<isize>(at, at + 4) == std::vector<isize>{92, 200, 228, 192});
  REQUIRE(place_offsets(s, 1, 100, 4, nullptr, at) == 4);
  CHECK(std::vector<isize>(at, at + 4) == std::vector<isize>{100, 200, 200, 200});
}

TEST_CASE("rows are split by their weights") {
  // The first quarter of the rows has all weights.
  const isize n = 512, k = 40;
  std::vector<f32> dense(n * k);
  std::fill_n(dense.begin(), n / 4 * k, 1.0f);
  const auto csr = csr_from_dense(dense.data(), n, 1, k);
  REQUIRE(csr);
  const Layout layout = {1, 1, 1, 16, 8};
  PackedBuffer packed(packed_bytes(csr->view(), layout));
  pack(csr->view(), layout, nullptr, packed.data());
  const Stream& s = stream(packed.data());
  CHECK(split_row(s, layout, 4, 0) == 0);
  CHECK(split_row(s, layout, 4, 1) == 32);
  CHECK(split_row(s, layout, 4, 2) == 64);
  CHECK(split_row(s, layout, 4, 3) == 96);
  CHECK(split_row(s, layout, 4, 4) == n);
  isize last = 0;
  for (int i = 0; i <= 100; ++i) {
    const isize row = split_row(s, layout, 100, i);
    CHECK(row >= last);
    CHECK((row % row_step(layout) == 0 || row == n));
    last = row;
  }
}

TEST_CASE("a matrix that is too large for a stream") {
  const std::vector<s64> starts(4, 0);
  const Csr<f32> csr = {3, 1, INT32_MAX, starts, {}, {}};  // 2^31 blocks take 16 GiB to say where they begin
  REQUIRE(valid(csr));
  CHECK(packed_bytes(csr, {.places = 1}) == SIZE_MAX);
}

}  // namespace
}  // namespace whit::spmm
