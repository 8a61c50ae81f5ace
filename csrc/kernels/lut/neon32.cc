#include <arm_neon.h>

#include "kernels/lut/levels.h"

namespace whit::lut {
namespace {

// VTBL and VTBX look up 32 entries and leave lanes whose index is beyond them at 0 and as they were. The table fills
// all registers but one twice over, so it is read anew for every 32 bytes, 32 entries at a time.
struct Entries {
  explicit Entries(const s8* p) : part{vld1_s8(p), vld1_s8(p + 8), vld1_s8(p + 16), vld1_s8(p + 24)} {}
  int8x8x4_t operator()() const { return {{part[0], part[1], part[2], part[3]}}; }
  int8x8_t part[4];
};

void map_s8(const s8* x, s8* y, isize n, const s8* entries) {
  constexpr int kLanes = 8, kVectors = 4;
  const int8x8_t step = vdup_n_s8(32);
  isize i = 0;
  for (; i + kVectors * kLanes <= n; i += kVectors * kLanes) {
    int8x8_t index[kVectors], out[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      index[v] = vld1_s8(x + i + v * kLanes);
      out[v] = vdup_n_s8(0);
    }
    for (int first = 0; first < kEntries; first += 32) {
      const Entries table(entries + first);
      for (int v = 0; v < kVectors; ++v) {
        out[v] = vtbx4_s8(out[v], table(), index[v]);
        index[v] = vsub_s8(index[v], step);
      }
    }
    for (int v = 0; v < kVectors; ++v) vst1_s8(y + i + v * kLanes, out[v]);
  }
  for (; i < n; ++i) y[i] = entries[static_cast<u8>(x[i])];
}

}  // namespace

constexpr Table lut_table_neon32{Isa::neon32, "lut_s8_neon32", map_s8};

}  // namespace whit::lut
