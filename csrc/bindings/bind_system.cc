// What does not belong to a model: operators, CPU, threads, checksums.

#include <span>

#include "base/crc32c.h"
#include "base/isa.h"
#include "base/thread_pool.h"
#include "bindings/bindings.h"
#include "model/op_schema.h"

namespace whit::bindings {
namespace {

const char* type_name(AttributeType type) {
  constexpr const char* kNames[] = {"int", "float", "string", "ints", "floats"};
  return kNames[static_cast<int>(type)];
}

py::list operators() {
  py::list list;
  for (const OpSchema& schema : op_schemas()) {
    py::list attributes;
    for (const AttributeSchema& attribute : schema.attributes) {
      py::object fallback = py::none();
      if (!attribute.required && attribute.type == AttributeType::number)
        fallback = py::float_(attribute.default_number);
      if (!attribute.required && attribute.type == AttributeType::integer)
        fallback = py::int_(static_cast<s64>(attribute.default_number));
      if (!attribute.required && attribute.type == AttributeType::string) fallback = py::str(attribute.default_string);
      if (!attribute.required &&
          (attribute.type == AttributeType::integers || attribute.type == AttributeType::numbers))
        fallback = py::list();
      py::dict item;
      item["name"] = attribute.name;
      item["type"] = type_name(attribute.type);
      item["required"] = attribute.required;
      item["default"] = fallback;
      attributes.append(item);
    }
    py::dict item;
    item["name"] = schema.name;
    item["min_inputs"] = schema.min_inputs;
    item["max_inputs"] = schema.max_inputs;
    item["min_outputs"] = schema.min_outputs;
    item["max_outputs"] = schema.max_outputs;
    item["attributes"] = attributes;
    list.append(item);
  }
  return list;
}

py::list names(IsaSet set) {
  py::list list;
  for (int i = 0; i < kIsaCount; ++i)
    if (set.has(static_cast<Isa>(i))) list.append(isa_name(static_cast<Isa>(i)));
  return list;
}

py::dict cpu() {
  const IsaSet active = unwrap(isa_active());
  py::dict item;
  item["detected"] = names(isa_detected());
  item["compiled"] = names(isa_compiled());
  item["active"] = names(active);
  item["isa"] = isa_name(isa_best(active));
  item["available_cpus"] = available_cpus();
  item["default_threads"] = unwrap(default_threads());
  return item;
}

}  // namespace

int thread_count(const std::optional<int>& threads) {
  if (!threads) return unwrap(default_threads());
  if (*threads < 1 || *threads > 1024)
    raise_error(Code::invalid_argument, "threads must be from 1 to 1024; got " + std::to_string(*threads));
  return *threads;
}

void bind_system(py::module_& module) {
  module.def("operators", &operators);
  module.def("cpu", &cpu);
  module.def(
      "crc32c",
      [](const py::bytes& data, u32 crc) {
        const std::string_view view = data;
        return crc32c(std::as_bytes(std::span(view)), crc);
      },
      py::arg("data"), py::arg("crc") = 0);
}

}  // namespace whit::bindings
