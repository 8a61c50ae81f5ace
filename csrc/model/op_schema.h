#pragma once
// The operator list as data: the reader checks nodes against it, Python asks for it.

#include <optional>
#include <span>
#include <string_view>

#include "model/model.h"

namespace whit {

enum class AttributeType : u8 { integer = 0, number = 1, string = 2, integers = 3, numbers = 4 };

struct AttributeSchema {
  const char* name;
  AttributeType type;
  bool required;
  f32 default_number = 0;           ///< of an optional number or integer; an optional list is empty where absent
  const char* default_string = "";  ///< of an optional string
};

struct OpSchema {
  const char* name;
  int min_inputs, max_inputs, min_outputs, max_outputs;  ///< max -1: any number
  std::span<const AttributeSchema> attributes;
};

/// In file order: index = operator's number.
std::span<const OpSchema> op_schemas();
const OpSchema& op_schema(Op op);
const char* op_name(Op op);
std::optional<Op> op_from_name(std::string_view name);

/// Checks counts and attributes of a node and fills in the defaults of absent optional attributes.
Status check_node(Node& node);

}  // namespace whit
