#pragma once
// Sparse products of f32 beside dense ones, for bench/arm. (kernel_bench has those of whit.kernels: spmm_f32.cc.)

#include <algorithm>

#include "bench/kernels/family/spmm_shape.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_f32/kernel.h"
#include "kernels/spmm_f32/kernel.h"
#include "kernels/spmm_f32/spmm_f32.h"

namespace whit::bench {

/// A sparse product as the engine runs it: tile by tile of pixels, from NHWC to NHWC.
struct SparseProductF32 {
  const spmm_f32::Kernel& kernel;
  spmm_f32::Rows rows;
  std::span<std::byte> packed;
  std::span<f32> lines, acc;
  isize n, k, pixels, tile, chunk;
  EpilogueF32 epilogue;
  f32* out;

  SparseProductF32(Group& group, const spmm_f32::Kernel& which, const SpmmShape& s, const spmm::Csr<f32>& csr,
                   const f32* bias, const f32* x, const EpilogueF32& finish, f32* output)
      : kernel(which), rows{x, s.k, nullptr, nullptr}, n(s.n), k(s.k), pixels(s.pixels), epilogue(finish), out(output) {
    packed = allocate<std::byte>(group, static_cast<isize>(spmm_f32::packed_bytes(kernel, csr)));
    spmm_f32::pack(kernel, csr, bias, packed.data());
    tile = std::min(pixels, spmm_f32::pixel_tile(kernel));
    lines = allocate<f32>(group, tile * k);
    chunk = std::min(n, spmm_f32::row_step(kernel));
    acc = allocate<f32>(group, chunk * tile);
  }

  void run() const {
    for (isize p = 0; p < pixels; p += tile) {
      const isize count = std::min(tile, pixels - p);
      spmm_f32::lines_from_rows(rows, p, count, k, lines.data(), tile);
      for (isize begin = 0; begin < n; begin += chunk) {
        const isize end = std::min(n, begin + chunk);
        f32* const first = acc.data() - begin * tile;
        spmm_f32::run(kernel, {packed.data(), lines.data(), tile, nullptr, first, tile}, begin, end, count);
        spmm_f32::store(kernel, first, tile, begin, end, count, epilogue, out, n, p);
      }
    }
  }
};

/// A dense product on every dense kernel, and on every sparse one: those that have FMA give the same bytes, since sums
/// are of the same terms in the same order.
inline Group spmm_f32_group(const SpmmShape& s, IsaSet isa) {
  Group group;
  group.work = Work::f32;
  const auto x = random<f32>(group, s.pixels * s.k, 1), weights = random<f32>(group, s.n * s.k, 1);
  put_zeros(group, s, weights);
  const auto bias = filled<f32>(group, s.n, 1), out = allocate<f32>(group, s.pixels * s.n);
  group.output = bytes_of(out);
  const EpilogueF32 epilogue{.clamp_min = 0, .clamp_max = 1e30f};

  for (const gemm_f32::Kernel& kernel : gemm_f32::kernels()) {
    if (!isa.has(kernel.isa) || kernel.isa == Isa::scalar) continue;
    const auto packed = allocate<std::byte>(group, static_cast<isize>(gemm_f32::packed_bytes(kernel, s.n, 1, s.k)));
    gemm_f32::pack(kernel, {weights.data(), bias.data(), s.n, 1, s.k}, packed.data(), 0, s.n);
    const gemm_f32::Args args{.lhs = {x.data(), s.k, nullptr, nullptr},
                              .packed = packed.data(),
                              .n = s.n,
                              .taps = 1,
                              .k = s.k,
                              .epilogue = epilogue,
                              .out = out.data(),
                              .out_stride = s.n};
    group.jobs.push_back(
        {kernel.name, kernel.isa, false, [&kernel, args, s] { gemm_f32::run(kernel, args, 0, s.pixels, 0, s.n); }});
  }
  const auto csr = std::make_shared<spmm::OwnedCsr<f32>>(*spmm::csr_from_dense(weights.data(), s.n, 1, s.k));
  group.data.push_back(csr);
  for (const spmm_f32::Kernel& kernel : spmm_f32::kernels()) {
    if (!isa.has(kernel.isa) || kernel.isa == Isa::scalar) continue;
    if (spmm_f32::pixel_tile(kernel) == 1 && s.pixels > 1) continue;
    const SparseProductF32 product(group, kernel, s, csr->view(), bias.data(), x.data(), epilogue, out.data());
    group.jobs.push_back({kernel.name, kernel.isa, false, [product] { product.run(); }});
  }
  return group;
}

}  // namespace whit::bench
