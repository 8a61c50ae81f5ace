#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/model_builder.h"

namespace whit::test {

/// Something of every kind: products, windows, movement, scratch, views, several outputs.
/// Weights are f32, or s8 that are expanded to f32.
inline std::shared_ptr<PreparedModel> varied_model(DType weights = DType::f32) {
  using V = std::vector<s64>;
  ModelBuilder b;
  const auto constant = [&](const Shape& shape) {
    return weights == DType::s8 ? b.constant_s8(shape) : b.constant(shape);
  };
  const int x = b.input({1, 12, 10, 4});
  const auto conv = [&](int from, int out, int in, s64 kernel, s64 group) {
    const int w = constant({out, kernel, kernel, in / group}), bias = b.constant({out});
    return b.node(Op::conv, {from, w, bias}, 4,
                  {{"strides", V{1, 1}},
                   {"dilations", V{1, 1}},
                   {"pads", V(4, kernel / 2)},
                   {"group", group},
                   {"clamp_min", 0.0f}});
  };
  const int a = conv(x, 8, 4, 3, 1), d = conv(a, 8, 8, 3, 8), p = conv(d, 8, 8, 1, 1);
  const int sum = b.node(Op::add, {p, a}, 4);
  const int up = b.node(Op::conv_transpose, {sum, constant({6, 2, 2, 8})}, 4,
                        {{"strides", V{2, 2}},
                         {"dilations", V{1, 1}},
                         {"pads", V(4, 0)},
                         {"output_padding", V{0, 0}},
                         {"group", s64{1}}});
  const int small = b.node(Op::resize, {up}, 4,
                           {{"mode", std::string("linear")},
                            {"coordinate_transformation_mode", std::string("half_pixel")},
                            {"nearest_mode", std::string("floor")},
                            {"scales", std::vector<f32>{}},
                            {"sizes", V{5, 7}}});
  const int pooled = b.node(Op::max_pool, {small}, 4,
                            {{"kernel_shape", V{3, 3}},
                             {"strides", V{1, 1}},
                             {"dilations", V{1, 1}},
                             {"pads", V(4, 1)},
                             {"ceil_mode", s64{0}}});
  const int steps = b.node(Op::reshape, {pooled}, 3, {{"shape", V{35, 1, 6}}});
  const int lstm = b.node(Op::lstm, {steps, constant({1, 20, 6}), constant({1, 20, 5}), b.constant({1, 40})}, 4,
                          {{"direction", std::string("forward")}});
  const int states = b.node(Op::reshape, {lstm}, 2, {{"shape", V{35, 5}}});
  const int other = b.node(Op::transpose, {states}, 2, {{"perm", V{1, 0}}});
  const int product = b.node(Op::mat_mul, {other, states}, 2);
  const int scores = b.node(Op::gemm, {product, constant({9, 5})}, 2);
  const int y = b.node(Op::softmax, {scores}, 2, {{"axis", s64{1}}});
  const int mean = b.node(Op::reduce_mean, {sum}, 2, {{"axes", V{1, 2}}, {"keepdims", s64{0}}});
  return b.finish({y, mean, states});
}

}  // namespace whit::test
