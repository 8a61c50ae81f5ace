#include <cstdarg>
#include <cstdio>

#include "ops/operator.h"
#include "ops/trim.h"

namespace whit::ops {

#define WHIT_OP(name, ...) std::unique_ptr<Operator> make_##name(const Node&);
#include "model/op_list.inc"
#undef WHIT_OP

namespace {

// An operator that is not compiled is not mentioned either: nothing else brings its code and its kernels into a
// program.
constexpr std::unique_ptr<Operator> (*kMakers[])(const Node&) = {
#define WHIT_OP(name, ...) is_compiled("," #name ",") ? make_##name : nullptr,
#include "model/op_list.inc"
#undef WHIT_OP
};

}  // namespace

Status check_compiled(const Node& node) {
  if (kMakers[static_cast<std::size_t>(node.op)]) return {};
  return node_error(node, Code::unsupported,
                    "this build of whit was trimmed to WHIT_OPS without %s; build it with all that the command "
                    "whit inspect --ops prints for the model",
                    op_name(node.op));
}

std::unique_ptr<Operator> make_operator(const Node& node) { return kMakers[static_cast<std::size_t>(node.op)](node); }

Status node_error(const Node& node, Code code, const char* format, ...) {
  char message[768];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return error(code, "node '%s' (%s): %s", node.name.c_str(), op_name(node.op), message);
}

Status pack_weights(const PrepareContext& context, const std::string& key, std::size_t bytes,
                    const std::function<bool(std::byte*)>& fill, const std::byte** packed) {
  *packed = context.weights.get(context.node, key, bytes, fill);
  if (*packed) return {};
  return node_error(context.node, Code::out_of_memory, "no memory for %zu bytes of packed weights", bytes);
}

Result<int> normalize_axis(const Node& node, s64 axis, int rank) {
  if (axis < -rank || axis >= rank)
    return node_error(node, Code::shape, "axis %lld is outside a tensor of rank %d", static_cast<long long>(axis),
                      rank);
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

}  // namespace whit::ops
