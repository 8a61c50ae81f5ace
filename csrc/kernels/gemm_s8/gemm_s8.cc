#include "kernels/gemm_s8/gemm_s8.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>

#include "base/checked.h"
#include "kernels/copy/transpose.h"
#include "kernels/gemm_s8/kernel.h"
#include "kernels/gemm_s8/tile.h"

namespace whit::gemm_s8 {
namespace {

constexpr Kernel kKernels[] = {
#define GEMM_S8_KERNEL(isa, function, mr, nr, kr, rhs_offset) {Isa::isa, #function, function, mr, nr, kr, rhs_offset},
#include "kernels/gemm_s8/kernels.inc"
#undef GEMM_S8_KERNEL
};

/// True if the sum of products of any s8 with weights a[j], b[j], c[j], d[j] fits in s16, for all j < lanes.
bool is_mild(const u8* a, const u8* b, const u8* c, const u8* d, int lanes) {
  const auto magnitude = [](u8 x) { return std::abs(static_cast<s8>(x)); };
  for (int j = 0; j < lanes; ++j)
    if (magnitude(a[j]) + magnitude(b[j]) + magnitude(c[j]) + magnitude(d[j]) > 255) return false;
  return true;
}

/// The runs of kernel.h of the `steps` whole steps of a tap; returns their end.
u8* pack_mild_runs(const u8* values, isize nr, isize steps, u8* runs) {
  constexpr isize kLongest = 255;
  const isize pairs = 2 * nr;  // bytes of a pair of k
  isize step = 0;
  const auto length = [&](bool mild) {
    isize count = 0;
    for (; step < steps && count < kLongest; ++step, ++count) {
      const u8* w = values + step * 4 * pairs;
      if (is_mild(w, w + pairs, w + 2 * pairs, w + 3 * pairs, static_cast<int>(pairs)) != mild) break;
    }
    return count;
  };
  for (;;) {
    *runs++ = static_cast<u8>(length(true));
    isize others = length(false);
    if (others == 0 && step < steps) ++others, ++step;  // a mild one after the longest run, as 0 is the end
    *runs++ = static_cast<u8>(others);
    if (others == 0) return runs;
  }
}

/// The words of kernel.h of the columns 2 * pair and 2 * pair + 1 of a panel.
void pack_mild(const u8* values, isize nr, isize groups, isize pair, u32* words) {
  constexpr isize kGroup = 16;
  constexpr u32 kEnd = 1;
  u32 word = kEnd << 1 | static_cast<u32>(groups & 1);
  isize bits = 1;
  for (isize g = groups & 1; g < groups; g += 2) {
    if (bits == 31) {
      *words++ = word << 1 | kEnd;
      word = kEnd;
      bits = 0;
    }
    const u8* first = values + (g * nr + 2 * pair) * kGroup;
    const u8* second = first + nr * kGroup;
    const auto column_is_mild = [&](isize at) {
      return is_mild(first + at, first + at + 8, second + at, second + at + 8, 8);
    };
    word = word << 1 | (column_is_mild(0) && column_is_mild(kGroup) ? 1 : 0);
    ++bits;
  }
  *words = (word << 1 | kEnd) << (31 - bits);
}

/// One tap of one column: groups of kr values, `step` bytes from one to the next.
template <int kr>
void pack_tap(const s8* source, isize k, u8 offset, isize step, u8* group) {
  for (; k >= kr; k -= kr, source += kr, group += step) {
    u8 values[kr];
    std::memcpy(values, source, kr);
    for (u8& value : values) value = static_cast<u8>(value + offset);
    std::memcpy(group, values, kr);
  }
  for (isize i = 0; i < k; ++i) group[i] = static_cast<u8>(source[i] + offset);
}

void pack_tap(isize kr, const s8* source, isize k, u8 offset, isize step, u8* group) {
  switch (kr) {
    case 2: return pack_tap<2>(source, k, offset, step, group);
    case 4: return pack_tap<4>(source, k, offset, step, group);
    case 8: return pack_tap<8>(source, k, offset, step, group);
    case 16: return pack_tap<16>(source, k, offset, step, group);
    default:
      for (; k > 0; k -= kr, source += kr, group += step) pack_tap<1>(source, std::min(k, kr), offset, 1, group);
  }
}

/// Four columns of groups of 4, `count` values of each, a multiple of 16: transposes of 4 x 4 groups.
void pack_four(const s8* source, isize column_step, isize count, u8 offset, isize step, u8* group) {
  for (isize k = 0; k < count; k += 16) {
    copy::transpose_tile(reinterpret_cast<const std::byte*>(source + k), column_step,
                         reinterpret_cast<std::byte*>(group), step, u32{});
    for (isize i = 0; i < 4; ++i, group += step)
      for (isize j = 0; j < 16; ++j) group[j] = static_cast<u8>(group[j] + offset);
  }
}

/// One tap of `columns` columns, which begin `column_step` values apart.
void pack_columns(isize kr, const s8* source, isize column_step, isize columns, isize k, u8 offset, isize step,
                  u8* group) {
  const isize fours = kr == 4 ? columns / 4 * 4 : 0, whole = k / 16 * 16;
  for (isize column = 0; column < fours; column += 4)
    pack_four(source + column * column_step, column_step, whole, offset, step, group + column * kr);
  for (isize column = 0; column < columns; ++column) {
    const isize done = column < fours ? whole : 0;
    pack_tap(kr, source + column * column_step + done, k - done, offset, step, group + done / kr * step + column * kr);
  }
}

/// The sum of values, wrapping, and of their magnitudes; in pieces whose sums fit in s16, of which a vector has most.
void sum_column(const s8* values, isize count, u32* sum, s64* magnitude) {
  constexpr isize kPiece = 240;
  *sum = 0, *magnitude = 0;
  while (count > 0) {
    const isize piece = std::min(count, kPiece);
    s16 some = 0, some_magnitude = 0;
    for (isize i = 0; i < piece; ++i) {
      const s16 value = values[i];
      some = static_cast<s16>(some + value);
      some_magnitude = static_cast<s16>(some_magnitude + (value < 0 ? -value : value));
    }
    *sum += static_cast<u32>(some), *magnitude += some_magnitude;
    values += piece, count -= piece;
  }
}

/// Packs one panel; `columns` of its nr exist.
void pack_panel(const Kernel& kernel, const Rhs& rhs, isize n, isize columns, std::byte* packed) {
  const isize nr = kernel.nr, kr = kernel.kr, groups = ceil_div(rhs.k, kr);
  s32* bias = reinterpret_cast<s32*>(packed);
  u8* values = reinterpret_cast<u8*>(packed) + nr * static_cast<isize>(sizeof(s32));
  std::fill_n(bias, nr, 0);
  if (columns < nr || rhs.k % kr != 0)
    std::fill_n(values, rhs.taps * groups * kr * nr, static_cast<u8>(kernel.rhs_offset));
  u8* const mild = values + rhs.taps * groups * kr * nr;
  const isize mild_size = mild_bytes(nr, kr, rhs.taps, rhs.k);
  f32* reach = reinterpret_cast<f32*>(mild + mild_size);
  std::fill_n(mild, mild_size, u8{0});
  std::fill_n(reach, nr, 0.0f);
  const u8 offset = static_cast<u8>(kernel.rhs_offset);
  for (isize t = 0; t < rhs.taps; ++t) {
    const s8* source = rhs.values + (n * rhs.taps + t) * rhs.k;
    pack_columns(kr, source, rhs.taps * rhs.k, columns, rhs.k, offset, nr * kr, values + t * groups * nr * kr);
  }
  for (isize column = 0; column < columns; ++column) {
    const s8* source = rhs.values + (n + column) * rhs.taps * rhs.k;
    u32 sum;
    s64 magnitude;
    sum_column(source, rhs.taps * rhs.k, &sum, &magnitude);
    const u32 start = rhs.bias ? static_cast<u32>(rhs.bias[n + column]) : 0;
    bias[column] = static_cast<s32>(start - static_cast<u32>(rhs.lhs_zero_point) * sum);
    reach[column] = static_cast<f32>(128 * magnitude);
  }
  if (const isize words = mild_words(kr, rhs.k)) {
    for (isize pair = 0; pair < nr / 2; ++pair)
      pack_mild(values, nr, groups, pair, reinterpret_cast<u32*>(mild) + pair * words);
  }
  if (mild_runs_bytes(kr, rhs.taps, rhs.k)) {
    u8* runs = mild;
    for (isize t = 0; t < rhs.taps; ++t) runs = pack_mild_runs(values + t * groups * kr * nr, nr, rhs.k / 8, runs);
  }
}

/// Tiles of rows that run() takes through the panels together. Weights stream in once per block: where they come from
/// L2, as many rows as stay in a small L1 beside a panel; where they are too many for L2, as many as stay there.
isize block_tiles(const Kernel& kernel, isize n, isize taps, isize k) {
  constexpr s64 kNear = 16 << 10, kFar = 128 << 10, kManyWeights = 512 << 10;
  const s64 row_bytes = s64{taps} * k;
  // i8mm lays rows side by side in a buffer first, which is to stay in L1.
  const s64 bytes = n * row_bytes > kManyWeights && kernel.isa != Isa::i8mm ? kFar : kNear;
  // AMX multiplies faster than L2 delivers.
  const isize least = kernel.isa == Isa::amx ? 4 : 1;
  return static_cast<isize>(std::clamp<s64>(bytes / (row_bytes * kernel.mr), least, kMaxTilesPerBlock));
}

}  // namespace

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(const Problem& problem, IsaSet isa) {
  const Kernel* best = nullptr;
  for (const Kernel& kernel : kKernels) {
    if (!isa.has(kernel.isa)) continue;
    if (best && best->isa != kernel.isa) break;
    best = &kernel;
    if (2 * problem.k >= kernel.kr) break;
  }
  return best ? *best : *std::prev(std::end(kKernels));
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }
isize panel_columns(const Kernel& kernel) { return kernel.nr; }
isize padded_k(const Kernel& kernel, isize k) {
  // The packed layout has zeros up to a multiple of kr, but where kr is 2 no mild runs of one more step of 8.
  return kernel.kr == 2 && k % 8 == 7 ? k : round_up(k, isize{kernel.kr});
}
isize tile_rows(const Kernel& kernel) { return kernel.mr; }

std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k) {
  const s64 column_bytes = s64{taps} * ceil_div(k, kernel.kr) * kernel.kr + s64{sizeof(s32) + sizeof(f32)};
  const s64 panel = kernel.nr * column_bytes + mild_bytes(kernel.nr, kernel.kr, taps, k);
  return allocation_bytes(ceil_div(n, kernel.nr), panel);
}

