#include "kernels/spmm_s8/spmm_s8.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "epilogue_s8_reference.h"
#include "kernels/spmm_s8/kernel.h"
#include "test_support.h"

namespace whit::spmm_s8 {
namespace {

using test::EpilogueCase;
using test::Guarded;
using test::Output;
using test::PackedBuffer;
using test::Random;
using test::ScaleKind;

// minimum, maximum: x is -128 or 127 everywhere, weights are +-largest. rows: every third row of weights is empty.
// s4: of all values from -8 to 7, at least.
enum class Fill { random, minimum, maximum, rows, s4 };

struct Case {
  isize n, taps, k, pixels;
  f64 density = 0.1;
  Block block = {};
  int largest = 127;
  Fill fill = Fill::random;
  u64 seed = 1;
};

bool is_column(const Kernel& kernel) { return kernel.lanes > 0; }

constexpr isize kBeside = 64;  // bytes between lines that are no part of them

/// Weights and lines of a case, all at guard pages, and sums by the definition.
class Fixture {
 public:
  explicit Fixture(const Case& c)
      : c_(c),
        random_(c.seed),
        weights_(static_cast<std::size_t>(c.n * c.taps * c.k)),
        starts_(c.n + 1),
        columns_(draw_weights()),
        values_(columns_.size()),
        bias_(c.n),
        has_bias_(random_.integer(0, 3) > 0),
        zero_point_(static_cast<s32>(random_.integer(-128, 127))),
        offsets_(c.taps),
        row_stride_(c.k + random_.integer(0, 5)) {
    isize reach = 0;
    for (isize t = 0; t < c.taps; ++t) {
      offsets_[t] = c.taps == 1 ? 0 : static_cast<s32>(random_.integer(0, 19));
      reach = std::max<isize>(reach, offsets_[t]);
    }
    line_pixels_ = c.pixels + reach;
    for (isize i = 0, at = 0; i < c.n; ++i) {
      starts_[i] = at;
      for (isize j = 0; j < c.taps * c.k; ++j) {
        const s8 w = weights_[static_cast<std::size_t>(i * c.taps * c.k + j)];
        if (w == 0) continue;
        columns_[at] = static_cast<s32>(j);
        values_[at++] = w;
      }
      starts_[i + 1] = at;
    }
    random_.fill_integers(bias_.span(), -100000, 100000);
    x_.resize(static_cast<std::size_t>(line_pixels_ * c.k));
    random_.fill_integers(std::span(x_), -128, 127);
    if (c.fill == Fill::minimum) std::ranges::fill(x_, s8{-128});
    if (c.fill == Fill::maximum) std::ranges::fill(x_, s8{127});
  }

  Csr<s8> csr() const {
    const auto span = [](const auto& guarded) {
      return std::span(guarded.data(), static_cast<std::size_t>(guarded.size()));
    };
    return {c_.n, c_.taps, c_.k, span(starts_), span(columns_), span(values_)};
  }

  /// acc[n][pixel] by the definition.
  std::vector<s32> expected() const {
    std::vector<s32> acc(static_cast<std::size_t>(c_.n * c_.pixels));
    for (isize n = 0; n < c_.n; ++n) {
      for (isize p = 0; p < c_.pixels; ++p) {
        s64 sum = has_bias_ ? bias_[n] : 0;
        for (isize t = 0; t < c_.taps; ++t)
          for (isize k = 0; k < c_.k; ++k)
            sum += s64{weights_[static_cast<std::size_t>((n * c_.taps + t) * c_.k + k)]} *
                   (x_[static_cast<std::size_t>((p + offsets_[t]) * c_.k + k)] - zero_point_);
        acc[static_cast<std::size_t>(n * c_.pixels + p)] = static_cast<s32>(sum);
      }
    }
    return acc;
  }

