#include "kernels/gemm_b1/gemm_b1.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "base/checked.h"
#include "kernels/gemm_b1/kernel.h"

namespace whit::gemm_b1 {
namespace {

constexpr Kernel kKernels[] = {
#define GEMM_B1_KERNEL(isa, function, mr, nr, row_group, layout, columns, word, indirect, least_rows) \
  {Isa::isa, #function, function, mr, nr, row_group, Layout::layout, columns, word, indirect, least_rows},
#include "kernels/gemm_b1/kernels.inc"
#undef GEMM_B1_KERNEL
};

/// The bits of the last byte of k that count.
u8 last_mask(isize k) { return static_cast<u8>(0xff >> (-k & 7)); }

/// Bytes [begin, begin + count) of a row of weights as kernel.h has it.
void copy_weights(const Rhs& rhs, isize n, isize begin, isize count, u8* out) {
  const isize tap_bytes = bit_bytes(rhs.k), bytes = rhs.taps * tap_bytes;
  const isize there = std::clamp<isize>(bytes - begin, 0, count);
  std::fill(std::copy_n(rhs.bits + n * bytes + begin, there, out), out + count, u8{0});
  if (rhs.k % 8 == 0) return;
  for (isize i = 0; i < there; ++i)
    if ((begin + i + 1) % tap_bytes == 0) out[i] &= last_mask(rhs.k);
}

void pack_words(const Kernel& kernel, const Rhs& rhs, isize n, isize columns, isize bytes, u8* packed) {
  const isize word = kernel.word, step = kernel.columns * word;
  for (isize column = 0; column < columns; ++column) {
    u8* out = packed + column / kernel.columns * kernel.columns * bytes + column % kernel.columns * word;
    for (isize i = 0; i < bytes; i += word, out += step) copy_weights(rhs, n + column, i, word, out);
  }
}

void pack_nibbles(const Kernel& kernel, const Rhs& rhs, isize n, isize columns, isize bytes, u8* packed) {
  for (isize column = 0; column < columns; ++column) {
    u8* out = packed + column / 32 * 32 + column % 16 * 2 + column % 32 / 16;
    for (isize i = 0; i < bytes; ++i, out += 2 * kernel.nr) {
      u8 byte;
      copy_weights(rhs, n + column, i, 1, &byte);
      out[0] = byte & 15;
      out[kernel.nr] = byte >> 4;
    }
  }
}

void pack_values(const Kernel& kernel, const Rhs& rhs, isize n, isize columns, isize bytes, u8* packed) {
  constexpr isize kGroup = 4, kColumns = 32;
  const isize tap_bytes = bit_bytes(rhs.k);
  for (isize column = 0; column < columns; ++column) {
    u8* out =
        packed + kernel.nr * isize{sizeof(s32)} + column / kColumns * kColumns * bytes * 8 + column % kColumns * kGroup;
    s32 minus = 0;
    for (isize i = 0; i < rhs.taps * tap_bytes; ++i) {
      u8 byte;
      copy_weights(rhs, n + column, i, 1, &byte);
      minus += std::popcount(byte);
      const isize values = std::min<isize>(8, rhs.k - i % tap_bytes * 8);
      for (isize j = 0; j < values; ++j)
        out[(i * 8 + j) / kGroup * kColumns * kGroup + j % kGroup] = static_cast<u8>(byte >> j & 1 ? -1 : 1);
    }
    std::memcpy(packed + column * isize{sizeof(s32)}, &minus, sizeof(minus));
  }
}

/// Packs one panel; `columns` of its nr exist.
void pack_panel(const Kernel& kernel, const Rhs& rhs, isize n, isize columns, u8* packed) {
  const isize bytes = row_bytes(kernel.row_group, rhs.taps, rhs.k);
  if (columns < kernel.nr || kernel.layout == Layout::values)
    std::fill_n(packed, panel_bytes(kernel.layout, kernel.nr, bytes), u8{0});
  switch (kernel.layout) {
    case Layout::words: return pack_words(kernel, rhs, n, columns, bytes, packed);
    case Layout::nibbles: return pack_nibbles(kernel, rhs, n, columns, bytes, packed);
    case Layout::values: return pack_values(kernel, rhs, n, columns, bytes, packed);
  }
}

template <isize kBytes>
u8* copy(const u8* from, isize, u8* to) {
  std::memcpy(to, from, kBytes);
  return to + kBytes;
}
u8* copy(const u8* from, isize bytes, u8* to) {
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
  return to + bytes;
}

/// Copies rows [m, m_end) as kernel.h has them, `bytes` bytes each.
template <class Copy>
void copy_rows(const Args& args, isize m, isize m_end, isize bytes, u8* out, Copy copy_tap) {
  const Lhs lhs = args.lhs;  // a copy, since a store might change it
  const isize taps = args.taps, tap_bytes = bit_bytes(args.k), rest = bytes - taps * tap_bytes;
  const bool masks = args.k % 8 != 0;
  const u8 mask = last_mask(args.k);
  for (; m < m_end; ++m) {
    for (isize t = 0; t < taps; ++t) {
      const isize offset = lhs.offsets ? lhs.offsets[m * taps + t] : m * lhs.row_stride;
      out = copy_tap(offset >= 0 ? lhs.base + offset : lhs.pad, tap_bytes, out);
      if (masks) out[-1] &= mask;
    }
    out = std::fill_n(out, rest, u8{0});
  }
}

void copy_rows(const Args& args, isize m, isize m_end, isize bytes, u8* out) {
  switch (bit_bytes(args.k)) {  // the sizes of 64, 128 and 256 channels, without a call
    case 8: return copy_rows(args, m, m_end, bytes, out, copy<8>);
    case 16: return copy_rows(args, m, m_end, bytes, out, copy<16>);
    case 32: return copy_rows(args, m, m_end, bytes, out, copy<32>);
    default: return copy_rows(args, m, m_end, bytes, out, [](auto... tap) { return copy(tap...); });
  }
}

}  // namespace

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(const Problem& problem, IsaSet isa) {
  const auto* found = std::ranges::find_if(
      kKernels, [&](const Kernel& kernel) { return isa.has(kernel.isa) && problem.m >= kernel.least_rows; });
  return found != std::end(kKernels) ? *found : *std::prev(std::end(kKernels));
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }
isize panel_columns(const Kernel& kernel) { return kernel.nr; }
isize tile_rows(const Kernel& kernel) { return kernel.mr; }

std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k) {
  return allocation_bytes(ceil_div(n, kernel.nr),
                          panel_bytes(kernel.layout, kernel.nr, row_bytes(kernel.row_group, taps, k)));
}

std::size_t scratch_bytes(const Kernel& kernel, isize taps, isize k) {
  const isize bytes = row_bytes(kernel.row_group, taps, k);
  const isize each = bytes + (kernel.layout == Layout::values ? value_stride(bytes) : 0);
  return allocation_bytes(block_rows(kernel.mr, bytes), each);
}

void pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end) {
  const isize stride = panel_bytes(kernel.layout, kernel.nr, row_bytes(kernel.row_group, rhs.taps, rhs.k));
  for (isize n = n_begin; n < n_end; n += kernel.nr)
    pack_panel(kernel, rhs, n, std::min<isize>(kernel.nr, rhs.n - n),
               reinterpret_cast<u8*>(packed) + n / kernel.nr * stride);
}