std::size_t scratch_bytes(const Kernel& kernel, isize taps, isize k) {
  if (!gathers(kernel)) return 0;
  return allocation_bytes(block_tiles(kernel, std::numeric_limits<s32>::max(), taps, k) * kernel.mr,
                          gathered_stride(kernel.kr, taps, k));
}

void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end) {
  const isize stride = panel_bytes(kernel.nr, kernel.kr, rhs.taps, rhs.k);
  for (isize n = n_begin; n < n_end; n += kernel.nr)
    pack_panel(kernel, rhs, n, std::min<isize>(kernel.nr, rhs.n - n), packed + n / kernel.nr * stride);
}

void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end) {
  if (m_begin >= m_end || n_begin >= n_end) return;
  if (m_end - m_begin <= kernel.mr) return kernel.function(args, m_begin, m_end - m_begin, n_begin, n_end);
  const isize tiles = block_tiles(kernel, n_end - n_begin, args.taps, args.k);
  const isize all = ceil_div(m_end - m_begin, kernel.mr), blocks = ceil_div(all, tiles);
  for (isize i = 0; i < blocks; ++i) {
    const isize begin = m_begin + static_cast<isize>(s64{all} * i / blocks) * kernel.mr;
    const isize end = std::min(m_begin + static_cast<isize>(s64{all} * (i + 1) / blocks) * kernel.mr, m_end);
    kernel.function(args, begin, end - begin, n_begin, n_end);
  }
}

}  // namespace whit::gemm_s8