  /// From the pixels as rows of an image at a guard page, by offsets if `indirect`.
  std::vector<std::byte> lines(const Kernel& kernel, bool indirect, isize* stride) const {
    const isize count = line_pixels_, k = c_.k;
    *stride = line_bytes(kernel, round_up(c_.pixels, pixel_step(kernel)) + count - c_.pixels) +
              (is_column(kernel) ? 0 : kBeside);
    std::vector<std::byte> memory(static_cast<std::size_t>(*stride * line_count(kernel, k)), std::byte{0x5a});
    Guarded<s8> image(count * row_stride_ - (row_stride_ - k)), pad(k);
    Guarded<s32> offsets(count);
    for (isize p = 0; p < count; ++p) {
      std::memcpy(image.data() + p * row_stride_, x_.data() + p * k, static_cast<std::size_t>(k));
      offsets[p] = static_cast<s32>(p * row_stride_);
    }
    lines_from_rows(kernel, {image.data(), row_stride_, indirect ? offsets.data() : nullptr, pad.data()}, 0, count, k,
                    memory.data(), *stride);
    return memory;
  }

  void pack(const Kernel& kernel, std::byte* packed) const {
    spmm_s8::pack(kernel, csr(), has_bias_ ? bias_.data() : nullptr, zero_point_, packed);
  }
  const s32* offsets() const { return c_.taps == 1 && c_.seed % 2 ? nullptr : offsets_.data(); }

 private:
  Guarded<s32> draw_weights() {
    isize count = 0;
    const isize depth = c_.taps * c_.k;
    for (isize n = 0; n < c_.n; n += c_.block.rows) {
      for (isize t = 0; t < c_.taps; ++t) {
        for (isize k = 0; k < c_.k; k += c_.block.lines) {
          if (random_.real(0, 1) >= static_cast<f32>(c_.density)) continue;
          for (isize r = n; r < std::min<isize>(n + c_.block.rows, c_.n); ++r) {
            if (c_.fill == Fill::rows && r % 3 == 1) continue;
            for (isize i = k; i < std::min<isize>(k + c_.block.lines, c_.k); ++i) {
              s64 w = random_.integer(-c_.largest, c_.largest);
              if (c_.fill == Fill::s4) w = random_.integer(-8, 7);
              if (c_.fill == Fill::minimum || c_.fill == Fill::maximum) w = r % 2 ? c_.largest : -c_.largest;
              weights_[static_cast<std::size_t>(r * depth + t * c_.k + i)] = static_cast<s8>(w);
              count += w != 0;
            }
          }
        }
      }
    }
    return Guarded<s32>(count);
  }

  Case c_;
  Random random_;
  std::vector<s8> weights_, x_;
  Guarded<s64> starts_;
  Guarded<s32> columns_;
  Guarded<s8> values_;
  Guarded<s32> bias_;
  bool has_bias_;
  s32 zero_point_;
  Guarded<s32> offsets_;
  isize row_stride_, line_pixels_ = 0;
};

/// All sums are right, and nothing else is written but what may be.
void check(const Kernel& kernel, const Case& c) {
  if (!fits(kernel, c.largest) || (is_column(kernel) && (c.pixels > 1 || c.taps > 1))) return;
  INFO("n ", c.n, " taps ", c.taps, " k ", c.k, " pixels ", c.pixels, " density ", c.density, " block ", c.block.rows,
       "x", c.block.lines, " largest ", c.largest, " fill ", static_cast<int>(c.fill), " seed ", c.seed);
  const Fixture fixture(c);
  PackedBuffer packed(packed_bytes(kernel, fixture.csr()));
  fixture.pack(kernel, packed.data());
  isize line_stride;
  const std::vector<std::byte> image = fixture.lines(kernel, c.seed % 3 == 0, &line_stride);
  // Lines end at a guard page: what is read beyond the last pixels of a line is of the line.
  const isize lines = line_count(kernel, c.k), used = line_stride - (is_column(kernel) ? 0 : kBeside);
  Guarded<std::byte> memory(lines == 0 ? 0 : (lines - 1) * line_stride + used);
  std::memcpy(memory.data(), image.data(), static_cast<std::size_t>(memory.size()));
  const isize rows = round_up(c.n, layout(kernel).rows), width = round_up(c.pixels, pixel_step(kernel));
  const isize acc_stride = width + 4 * (static_cast<isize>(c.seed) % 3);
  Guarded<s32> acc(rows == 0 ? 0 : (rows - 1) * acc_stride + width);
  std::ranges::fill(acc.span(), 0x5b5b5b5b);
  run(kernel, {packed.data(), memory.data(), line_stride, fixture.offsets(), acc.data(), acc_stride}, 0, c.n, c.pixels);
  const std::vector<s32> expected = fixture.expected();
  isize wrong = -1;
  for (isize n = 0; n < c.n && wrong < 0; ++n)
    if (std::memcmp(&acc[n * acc_stride], &expected[static_cast<std::size_t>(n * c.pixels)],
                    static_cast<std::size_t>(c.pixels) * sizeof(s32)) != 0)
      wrong = n;
  REQUIRE(wrong == -1);  // else the row
  for (isize n = 0; n + 1 < rows; ++n)
    for (isize p = width; p < acc_stride; ++p)
      if (acc[n * acc_stride + p] != 0x5b5b5b5b) FAIL("written beside row ", n);
}

constexpr Block kBlocks[] = {{1, 1}, {1, 4}, {4, 1}, {8, 1}};

TEST_CASE("every kernel: every number of pixels, rows and lines") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 100;
    for (const Block& block : kBlocks) {
      for (isize pixels = 1; pixels <= 2 * kernel.tile + 3; pixels += 1 + (pixels > 8) * 6)
        check(kernel, {.n = 11, .taps = 1, .k = 21, .pixels = pixels, .density = 0.3, .block = block, .seed = ++seed});
      for (isize n = 1; n <= 19; ++n)
        check(kernel, {.n = n, .taps = 1, .k = 37, .pixels = 17, .density = 0.2, .block = block, .seed = ++seed});
      for (isize k = 1; k <= 36; ++k)
        check(kernel, {.n = 5, .taps = 2, .k = k, .pixels = 33, .density = 0.4, .block = block, .seed = ++seed});
    }
  });
}

