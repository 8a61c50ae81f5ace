#pragma once
// AMX's tile instructions in plain C++, put in front of a kernel's file (-include) so that its addresses, sizes and
// sums are tested on CPUs without AMX. After Intel's Architecture Instruction Set Extensions, "Intel AMX Instruction
// Set Reference"; what would fault there stops the program here.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/simd_s8/avx512.h"

namespace tile_model {
namespace {

struct Tile {
  int rows = 0, row_bytes = 0;
  unsigned char data[16][64] = {};
};
struct State {
  bool configured = false;
  Tile tiles[8];
};
thread_local State state;

inline void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "tile model: %s\n", what);
  std::abort();
}

inline Tile& tile(int i) {
  require(state.configured && state.tiles[i].rows > 0, "a tile that is not configured");
  return state.tiles[i];
}

inline void load_config(const void* memory) {
  unsigned char c[64];
  std::memcpy(c, memory, sizeof(c));
  require(c[0] == 1 && c[1] == 0, "palette or start row");
  for (int i = 2; i < 16; ++i) require(c[i] == 0, "reserved bytes");
  state = State{true, {}};
  for (int i = 0; i < 8; ++i) {
    state.tiles[i].row_bytes = c[16 + 2 * i] | c[17 + 2 * i] << 8;
    state.tiles[i].rows = c[48 + i];
    require(state.tiles[i].row_bytes <= 64 && state.tiles[i].rows <= 16, "size of a tile");
    require((state.tiles[i].row_bytes == 0) == (state.tiles[i].rows == 0), "half of a size");
  }
  for (int i = 32; i < 48; ++i) require(c[i] == 0, "tiles beyond the eighth");
  for (int i = 56; i < 64; ++i) require(c[i] == 0, "tiles beyond the eighth");
}

inline void load(int i, const void* base, long stride) {
  Tile& t = tile(i);
  std::memset(t.data, 0, sizeof(t.data));
  for (int r = 0; r < t.rows; ++r)
    std::memcpy(t.data[r], static_cast<const char*>(base) + r * stride, static_cast<std::size_t>(t.row_bytes));
}

inline void store(int i, void* base, long stride) {
  const Tile& t = tile(i);
  for (int r = 0; r < t.rows; ++r)
    std::memcpy(static_cast<char*>(base) + r * stride, t.data[r], static_cast<std::size_t>(t.row_bytes));
}

inline void zero(int i) { std::memset(tile(i).data, 0, sizeof(Tile::data)); }

inline void multiply(int c, int a, int b) {
  Tile &sums = tile(c), &lhs = tile(a), &rhs = tile(b);
  require(c != a && c != b && a != b, "one tile twice");
  require(sums.rows == lhs.rows && sums.row_bytes == rhs.row_bytes && lhs.row_bytes == 4 * rhs.rows, "sizes of tiles");
  for (int m = 0; m < sums.rows; ++m) {
    for (int n = 0; n < sums.row_bytes / 4; ++n) {
      unsigned sum;
      std::memcpy(&sum, sums.data[m] + 4 * n, 4);
      for (int k = 0; k < lhs.row_bytes; ++k) {
        const int x = static_cast<signed char>(lhs.data[m][k]),
                  w = static_cast<signed char>(rhs.data[k / 4][4 * n + k % 4]);
        sum += static_cast<unsigned>(x * w);
      }
      std::memcpy(sums.data[m] + 4 * n, &sum, 4);
    }
  }
}

}  // namespace
}  // namespace tile_model

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbssd
#define _tile_loadconfig(memory) tile_model::load_config(memory)
#define _tile_release() (tile_model::state.configured = false)
#define _tile_loadd(tile, base, stride) tile_model::load(tile, base, stride)
#define _tile_stored(tile, base, stride) tile_model::store(tile, base, stride)
#define _tile_zero(tile) tile_model::zero(tile)
#define _tile_dpbssd(c, a, b) tile_model::multiply(c, a, b)
