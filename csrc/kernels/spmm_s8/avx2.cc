// AVX2. pmaddwd sums the products of two s16 with two, so entries come two at a time.

#include "kernels/simd_s8/avx2.h"
// after the vector
#include "kernels/spmm_s8/walk.h"
#include "kernels/spmm_s8/x86_lines.h"

namespace whit::spmm_s8 {
namespace {

using Int = Vector::Int;

WHIT_INLINE Int load(const s8* p) { return _mm256_loadu_si256((const __m256i*)p); }
WHIT_INLINE Int broadcast_s32(const void* p) { return _mm256_set1_epi32(load_as<s32>(p)); }
WHIT_INLINE void add_products(Int& acc, Int x, Int w) { acc = _mm256_add_epi32(acc, _mm256_madd_epi16(x, w)); }

/// 8 x 8.
WHIT_INLINE void transpose(Int (&v)[8]) {
  Int a[8], b[8];
  WHIT_UNROLL for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
    a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
  }
  WHIT_UNROLL for (int i = 0; i < 8; i += 4) {
    WHIT_UNROLL for (int j = 0; j < 2; ++j) {
      b[i + 2 * j] = _mm256_unpacklo_epi64(a[i + j], a[i + j + 2]);
      b[i + 2 * j + 1] = _mm256_unpackhi_epi64(a[i + j], a[i + j + 2]);
    }
  }
  WHIT_UNROLL for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
    v[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
  }
}

WHIT_INLINE Int unpack_low(Int a, Int b) { return _mm256_unpacklo_epi8(a, b); }
WHIT_INLINE Int unpack_high(Int a, Int b) { return _mm256_unpackhi_epi8(a, b); }
template <int kLane>
WHIT_INLINE void store_lane(s8* p, Int bytes) {
  _mm_storeu_si128((__m128i*)p, _mm256_extracti128_si256(bytes, kLane));
}

/// 16 pixels of two lines, interleaved, and sums in the order that this leaves them in.
struct Interleaved {
  Int low, high;  // pixels 0-3 and 8-11, 4-7 and 12-15
};

WHIT_INLINE Interleaved interleave(const s8* a, const s8* b) {
  const Int x = load(a), y = load(b);
  return {_mm256_unpacklo_epi16(x, y), _mm256_unpackhi_epi16(x, y)};
}
WHIT_INLINE void load_sums(Int (&acc)[2], const s32* p) {
  const Int a = Vector::load(p), b = Vector::load(p + 8);
  acc[0] = _mm256_permute2x128_si256(a, b, 0x20);
  acc[1] = _mm256_permute2x128_si256(a, b, 0x31);
}
WHIT_INLINE void store_sums(s32* p, const Int (&acc)[2]) {
  Vector::store(p, _mm256_permute2x128_si256(acc[0], acc[1], 0x20));
  Vector::store(p + 8, _mm256_permute2x128_si256(acc[0], acc[1], 0x31));
}

/// Entries of one weight, or of kHeight rows.
template <int kHeight, int kMostVectors>
struct Pairs {
  static constexpr int kRows = kHeight, kSets = 1, kStep = 16, kVectors = kMostVectors, kPixelBytes = 2;
  static constexpr int kEntryValues = kRows, kValueBytes = 2;

  template <int V>
  WHIT_INLINE static void row(const RunOfEntries& run) {
    Int acc[V][kRows][2];
    WHIT_UNROLL for (int v = 0; v < V; ++v) {
      WHIT_UNROLL for (int r = 0; r < kRows; ++r) {
        if (run.bias) {
          acc[v][r][0] = acc[v][r][1] = Vector::broadcast(run.bias[r]);
        } else {
          load_sums(acc[v][r], run.acc + r * run.acc_stride + v * kStep);
        }
      }
    }
    for (isize e = 0; e < run.count; e += 2) {
      const s8 *a = run.x(e), *b = run.x(e + 1);
      Int w[kRows];
      WHIT_UNROLL for (int r = 0; r < kRows; ++r) w[r] = broadcast_s32(run.value<s16>(e * kRows + 2 * r));
      WHIT_UNROLL for (int v = 0; v < V; ++v) {
        const Interleaved x = interleave(a + v * kStep * 2, b + v * kStep * 2);
        WHIT_UNROLL for (int r = 0; r < kRows; ++r) {
          add_products(acc[v][r][0], x.low, w[r]);
          add_products(acc[v][r][1], x.high, w[r]);
        }
      }
    }
    WHIT_UNROLL for (int v = 0; v < V; ++v) {
      WHIT_UNROLL for (int r = 0; r < kRows; ++r) store_sums(run.acc + r * run.acc_stride + v * kStep, acc[v][r]);
    }
  }
};

/// Entries of four weights of a row, whose lines have two channels each.
struct Fours {
  static constexpr int kRows = 1, kSets = 2, kStep = 8, kVectors = 8, kPixelBytes = 4;
  static constexpr int kEntryValues = 4, kValueBytes = 2;