TEST_CASE("every kernel: any density, more lines than a block, and weights that fit short sums") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 1000;
    for (const Block& block : kBlocks) {
      for (const f64 density : {0.0, 0.01, 0.1, 0.5, 1.0}) {
        for (const int largest : {1, 7, 8, 15, 127})
          check(kernel, {.n = 70,
                         .taps = 1,
                         .k = 530,
                         .pixels = 49,
                         .density = density,
                         .block = block,
                         .largest = largest,
                         .seed = ++seed});
        check(kernel, {.n = 9, .taps = 9, .k = 132, .pixels = 70, .density = density, .block = block, .seed = ++seed});
        check(kernel, {.n = 6, .taps = 300, .k = 5, .pixels = 20, .density = density, .block = block, .seed = ++seed});
        check(kernel, {.n = 300,
                       .taps = 1,
                       .k = 1100,
                       .pixels = 1,
                       .density = density,
                       .block = block,
                       .fill = Fill::rows,
                       .seed = ++seed});
      }
    }
  });
}

TEST_CASE("every kernel for one column: rows, lines, and gaps between weights of more places than a byte has") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    if (!is_column(kernel)) return;
    u64 seed = 3000;
    for (const Block& block : kBlocks) {
      for (isize n = 1; n <= 35; ++n)
        check(kernel,
              {.n = n, .taps = 1, .k = 1 + n % 13, .pixels = 1, .density = 0.5, .block = block, .seed = ++seed});
      for (isize k = 1; k <= 70; ++k)
        check(kernel, {.n = 21, .taps = 1, .k = k, .pixels = 1, .density = 0.3, .block = block, .seed = ++seed});
      for (const isize k : {255, 256, 257, 1024, 1027, 3000, 9000})
        for (const f64 density : {0.0, 0.0005, 0.01, 0.1, 1.0})
          for (const isize n : {19, 300})
            check(kernel, {.n = n, .taps = 1, .k = k, .pixels = 1, .density = density, .block = block, .seed = ++seed});
      for (const Fill fill : {Fill::minimum, Fill::maximum, Fill::rows, Fill::s4})
        for (const isize k : {1, 33, 700})
          check(
              kernel,
              {.n = 50, .taps = 1, .k = k, .pixels = 1, .density = 0.6, .block = block, .fill = fill, .seed = ++seed});
    }
  });
}

