// lstm: the inputs' part of all gates is one matrix product over all time steps; then each step adds the state's part
// and runs the cell.

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/checked.h"
#include "kernels/lstm/lstm.h"
#include "ops/lstm_gates.h"
#include "ops/movement.h"

namespace whit::ops {
namespace {

class Lstm final : public Operator {
 public:
  Status infer(const Node& node, std::span<const TensorInfo> inputs, std::span<Shape> outputs) override {
    const std::string& direction = node.attributes.string("direction");
    if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
      return node_error(node, Code::unsupported,
                        "direction '%.40s' is unknown; known are forward, reverse and bidirectional",
                        direction.c_str());
    directions_ = direction == "bidirectional" ? 2 : 1;
    first_reversed_ = direction == "reverse";
    const Shape &x = inputs[0].shape, &r = inputs[2].shape;
    for (const TensorInfo& input : inputs)
      if (input.present()) WHIT_RETURN_IF_ERROR(check_sizes(node, "an input", input.shape));
    if (x.rank() != 3 || r.rank() != 3)
      return node_error(node, Code::shape, "x has shape %s, r %s; [t, b, i] and [d, 4h, h] are needed",
                        x.text().c_str(), r.text().c_str());
    steps_ = x[0], batch_ = x[1], width_ = x[2], hidden_ = r[2];
    const s64 d = directions_, h = hidden_;
    s64 gates = 0, elements = 0;
    if (!checked_mul(8, h, &gates) || !checked_mul(steps_ * batch_, gates, &elements) || elements > (s64{1} << 40))
      return node_error(node, Code::shape, "%lld steps of %lld x %lld states are too many",
                        static_cast<long long>(steps_), static_cast<long long>(batch_), static_cast<long long>(h));
    const struct {
      std::size_t input;
      const char* name;
      Shape shape;
    } expected[] = {{1, "w", {d, 4 * h, width_}},
                    {2, "r", {d, 4 * h, h}},
                    {3, "bias", {d, 8 * h}},
                    {4, "h0", {d, batch_, h}},
                    {5, "c0", {d, batch_, h}}};
    for (const auto& [input, name, shape] : expected)
      if (input < inputs.size() && inputs[input].present() && !(inputs[input].shape == shape))
        return node_error(node, Code::shape, "%s has shape %s; %s is needed", name, inputs[input].shape.text().c_str(),
                          shape.text().c_str());
    outputs[0] = {steps_, d, batch_, h};
    for (std::size_t i = 1; i < outputs.size(); ++i) outputs[i] = {d, batch_, h};
    return {};
  }

  Status prepare(const PrepareContext& context) override {
    for (std::size_t i = 0; i < context.inputs.size(); ++i) {
      const TensorInfo& input = context.inputs[i];
      if (!input.present()) continue;
      const bool weights = i == 1 || i == 2;
      if (weights) WHIT_RETURN_IF_ERROR(check_weights_f32(context.node, input, 1));
      if (!weights && input.dtype() != DType::f32)
        return node_error(context.node, Code::unsupported, "'%s' is %s; lstm runs in f32", tensor_name(input),
                          dtype_name(input.dtype()));
      if (i == 3 && !input.is_constant())
        return node_error(context.node, Code::unsupported, "bias '%s' must be a constant", tensor_name(input));
    }
    for (const TensorInfo& output : context.outputs)
      if (output.present() && output.dtype() != DType::f32)
        return node_error(context.node, Code::unsupported, "output '%s' is %s; lstm runs in f32", tensor_name(output),
                          dtype_name(output.dtype()));
    WHIT_RETURN_IF_ERROR(prepare_gates(context));
    kernel_ = state_gates_->kernel_name();

    const s64 states = s64{batch_} * hidden_;
    const isize gates_bytes = std::max(input_gates_->scratch_bytes(), state_gates_->scratch_bytes());
    scratch_bytes_ = allocation_bytes(
        states * (4 * steps_ + 4 + 2) * s64{sizeof(f32)} + s64{4 * kAlignment} + gates_bytes, directions_);
    const auto floats = [](s64 count) {
      return round_up(static_cast<isize>(count) * static_cast<isize>(sizeof(f32)), kAlignment);
    };
    sums_bytes_ = floats(states * 4 * steps_);
    gates_bytes_ = floats(states * 4);
    state_bytes_ = floats(states);
    product_bytes_ = gates_bytes;
    return {};
  }