  template <int V>
  WHIT_INLINE static void row(const RunOfEntries& run) {
    Int acc[V];
    WHIT_UNROLL for (int v = 0; v < V; ++v) acc[v] =
        run.bias ? Vector::broadcast(*run.bias) : Vector::load(run.acc + v * kStep);
    for (isize e = 0; e < run.count; ++e) {
      const s8 *a = run.x(e), *b = a + run.line_stride;
      const Int w0 = broadcast_s32(run.value<s16>(4 * e)), w1 = broadcast_s32(run.value<s16>(4 * e + 2));
      WHIT_UNROLL for (int v = 0; v < V; ++v) {
        add_products(acc[v], load(a + v * kStep * 4), w0);
        add_products(acc[v], load(b + v * kStep * 4), w1);
      }
    }
    WHIT_UNROLL for (int v = 0; v < V; ++v) Vector::store(run.acc + v * kStep, acc[v]);
  }
};

/// Entries of one weight of a small magnitude: pmaddubsw on interleaved u8, whose sums of two stay in s16 for as many
/// entries as the head says.
struct Short {
  static constexpr int kRows = 1, kSets = 1, kStep = 32, kVectors = 4, kPixelBytes = 1;
  static constexpr int kEntryValues = 1, kValueBytes = 1;

  template <int V>
  WHIT_INLINE static void row(const RunOfEntries& run) {
    isize e = 0;
    const s32* from = run.bias ? nullptr : run.acc;
    do {
      const isize end = run.count - e < run.limit ? run.count : e + run.limit;
      Int acc[V][2];  // pixels 0-7 and 16-23, 8-15 and 24-31
      WHIT_UNROLL for (int v = 0; v < V; ++v) acc[v][0] = acc[v][1] = _mm256_setzero_si256();
      for (; e < end; e += 2) {
        const s8 *a = run.x(e), *b = run.x(e + 1);
        const Int w = _mm256_set1_epi16(load_as<s16>(run.value<s8>(e)));
        WHIT_UNROLL for (int v = 0; v < V; ++v) {
          const Int x = load(a + v * kStep), y = load(b + v * kStep);
          acc[v][0] = _mm256_add_epi16(acc[v][0], _mm256_maddubs_epi16(_mm256_unpacklo_epi8(x, y), w));
          acc[v][1] = _mm256_add_epi16(acc[v][1], _mm256_maddubs_epi16(_mm256_unpackhi_epi8(x, y), w));
        }
      }
      WHIT_UNROLL for (int v = 0; v < V; ++v) {
        WHIT_UNROLL for (int i = 0; i < 4; ++i) {
          const __m128i half =
              i < 2 ? _mm256_castsi256_si128(acc[v][i % 2]) : _mm256_extracti128_si256(acc[v][i % 2], 1);
          s32* p = run.acc + v * kStep + i * 8;
          const Int base = from ? Vector::load(from + v * kStep + i * 8) : Vector::broadcast(*run.bias);
          Vector::store(p, _mm256_add_epi32(base, _mm256_cvtepi16_epi32(half)));
        }
      }
      from = run.acc;
    } while (e < run.count);
  }
};

template <int kScale>
WHIT_INLINE Int gather(const s8* x, const u8* places) {
  return _mm256_i32gather_epi32((const int*)x, _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)places)), kScale);
}
WHIT_INLINE Int first_bytes(const s8* p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p)); }
WHIT_INLINE Int dot(Int acc, Int x, Int w) { return Vector::dot4(acc, Vector::operand(x), w); }

}  // namespace
}  // namespace whit::spmm_s8

#include "kernels/spmm_s8/x86_column.h"
#include "kernels/spmm_s8/x86_store.h"

namespace whit::spmm_s8 {

void spmm_s8s8s32_4x1_avx2(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Pairs<4, 1>>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x4_avx2(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Fours>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x1_short_avx2(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Short>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x1_avx2(const Args& args, isize n_begin, isize n_end, isize pixels) {
  walk<Pairs<1, 4>>(args, n_begin, n_end, pixels);
}

void spmm_s8s8s32_1x4_column_avx2(const Args& args, isize n_begin, isize n_end, isize) {
  column<Column<4>>(args, n_begin, n_end);
}

void spmm_s8s8s32_1x1_column_avx2(const Args& args, isize n_begin, isize n_end, isize) {
  column<Column<1>>(args, n_begin, n_end);
}

void spmm_lines_avx2(const Form& form, const Rows& rows, isize begin, isize count, isize k, s8* lines,
                     isize line_stride) {
  lines_of_form<Tile>(form, rows, begin, count, k, lines, line_stride);
}

void spmm_store_avx2(const s32* acc, isize acc_stride, isize n_begin, isize n_end, isize pixels,
                     const EpilogueS8& epilogue, void* out, isize out_stride, isize first_row) {
  store_rows(acc, acc_stride, n_begin, n_end, pixels, epilogue, out, out_stride, first_row);
}

}  // namespace whit::spmm_s8