TEST_CASE("a column of a matrix whose places are too many for the packed form is none") {
  for (const Kernel& kernel : kernels()) {
    if (!is_column(kernel)) continue;
    const isize most = isize{layout(kernel).lines} << 16;
    for (const isize k : {most, most + 1}) {
      const std::vector<s64> starts = {0, 2};
      const std::vector<s32> columns = {0, static_cast<s32>(k - 1)};
      const std::vector<s8> values = {3, -5};
      const Csr<s8> csr = {1, 1, k, starts, columns, values};
      const std::size_t bytes = packed_bytes(kernel, csr);
      REQUIRE((bytes < SIZE_MAX) == (k == most));
      const Problem problem{.n = 1, .taps = 1, .k = k, .pixels = 1, .block = {1, layout(kernel).lines}};
      CHECK(is_column(select(problem, isa_up_to(kernel.isa))) == (k == most));
      if (k > most || !test::runnable_isa().has(kernel.isa)) continue;
      PackedBuffer packed(bytes);
      pack(kernel, csr, nullptr, 0, packed.data());
      std::vector<s8> x(static_cast<std::size_t>(k));
      x.front() = 7, x.back() = -128;
      std::vector<std::byte> lines(static_cast<std::size_t>(line_count(kernel, k) * line_bytes(kernel, 1)));
      lines_from_channels(kernel, x.data(), 1, 1, k, lines.data(), line_bytes(kernel, 1));
      s32 acc = 1;
      run(kernel, {packed.data(), lines.data(), line_bytes(kernel, 1), nullptr, &acc, 1}, 0, 1, 1);
      CHECK(acc == 3 * 7 + 5 * 128);
    }
  }
}

TEST_CASE("weights in [-8, 7] take half of the bytes, one that is larger all of them") {
  for (const Kernel& kernel : kernels()) {
    if (is_column(kernel)) continue;
    const isize n = 40, k = 1000;
    std::vector<s8> dense(static_cast<std::size_t>(n * k));
    Random random(17);
    for (s8& w : dense) w = static_cast<s8>(random.integer(-8, 7));
    std::size_t bytes[2];
    for (const int large : {0, 1}) {
      if (large) dense[777] = 8;
      const auto csr = spmm::csr_from_dense(dense.data(), n, 1, k);
      REQUIRE(csr);
      bytes[large] = packed_bytes(kernel, csr->view());
      CHECK(bytes[large] == sizeof(Head) + spmm::packed_bytes(csr->view(), [&] {
                              spmm::Layout layout = kernel.layout;
                              if (!large) layout.value = spmm::Value::s4;
                              return layout;
                            }()));
    }
    CHECK(bytes[0] < bytes[1] - n * k * 2 / 5);
  }
}

TEST_CASE("every kernel: s4 at runs of any length, several of which are widened at once") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 4000;
    for (const Block& block : kBlocks)
      for (const f64 density : {0.02, 0.3, 1.0})
        for (const isize k : {3, 64, 530})
          check(kernel, {.n = 200,
                         .taps = 1,
                         .k = k,
                         .pixels = 17,
                         .density = density,
                         .block = block,
                         .largest = 8,
                         .fill = Fill::s4,
                         .seed = ++seed});
  });
}

TEST_CASE("every kernel: extreme values") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 2000;
    for (const Fill fill : {Fill::minimum, Fill::maximum}) {
      for (const int largest : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 127}) {
        for (const Block& block : kBlocks)
          for (const isize k : {1, 15, 16, 17, 33, 255, 260})
            check(kernel, {.n = 8,
                           .taps = 1,
                           .k = k,
                           .pixels = 17,
                           .density = 1,
                           .block = block,
                           .largest = largest,
                           .fill = fill,
                           .seed = ++seed});
      }
    }
  });
}

TEST_CASE("every kernel: ranges of rows, and taps whose pixels overlap") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    if (is_column(kernel)) return;
    const isize step = row_step(kernel), n = 3 * step + 5, width = round_up(40, pixel_step(kernel));
    const Fixture fixture({.n = n, .taps = 4, .k = 40, .pixels = 40, .density = 0.1, .largest = 7, .seed = 7});
    PackedBuffer packed(packed_bytes(kernel, fixture.csr()));
    fixture.pack(kernel, packed.data());
    isize line_stride;
    const std::vector<std::byte> lines = fixture.lines(kernel, false, &line_stride);
    std::vector<s32> acc(static_cast<std::size_t>(round_up(n, layout(kernel).rows) * width), 77);
    const Args args{packed.data(), lines.data(), line_stride, fixture.offsets(), acc.data(), width};
    const std::vector<s32> expected = fixture.expected();
    const auto rows_that_are_done = [&] {
      std::vector<isize> done;
      for (isize i = 0; i < n; ++i) {
        const s32 *got = &acc[static_cast<std::size_t>(i * width)], *want = &expected[static_cast<std::size_t>(i * 40)];
        if (std::equal(got, got + 40, want)) done.push_back(i);
        REQUIRE((std::equal(got, got + 40, want) || std::all_of(got, got + width, [](s32 a) { return a == 77; })));
      }
      return done;
    };
    run(kernel, args, 0, n, 0);
    run(kernel, args, step, step, 40);
    CHECK(rows_that_are_done().empty());
    run(kernel, args, step, 2 * step, 40);
    CHECK(static_cast<isize>(rows_that_are_done().size()) == step);
    run(kernel, args, 2 * step, n, 40);
    run(kernel, args, 0, step, 40);
    CHECK(static_cast<isize>(rows_that_are_done().size()) == n);
  });
}