void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end) {
  if (m_begin >= m_end || n_begin >= n_end) return;
  const isize bytes = row_bytes(kernel.row_group, args.taps, args.k);
  const bool in_place = !args.lhs.offsets && args.k == 8 * bytes;
  const bool indirect = kernel.indirect && args.lhs.offsets && args.k % (8 * kernel.row_group) == 0;
  const isize tiles = ceil_div(m_end - m_begin, kernel.mr);
  const isize blocks = ceil_div(m_end - m_begin, block_rows(kernel.mr, bytes));
  for (isize i = 0; i < blocks; ++i) {
    const isize begin = m_begin + static_cast<isize>(s64{tiles} * i / blocks) * kernel.mr;
    const isize end = std::min(m_begin + static_cast<isize>(s64{tiles} * (i + 1) / blocks) * kernel.mr, m_end);
    Rows rows{};
    if (in_place) {
      rows = {args.lhs.base + begin * args.lhs.row_stride, args.lhs.row_stride};
    } else if (!indirect) {
      u8* copies = reinterpret_cast<u8*>(args.scratch);
      copy_rows(args, begin, end, bytes, copies);
      rows = {copies, bytes};
    }
    kernel.function(args, rows, bytes, begin, end - begin, n_begin, n_end);
  }
}

}  // namespace whit::gemm_b1
