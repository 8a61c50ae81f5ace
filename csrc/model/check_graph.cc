// The graph as a whole.

#include <algorithm>
#include <numeric>

#include "model/reader.h"

namespace whit::reader {
namespace {

/// Where a tensor's values come from.
enum class Source : u8 { none, input, constant, node };

const char* name_of(Source source) {
  constexpr const char* kNames[] = {"nothing", "an input", "a constant", "the output of a node"};
  return kNames[static_cast<int>(source)];
}

/// Sorts instead of hashing: a file cannot choose names that make it slow.
Status check_names(const Model& model, const Positions& positions) {
  const auto& tensors = model.tensors;
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const int compared = tensors[a].name.compare(tensors[b].name);
    return compared != 0 ? compared < 0 : a < b;
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (tensors[order[i]].name != tensors[order[i - 1]].name) continue;
    return at_offset(positions.tensors[order[i]],
                     error(Code::format, "tensors %zu and %zu have the same name %s", order[i - 1], order[i],
                           quoted(tensors[order[i]].name).c_str()));
  }
  return {};
}

Status check_groups(const Model& model, const Positions& positions) {
  for (std::size_t i = 0; i < model.tensors.size(); ++i) {
    const Tensor& tensor = model.tensors[i];
    if (tensor.quantization.is_grouped() && !tensor.is_constant())
      return at_offset(positions.tensors[i], error(Code::format, "tensor %s has scales by groups, but is no constant",
                                                   quoted(tensor.name).c_str()));
  }
  return {};
}

class SourceChecker {
 public:
  SourceChecker(const Model& model, const Positions& positions)
      : model_(model), positions_(positions), sources_(model.tensors.size(), Source::none) {}

  Status check() {
    for (std::size_t i = 0; i < sources_.size(); ++i)
      if (model_.tensors[i].is_constant()) sources_[i] = Source::constant;
    for (int index : model_.inputs) WHIT_RETURN_IF_ERROR(claim(index, Source::input, position(index)));
    for (std::size_t i = 0; i < model_.nodes.size(); ++i) WHIT_RETURN_IF_ERROR(visit(i));
    for (std::size_t i = 0; i < sources_.size(); ++i)
      if (sources_[i] == Source::none)
        return at_offset(positions_.tensors[i],
                         error(Code::format, "tensor %s is no input, no constant and no output of a node",
                               quoted(model_.tensors[i].name).c_str()));
    return check_outputs();
  }

 private:
  u64 position(int index) const { return positions_.tensors[static_cast<std::size_t>(index)]; }
  std::string name(int index) const { return quoted(model_.tensors[static_cast<std::size_t>(index)].name); }

  Status claim(int index, Source source, u64 offset) {
    Source& known = sources_[static_cast<std::size_t>(index)];
    if (known != Source::none)
      return at_offset(offset, error(Code::format, "tensor %s is %s, but also %s", name(index).c_str(), name_of(source),
                                     name_of(known)));
    known = source;
    return {};
  }

  Status visit(std::size_t i) {
    const Node& node = model_.nodes[i];
    for (int input : node.inputs)
      if (input >= 0 && sources_[static_cast<std::size_t>(input)] == Source::none)
        return at_offset(positions_.nodes[i], error(Code::format, "node %s reads tensor %s before it is computed",
                                                    quoted(node.name).c_str(), name(input).c_str()));
    for (int output : node.outputs)
      if (output >= 0) WHIT_RETURN_IF_ERROR(claim(output, Source::node, positions_.nodes[i]));
    return {};
  }

  Status check_outputs() const {
    std::vector<bool> seen(sources_.size());
    for (int index : model_.outputs) {
      if (seen[static_cast<std::size_t>(index)])
        return at_offset(position(index),
                         error(Code::format, "tensor %s is twice an output of the graph", name(index).c_str()));
      seen[static_cast<std::size_t>(index)] = true;
    }
    return {};
  }

  const Model& model_;
  const Positions& positions_;
  std::vector<Source> sources_;
};

}  // namespace

Status check_graph(const Model& model, const Positions& positions) {
  WHIT_RETURN_IF_ERROR(check_names(model, positions));
  WHIT_RETURN_IF_ERROR(check_groups(model, positions));
  return SourceChecker(model, positions).check();
}

}  // namespace whit::reader
