#include "model/op_schema.h"

#include <array>
#include <cmath>

namespace whit {
namespace {

#define INT(name) AttributeSchema{#name, AttributeType::integer, true},
#define FLOAT(name) AttributeSchema{#name, AttributeType::number, true},
#define STRING(name) AttributeSchema{#name, AttributeType::string, true},
#define INTS(name) AttributeSchema{#name, AttributeType::integers, true},
#define FLOATS(name) AttributeSchema{#name, AttributeType::numbers, true},
#define INT_OR(name, value) AttributeSchema{#name, AttributeType::integer, false, value},
#define FLOAT_OR(name, value) AttributeSchema{#name, AttributeType::number, false, value},
#define STRING_OR(name, value) AttributeSchema{#name, AttributeType::string, false, 0, value},
#define INTS_OR_NONE(name) AttributeSchema{#name, AttributeType::integers, false},
#define FLOATS_OR_NONE(name) AttributeSchema{#name, AttributeType::numbers, false},
// A leading sentinel keeps the arrays of operators without attributes non-empty.
#define WHIT_OP(name, min_in, max_in, min_out, max_out, attributes) \
  constexpr AttributeSchema name##_attributes[] = {AttributeSchema{"", AttributeType::integer, false}, attributes};
#include "model/op_list.inc"
#undef WHIT_OP

constexpr OpSchema kSchemas[] = {
#define WHIT_OP(name, min_in, max_in, min_out, max_out, attributes) \
  OpSchema{#name, min_in, max_in, min_out, max_out, std::span(name##_attributes).subspan(1)},
#include "model/op_list.inc"
#undef WHIT_OP
};

bool has_type(const Attribute& value, AttributeType type) { return value.index() == static_cast<std::size_t>(type); }

Status check_count(const Node& node, const char* what, std::size_t count, int least, int most) {
  if (static_cast<s64>(count) >= least && (most < 0 || static_cast<s64>(count) <= most)) return {};
  return error(Code::format, "node '%s' (%s) has %zu %s", node.name.c_str(), op_name(node.op), count, what);
}

}  // namespace

std::span<const OpSchema> op_schemas() { return kSchemas; }
const OpSchema& op_schema(Op op) { return kSchemas[static_cast<std::size_t>(op)]; }
const char* op_name(Op op) { return op_schema(op).name; }

std::optional<Op> op_from_name(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kSchemas); ++i)
    if (name == kSchemas[i].name) return static_cast<Op>(i);
  return std::nullopt;
}

Status check_node(Node& node) {
  const OpSchema& schema = op_schema(node.op);
  WHIT_RETURN_IF_ERROR(check_count(node, "inputs", node.inputs.size(), schema.min_inputs, schema.max_inputs));
  WHIT_RETURN_IF_ERROR(check_count(node, "outputs", node.outputs.size(), schema.min_outputs, schema.max_outputs));
  for (int i = 0; i < schema.min_inputs; ++i) {
    if (node.inputs[static_cast<std::size_t>(i)] < 0)
      return error(Code::format, "node '%s' (%s): input %d is missing", node.name.c_str(), schema.name, i);
  }
  std::size_t known = 0;
  for (const AttributeSchema& attribute : schema.attributes) {
    const Attribute* value = node.attributes.find(attribute.name);
    if (!value) {
      if (attribute.required)
        return error(Code::format, "node '%s' (%s): attribute '%s' is missing", node.name.c_str(), schema.name,
                     attribute.name);
      if (attribute.type == AttributeType::integer)
        node.attributes.set(attribute.name, static_cast<s64>(attribute.default_number));
      if (attribute.type == AttributeType::number) node.attributes.set(attribute.name, attribute.default_number);
      if (attribute.type == AttributeType::string)
        node.attributes.set(attribute.name, std::string(attribute.default_string));
      if (attribute.type == AttributeType::integers) node.attributes.set(attribute.name, std::vector<s64>());
      if (attribute.type == AttributeType::numbers) node.attributes.set(attribute.name, std::vector<f32>());
    } else if (!has_type(*value, attribute.type)) {
      return error(Code::format, "node '%s' (%s): attribute '%s' has the wrong type", node.name.c_str(), schema.name,
                   attribute.name);
    }
    ++known;
  }
  if (node.attributes.all().size() != known)
    return error(Code::format, "node '%s' (%s) has attributes that the operator does not know", node.name.c_str(),
                 schema.name);
  return {};
}

}  // namespace whit
