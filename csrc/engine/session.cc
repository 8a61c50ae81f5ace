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
  AlignedBuffer arena;
  const bool grows = plan->arena_bytes > static_cast<s64>(arena_.bytes());
  if (grows) {
    arena = AlignedBuffer(static_cast<std::size_t>(plan->arena_bytes));
    if (!arena.data())
      return error(Code::out_of_memory,
                   "no memory for the %lld bytes that this model's tensors need at these input shapes",
                   static_cast<long long>(plan->arena_bytes));
  }
  program_ = compile(*plan, grows ? arena.data() : arena_.data());
  if (grows) arena_ = std::move(arena);
  plan_ = std::move(plan);
  return {};
}

Session::Program Session::compile(const Plan& plan, std::byte* arena) const {
  const Model& model = model_->model();
  std::size_t inputs = plan.copied_outputs.size(), outputs = 0;
  for (const PlannedNode& node : plan.nodes) {
    inputs += node.node->inputs.size();
    outputs += node.node->outputs.size();
  }
  Program program;
  program.calls.reserve(plan.nodes.size());
  program.inputs.resize(inputs);
  program.outputs.resize(outputs);
  // The address of a tensor; null, and a patch for it, where it is known only when run() is called.
  const auto address = [&](int tensor, const std::byte** input, std::byte** output) -> std::byte* {
    if (tensor < 0) return nullptr;
    const Placement& placement = plan.placement[static_cast<std::size_t>(tensor)];
    const std::size_t index = static_cast<std::size_t>(placement.index);
    switch (placement.kind) {
      case Placement::Kind::none: return nullptr;
      case Placement::Kind::constant: return const_cast<std::byte*>(model.tensors[index].data);
      case Placement::Kind::arena: return arena + placement.offset;
      case Placement::Kind::input:
      case Placement::Kind::output:
        program.patches.push_back(
            {input, output, placement.kind == Placement::Kind::output, index, static_cast<isize>(placement.offset)});
        return nullptr;
    }
    return nullptr;
  };
  const std::byte** in = program.inputs.data();
  std::byte** out = program.outputs.data();
  for (const PlannedNode& planned : plan.nodes) {
    const Node& node = *planned.node;
    program.calls.push_back(
        {planned.op.get(), in, out, node.inputs.size(), node.outputs.size(), arena + planned.scratch_offset});
    for (int tensor : node.inputs) *in = address(tensor, in, nullptr), ++in;
    for (int tensor : node.outputs) *out = address(tensor, nullptr, out), ++out;
  }
  for (int position : plan.copied_outputs) {
    const int tensor = plan.outputs[static_cast<std::size_t>(position)];
    program.copies.push_back(
        {in, static_cast<std::size_t>(position), static_cast<std::size_t>(plan.tensor_bytes(model, tensor))});
    *in = address(tensor, in, nullptr), ++in;
  }
  return program;
}

void Session::run(std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs, std::span<u64> times) {
  for (const Program::Patch& patch : program_.patches) {
    if (patch.output) {
      *patch.output = outputs[patch.index] + patch.offset;
    } else {
      *patch.input = (patch.is_callers_output ? outputs[patch.index] : inputs[patch.index]) + patch.offset;
    }
  }
  const auto run = [this](const Program::Call& call) {
    call.op->run({{call.inputs, call.input_count}, {call.outputs, call.output_count}, call.scratch, pool_});
  };
  pool_.begin();
  if (times.empty()) {
    for (const Program::Call& call : program_.calls) run(call);
  } else {
    u64 start = now_ns();
    for (std::size_t i = 0; i < program_.calls.size(); ++i) {
      run(program_.calls[i]);
      const u64 end = now_ns();
      times[i] += end - start;
      start = end;
    }
  }
  pool_.end();
  for (const Program::Copy& copy : program_.copies) std::memcpy(outputs[copy.output], *copy.source, copy.bytes);
}

}  // namespace whit
