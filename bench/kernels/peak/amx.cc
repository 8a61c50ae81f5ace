#include <immintrin.h>

#include "bench/kernels/peaks.h"

namespace whit::bench {
namespace {

struct alignas(64) TileConfig {
  u8 palette = 0, start_row = 0;
  u8 reserved[14] = {};
  u16 column_bytes[16] = {};
  u8 rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

/// Eight full tiles as long as it lives; then what the thread had before.
class FullTiles {
 public:
  FullTiles() {
    _tile_storeconfig(&before_);
    TileConfig full;
    full.palette = 1;
    for (int tile = 0; tile < 8; ++tile) {
      full.column_bytes[tile] = 64;
      full.rows[tile] = 16;
    }
    _tile_loadconfig(&full);
  }
  ~FullTiles() {
    if (before_.palette == 0) {
      _tile_release();
    } else {
      _tile_loadconfig(&before_);
    }
  }
  FullTiles(const FullTiles&) = delete;
  FullTiles& operator=(const FullTiles&) = delete;

 private:
  TileConfig before_;
};

constexpr f64 kTileProduct = 2.0 * 16 * 16 * 64;

void clear() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

void multiply() {
  _tile_dpbssd(0, 4, 6);
  _tile_dpbssd(1, 4, 7);
  _tile_dpbssd(2, 5, 6);
  _tile_dpbssd(3, 5, 7);
}

}  // namespace

f64 peak_tdpbssd_amx(u64 rounds) {
  const FullTiles tiles;
  clear();
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (u64 i = 0; i < rounds; ++i) multiply();
  return static_cast<f64>(rounds) * 4 * kTileProduct;
}

// A block of 32 x 32 outputs: two tiles of activations and two of weights are loaded for four products.
f64 peak_tdpbssd_with_loads_amx(u64 rounds) {
  constexpr int kSteps = 6, kTileBytes = 1024;  // 24 kB, within L1
  alignas(64) static s8 data[kSteps * 4 * kTileBytes];
  const FullTiles tiles;
  clear();
  for (u64 i = 0; i < rounds; ++i) {
    for (int step = 0; step < kSteps; ++step) {
      const s8* at = data + step * 4 * kTileBytes;
      _tile_loadd(4, at, 64);
      _tile_loadd(5, at + kTileBytes, 64);
      _tile_loadd(6, at + 2 * kTileBytes, 64);
      _tile_loadd(7, at + 3 * kTileBytes, 64);
      multiply();
    }
  }
  return static_cast<f64>(rounds) * kSteps * 4 * kTileProduct;
}

}  // namespace whit::bench
