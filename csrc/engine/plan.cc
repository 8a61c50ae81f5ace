#include "engine/plan.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "ops/bands.h"

namespace whit {
namespace {

// No tensor of a sane model for these CPUs is larger. Below it no product of the sizes of one tensor can overflow
// isize; on a 32-bit system that leaves room for elements that a kernel widens to four bytes.
constexpr bool kIs32Bit = sizeof(isize) == 4;
constexpr s64 kMaxTensorBytes = s64{1} << (kIs32Bit ? 30 : 36);
constexpr s64 kMaxElements = kIs32Bit ? kMaxTensorBytes / 4 : kMaxTensorBytes * 8;

Status check_size(const Model& model, int index, const Shape& shape) {
  const s64 element_bits = dtype_bits(model.tensors[static_cast<std::size_t>(index)].dtype);
  const s64 most = std::min(kMaxElements, kMaxTensorBytes * 8 / element_bits);
  s64 elements = 1;
  for (s64 size : shape) {
    if (size < 0 || size > most || !checked_mul(elements, size, &elements) || elements > most)
      return error(Code::shape, "tensor '%s' %s is larger than whit handles%s",
                   model.tensors[static_cast<std::size_t>(index)].name.c_str(), shape.text().c_str(),
                   kIs32Bit ? " on a 32-bit system" : "");
  }
  return {};
}

// Tensors that share memory (views, results computed in place) form one storage.
struct Storage {
  Placement placement;
  s64 bytes = 0;
  int first = 0, last = 0;
  bool handed_out = false;  // an output: its bytes must survive to the end
};

// What a concat puts together without copying: where in its result a tensor lies.
struct Part {
  int whole = -1;  // the concat's result, or -1
  s64 offset = 0;  // bytes
  isize row_stride = 0;
};

class Planner {
 public:
  Planner(PreparedModel& prepared, const std::vector<int>& observe, int threads)
      : prepared_(prepared), model_(prepared.model()), threads_(threads), plan_(std::make_unique<Plan>()) {
    plan_->shapes.resize(model_.tensors.size());
    plan_->outputs = model_.outputs;
    plan_->outputs.insert(plan_->outputs.end(), observe.begin(), observe.end());
    storage_of_.assign(model_.tensors.size(), -1);
    offset_.assign(model_.tensors.size(), 0);
    part_of_.resize(model_.tensors.size());
    last_use_.assign(model_.tensors.size(), -1);
    is_output_.assign(model_.tensors.size(), false);
    for (int tensor : plan_->outputs) is_output_[at(tensor)] = true;
  }

  Result<std::unique_ptr<Plan>> make(const std::vector<Shape>& input_shapes) {
    WHIT_RETURN_IF_ERROR(set_known_shapes(input_shapes));
    find_last_uses();
    add_sources();
    // An operator that cannot be prepared comes before one further on whose shapes are wrong.
    Status inferred;
    for (const Node& node : model_.nodes)
      if (inferred.ok()) inferred = infer(node);
    for (const Node& node : model_.nodes)
      if (inferred.ok() && node.op == Op::concat) find_parts(node);
    for (std::size_t i = 0; i < operators_.size(); ++i) WHIT_RETURN_IF_ERROR(prepare(static_cast<int>(i)));
    WHIT_RETURN_IF_ERROR(inferred);
    find_bands();
    for (std::size_t i = 0; i < operators_.size(); ++i) add_node(static_cast<int>(i));
    WHIT_RETURN_IF_ERROR(place());
    return std::move(plan_);
  }

 private:
  static std::size_t at(int index) { return static_cast<std::size_t>(index); }
  const Tensor& tensor(int index) const { return model_.tensors[at(index)]; }

  Status set_known_shapes(const std::vector<Shape>& input_shapes) {
    for (std::size_t i = 0; i < model_.inputs.size(); ++i) {
      WHIT_RETURN_IF_ERROR(check_size(model_, model_.inputs[i], input_shapes[i]));
      plan_->shapes[at(model_.inputs[i])] = input_shapes[i];
    }
    for (std::size_t i = 0; i < model_.tensors.size(); ++i)
      if (model_.tensors[i].is_constant()) {
        WHIT_RETURN_IF_ERROR(check_size(model_, static_cast<int>(i), model_.tensors[i].shape));
        plan_->shapes[i] = model_.tensors[i].shape;
      }
    return {};
  }

  void find_last_uses() {
    producer_.assign(model_.tensors.size(), -1);
    readers_.assign(model_.tensors.size(), 0);
    for (std::size_t i = 0; i < model_.nodes.size(); ++i) {
      for (int input : model_.nodes[i].inputs)
        if (input >= 0) last_use_[at(input)] = static_cast<int>(i), ++readers_[at(input)];
      for (int output : model_.nodes[i].outputs)
        if (output >= 0) producer_[at(output)] = static_cast<int>(i);
    }
  }