  void run(const RunContext& context) const override {
    const f32* x = reinterpret_cast<const f32*>(context.inputs[0]);
    for (int d = 0; d < directions_; ++d)
      input_gates_->run(d, x, nullptr, buffers(context, d).sums, steps_ * batch_, &context.pool,
                        buffers(context, d).product);

    constexpr isize kWorthThreads = 1 << 19;  // multiplications of one step
    if (4 * hidden_ * hidden_ >= kWorthThreads / batch_) {
      for (int d = 0; d < directions_; ++d) recur(context, d, true);
    } else {
      context.pool.parallel_for(directions_, 1, [&](isize begin, isize end, int) {
        for (isize d = begin; d < end; ++d) recur(context, static_cast<int>(d), false);
      });
    }
  }

 private:
  struct Buffers {
    f32 *sums, *gates, *h, *c;  // [t * b][4h], [b][4h], [b][h], [b][h]
    std::byte* product;         // scratch of Gates
  };
  Buffers buffers(const RunContext& context, int direction) const {
    std::byte* p = context.scratch + (sums_bytes_ + gates_bytes_ + 2 * state_bytes_ + product_bytes_) * direction;
    const auto take = [&](isize bytes) {
      f32* taken = reinterpret_cast<f32*>(p);
      p += bytes;
      return taken;
    };
    f32 *sums = take(sums_bytes_), *gates = take(gates_bytes_), *h = take(state_bytes_), *c = take(state_bytes_);
    return {sums, gates, h, c, p};
  }

  /// Both biases go with w.
  Status prepare_gates(const PrepareContext& context) {
    const s64 dynamic = context.node.attributes.integer("dynamic");
    if (dynamic != 0 && dynamic != 1)
      return node_error(context.node, Code::unsupported, "dynamic is %lld; 0 and 1 are known",
                        static_cast<long long>(dynamic));
    for (auto* gates : {&input_gates_, &state_gates_}) {
      if (dynamic)
        *gates = std::make_unique<GatesS8>();
      else
        *gates = std::make_unique<GatesF32>();
    }
    std::vector<f32> bias;
    if (const TensorInfo* biases = optional_input(context.inputs, 3)) {
      const f32* both = biases->constant<f32>();
      for (isize d = 0; d < directions_; ++d, both += 8 * hidden_)
        for (isize i = 0; i < 4 * hidden_; ++i) bias.push_back(both[i] + both[4 * hidden_ + i]);
    }
    WHIT_RETURN_IF_ERROR(input_gates_->prepare(context, context.inputs[1], "w", steps_ * batch_, bias));
    return state_gates_->prepare(context, context.inputs[2], "r", batch_, {});
  }

  void recur(const RunContext& context, int direction, bool threaded) const {
    const Buffers at = buffers(context, direction);
    const isize state = batch_ * hidden_;
    const std::size_t bytes = static_cast<std::size_t>(state) * sizeof(f32);
    const auto begin_with = [&](std::size_t input, f32* to) {
      const std::byte* given = context.optional_input(input);
      if (given)
        std::memcpy(to, given + static_cast<std::size_t>(direction) * bytes, bytes);
      else
        std::fill(to, to + state, 0.0f);
    };
    begin_with(4, at.h);
    begin_with(5, at.c);
    f32* y = reinterpret_cast<f32*>(context.outputs[0]);
    const bool reversed = direction == 1 || first_reversed_;
    for (isize step = 0; step < steps_; ++step) {
      const isize t = reversed ? steps_ - 1 - step : step;
      const f32* sums = at.sums + t * batch_ * 4 * hidden_;
      state_gates_->run(direction, at.h, sums, at.gates, batch_, threaded ? &context.pool : nullptr, at.product);
      lstm::cell(at.gates, batch_, hidden_, at.c, at.h);
      if (y) std::memcpy(y + (t * directions_ + direction) * state, at.h, bytes);
    }
    const auto end_with = [&](std::size_t output, const f32* from) {
      if (output < context.outputs.size() && context.outputs[output])
        std::memcpy(context.outputs[output] + static_cast<std::size_t>(direction) * bytes, from, bytes);
    };
    end_with(1, at.h);
    end_with(2, at.c);
  }

  int directions_ = 1;
  bool first_reversed_ = false;
  isize steps_ = 0, batch_ = 0, width_ = 0, hidden_ = 0;
  std::unique_ptr<Gates> input_gates_, state_gates_;
  isize sums_bytes_ = 0, gates_bytes_ = 0, state_bytes_ = 0, product_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Operator> make_lstm(const Node&) { return std::make_unique<Lstm>(); }

}  // namespace whit::ops
