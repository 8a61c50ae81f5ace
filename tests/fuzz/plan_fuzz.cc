// Reads any bytes as a .whit file, plans it and, if it is small, runs it: nothing that a file says may lead an operator
// out of bounds. Sizes that are known only at run time become small numbers.

#include <cstdint>
#include <vector>

#include "engine/session.h"

using namespace whit;

namespace {

constexpr s64 kMaxElements = 1 << 14;  // of the inputs and the outputs together
constexpr s64 kMaxArenaBytes = 1 << 16;

s64 size_of(s64 size, const std::string& name) { return size < 0 ? 1 + static_cast<s64>(name.size() % 4) : size; }

Shape input_shape(const Tensor& tensor) {
  Shape shape;
  for (int axis = 0; axis < tensor.shape.rank(); ++axis)
    shape.push_back(size_of(tensor.shape[axis], tensor.dim_names[static_cast<std::size_t>(axis)]));
  return shape;
}

/// Buffers of exactly the sizes that the operators may touch, filled with a pattern.
std::vector<std::vector<u8>> buffers(const Model& model, const Plan& plan, const std::vector<int>& tensors) {
  std::vector<std::vector<u8>> result;
  for (int tensor : tensors) {
    result.emplace_back(static_cast<std::size_t>(plan.tensor_bytes(model, tensor)));
    for (std::size_t i = 0; i < result.back().size(); ++i) result.back()[i] = static_cast<u8>(i * 37 + 11);
  }
  return result;
}

void run(std::shared_ptr<const Model> model) {
  std::vector<Shape> shapes;
  s64 elements = 0;
  for (int input : model->inputs) {
    shapes.push_back(input_shape(model->tensors[static_cast<std::size_t>(input)]));
    elements += shapes.back().elements();
    if (elements > kMaxElements) return;
  }
  const auto prepared = std::make_shared<PreparedModel>(model, isa_detected() & isa_compiled());
  const auto plan = Plan::make(*prepared, shapes, {}, /*threads=*/1);
  if (!plan.ok() || (*plan)->arena_bytes > kMaxArenaBytes) return;
  for (int output : model->outputs) {
    elements += (*plan)->shapes[static_cast<std::size_t>(output)].elements();
    if (elements > kMaxElements) return;
  }
  const auto session = Session::make(prepared, /*threads=*/1, {});
  if (!session.ok() || !(*session)->prepare(shapes).ok()) return;
  auto inputs = buffers(*model, **plan, model->inputs), outputs = buffers(*model, **plan, model->outputs);
  std::vector<const std::byte*> in;
  std::vector<std::byte*> out;
  for (auto& buffer : inputs) in.push_back(reinterpret_cast<const std::byte*>(buffer.data()));
  for (auto& buffer : outputs) out.push_back(reinterpret_cast<std::byte*>(buffer.data()));
  (*session)->run(in, out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto model = read_model_bytes(data, size);
  if (model.ok()) run(*model);
  return 0;
}
