#include "kernels/gemm_w4/gemm_w4.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/buffer.h"
#include "base/checked.h"
#include "kernels/gemm_s8/kernel.h"
#include "kernels/gemm_s8/tile.h"
#include "kernels/gemm_w4/kernel.h"

namespace whit::gemm_w4 {
namespace {

constexpr Kernel kKernels[] = {
#define GEMM_W4_KERNEL(isa, bits, block, any_rows, few, expand) {Isa::isa, #few, bits, block, any_rows, few, expand},
#include "kernels/gemm_w4/kernels.inc"
#undef GEMM_W4_KERNEL
};

/// Whether the kernels for a few rows have this many k: sums of products fit in what they make of them on the way.
bool suits_few(isize taps, isize k) { return (taps == 1 || k % kStep == 0) && taps * k <= isize{1} << 16; }

/// The kernel of gemm_s8 whose panels these are, and which runs on them.
const gemm_s8::Kernel& dense_kernel(const Kernel& kernel) {
  return gemm_s8::select({.m = 0, .n = 1, .taps = 1, .k = 64}, IsaSet().with(kernel.isa));
}

/// A panel in bytes: of gemm_s8, as bias, values and the rest, and here.
struct Panel {
  Panel(const Kernel& kernel, const gemm_s8::Kernel& dense, isize taps, isize k)
      : bias(dense.nr * static_cast<isize>(sizeof(s32))),
        values(taps * round_up(k, dense.kr) * dense.nr),
        expanded(gemm_s8::panel_bytes(dense.nr, dense.kr, taps, k)),
        rest(expanded - bias - values),
        codes(round_up(values, kStep * dense.nr) * kernel.bits / 8),
        packed(bias + codes + rest) {}