  int add_storage(Placement::Kind kind, int index, s64 bytes, int node) {
    Storage storage;
    storage.placement.kind = kind;
    storage.placement.index = index;
    storage.bytes = bytes;
    storage.first = storage.last = node;
    storages_.push_back(storage);
    return static_cast<int>(storages_.size()) - 1;
  }

  void put(int tensor_index, int storage) {
    storage_of_[at(tensor_index)] = storage;
    Storage& s = storages_[at(storage)];
    s.last = std::max(s.last, last_use_[at(tensor_index)]);
    s.handed_out |= is_output_[at(tensor_index)];
  }

  void add_sources() {
    for (std::size_t i = 0; i < model_.inputs.size(); ++i)
      put(model_.inputs[i], add_storage(Placement::Kind::input, static_cast<int>(i), 0, 0));
    for (std::size_t i = 0; i < model_.tensors.size(); ++i)
      if (model_.tensors[i].is_constant())
        put(static_cast<int>(i), add_storage(Placement::Kind::constant, static_cast<int>(i), 0, 0));
  }

  ops::TensorInfo info(int index) const {
    return index < 0 ? ops::TensorInfo{} : ops::TensorInfo{&tensor(index), plan_->shapes[at(index)]};
  }

  Status infer(const Node& node) {
    std::vector<ops::TensorInfo> inputs;
    for (int input : node.inputs) inputs.push_back(info(input));
    WHIT_RETURN_IF_ERROR(ops::check_compiled(node));
    std::unique_ptr<ops::Operator> op = ops::make_operator(node);
    std::vector<Shape> shapes(node.outputs.size());
    WHIT_RETURN_IF_ERROR(op->infer(node, inputs, shapes));
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] < 0) continue;
      WHIT_RETURN_IF_ERROR(check_size(model_, node.outputs[i], shapes[i]).in("node '" + node.name + "'"));
      WHIT_RETURN_IF_ERROR(check_declared(node, node.outputs[i], shapes[i]));
      plan_->shapes[at(node.outputs[i])] = shapes[i];
    }
    operators_.push_back(std::move(op));
    return {};
  }

  Status prepare(int position) {
    const Node& node = model_.nodes[at(position)];
    std::vector<ops::TensorInfo> inputs, outputs;
    for (int input : node.inputs) {
      inputs.push_back(info(input));
      inputs.back().is_in_place = is_in_place(node, input);
    }
    for (int output : node.outputs) {
      outputs.push_back(info(output));
      if (output >= 0) outputs.back().row_stride = part_of_[at(output)].row_stride;
    }
    const std::size_t packed_before = prepared_.packed_count();
    WHIT_RETURN_IF_ERROR(
        operators_[at(position)]->prepare({node, inputs, outputs, prepared_.isa(), threads_, prepared_}));
    if (prepared_.packed_count() != packed_before) prepared_.release_constants(node);
    if (operators_[at(position)]->is_view()) part_of_[at(node.outputs[0])] = {};  // it lies where its input does
    return {};
  }

  void add_node(int position) {
    const std::vector<int>& band = bands_[at(position)];
    if (runs_later_[at(position)]) return;
    PlannedNode planned = band.empty()
                              ? PlannedNode{&model_.nodes[at(position)], std::move(operators_[at(position)]), nullptr}
                              : run_as_bands(band);
    const Node& node = *planned.node;
    store_outputs(node, *planned.op, position);
    const bool all_in_place =
        node.op == Op::concat && node.outputs[0] >= 0 &&
        std::all_of(node.inputs.begin(), node.inputs.end(), [&](int input) { return is_in_place(node, input); });
    if (planned.op->is_view() || all_in_place) return;
    if (planned.op->scratch_bytes() > 0) {
      scratch_.emplace_back(plan_->nodes.size(), add_storage(Placement::Kind::arena, -1,
                                                             static_cast<s64>(planned.op->scratch_bytes()), position));
    }
    plan_->nodes.push_back(std::move(planned));
  }

  bool is_in_place(const Node& node, int input) const {
    return node.op == Op::concat && node.outputs[0] >= 0 && part_of_[at(input)].whole == node.outputs[0];
  }

  /// Finds chains of operators to run band by band, each where its last operator is.
  void find_bands() {
    bands_.resize(operators_.size());
    runs_later_.resize(operators_.size());
    for (std::size_t i = 0; i < operators_.size(); ++i) {
      if (runs_later_[i] || !bands_[i].empty()) continue;
      std::vector<int> chain{static_cast<int>(i)};
      for (int next = band_successor(chain[0]); next >= 0; next = band_successor(next)) {
        runs_later_[at(chain.back())] = true;
        chain.push_back(next);
        if (static_cast<int>(chain.size()) == ops::Bands::kMostOperators) break;
      }
      if (chain.size() == 1) continue;
      const int input = model_.nodes[i].inputs[0];
      last_use_[at(input)] = std::max(last_use_[at(input)], chain.back());
      bands_[at(chain.back())] = std::move(chain);
    }
  }

  /// The node that reads the output of this one, if they are to run band by band; else -1.
  int band_successor(int position) const {
    const Node& node = model_.nodes[at(position)];
    const int between = node.outputs[0];
    const bool has_residual = node.inputs.size() > 3 && node.inputs[3] >= 0;
    if (node.op != Op::conv || has_residual || between < 0 || readers_[at(between)] != 1) return -1;
    if (is_output_[at(between)] || part_of_[at(between)].whole >= 0) return -1;
    const int next = last_use_[at(between)];
    if (model_.nodes[at(next)].op != Op::conv || model_.nodes[at(next)].inputs[0] != between) return -1;
    const ops::RowKernel *first = operators_[at(position)]->row_kernel(), *second = operators_[at(next)]->row_kernel();
    return ops::Bands::join(first, second, prepared_.isa()) ? next : -1;
  }

  PlannedNode run_as_bands(const std::vector<int>& chain) {
    std::vector<std::unique_ptr<ops::Operator>> operators;
    auto node = std::make_unique<Node>();
    for (int position : chain) {
      operators.push_back(std::move(operators_[at(position)]));
      node->name += (node->name.empty() ? "" : " + ") + model_.nodes[at(position)].name;
    }
    const Node &first = model_.nodes[at(chain.front())], &last = model_.nodes[at(chain.back())];
    node->op = Op::conv;
    node->inputs = {first.inputs[0], last.inputs.size() > 3 ? last.inputs[3] : -1};
    node->outputs = last.outputs;
    auto bands = std::make_unique<ops::Bands>(std::move(operators), prepared_.isa(), threads_);
    const Node* const described = node.get();
    return {described, std::move(bands), std::move(node)};
  }

  /// Chooses which inputs of a concat are computed right where it would copy them to: those that follow each other in
  /// memory, and rows that lie between others' where nobody else reads them and their operator can leave room.
  void find_parts(const Node& concat) {
    const int whole = concat.outputs[0];
    if (whole < 0) return;
    const Shape& shape = plan_->shapes[at(whole)];
    const s64 bits = dtype_bits(tensor(whole).dtype);
    const int axis = *ops::normalize_axis(concat, concat.attributes.integer("axis"), shape.rank());
    const bool is_flat = shape.elements(0, axis) == 1;
    if (bits % 8 != 0 || (!is_flat && axis != shape.rank() - 1)) return;
    s64 offset = 0;
    for (int input : concat.inputs) {
      const s64 begin = offset;
      offset += plan_->shapes[at(input)].elements(axis, shape.rank()) * bits / 8;
      const int producer = producer_[at(input)];
      if (producer < 0 || is_output_[at(input)] || part_of_[at(input)].whole >= 0) continue;
      if (std::count(concat.inputs.begin(), concat.inputs.end(), input) > 1) continue;
      if (is_flat) {
        part_of_[at(input)] = {whole, begin, 0};
      } else if (readers_[at(input)] == 1 && operators_[at(producer)]->can_stride_rows()) {
        part_of_[at(input)] = {whole, begin, static_cast<isize>(shape[axis])};
      }
    }
  }

  Status check_declared(const Node& node, int index, const Shape& shape) const {
    const Shape& declared = tensor(index).shape;
    bool same = declared.rank() == shape.rank();
    for (int i = 0; same && i < shape.rank(); ++i) same = declared[i] < 0 || declared[i] == shape[i];
    if (same) return {};
    return error(Code::shape, "node '%s' (%s) computes %s, but tensor '%s' is declared as %s", node.name.c_str(),
                 op_name(node.op), shape.text().c_str(), tensor(index).name.c_str(), declared.text().c_str());
  }

  void store_outputs(const Node& node, const ops::Operator& op, int position) {
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const int output = node.outputs[i];
      if (output < 0) continue;
      int shared = -1;  // an input whose bytes are the output's
      if (i == 0 && op.is_view()) {
        shared = node.inputs[0];
      } else if (i == 0 && op.in_place_input() >= 0 && part_of_[at(output)].whole < 0) {
        const int input = node.inputs[at(op.in_place_input())];
        if (is_reusable(node, op.in_place_input(), output, position)) shared = input;
      }
      if (shared < 0) {
        store(output, position);
      } else {
        offset_[at(output)] = offset_[at(shared)];
        put(output, storage_of_[at(shared)]);
      }
    }
  }

  /// Memory of its own, or inside that of what it is a part of.
  void store(int tensor, int position) {
    if (storage_of_[at(tensor)] >= 0) return;  // one of its parts was computed before
    const Part& part = part_of_[at(tensor)];
    if (part.whole < 0)
      return put(tensor, add_storage(Placement::Kind::arena, -1, plan_->tensor_bytes(model_, tensor), position));
    store(part.whole, position);
    offset_[at(tensor)] = offset_[at(part.whole)] + part.offset;
    put(tensor, storage_of_[at(part.whole)]);
  }

  /// True if nobody needs the bytes of input `which` after this node, and they are as many as the output's.
  bool is_reusable(const Node& node, int which, int output, int position) const {
    const int input = node.inputs[at(which)];
    const int storage = storage_of_[at(input)];
    const Storage& s = storages_[at(storage)];
    if (s.placement.kind != Placement::Kind::arena || s.handed_out || s.last > position) return false;
    if (s.bytes != plan_->tensor_bytes(model_, output)) return false;
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      if (static_cast<int>(i) != which && node.inputs[i] >= 0 && storage_of_[at(node.inputs[i])] == storage)
        return false;
    return true;
  }

  // Outputs live in the caller's buffers where they can; what shares memory with an input, a constant or another output
  // is copied after the run.
  Status place() {
    for (std::size_t i = 0; i < plan_->outputs.size(); ++i) {
      Storage& storage = storages_[at(storage_of_[at(plan_->outputs[i])])];
      const bool is_all = storage.bytes == plan_->tensor_bytes(model_, plan_->outputs[i]);
      if (storage.placement.kind == Placement::Kind::arena && is_all) {
        storage.placement.kind = Placement::Kind::output;
        storage.placement.index = static_cast<int>(i);
      } else {
        plan_->copied_outputs.push_back(static_cast<int>(i));
      }
    }
    std::vector<ArenaBlock> blocks;
    std::vector<Storage*> owners;
    s64 total = 0;
    for (Storage& storage : storages_) {
      if (storage.placement.kind != Placement::Kind::arena) continue;
      if (!checked_add(total, storage.bytes + static_cast<s64>(kAlignment), &total))
        return error(Code::out_of_memory, "the model's tensors do not fit into memory");
      blocks.push_back({storage.bytes, storage.first, storage.last});
      owners.push_back(&storage);
    }
    plan_->arena_bytes = place_blocks(blocks);
    if (plan_->arena_bytes > std::numeric_limits<isize>::max())
      return error(Code::out_of_memory, "the model's tensors need %lld bytes at a time, more than fit into memory",
                   static_cast<long long>(plan_->arena_bytes));
    for (std::size_t i = 0; i < blocks.size(); ++i) owners[i]->placement.offset = blocks[i].offset;
    plan_->placement.resize(model_.tensors.size());
    for (std::size_t i = 0; i < model_.tensors.size(); ++i) {
      if (storage_of_[i] < 0) continue;
      plan_->placement[i] = storages_[at(storage_of_[i])].placement;
      plan_->placement[i].offset += offset_[i];
    }
    for (const auto& [node, storage] : scratch_)
      plan_->nodes[node].scratch_offset = storages_[at(storage)].placement.offset;
    return {};
  }

  PreparedModel& prepared_;
  const Model& model_;
  int threads_;
  std::unique_ptr<Plan> plan_;
  std::vector<Storage> storages_;
  std::vector<std::unique_ptr<ops::Operator>> operators_;  // per node, until it is planned
  std::vector<std::vector<int>> bands_;                    // per node: the chain that ends there
  std::vector<bool> runs_later_;                           // per node: it is in a chain and not the last
  // Per tensor:
  std::vector<int> storage_of_;
  std::vector<s64> offset_;  // in its storage
  std::vector<Part> part_of_;
  std::vector<int> last_use_;  // the last node that reads it
  std::vector<int> producer_;  // the node that computes it, or -1
  std::vector<int> readers_;   // how often nodes read it
  std::vector<bool> is_output_;
  std::vector<std::pair<std::size_t, int>> scratch_;  // (planned node, storage)
};

}  // namespace

s64 Plan::tensor_bytes(const Model& model, int tensor) const {
  const std::size_t i = static_cast<std::size_t>(tensor);
  return (shapes[i].elements() * dtype_bits(model.tensors[i].dtype) + 7) / 8;
}

Result<std::unique_ptr<Plan>> Plan::make(PreparedModel& prepared, const std::vector<Shape>& input_shapes,
                                         const std::vector<int>& observe, int threads) {
  return Planner(prepared, observe, threads).make(input_shapes);
}

}  // namespace whit
