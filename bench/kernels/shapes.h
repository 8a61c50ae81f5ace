#pragma once
// What kernel_bench measures, in one place: layers of MobileNets and ResNets, and products that fill the machine.

#include "base/types.h"

namespace whit::bench {

/// A product, or with 9 taps a 3x3 convolution of an image of sqrt(m) x sqrt(m) pixels.
struct GemmShape {
  isize m, n, k, taps;
};
inline constexpr GemmShape kGemmShapes[] = {
    {3136, 64, 64, 1},
    {784, 128, 128, 1},
    {196, 512, 512, 1},
    {49, 1280, 320, 1},
    {512, 512, 512, 1},
    {12544, 96, 16, 1},
    {12544, 32, 27, 1},  // an expansion, and a first layer whose patches are
                         // gathered
    {3136, 64, 64, 9},
    {196, 256, 256, 9},
    {1, 1000, 1280, 1},
    {1, 4096, 4096, 1},
};
/// With --smoke: rows and columns that end within a tile, small enough for an emulator.
inline constexpr GemmShape kSmallGemmShapes[] = {{13, 40, 24, 1}, {25, 24, 8, 9}, {1, 40, 48, 1}};

struct DepthwiseShape {
  isize side, channels, kernel, stride;
};
inline constexpr DepthwiseShape kDepthwiseShapes[] = {
    {112, 32, 3, 1}, {112, 96, 3, 2}, {56, 144, 3, 1}, {28, 192, 3, 1}, {14, 512, 3, 1},
    {7, 960, 3, 1},  {56, 144, 5, 2}, {28, 240, 5, 1}, {14, 480, 5, 1}, {14, 128, 7, 1},
};
inline constexpr DepthwiseShape kSmallDepthwiseShapes[] = {
    {9, 20, 3, 1}, {9, 20, 3, 2}, {9, 20, 5, 1}, {9, 20, 5, 2}, {9, 20, 7, 1}};

/// An image of the elementwise operators and of pooling.
/// Binary layers of the same networks.
inline constexpr GemmShape kBinaryShapes[] = {
    {3136, 64, 64, 9},  {784, 128, 128, 9}, {196, 256, 256, 9}, {49, 512, 512, 9},
    {784, 128, 128, 1}, {196, 512, 512, 1}, {1, 1000, 1024, 1}, {1, 4096, 4096, 1},
};

struct ImageShape {
  isize side, channels;
};
inline constexpr ImageShape kImageShapes[] = {{112, 96}, {28, 128}};
inline constexpr ImageShape kSmallImageShapes[] = {{7, 20}};

}  // namespace whit::bench
