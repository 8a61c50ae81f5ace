#include "engine/session.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>

namespace whit {
namespace {

u64 now_ns() {
  return static_cast<u64>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

Status check_input_shape(const Tensor& input, const Shape& shape) {
  bool fits = input.shape.rank() == shape.rank();
  for (int i = 0; fits && i < shape.rank(); ++i)
    fits = shape[i] > 0 && (input.shape[i] < 0 || input.shape[i] == shape[i]);
  if (fits) return {};
  for (s64 size : input.shape)
    if (size == 0)
      return error(Code::shape, "input '%s' has shape %s; every size must be at least 1", input.name.c_str(),
                   input.shape.text().c_str());
  std::string wanted = "[";
  for (int i = 0; i < input.shape.rank(); ++i) {
    if (i) wanted += ", ";
    wanted += input.shape[i] < 0 ? input.dim_names[static_cast<std::size_t>(i)] : std::to_string(input.shape[i]);
  }
  return error(Code::shape, "input '%s' must have shape %s]; got %s", input.name.c_str(), wanted.c_str(),
               shape.text().c_str());
}

}  // namespace

Result<std::unique_ptr<Session>> Session::make(std::shared_ptr<PreparedModel> model, int threads,
                                               std::vector<int> observe) {
  std::unique_ptr<Session> session(new (std::nothrow) Session(std::move(model), threads, std::move(observe)));
  if (!session) return error(Code::out_of_memory, "no memory for a session");
  const Model& m = session->model_->model();
  std::vector<Shape> shapes;
  bool fixed = true;
  for (int input : m.inputs) {
    Shape shape = m.tensors[static_cast<std::size_t>(input)].shape;
    for (int i = 0; i < shape.rank(); ++i) {
      if (shape[i] >= 0) continue;
      fixed = false;
      shape[i] = 1;
    }
    shapes.push_back(shape);
  }
  const Status planned = session->prepare(shapes);
  if (!planned.ok() && (fixed || planned.code() != Code::shape)) return planned;
  return session;
}

Status Session::prepare(const std::vector<Shape>& input_shapes) {
  if (plan_ && input_shapes == input_shapes_) return {};
  const Model& m = model_->model();
  for (std::size_t i = 0; i < m.inputs.size(); ++i)
    WHIT_RETURN_IF_ERROR(check_input_shape(m.tensors[static_cast<std::size_t>(m.inputs[i])], input_shapes[i]));
  Result<std::unique_ptr<Plan>> plan = Plan::make(*model_, input_shapes, observe_, threads());
  if (!plan.ok()) return plan.status();
  std::vector<Shape> shapes = input_shapes;
  WHIT_RETURN_IF_ERROR(adopt(std::move(*plan)));
  input_shapes_.swap(shapes);
  return {};
}

// The plan at hand stays in use until nothing can fail any more.
Status Session::adopt(std::unique_ptr<Plan> plan) {
  std::size_t inputs = 0, outputs = 0;
  for (const PlannedNode& node : plan->nodes) {
    inputs += node.node->inputs.size();
    outputs += node.node->outputs.size();
  }
  input_pointers_.resize(std::max(inputs, input_pointers_.size()));
  output_pointers_.resize(std::max(outputs, output_pointers_.size()));
  if (plan->arena_bytes > static_cast<s64>(arena_.bytes())) {
    AlignedBuffer arena(static_cast<std::size_t>(plan->arena_bytes));
    if (!arena.data())
      return error(Code::out_of_memory,
                   "no memory for the %lld bytes that this model's tensors need at these input shapes",
                   static_cast<long long>(plan->arena_bytes));
    arena_ = std::move(arena);
  }
  plan_ = std::move(plan);
  return {};
}

std::byte* Session::address(int tensor, std::span<const std::byte* const> inputs,
                            std::span<std::byte* const> outputs) const {
  if (tensor < 0) return nullptr;
  const Placement& placement = plan_->placement[static_cast<std::size_t>(tensor)];
  switch (placement.kind) {
    case Placement::Kind::none: return nullptr;
    case Placement::Kind::constant:
      return const_cast<std::byte*>(model_->model().tensors[static_cast<std::size_t>(placement.index)].data);
    case Placement::Kind::input: return const_cast<std::byte*>(inputs[static_cast<std::size_t>(placement.index)]);
    case Placement::Kind::output: return outputs[static_cast<std::size_t>(placement.index)];
    case Placement::Kind::arena: return arena_.data() + placement.offset;
  }
  return nullptr;
}

void Session::run(std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs, std::span<u64> times) {
  pool_.begin();
  const std::byte** in = input_pointers_.data();
  std::byte** out = output_pointers_.data();
  u64 start = times.empty() ? 0 : now_ns();
  for (std::size_t i = 0; i < plan_->nodes.size(); ++i) {
    const PlannedNode& planned = plan_->nodes[i];
    const Node& node = *planned.node;
    for (std::size_t k = 0; k < node.inputs.size(); ++k) in[k] = address(node.inputs[k], inputs, outputs);
    for (std::size_t k = 0; k < node.outputs.size(); ++k) out[k] = address(node.outputs[k], inputs, outputs);
    planned.op->run(
        {{in, node.inputs.size()}, {out, node.outputs.size()}, arena_.data() + planned.scratch_offset, pool_});
    in += node.inputs.size();
    out += node.outputs.size();
    if (!times.empty()) {
      const u64 end = now_ns();
      times[i] += end - start;
      start = end;
    }
  }
  for (int position : plan_->copied_outputs) {
    const int tensor = plan_->outputs[static_cast<std::size_t>(position)];
    std::memcpy(outputs[static_cast<std::size_t>(position)], address(tensor, inputs, outputs),
                static_cast<std::size_t>(plan_->tensor_bytes(model_->model(), tensor)));
  }
  pool_.end();
}

}  // namespace whit
