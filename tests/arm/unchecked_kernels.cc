// Runs one product on one gemm kernel, whatever the CPU has:  unchecked_kernels KERNEL
// On a CPU without the kernel's level it must die of an illegal instruction. That proves that the emulated CPU lacks
// what it should lack, so that a wrong dispatch cannot pass the tests. Without an argument: the names of all kernels.

#include <cstdio>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_f32/kernel.h"
#include "kernels/gemm_s8/gemm_s8.h"
#include "kernels/gemm_s8/kernel.h"

namespace {

constexpr whit::isize kM = 17, kN = 40, kK = 64;

bool run_s8(const whit::gemm_s8::Kernel& kernel) {
  const std::vector<whit::s8> lhs(kM * kK, 3), rhs(kN * kK, 5);
  std::vector<whit::s32> out(kM * kN);
  const whit::AlignedBuffer packed(whit::gemm_s8::packed_bytes(kernel, kN, 1, kK));
  whit::gemm_s8::pack(kernel, {rhs.data(), nullptr, kN, 1, kK, 0}, packed.data(), 0, kN);
  whit::gemm_s8::Args args{};
  args.lhs = {lhs.data(), kK, nullptr, nullptr};
  args.packed = packed.data();
  args.n = kN, args.taps = 1, args.k = kK;
  args.epilogue.output = whit::EpilogueS8::Output::s32;
  args.out = out.data(), args.out_stride = kN;
  whit::gemm_s8::run(kernel, args, 0, kM, 0, kN);
  return out == std::vector<whit::s32>(kM * kN, 15 * kK);
}

bool run_f32(const whit::gemm_f32::Kernel& kernel) {
  const std::vector<whit::f32> lhs(kM * kK, 3), rhs(kN * kK, 5);
  std::vector<whit::f32> out(kM * kN);
  const whit::AlignedBuffer packed(whit::gemm_f32::packed_bytes(kernel, kN, 1, kK));
  whit::gemm_f32::pack(kernel, {rhs.data(), nullptr, kN, 1, kK}, packed.data(), 0, kN);
  whit::gemm_f32::Args args{};
  args.lhs = {lhs.data(), kK, nullptr, nullptr};
  args.packed = packed.data();
  args.n = kN, args.taps = 1, args.k = kK;
  args.epilogue.clamp_min = -1e30f, args.epilogue.clamp_max = 1e30f;
  args.out = out.data(), args.out_stride = kN;
  whit::gemm_f32::run(kernel, args, 0, kM, 0, kN);
  return out == std::vector<whit::f32>(kM * kN, 15 * kK);
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& kernel : whit::gemm_s8::kernels()) {
    if (argc < 2) std::printf("%s\n", name(kernel));
    if (argc == 2 && std::string_view(argv[1]) == name(kernel)) return run_s8(kernel) ? 0 : 1;
  }
  for (const auto& kernel : whit::gemm_f32::kernels()) {
    if (argc < 2) std::printf("%s\n", name(kernel));
    if (argc == 2 && std::string_view(argv[1]) == name(kernel)) return run_f32(kernel) ? 0 : 1;
  }
  if (argc < 2) return 0;
  std::fprintf(stderr, "no kernel of this name: run without an argument for a list\n");
  return 2;
}
