#pragma once
// Models without files, for the tests of the engine.

#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "engine/session.h"
#include "model/op_schema.h"

namespace whit::test {

class ModelBuilder {
 public:
  using Attributes = std::initializer_list<std::pair<const char*, Attribute>>;

  /// -1: known only at run time.
  int input(const Shape& shape, DType dtype = DType::f32) {
    const int tensor = add(dtype, shape);
    model_->inputs.push_back(tensor);
    return tensor;
  }
  /// Small values that differ from each other.
  int constant(const Shape& shape) {
    const int index = add(DType::f32, shape);
    const std::size_t elements = static_cast<std::size_t>(shape.elements());
    auto buffer = std::make_shared<AlignedBuffer>(elements * sizeof(f32));
    for (std::size_t i = 0; i < elements; ++i)
      reinterpret_cast<f32*>(buffer->data())[i] = static_cast<f32>(i % 13) / 16 - 0.375f;
    tensor(index).data = buffer->data();
    tensor(index).bytes = static_cast<s64>(buffer->bytes());
    model_->decoded.push_back(std::move(buffer));
    return index;
  }
  /// Of scale 1/16, per tensor.
  int constant_s8(const Shape& shape) {
    const int index = add(DType::s8, shape);
    const std::size_t elements = static_cast<std::size_t>(shape.elements());
    auto buffer = std::make_shared<AlignedBuffer>(elements);
    for (std::size_t i = 0; i < elements; ++i) buffer->data()[i] = static_cast<std::byte>(i % 13 - 6);
    tensor(index).data = buffer->data();
    tensor(index).bytes = static_cast<s64>(elements);
    tensor(index).quantization = {{1.0f / 16}, {0}, -1};
    model_->decoded.push_back(std::move(buffer));
    return index;
  }
  /// Adds a node with one output of `rank`, whose sizes the plan will know. An input of -1 is absent.
  int node(Op op, std::vector<int> inputs, int rank, Attributes attributes = {}, DType dtype = DType::f32) {
    Shape shape;
    for (int i = 0; i < rank; ++i) shape.push_back(-1);
    const int output = add(dtype, shape);
    Node node{std::string(op_name(op)) + std::to_string(model_->nodes.size()), op, std::move(inputs), {output}, {}};
    for (const auto& [name, value] : attributes) node.attributes.set(name, value);
    status_ = status_.ok() ? check_node(node) : status_;
    model_->nodes.push_back(std::move(node));
    return output;
  }
  Tensor& tensor(int index) { return model_->tensors[static_cast<std::size_t>(index)]; }

  std::shared_ptr<PreparedModel> finish(std::vector<int> outputs) {
    model_->outputs = std::move(outputs);
    return status_.ok() ? std::make_shared<PreparedModel>(std::move(model_), isa_detected() & isa_compiled()) : nullptr;
  }

 private:
  int add(DType dtype, const Shape& shape) {
    Tensor tensor;
    tensor.name = "t" + std::to_string(model_->tensors.size());
    tensor.dtype = dtype;
    tensor.shape = shape;
    tensor.dim_names.assign(static_cast<std::size_t>(shape.rank()), "size");
    model_->tensors.push_back(std::move(tensor));
    return static_cast<int>(model_->tensors.size()) - 1;
  }

  std::shared_ptr<Model> model_ = std::make_shared<Model>();
  Status status_;
};

}  // namespace whit::test