TEST_CASE("every kernel for one column: ranges of rows") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    if (!is_column(kernel)) return;
    const isize step = row_step(kernel), n = 2 * step + 5;
    const Fixture fixture({.n = n, .taps = 1, .k = 90, .pixels = 1, .density = 0.2, .seed = 7});
    PackedBuffer packed(packed_bytes(kernel, fixture.csr()));
    fixture.pack(kernel, packed.data());
    isize line_stride;
    const std::vector<std::byte> lines = fixture.lines(kernel, false, &line_stride);
    const std::vector<s32> expected = fixture.expected();
    std::vector<s32> acc(static_cast<std::size_t>(n), 77), wanted = acc;
    const Args args{packed.data(), lines.data(), line_stride, nullptr, acc.data(), 1};
    for (const auto& [begin, end] : {std::pair{step, step}, {step, 2 * step}, {2 * step, n}, {isize{0}, step}}) {
      run(kernel, args, begin, end, 1);
      std::copy(expected.begin() + begin, expected.begin() + end, wanted.begin() + begin);
      CHECK(acc == wanted);
    }
  });
}

TEST_CASE("every kernel: lines of rows at a guard page, in padding, or given as channels") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    Random random(11);
    const auto [channels, bytes, offset] = kernel.form;
    for (isize k = 1; k <= 70; k += k < 40 ? 1 : 7) {
      for (const isize count : {1, 2, 7, 8, 15, 16, 17, 31, 33, 50}) {
        if (is_column(kernel) && count > 1) continue;
        const isize stride = k + random.integer(0, 3), begin = random.integer(0, 2), rows = begin + count;
        Guarded<s8> image(stride * (rows - 1) + k), pad(k);
        Guarded<s32> offsets(rows);
        random.fill_integers(image.span(), -128, 127);
        random.fill_integers(pad.span(), -128, 127);
        for (s32& each : offsets.span())
          each = random.integer(0, 2) ? static_cast<s32>(random.integer(0, rows - 1) * stride) : -1;
        const bool indirect = random.integer(0, 1);
        const auto row = [&](isize p) -> const s8* {
          if (!indirect) return image.data() + (begin + p) * stride;
          return offsets[begin + p] >= 0 ? image.data() + offsets[begin + p] : pad.data();
        };
        const isize line_stride = line_bytes(kernel, count) + (is_column(kernel) ? 0 : random.integer(0, 1) * 64),
                    lines = line_count(kernel, k);
        const isize size = (lines - 1) * line_stride + line_bytes(kernel, count);
        Guarded<s8> out(size), from_channels(size), matrix(k * count);
        lines_from_rows(kernel, {image.data(), stride, indirect ? offsets.data() : nullptr, pad.data()}, begin, count,
                        k, out.data(), line_stride);
        for (isize c = 0; c < k; ++c)
          for (isize p = 0; p < count; ++p) matrix[c * count + p] = row(p)[c];
        lines_from_channels(kernel, matrix.data(), count, count, k, from_channels.data(), line_stride);
        isize wrong = 0;
        for (isize c = 0; c < lines * channels; ++c) {
          for (isize p = 0; p < count; ++p) {
            const isize at = c / channels * line_stride + (p * channels + c % channels) * bytes;
            for (const Guarded<s8>* of : {&out, &from_channels}) {
              s16 got = 0;
              std::memcpy(&got, of->data() + at, static_cast<std::size_t>(bytes));
              if (bytes == 1) got = offset ? static_cast<u8>(got) : static_cast<s8>(got);
              // Channels that do not exist may hold anything: their weights are 0.
              wrong += c < k && got != row(p)[c] + offset;
            }
          }
        }
        INFO("k ", k, " count ", count, " indirect ", indirect);
        REQUIRE(wrong == 0);
        if (line_stride > line_bytes(kernel, count))
          for (isize line = 0; line + 1 < lines; ++line)
            REQUIRE(out[line * line_stride + line_bytes(kernel, count)] == 0x5b);
      }
    }
  });
}

