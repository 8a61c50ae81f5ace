// Reads any bytes as a .whit file. If the reader takes them, what it promises must hold.

#include <cstdint>
#include <cstdlib>

#include "model/model.h"
#include "model/op_schema.h"

using namespace whit;

namespace {

void require(bool promise) {
  if (!promise) std::abort();
}

volatile unsigned sink;

void check_tensor(const Tensor& tensor) {
  require(!tensor.name.empty() && tensor.shape.rank() <= Shape::kMaxRank);
  require(tensor.dim_names.size() == static_cast<std::size_t>(tensor.shape.rank()));
  require(tensor.quantization.scale.size() == tensor.quantization.zero_point.size());
  require(tensor.quantization.axis < tensor.shape.rank());
  for (f32 scale : tensor.quantization.scale) require(scale > 0);
  if (!tensor.is_constant()) return;
  require(tensor.shape.is_static());
  require(reinterpret_cast<std::uintptr_t>(tensor.data) % kAlignment == 0);
  require(tensor.bytes == (tensor.shape.elements() * dtype_bits(tensor.dtype) + 7) / 8);
  for (s64 i = 0; i < tensor.bytes; ++i) sink = sink + static_cast<unsigned>(tensor.data[i]);
}

void check_model(const Model& model) {
  for (const Tensor& tensor : model.tensors) check_tensor(tensor);
  std::vector<bool> ready(model.tensors.size());
  for (std::size_t i = 0; i < ready.size(); ++i) ready[i] = model.tensors[i].is_constant();
  for (int input : model.inputs) ready.at(static_cast<std::size_t>(input)) = true;
  for (const Node& node : model.nodes) {
    for (const AttributeSchema& attribute : op_schema(node.op).attributes) {
      const Attribute* value = node.attributes.find(attribute.name);
      if (attribute.required) require(value != nullptr);
      if (value) require(value->index() == static_cast<std::size_t>(attribute.type));
    }
    for (int input : node.inputs) require(input == -1 || ready.at(static_cast<std::size_t>(input)));
    for (int output : node.outputs)
      if (output != -1) ready.at(static_cast<std::size_t>(output)) = true;
  }
  for (bool is_ready : ready) require(is_ready);
  require(!model.outputs.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto model = read_model_bytes(data, size);
  if (model.ok())
    check_model(**model);
  else
    require(!model.status().message().empty());
  return 0;
}