  isize bias, values, expanded, rest, codes, packed;
};

/// False for columns so long that sizes of panels would overflow.
bool fits(isize taps, isize k) { return s64{taps} * k <= PTRDIFF_MAX / 64; }

/// Panels that are expanded at a time: they stay in L2 beside the rows. Kernels with an offset add up the rows for each
/// of these times.
isize panels_at_once(const gemm_s8::Kernel& dense, const Panel& panel) {
  const isize bytes = dense.rhs_offset ? 192 << 10 : 64 << 10;
  return std::max<isize>(1, bytes / panel.expanded);
}

/// Their bytes in scratch, and those of a block, since whole blocks are expanded.
isize expanded_bytes(const Kernel& kernel, const gemm_s8::Kernel& dense, const Panel& panel) {
  const isize parts = 8 / kernel.bits;
  return round_up(panels_at_once(dense, panel) * panel.expanded + kernel.block * parts, static_cast<isize>(kAlignment));
}

bool has_zero(const Codebook& codebook) {
  return std::find(codebook.values, codebook.values + codebook.size(), 0) != codebook.values + codebook.size();
}

/// Values of a panel to codes in blocks.
template <class CodeOf>
void pack_codes(const Kernel& kernel, const u8* values, isize count, const CodeOf& code_of, u8* codes, isize bytes) {
  const isize block = kernel.block, parts = 8 / kernel.bits;
  std::fill_n(codes, bytes, u8{0});
  for (; count > 0; codes += block) {
    for (isize part = 0; part < parts && count > 0; ++part, values += block, count -= block) {
      const int shift = static_cast<int>(part) * kernel.bits;
      for (isize i = 0; i < std::min(block, count); ++i) codes[i] |= static_cast<u8>(code_of(values[i]) << shift);
    }
  }
}

/// Zeros behind the k of each tap, as kernels of gemm_s8 want them, of codebooks that have no zero.
void clear_padding(const gemm_s8::Kernel& dense, isize taps, isize k, u8* values) {
  const isize last = k / dense.kr, used = k % dense.kr, groups = last + 1;
  for (isize t = 0; t < taps; ++t) {
    for (isize column = 0; column < dense.nr; ++column) {
      u8* group = values + ((t * groups + last) * dense.nr + column) * dense.kr;
      std::fill_n(group + used, dense.kr - used, static_cast<u8>(dense.rhs_offset));
    }
  }
}

/// Expands the panels from `packed` on to `out`.
void expand(const Kernel& kernel, const Panel& panel, const u8* table, const std::byte* packed, isize panels,
            std::byte* out) {
  const isize blocks = ceil_div(panel.values, kernel.block * (8 / kernel.bits));
  for (; panels > 0; --panels, packed += panel.packed, out += panel.expanded) {
    std::memcpy(out, packed, static_cast<std::size_t>(panel.bias));
    kernel.expand(reinterpret_cast<const u8*>(packed + panel.bias), blocks, table,
                  reinterpret_cast<u8*>(out + panel.bias));
    // Also over what whole blocks have too much.
    std::memcpy(out + panel.bias + panel.values, packed + panel.bias + panel.codes,
                static_cast<std::size_t>(panel.rest));
  }
}

/// A few rows at a time, all of them times as many panels as stay in L2.
void run_few(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end) {
  constexpr isize kNear = 128 << 10;
  const gemm_s8::Kernel& dense = dense_kernel(kernel);
  const isize stride = Panel(kernel, dense, args.taps, args.k).packed;
  const isize step = m_end - m_begin <= kFewRows ? n_end - n_begin : std::max<isize>(1, kNear / stride) * dense.nr;
  for (isize n = n_begin; n < n_end; n += step) {
    for (isize m = m_begin; m < m_end; m += kFewRows)
      kernel.few(args, stride, m, std::min(kFewRows, m_end - m), n, std::min(n + step, n_end));
  }
}

isize output_bytes(EpilogueS8::Output output) { return output == EpilogueS8::Output::s8 ? 1 : 4; }

/// Panels of gemm_s8, a few at a time in scratch.
void run_expanded(const Kernel& kernel, const Head& head, const Args& args, isize m_begin, isize m_end, isize n_begin,
                  isize n_end) {
  const gemm_s8::Kernel& dense = dense_kernel(kernel);
  const Panel panel(kernel, dense, args.taps, args.k);
  const bool padded = !head.has_zero && args.k % dense.kr != 0;
  u8 table[16];
  for (int i = 0; i < 16; ++i) table[i] = static_cast<u8>(head.values[i] + dense.rhs_offset);
  const isize step = panels_at_once(dense, panel) * dense.nr, element = output_bytes(args.epilogue.output);
  for (isize n = n_begin; n < n_end; n += step) {
    const isize columns = std::min(step, n_end - n), panels = ceil_div(columns, dense.nr);
    expand(kernel, panel, table, args.packed + sizeof(Head) + n / dense.nr * panel.packed, panels, args.scratch);
    for (isize i = 0; i < (padded ? panels : 0); ++i)
      clear_padding(dense, args.taps, args.k, reinterpret_cast<u8*>(args.scratch + i * panel.expanded + panel.bias));
    gemm_s8::Args part = args;
    part.packed = args.scratch;
    part.scratch = args.scratch + expanded_bytes(kernel, dense, panel);
    part.n = columns;
    part.out = static_cast<std::byte*>(args.out) + n * element;
    if (part.epilogue.scale) part.epilogue.scale += n;
    if (part.epilogue.residual) part.epilogue.residual += n;
    gemm_s8::run(dense, part, m_begin, m_end, 0, columns);
  }
}

}  // namespace

Codebook integers(int bits) {
  Codebook codebook{bits, {}};
  for (isize i = 0; i < codebook.size(); ++i) codebook.values[i] = static_cast<s8>(i - codebook.size() / 2);
  return codebook;
}

std::optional<Codebook> codebook(std::span<const s8> weights) {
  bool seen[256] = {};
  for (const s8 w : weights) seen[w + 128] = true;
  s8 values[16];
  isize count = 0;
  for (int w = -128; w < 128; ++w) {
    if (!seen[w + 128]) continue;
    if (w == -128 || count == 16) return std::nullopt;
    values[count++] = static_cast<s8>(w);
  }
  for (const int bits : {2, 4}) {
    const Codebook plain = integers(bits);
    if (count == 0 || (values[0] >= plain.values[0] && values[count - 1] <= plain.values[plain.size() - 1]))
      return plain;
    if (count > plain.size()) continue;
    Codebook found{bits, {}};
    for (isize i = 0; i < found.size(); ++i) found.values[i] = values[std::min(i, count - 1)];
    return found;
  }
  return std::nullopt;
}

std::span<const Kernel> kernels() { return kKernels; }

const Kernel& select(const Problem& problem, IsaSet isa) {
  const Kernel* last = nullptr;
  for (const Kernel& kernel : kKernels) {
    if (kernel.bits != problem.bits) continue;
    last = &kernel;
    if (isa.has(kernel.isa)) break;
  }
  return *last;
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }
int bits(const Kernel& kernel) { return kernel.bits; }
isize panel_columns(const Kernel& kernel) { return dense_kernel(kernel).nr; }
isize k_group(const Kernel& kernel) { return dense_kernel(kernel).kr; }
isize tile_rows(const Kernel& kernel) { return dense_kernel(kernel).mr; }

std::size_t packed_bytes(const Kernel& kernel, isize n, isize taps, isize k) {
  if (!fits(taps, k)) return SIZE_MAX;
  const gemm_s8::Kernel& dense = dense_kernel(kernel);
  const Panel panel(kernel, dense, taps, k);
  const std::size_t panels = allocation_bytes(ceil_div(n, dense.nr), panel.packed);
  return panels > SIZE_MAX - sizeof(Head) ? SIZE_MAX : panels + sizeof(Head);
}

std::size_t scratch_bytes(const Kernel& kernel, isize taps, isize k) {
  if (!fits(taps, k)) return SIZE_MAX;
  const gemm_s8::Kernel& dense = dense_kernel(kernel);
  const std::size_t rows = gemm_s8::scratch_bytes(dense, taps, k);
  const std::size_t panels = static_cast<std::size_t>(expanded_bytes(kernel, dense, Panel(kernel, dense, taps, k)));
  return rows > SIZE_MAX - panels ? SIZE_MAX : rows + panels;
}

bool needs_scratch(isize m, isize taps, isize k) { return m > kFewRows || !suits_few(taps, k); }

bool pack(const Kernel& kernel, const Rhs& rhs, std::byte* packed, isize n_begin, isize n_end) {
  const gemm_s8::Kernel& dense = dense_kernel(kernel);
  gemm_s8::Rhs weights = rhs.weights;
  const Panel panel(kernel, dense, weights.taps, weights.k);
  if (n_begin == 0) {
    Head head{};
    std::copy_n(rhs.codebook.values, rhs.codebook.size(), head.values);
    head.first = head.values[0];
    head.linear = rhs.codebook.is_linear();
    head.has_zero = has_zero(rhs.codebook);
    head.k = weights.k;
    std::memcpy(packed, &head, sizeof(head));
  }
  // gemm_s8 adds its offset to values, and pads them with zeros.
  u8 code_of[256] = {};
  for (isize i = rhs.codebook.size() - 1; i >= 0; --i)
    code_of[static_cast<u8>(rhs.codebook.values[i] + dense.rhs_offset)] = static_cast<u8>(i);
  const u8 first = static_cast<u8>(rhs.codebook.values[0] + dense.rhs_offset);
  const bool by_difference = rhs.codebook.is_linear() && has_zero(rhs.codebook);
  const AlignedBuffer expanded(static_cast<std::size_t>(panel.expanded));
  if (!expanded.data()) return false;
  const isize column = weights.taps * weights.k;
  for (isize n = n_begin; n < n_end; n += dense.nr) {
    gemm_s8::Rhs part = weights;
    part.values += n * column;
    if (part.bias) part.bias += n;
    part.n = std::min<isize>(dense.nr, weights.n - n);
    gemm_s8::pack(dense, part, expanded.data(), 0, part.n);
    std::byte* out = packed + sizeof(Head) + n / dense.nr * panel.packed;
    std::memcpy(out, expanded.data(), static_cast<std::size_t>(panel.bias));
    const auto pack_by = [&](const auto& code_of) {
      pack_codes(kernel, reinterpret_cast<const u8*>(expanded.data() + panel.bias), panel.values, code_of,
                 reinterpret_cast<u8*>(out + panel.bias), panel.codes);
    };
    if (by_difference) {
      pack_by([first](u8 value) { return static_cast<u8>(value - first); });
    } else {
      pack_by([&](u8 value) { return code_of[value]; });
    }
    std::memcpy(out + panel.bias + panel.codes, expanded.data() + panel.bias + panel.values,
                static_cast<std::size_t>(panel.rest));
  }
  return true;
}

void run(const Kernel& kernel, const Args& args, isize m_begin, isize m_end, isize n_begin, isize n_end) {
  if (m_begin >= m_end || n_begin >= n_end) return;
  const Head& head = *reinterpret_cast<const Head*>(args.packed);
  Args exact = args;
  exact.k = head.k;
  const bool few = m_end - m_begin <= kFewRows || (kernel.any_rows && head.linear);
  if (!few || !suits_few(args.taps, head.k)) return run_expanded(kernel, head, exact, m_begin, m_end, n_begin, n_end);
  run_few(kernel, exact, m_begin, m_end, n_begin, n_end);
}

}  // namespace whit::gemm_w4