/// acc[n][pixels] of about this size through store(), whole and in pieces, against the definition.
void check_store(const Kernel& kernel, isize n, isize pixels, EpilogueS8::Output output, bool residual,
                 Activation activation, ScaleKind scales, u64 seed) {
  if (is_column(kernel)) pixels = 1;
  INFO("n ", n, " pixels ", pixels, " output ", static_cast<int>(output), " residual ", residual, " activation ",
       static_cast<int>(activation), " scales ", static_cast<int>(scales), " seed ", seed);
  Random random(seed);
  const s32 size = seed % 4 == 0 ? 1 << 30 : seed % 4 == 1 ? 1 << 24 : 60000;
  const isize first_row = random.integer(0, 3), width = round_up(pixels, pixel_step(kernel)) + 8 * (seed % 2);
  const EpilogueCase epilogue = test::make_epilogue(random, output, residual, activation, scales, first_row + pixels, n,
                                                    static_cast<f64>(size) / 2);
  const isize rows = round_up(n, layout(kernel).rows);
  Guarded<s32> acc((rows - 1) * width + round_up(pixels, pixel_step(kernel)));
  random.fill_integers(acc.span(), -size, size);
  Output expected(output, first_row + pixels, n, epilogue.out_stride),
      got(output, first_row + pixels, n, epilogue.out_stride);
  const isize step = row_step(kernel), middle = n > step ? step : 0;
  store(kernel, acc.data(), width, middle, n, pixels, epilogue.spec, got.data(), got.stride(), first_row);
  store(kernel, acc.data(), width, 0, middle, pixels, epilogue.spec, got.data(), got.stride(), first_row);
  for (isize p = 0; p < pixels; ++p)
    for (isize i = 0; i < n; ++i)
      expected.set(first_row + p, i, test::reference_epilogue(epilogue.spec, acc[i * width + p], first_row + p, i));
  INFO("first wrong byte ", got.first_difference(expected));
  REQUIRE(expected.agrees(got, isa(kernel)));
}

TEST_CASE("every kernel: every epilogue, and every tail of it") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    u64 seed = 5000;
    for (const auto output : {EpilogueS8::Output::s32, EpilogueS8::Output::s8, EpilogueS8::Output::f32}) {
      for (const Activation activation : {Activation::clamp, Activation::hard_swish}) {
        for (const bool residual : {false, true}) {
          const auto check = [&](isize n, isize pixels, ScaleKind scales) {
            check_store(kernel, n, pixels, output, residual, activation, scales, ++seed);
          };
          for (isize n = 1; n <= 34; ++n) check(n, 1 + n % 7, ScaleKind::usual);
          for (isize pixels = 1; pixels <= 34; ++pixels) check(33 + pixels % 16, pixels, ScaleKind::usual);
          for (const ScaleKind scales : {ScaleKind::usual, ScaleKind::ties, ScaleKind::special})
            for (const isize n : {16, 64, 77, 270}) check(n, 50, scales);
        }
      }
    }
  });
}

TEST_CASE("every kernel: the residual may be the output") {
  test::for_each_kernel(kernels(), [](const Kernel& kernel) {
    Random random(3);
    const isize n = 50, pixels = is_column(kernel) ? 1 : 21, width = round_up(pixels, pixel_step(kernel));
    EpilogueCase epilogue = test::make_epilogue(random, EpilogueS8::Output::s8, true, Activation::clamp,
                                                ScaleKind::usual, pixels, n, 30000);
    Guarded<s32> acc(round_up(n, layout(kernel).rows) * width);
    random.fill_integers(acc.span(), -60000, 60000);
    const isize stride = epilogue.spec.residual_stride;
    Output expected(EpilogueS8::Output::s8, pixels, n, stride), got(EpilogueS8::Output::s8, pixels, n, stride);
    for (isize p = 0; p < pixels; ++p) {
      for (isize i = 0; i < n; ++i) {
        expected.set(p, i, test::reference_epilogue(epilogue.spec, acc[i * width + p], p, i));
        got.set(p, i, epilogue.spec.residual[p * stride + i]);
      }
    }
    epilogue.spec.residual = static_cast<const s8*>(got.data());
    store(kernel, acc.data(), width, 0, n, pixels, epilogue.spec, got.data(), stride, 0);
    CHECK(got == expected);
  });
}

