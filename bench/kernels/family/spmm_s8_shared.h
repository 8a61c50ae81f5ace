#pragma once
// Sparse products of s8 beside dense ones, for kernel_bench and for bench/arm.

#include <algorithm>
#include <cmath>

#include "bench/kernels/family/spmm_shape.h"
#include "kernels/gemm_s8/gemm_s8.h"
#include "kernels/gemm_s8/kernel.h"
#include "kernels/spmm_s8/kernel.h"
#include "kernels/spmm_s8/spmm_s8.h"

namespace whit::bench {

inline constexpr s32 kZeroPoint = -3;

/// A sparse product as the engine runs it: tile by tile of pixels, from NHWC to NHWC.
struct SparseProduct {
  const spmm_s8::Kernel& kernel;
  spmm_s8::Rows rows;
  std::span<std::byte> packed, lines;
  std::span<s32> acc;
  isize n, k, pixels, tile, chunk;
  EpilogueS8 epilogue;
  s8* out;

  SparseProduct(Group& group, const spmm_s8::Kernel& which, const SpmmShape& s, const spmm::Csr<s8>& csr,
                const s32* bias, const s8* x, const EpilogueS8& finish, s8* output)
      : kernel(which), rows{x, s.k, nullptr, nullptr}, n(s.n), k(s.k), pixels(s.pixels), epilogue(finish), out(output) {
    packed = allocate<std::byte>(group, static_cast<isize>(spmm_s8::packed_bytes(kernel, csr)));
    spmm_s8::pack(kernel, csr, bias, kZeroPoint, packed.data());
    tile = round_up(ceil_div(pixels, ceil_div(pixels, spmm_s8::pixel_tile(kernel))), spmm_s8::pixel_step(kernel));
    lines = allocate<std::byte>(group, spmm_s8::line_bytes(kernel, tile) * spmm_s8::line_count(kernel, k));
    chunk = std::min<isize>(round_up(n, spmm_s8::layout(kernel).rows), spmm_s8::row_step(kernel));
    acc = allocate<s32>(group, chunk * tile);
  }

  void run() const {
    const isize stride = spmm_s8::line_bytes(kernel, tile);
    for (isize p = 0; p < pixels; p += tile) {
      const isize count = std::min(tile, pixels - p);
      spmm_s8::lines_from_rows(kernel, rows, p, count, k, lines.data(), stride);
      for (isize begin = 0; begin < n; begin += chunk) {
        const isize end = std::min(n, begin + chunk);
        s32* const first = acc.data() - begin * tile;
        spmm_s8::run(kernel, {packed.data(), lines.data(), stride, nullptr, first, tile}, begin, end, count);
        spmm_s8::store(kernel, first, tile, begin, end, count, epilogue, out, n, p);
      }
    }
  }
};

/// A dense product on every dense kernel, and on every sparse one: all give the same bytes. GOP/s are those of the
/// dense product.
inline Group spmm_s8_group(const SpmmShape& s, IsaSet isa) {
  Group group;
  group.exact = true;
  group.operations = 2.0 * static_cast<f64>(s.pixels * s.n * s.k);  // of the dense product
  group.bytes = static_cast<f64>(s.pixels * (s.n + s.k));
  const auto x = random<s8>(group, s.pixels * s.k, 40);
  const auto weights = random<s8>(group, s.n * s.k, 32);
  put_zeros(group, s, weights);
  for (s8& w : weights) w = static_cast<s8>(std::clamp<int>(w, -s.largest, s.largest));
  const auto bias = filled<s32>(group, s.n, 100);
  const f32 spread = std::min<f32>(32, static_cast<f32>(s.largest)) * 40;
  const auto scales = filled<f32>(group, s.n, 50.0f / (spread * std::sqrt(static_cast<f32>(s.k) / 10)));
  const auto out = allocate<s8>(group, s.pixels * s.n);
  group.output = bytes_of(out);
  EpilogueS8 epilogue{.output = EpilogueS8::Output::s8, .scale = scales.data(), .clamp_min = 0, .clamp_max = 255};
  epilogue.zero_point = -128;

  for (const gemm_s8::Kernel& kernel : gemm_s8::kernels()) {
    if (!isa.has(kernel.isa) || kernel.isa == Isa::scalar) continue;
    const auto packed = allocate<std::byte>(group, static_cast<isize>(gemm_s8::packed_bytes(kernel, s.n, 1, s.k)));
    gemm_s8::pack(kernel, {weights.data(), bias.data(), s.n, 1, s.k, kZeroPoint}, packed.data(), 0, s.n);
    const gemm_s8::Args args{.lhs = {x.data(), s.k, nullptr, nullptr},
                             .packed = packed.data(),
                             .n = s.n,
                             .taps = 1,
                             .k = s.k,
                             .epilogue = epilogue,
                             .out = out.data(),
                             .out_stride = s.n};
    group.jobs.push_back(
        {kernel.name, kernel.isa, false, [&kernel, args, s] { gemm_s8::run(kernel, args, 0, s.pixels, 0, s.n); }});
  }
  const auto csr = std::make_shared<spmm::OwnedCsr<s8>>(*spmm::csr_from_dense(weights.data(), s.n, 1, s.k));
  group.data.push_back(csr);
  const spmm_s8::Kernel* selected = &spmm_s8::select(
      {.n = s.n, .taps = 1, .k = s.k, .pixels = s.pixels, .block = s.block, .largest = s.largest}, isa);
  for (const spmm_s8::Kernel& kernel : spmm_s8::kernels()) {
    if (!isa.has(kernel.isa) || !spmm_s8::fits(kernel, s.largest)) continue;
    if (kernel.lanes > 0 && s.pixels > 1) continue;
    const SparseProduct product(group, kernel, s, csr->view(), bias.data(), x.data(), epilogue, out.data());
    group.jobs.push_back({kernel.name, kernel.isa, &kernel == selected, [product] { product.run(); }});
  }
  return group;
}

}  // namespace whit::bench
