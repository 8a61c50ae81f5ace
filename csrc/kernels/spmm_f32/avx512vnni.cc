// AVX-512F: 32 registers. 1 x 80 reads its x as operands of FMA and holds 20 accumulators of four runs, 4 x 80 holds
// 20, 5 vectors of x and a broadcast, 8 x 48 holds 24 and 3.

#include "kernels/simd_f32/avx512.h"

#include "kernels/spmm_f32/broadcast.inc"

namespace whit::spmm_f32 {
namespace {

/// In masked forms, since GCC 12 warns of the undefined operands inside the plain ones.
WHIT_INLINE __m512 gather(const f32* x, const u16* at) {
  const __m256i places = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, places), x, 4);
}

WHIT_INLINE __m512 where(__m512 w, __m512 x) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(w, _mm512_setzero_ps(), _CMP_NEQ_UQ), x);
}

/// Loads are what limits tiles of several vectors: one for four weights, and a shuffle for each of them, is faster
/// there than four broadcasts from memory.
template <int V>
  requires(V > 1)
struct FourWeights<V> {
  __m512 weights;

  WHIT_INLINE explicit FourWeights(const f32* p) : weights(_mm512_maskz_broadcast_f32x4(0xffff, _mm_loadu_ps(p))) {}
  WHIT_INLINE __m512 operator[](int i) const {
    return i == 0   ? _mm512_maskz_permute_ps(0xffff, weights, 0x00)
           : i == 1 ? _mm512_maskz_permute_ps(0xffff, weights, 0x55)
           : i == 2 ? _mm512_maskz_permute_ps(0xffff, weights, 0xaa)
                    : _mm512_maskz_permute_ps(0xffff, weights, 0xff);
  }
  WHIT_INLINE void add(__m512 (&acc)[1][V], const __m512 (&x)[V], int i) const {
    WHIT_UNROLL for (int v = 0; v < V; ++v) acc[0][v] = _mm512_fmadd_ps((*this)[i], x[v], acc[0][v]);
  }
};

/// A Tail: half the bytes of a whole vector, of which L1 has too few.
struct HalfVector {
  using Register = __m256;
  static constexpr int kLanes = 8;

  WHIT_INLINE static Register load(const f32* p) { return _mm256_loadu_ps(p); }
  WHIT_INLINE static void store(f32* p, Register r) { _mm256_storeu_ps(p, r); }
  WHIT_INLINE static Register part(__m512 whole) {
    return __builtin_shufflevector(whole, whole, 0, 1, 2, 3, 4, 5, 6, 7);
  }
  template <int V>
  WHIT_INLINE static void add_entry(__m512 (&acc)[1][V], Register (&tail)[1], const __m512 (&x)[1][V],
                                    const Register (&tail_x)[1], __m512 weight) {
    __asm__("" : "+v"(weight));  // else GCC makes it a second time for part()
    WHIT_UNROLL for (int v = 0; v < V; ++v) acc[0][v] = _mm512_fmadd_ps(weight, x[0][v], acc[0][v]);
    tail[0] = _mm256_fmadd_ps(part(weight), tail_x[0], tail[0]);
  }
};

}  // namespace
}  // namespace whit::spmm_f32

#include "kernels/spmm_f32/rows.inc"

namespace whit::spmm_f32 {

void spmm_f32_1x80_avx512vnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<1, 5, 128, 4, HalfVector>>(args, n_begin, n_end, pixels);
}

void spmm_f32_1x16_avx512vnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<1, 1, 256, 4>>(args, n_begin, n_end, pixels);
}

void spmm_f32_4x80_avx512vnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  strip<Shape<4, 5, 128>>(args, n_begin, n_end, pixels);
}

void spmm_f32_8x48_avx512vnni(const Args& args, isize n_begin, isize n_end, isize pixels) {
  using Of8 = Shape<8, 3, 192>;
  if (pixels == 1) return column_of_8<Of8>(args, n_begin, n_end);
  strip<Of8>(args, n_begin, n_end, pixels);
}

void spmm_f32_16x1_avx512vnni(const Args& args, isize n_begin, isize n_end, isize) { column<1>(args, n_begin, n_end); }

void finish_avx512vnni(const EpilogueF32& epilogue, const f32* acc, isize acc_stride, isize n, isize rows,
                       const f32* residual, f32* out, isize out_stride) {
  finish_rows(epilogue, acc, acc_stride, n, rows, residual, out, out_stride);
}

}  // namespace whit::spmm_f32