TEST_CASE("weights fit short sums while at least 16 products do") {
  for (const Kernel& kernel : kernels()) {
    const int most = !kernel.short_sums ? 127 : kernel.form.offset ? 8 : 15;
    CHECK(fits(kernel, most));
    if (most < 127) CHECK(!fits(kernel, most + 1));
  }
}

TEST_CASE("select names the best kernel for how the zeros come, the weights and the instruction sets") {
  const auto chosen = [](Block block, int largest, IsaSet isa, isize pixels = 49, isize taps = 1) {
    const std::string full =
        name(select({.n = 64, .taps = taps, .k = 64, .pixels = pixels, .block = block, .largest = largest}, isa));
    return full.substr(std::string("spmm_s8s8s32_").size());
  };
  for (const Block& block : kBlocks) {
    CHECK(chosen(block, 127, IsaSet().with(Isa::scalar)) == "1x1_scalar");
    CHECK(chosen(block, 3, IsaSet()) == "1x1_scalar");
    CHECK(chosen(block, 3, IsaSet(), 1) == "1x1_column_scalar");
    CHECK(chosen(block, 3, IsaSet(), 0) == "1x1_scalar");
    CHECK(chosen(block, 3, IsaSet(), 1, 2) == "1x1_scalar");
  }
  // Nothing is computed that is 0 in every row and line of a block.
  for (const Isa level : {Isa::avx2, Isa::avxvnni, Isa::avx512vnni, Isa::neon, Isa::neondot, Isa::i8mm, Isa::neon32}) {
    if (std::ranges::none_of(kernels(), [&](const Kernel& kernel) { return kernel.isa == level; })) continue;
    const std::string is = "_" + std::string(isa_name(level));
    // With VNNI on x86 nothing is faster for single weights than entries of four.
    const bool by_fours = level == Isa::avxvnni || level == Isa::avx512vnni;
    CHECK(chosen({1, 1}, 127, isa_up_to(level)) == (by_fours ? "1x4" : "1x1") + is);
    CHECK(chosen({1, 4}, 127, isa_up_to(level)) == "1x4" + is);
    CHECK(chosen({4, 1}, 127, isa_up_to(level)) == "4x1" + is);
    CHECK(chosen({8, 1}, 127, isa_up_to(level)) == "4x1" + is);
    CHECK(chosen({1, 4}, 127, isa_up_to(level), 1) == "1x4_column" + is);
    if (level != Isa::neondot) CHECK(chosen({4, 1}, 127, isa_up_to(level), 1) == "1x1_column" + is);
  }
#ifdef WHIT_HAVE_AVX2
  CHECK(chosen({1, 1}, 7, isa_up_to(Isa::avx2)) == "1x1_short_avx2");
#endif
#ifdef WHIT_HAVE_NEON
  CHECK(chosen({1, 1}, 15, isa_up_to(Isa::neon)) == "1x1_short_neon");
  CHECK(chosen({1, 4}, 15, isa_up_to(Isa::neon)) == "1x4_neon");
#endif
#ifdef WHIT_HAVE_NEONDOT
  CHECK(chosen({1, 1}, 127, isa_up_to(Isa::neondot), 1) == "1x1_column_neon");
#endif
#ifdef WHIT_HAVE_I8MM
  CHECK(chosen({1, 4}, 127, isa_up_to(Isa::i8mm)) == "1x4_neondot");
#endif
#ifdef WHIT_HAVE_NEON32
  CHECK(chosen({1, 1}, 15, isa_up_to(Isa::neon32)) == "1x1_short_neon32");
#endif
}

}  // namespace
}  // namespace whit::spmm_s8
