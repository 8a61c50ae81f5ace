#include "kernels/spmm_s8/spmm_s8.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "base/checked.h"
#include "kernels/spmm_s8/column.h"

namespace whit::spmm_s8 {
namespace {

constexpr Kernel kKernels[] = {
#define SPMM_S8_LEVEL(isa)
#define SPMM_S8_KERNEL(isa, level, function, rows, lines, multiple, block_lines, value, form, short_sums, step, tile) \
  {Isa::isa,                                                                                                          \
   #function,                                                                                                         \
   function,                                                                                                          \
   spmm_lines_##level,                                                                                                \
   spmm_store_##level,                                                                                                \
   {rows, lines, multiple, block_lines, spmm::Layout().band, spmm::Value::value},                                     \
   form,                                                                                                              \
   short_sums,                                                                                                        \
   step,                                                                                                              \
   tile,                                                                                                              \
   0},
#define SPMM_S8_COLUMN(isa, level, function, lines, lanes, form)              \
  {Isa::isa,                                                                  \
   #function,                                                                 \
   function,                                                                  \
   spmm_lines_##level,                                                        \
   spmm_store_##level,                                                        \
   {1, lines, column_multiple(lines), 0, spmm::kColumnBand, spmm::Value::s8}, \
   form,                                                                      \
   false,                                                                     \
   1,                                                                         \
   1,                                                                         \
   lanes},
#include "kernels/spmm_s8/kernels.inc"
#undef SPMM_S8_LEVEL
#undef SPMM_S8_KERNEL
#undef SPMM_S8_COLUMN
};

/// Products with weights of this magnitude that always add up to s16; short sums are flushed as often.
isize products_in_s16(const Kernel& kernel, int largest) {
  const isize most = 32767 / ((kernel.form.offset ? 255 : 128) * std::max<isize>(1, largest));
  return std::max<isize>(1, most / kernel.layout.multiple) * kernel.layout.multiple;
}

constexpr isize kFewestInS16 = 16;  // else flushes take longer than they save

int largest_of(const Csr<s8>& csr) {
  int largest = 0;
  for (const s8 value : csr.values) largest = std::max(largest, std::abs(value));
  return largest;
}

bool computes(const Kernel& kernel, const Problem& problem) {
  if (kernel.lanes > 0) return problem.pixels == 1 && fits_column(kernel, problem.taps, problem.k);
  return fits(kernel, problem.largest);
}

/// Whether a kernel's entries suit weights in such blocks: none has zeros.
bool suits(const Kernel& kernel, const Block& block) {
  return block.rows % kernel.layout.rows == 0 && block.lines % kernel.layout.lines == 0;
}

/// The kernel's, with values as small as these are.
spmm::Layout stream_layout(const Kernel& kernel, const Csr<s8>& csr) {
  spmm::Layout layout = kernel.layout;
  if (std::all_of(csr.values.begin(), csr.values.end(), [](s8 v) { return v >= -8 && v <= 7; }))
    layout.value = spmm::Value::s4;
  return layout;
}

/// Row i as one column.
void column_from_row(const Kernel& kernel, const Rows& rows, isize i, isize k, s8* lines) {
  const s8* row = rows.base + i * rows.row_stride;
  if (rows.offsets) row = rows.offsets[i] >= 0 ? rows.base + rows.offsets[i] : rows.pad;
  const s8 sign = static_cast<s8>(kernel.form.offset);
  for (isize c = 0; c < k; ++c) lines[c] = static_cast<s8>(row[c] ^ sign);
  std::memset(lines + k, 0, static_cast<std::size_t>(line_count(kernel, k) * kernel.form.channels - k));
}

}  // namespace

std::span<const Kernel> kernels() { return kKernels; }

bool fits(const Kernel& kernel, int largest) {
  return !kernel.short_sums || products_in_s16(kernel, largest) >= kFewestInS16;
}

const Kernel& select(const Problem& problem, IsaSet isa) {
  isa = isa.with(Isa::scalar);
  const Kernel* best = nullptr;
  for (const bool one_column : {true, false}) {
    for (const Kernel& kernel : kKernels) {
      if ((kernel.lanes > 0) != one_column || !isa.has(kernel.isa) || !computes(kernel, problem)) continue;
      if (best && best->isa != kernel.isa) break;
      if (suits(kernel, problem.block)) return kernel;
      // With VNNI single weights are as fast in entries of four as any other way: all instructions take four.
      if (!one_column && !best) best = &kernel;
    }
  }
  return *best;
}

const char* name(const Kernel& kernel) { return kernel.name; }
Isa isa(const Kernel& kernel) { return kernel.isa; }
const spmm::Layout& layout(const Kernel& kernel) { return kernel.layout; }
isize pixel_tile(const Kernel& kernel) { return kernel.tile; }
isize pixel_step(const Kernel& kernel) { return kernel.step; }
isize row_step(const Kernel& kernel) { return spmm::row_step(kernel.layout); }

isize line_bytes(const Kernel& kernel, isize pixels) {
  return round_up(pixels, kernel.step) * kernel.form.channels * kernel.form.bytes;
}
isize line_count(const Kernel& kernel, isize k) {
  // Gathers of single values take those behind them along.
  if (kernel.lanes > 0) return ceil_div(k, kernel.form.channels) + 1;
  return ceil_div(k, kernel.layout.lines) * (kernel.layout.lines / kernel.form.channels);
}

std::size_t packed_bytes(const Kernel& kernel, const Csr<s8>& csr) {
  const std::size_t bytes =
      kernel.lanes > 0 ? column_bytes(kernel, csr) : spmm::packed_bytes(csr, stream_layout(kernel, csr));
  return bytes > SIZE_MAX - sizeof(Head) ? SIZE_MAX : bytes + sizeof(Head);
}

s32 bias_without_zero_point(const Csr<s8>& csr, isize row, const s32* bias, s32 zero_point) {
  u32 sum = 0;
  for (s64 i = csr.starts[row]; i < csr.starts[row + 1]; ++i) sum += static_cast<u32>(csr.values[i]);
  return static_cast<s32>(static_cast<u32>(bias ? bias[row] : 0) - static_cast<u32>(zero_point) * sum);
}

void pack(const Kernel& kernel, const Csr<s8>& csr, const s32* bias, s32 zero_point, std::byte* packed) {
  const spmm::Layout layout = stream_layout(kernel, csr);
  const Head head{products_in_s16(kernel, largest_of(csr)), layout.value == spmm::Value::s4};
  std::memcpy(packed, &head, sizeof(head));
  std::byte* const stream = packed + sizeof(Head);
  const s32 zero = zero_point + kernel.form.offset;
  if (kernel.lanes > 0) return pack_column(kernel, csr, bias, zero, stream);
  spmm::pack(csr, layout, nullptr, stream);
  s32* packed_bias = reinterpret_cast<s32*>(stream + spmm::stream(stream).bias);
  for (isize n = 0; n < csr.n; ++n) packed_bias[n] = bias_without_zero_point(csr, n, bias, zero);
}

void lines_from_rows(const Kernel& kernel, const Rows& rows, isize begin, isize count, isize k, void* lines,
                     isize line_stride) {
  if (count <= 0) return;
  if (kernel.lanes > 0) return column_from_row(kernel, rows, begin, k, static_cast<s8*>(lines));
  const isize whole = ceil_div(k, kernel.form.channels), all = line_count(kernel, k);
  for (isize line = whole; line < all; ++line)
    std::memset(static_cast<std::byte*>(lines) + line * line_stride, 0,
                static_cast<std::size_t>(line_bytes(kernel, count)));
  kernel.lines(kernel.form, rows, begin, count, k, static_cast<s8*>(lines), line_stride);
}

void lines_from_channels(const Kernel& kernel, const s8* x, isize x_stride, isize count, isize k, void* lines,
                         isize line_stride) {
  const isize channels = kernel.form.channels, bytes = kernel.form.bytes;
  std::byte* line = static_cast<std::byte*>(lines);
  for (isize first = 0; first < line_count(kernel, k) * channels; first += channels, line += line_stride) {
    for (isize c = 0; c < channels; ++c) {
      const s8* values = first + c < k ? x + (first + c) * x_stride : nullptr;
      for (isize p = 0; p < count; ++p) {
        const s16 value = static_cast<s16>((values ? values[p] : 0) + kernel.form.offset);
        if (bytes == 2) {
          reinterpret_cast<s16*>(line)[p * channels + c] = value;
        } else {
          line[p * channels + c] = static_cast<std::byte>(value);
        }
      }
    }
  }
}

void run(const Kernel& kernel, const Args& args, isize n_begin, isize n_end, isize pixels) {
  if (n_begin < n_end && pixels > 0) kernel.run(args, n_begin, n_end, pixels);
}

void store(const Kernel& kernel, const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
           const EpilogueS8& epilogue, void* out, isize out_stride, isize first_row) {
  kernel.store(acc, acc_stride, n_begin, n_end, pixels, epilogue, out, out_stride, first_row);
}

}  // namespace whit::spmm_s8
