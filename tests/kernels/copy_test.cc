#include "kernels/copy/copy.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "test_support.h"

namespace whit::copy {
namespace {

using namespace whit::test;

using Bytes = std::vector<std::byte>;

isize elements(const View& view) {
  isize product = 1;
  for (int i = 0; i < view.rank; ++i) product *= view.sizes[i];
  return product;
}

/// The definition in copy.h, one element at a time.
Bytes naive(const View& view, isize element_bytes, const std::byte* in) {
  Bytes out;
  for (isize n = 0; n < elements(view); ++n) {
    isize rest = n, at = view.offset;
    for (int i = view.rank - 1; i >= 0; --i) {
      at += rest % view.sizes[i] * view.strides[i];
      rest /= view.sizes[i];
    }
    out.insert(out.end(), in + at, in + at + element_bytes);
  }
  return out;
}

/// Copies with the plan, in one go and in pieces, between buffers that end at guard pages.
Path check(const View& view, isize element_bytes, isize in_bytes, Random& random) {
  Guarded<std::byte> in(in_bytes);
  for (std::byte& byte : in.span()) byte = static_cast<std::byte>(random.next());
  const Bytes wanted = naive(view, element_bytes, in.data());
  const Plan plan = copy::plan(view, element_bytes);
  INFO("path ", std::string(name(plan.path)), " rank ", view.rank, " element ", element_bytes, " units ", plan.units);
  for (isize piece : {plan.units, isize{1}, isize{3}}) {
    Guarded<std::byte> out(static_cast<isize>(wanted.size()));
    for (isize begin = 0; begin < plan.units; begin += piece)
      run(plan, in.data(), out.data(), begin, std::min(begin + piece, plan.units));
    CHECK(std::memcmp(out.data(), wanted.data(), wanted.size()) == 0);
  }
  return plan.path;
}

/// Axes of a dense tensor in another order.
View permuted(const std::vector<isize>& sizes, const std::vector<int>& perm, isize element_bytes) {
  View view;
  for (int axis : perm) {
    isize stride = element_bytes;
    for (std::size_t i = static_cast<std::size_t>(axis) + 1; i < sizes.size(); ++i) stride *= sizes[i];
    view.push(sizes[static_cast<std::size_t>(axis)], stride);
  }
  return view;
}

isize product(const std::vector<isize>& sizes) {
  isize out = 1;
  for (isize size : sizes) out *= size;
  return out;
}

TEST_CASE("2-D transpositions of every size around the tiles") {
  Random random(1);
  for (isize bytes : {1, 2, 4})
    for (isize rows : {2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 70})
      for (isize columns : {2, 3, 4, 5, 7, 8, 9, 16, 17, 64, 65, 131}) {
        const std::vector<isize> sizes{rows, columns};
        const View view = permuted(sizes, {1, 0}, bytes);
        check(view, bytes, product(sizes) * bytes, random);
      }
}

TEST_CASE("images between planes and pixels") {
  Random random(2);
  for (isize bytes : {1, 2, 4})
    for (isize channels : {1, 2, 3, 4, 5, 16, 24}) {
      check(permuted({2, channels, 13, 17}, {0, 2, 3, 1}, bytes), bytes, 2 * channels * 13 * 17 * bytes, random);
      check(permuted({2, 13, 17, channels}, {0, 3, 1, 2}, bytes), bytes, 2 * channels * 13 * 17 * bytes, random);
    }
}

TEST_CASE("a transposition larger than one unit is split") {
  Random random(3);
  const Plan plan = copy::plan(permuted({64, 5000}, {1, 0}, 4), 4);
  CHECK(plan.path == Path::transpose);
  CHECK(plan.units > 10);
  check(permuted({64, 5000}, {1, 0}, 4), 4, 64 * 5000 * 4, random);
}

TEST_CASE("random permutations of up to five axes") {
  Random random(4);
  for (int trial = 0; trial < 300; ++trial) {
    INFO("trial ", trial);
    const int rank = static_cast<int>(random.integer(1, 5));
    std::vector<isize> sizes;
    std::vector<int> perm;
    for (int i = 0; i < rank; ++i) {
      sizes.push_back(random.integer(1, 9));
      perm.insert(perm.begin() + random.integer(0, i), i);
    }
    const isize bytes = isize{1} << random.integer(0, 2);
    check(permuted(sizes, perm, bytes), bytes, product(sizes) * bytes, random);
  }
}

TEST_CASE("random slices, reversed, repeated and permuted axes") {
  Random random(5);
  bool seen[5] = {};
  for (int trial = 0; trial < 500; ++trial) {
    INFO("trial ", trial);
    const int rank = static_cast<int>(random.integer(1, 4));
    const isize bytes = isize{1} << random.integer(0, 2);
    View view;
    isize stride = bytes;
    std::vector<isize> sizes(static_cast<std::size_t>(rank)), strides(sizes), offsets(sizes);
    for (int i = rank - 1; i >= 0; --i) {
      const isize have = random.integer(1, 12), start = random.integer(0, have - 1);
      const std::size_t at = static_cast<std::size_t>(i);
      switch (random.integer(0, 3)) {
        case 0: sizes[at] = random.integer(1, 12), strides[at] = 0, offsets[at] = start * stride; break;
        case 1: sizes[at] = start + 1, strides[at] = -stride, offsets[at] = start * stride; break;
        case 2: sizes[at] = (have - start + 1) / 2, strides[at] = 2 * stride, offsets[at] = start * stride; break;
        default: sizes[at] = have - start, strides[at] = stride, offsets[at] = start * stride;
      }
      stride *= have;
    }
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      view.offset += offsets[i];
      order.insert(order.begin() + random.integer(0, static_cast<s64>(i)), i);
    }
    for (std::size_t i : order) view.push(sizes[i], strides[i]);
    seen[static_cast<int>(check(view, bytes, stride, random))] = true;
  }
  for (Path path : {Path::dense, Path::rows, Path::fill, Path::transpose, Path::strided}) {
    INFO("path ", std::string(name(path)));
    CHECK(seen[static_cast<int>(path)]);
  }
}

TEST_CASE("what merges into one run is copied as one") {
  View whole;
  for (isize size : {isize{3}, isize{4}, isize{5}}) whole.push(size, 0);
  whole.strides[2] = 4, whole.strides[1] = 20, whole.strides[0] = 80;
  CHECK(copy::plan(whole, 4).path == Path::dense);
  View scalar;
  CHECK(copy::plan(scalar, 4).path == Path::dense);
  Random random(6);
  check(scalar, 4, 4, random);
  View large;
  large.push(100000, 1);
  CHECK(copy::plan(large, 1).units > 1);
  check(large, 1, 100000, random);
}

TEST_CASE("rows") {
  Random random(7);
  for (isize bytes = 1; bytes <= 40; ++bytes) {
    Guarded<std::byte> in(5 * (bytes + 3) - 3), out(5 * (bytes + 2) - 2);
    for (std::byte& byte : in.span()) byte = static_cast<std::byte>(random.next());
    std::fill(out.span().begin(), out.span().end(), std::byte{0x11});
    rows(in.data(), bytes + 3, out.data(), bytes + 2, bytes, 5);
    for (isize i = 0; i < 5; ++i) {
      CHECK(std::memcmp(in.data() + i * (bytes + 3), out.data() + i * (bytes + 2), static_cast<std::size_t>(bytes)) ==
            0);
      if (i < 4) CHECK(out[i * (bytes + 2) + bytes] == std::byte{0x11});
    }
  }
}

TEST_CASE("gather clamps what lies outside") {
  const s32 index[] = {0, 3, -1, -4, 4, 1000000, -5, std::numeric_limits<s32>::min(), std::numeric_limits<s32>::max()};
  const u8 in[] = {10, 11, 12, 13};
  const u8 wanted[] = {10, 13, 13, 10, 13, 13, 10, 10, 13};
  u8 out[9] = {};
  gather(reinterpret_cast<const std::byte*>(in), 4, 1, index, 9, reinterpret_cast<std::byte*>(out));
  for (int i = 0; i < 9; ++i) CHECK(int{out[i]} == int{wanted[i]});
}

/// The definition of padding, one element at a time.
Bytes naive_pad(const Pad& pad, const std::byte* in) {
  Bytes out;
  isize total = 1;
  for (int i = 0; i < pad.rank; ++i) total *= pad.before[i] + pad.sizes[i] + pad.after[i];
  for (isize n = 0; n < total; ++n) {
    isize rest = n, at = 0, stride = 1;
    bool constant = false;
    for (int i = pad.rank - 1; i >= 0; --i) {
      const isize extent = pad.before[i] + pad.sizes[i] + pad.after[i];
      isize index = rest % extent - pad.before[i];
      rest /= extent;
      if (index < 0 || index >= pad.sizes[i]) {
        if (pad.mode == PadMode::constant) constant = true;
        if (pad.mode == PadMode::edge) index = index < 0 ? 0 : pad.sizes[i] - 1;
        if (pad.mode == PadMode::reflect) {
          while (index < 0 || index >= pad.sizes[i]) index = index < 0 ? -index : 2 * (pad.sizes[i] - 1) - index;
        }
      }
      at += index * stride;
      stride *= pad.sizes[i];
    }
    const std::byte* from = constant ? reinterpret_cast<const std::byte*>(&pad.value) : in + at * pad.value_bytes;
    out.insert(out.end(), from, from + pad.value_bytes);
  }
  return out;
}

TEST_CASE("padding") {
  Random random(8);
  for (int trial = 0; trial < 400; ++trial) {
    INFO("trial ", trial);
    Pad pad;
    pad.mode = static_cast<PadMode>(random.integer(0, 2));
    pad.value_bytes = isize{1} << random.integer(0, 2);
    pad.value = static_cast<u32>(random.next());
    const int rank = static_cast<int>(random.integer(1, 4));
    isize in_bytes = pad.value_bytes;
    for (int i = 0; i < rank; ++i) {
      const isize size = random.integer(1, 6);
      const isize most = pad.mode == PadMode::reflect ? size - 1 : 4;
      const bool padded = random.integer(0, 1) == 1;
      pad.push(size, padded ? random.integer(0, most) : 0, padded ? random.integer(0, most) : 0);
      in_bytes *= size;
    }
    Guarded<std::byte> in(in_bytes);
    for (std::byte& byte : in.span()) byte = static_cast<std::byte>(random.next());
    const Bytes wanted = naive_pad(pad, in.data());
    const Pad plan = copy::plan(pad);
    Guarded<std::byte> out(static_cast<isize>(wanted.size()));
    CHECK(plan.rows * plan.row_bytes == out.size());
    for (isize row = 0; row < plan.rows; ++row) run(plan, in.data(), out.data(), row, row + 1);
    CHECK(std::memcmp(out.data(), wanted.data(), wanted.size()) == 0);
  }
}

}  // namespace
}  // namespace whit::copy
