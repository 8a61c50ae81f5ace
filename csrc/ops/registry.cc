#include <cstdarg>
#include <cstdio>

#include "ops/operator.h"

namespace whit::ops {

#define WHIT_OP(name, ...) std::unique_ptr<Operator> make_##name(const Node&);
#include "model/op_list.inc"
#undef WHIT_OP

std::unique_ptr<Operator> make_operator(const Node& node) {
  using Make = std::unique_ptr<Operator> (*)(const Node&);
  static constexpr Make kMakers[] = {
#define WHIT_OP(name, ...) make_##name,
#include "model/op_list.inc"
#undef WHIT_OP
  };
  return kMakers[static_cast<std::size_t>(node.op)](node);
}

Status node_error(const Node& node, Code code, const char* format, ...) {
  char message[768];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return error(code, "node '%s' (%s): %s", node.name.c_str(), op_name(node.op), message);
}

Result<int> normalize_axis(const Node& node, s64 axis, int rank) {
  if (axis < -rank || axis >= rank)
    return node_error(node, Code::shape, "axis %lld is outside a tensor of rank %d", static_cast<long long>(axis),
                      rank);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

}  // namespace whit::ops
