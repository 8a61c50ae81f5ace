#pragma once
// Up to kFewRows rows times panels of codes, which become operands of products in registers; and codes to values.
// Local to the file that includes it. Codes of linear codebooks are operands as they are: a sum of products with
// w - first is too small by first * (sum of its row). Those of others are looked up.
//
// Include a file before that defines
//     struct Finish            Finish(const Args&), row(sums, m, n, columns): the epilogue of one row
//     struct Codes             Block, kBlock bytes; load(p), store(p, block), unpack<kBits>(block, parts[8 / kBits]),
//                              table(p) of 16 bytes, lookup(table, codes)
//     struct Product<kBits, kLookup>     of kNr columns
//         kOffset                        added to what is looked up
//         Product(const u8* table)       of the codebook, kOffset added
//         Sums<R>, zero(sums), step(sums, x[R], codes), store(sums, s32 out[R][kNr])      kStep k a step

#include <cstring>

#include "kernels/gemm_s8/tile.h"
#include "kernels/gemm_w4/kernel.h"

namespace whit::gemm_w4 {
namespace {

WHIT_INLINE u32 sum_of(const s8* x, isize k) {
  s32 sum = 0;
  for (isize i = 0; i < k; ++i) sum += x[i];
  return static_cast<u32>(sum);
}

template <class Product, int R>
[[gnu::noinline]] void few_rows(const Args& args, isize panel_stride, isize m, isize n, isize n_end) {
  constexpr isize kNr = Product::kNr, kStepBytes = kStep * kNr * Product::kBits / 8;
  const Head& head = *reinterpret_cast<const Head*>(args.packed);
  u8 table[16];
  for (int i = 0; i < 16; ++i) table[i] = static_cast<u8>(head.values[i] + Product::kOffset);
  const Product product(table);
  const Finish finish(args);
  const isize rest = args.k % kStep, whole = args.k - rest;
  const u32 first = static_cast<u32>(Product::kLookup ? -Product::kOffset : head.first);
  const s8* last[R];  // the k of the last step, and zeros
  alignas(64) s8 padded[R][kStep] = {};
  u32 missing[R] = {};
  for (int r = 0; r < R; ++r) {
    last[r] = padded[r];
    if (rest) std::memcpy(padded[r], gemm_s8::lhs_values(args, m + r, 0) + whole, static_cast<std::size_t>(rest));
    for (isize t = 0; t < (first ? args.taps : 0); ++t)
      missing[r] += first * sum_of(gemm_s8::lhs_values(args, m + r, t), args.k);
  }
  const std::byte* panel = args.packed + sizeof(Head) + n / kNr * panel_stride;
  for (; n < n_end; n += kNr, panel += panel_stride) {
    const s32* bias = reinterpret_cast<const s32*>(panel);
    const u8* codes = reinterpret_cast<const u8*>(panel + kNr * sizeof(s32));
    typename Product::template Sums<R> sums;
    product.zero(sums);
    for (isize t = 0; t < args.taps; ++t) {
      const s8* x[R];
      WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] = gemm_s8::lhs_values(args, m + r, t);
      for (isize k = 0; k < whole; k += kStep, codes += kStepBytes) {
        product.step(sums, x, codes);
        WHIT_UNROLL for (int r = 0; r < R; ++r) x[r] += kStep;
      }
    }
    if (rest) product.step(sums, last, codes);
    alignas(64) s32 out[R][kNr];
    product.store(sums, out);
    const isize columns = n_end - n < kNr ? n_end - n : kNr;
    for (int r = 0; r < R; ++r) {
      for (isize c = 0; c < kNr; ++c)
        out[r][c] = static_cast<s32>(static_cast<u32>(out[r][c]) + static_cast<u32>(bias[c]) + missing[r]);
      finish.row(out[r], m + r, n, columns);
    }
  }
}

template <class Product, int R = kFewRows>
WHIT_INLINE void few_rows(const Args& args, isize panel_stride, isize m, isize rows, isize n, isize n_end) {
  if constexpr (R > 1) {
    if (rows < R) return few_rows<Product, R - 1>(args, panel_stride, m, rows, n, n_end);
  }
  few_rows<Product, R>(args, panel_stride, m, n, n_end);
}

template <int kBits>
WHIT_INLINE void few(const Args& args, isize panel_stride, isize m, isize rows, isize n, isize n_end) {
  if (reinterpret_cast<const Head*>(args.packed)->linear)
    return few_rows<Product<kBits, false>>(args, panel_stride, m, rows, n, n_end);
  few_rows<Product<kBits, true>>(args, panel_stride, m, rows, n, n_end);
}

template <int kBits>
WHIT_INLINE void expand(const u8* codes, isize blocks, const u8* table, u8* values) {
  constexpr int kParts = 8 / kBits;
  const auto values_of = Codes::table(table);
  for (; blocks > 0; --blocks, codes += Codes::kBlock) {
    Codes::Block parts[kParts];
    Codes::unpack<kBits>(Codes::load(codes), parts);
    WHIT_UNROLL for (int i = 0; i < kParts; ++i, values += Codes::kBlock)
        Codes::store(values, Codes::lookup(values_of, parts[i]));
  }
}

}  // namespace
}  // namespace whit::gemm_w4

/// What a level exports, beside its tile in names of kernels.
#define GEMM_W4_LEVEL(tile, isa)                                                                                      \
  namespace whit::gemm_w4 {                                                                                           \
  void gemm_s8w4s32_##tile##_##isa(const Args& args, isize panel_stride, isize m, isize rows, isize n, isize n_end) { \
    few<4>(args, panel_stride, m, rows, n, n_end);                                                                    \
  }                                                                                                                   \
  void gemm_s8w2s32_##tile##_##isa(const Args& args, isize panel_stride, isize m, isize rows, isize n, isize n_end) { \
    few<2>(args, panel_stride, m, rows, n, n_end);                                                                    \
  }                                                                                                                   \
  void expand_w4_##isa(const u8* codes, isize blocks, const u8* table, u8* values) {                                  \
    expand<4>(codes, blocks, table, values);                                                                          \
  }                                                                                                                   \
  void expand_w2_##isa(const u8* codes, isize blocks, const u8* table, u8* values) {                                  \
    expand<2>(codes, blocks, table, values);                                                                          \
  }                                                                                                                   \
  }
