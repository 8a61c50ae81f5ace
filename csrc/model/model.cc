#include "model/model.h"

namespace whit {

const char* dtype_name(DType dtype) {
  constexpr const char* kNames[] = {"f32", "s8", "u8", "s32", "s16", "f16", "b1", "s4", "t2", "p4"};
  return kNames[static_cast<int>(dtype)];
}

int dtype_bits(DType dtype) {
  constexpr int kBits[] = {32, 8, 8, 32, 16, 16, 1, 4, 2, 4};
  return kBits[static_cast<int>(dtype)];
}

void Attributes::set(std::string name, Attribute value) {
  for (auto& [known, old] : items_) {
    if (known == name) {
      old = std::move(value);
      return;
    }
  }
  items_.emplace_back(std::move(name), std::move(value));
}

const Attribute* Attributes::find(std::string_view name) const {
  for (const auto& [known, value] : items_)
    if (known == name) return &value;
  return nullptr;
}

s64 Attributes::integer(std::string_view name) const { return *std::get_if<s64>(find(name)); }
f32 Attributes::number(std::string_view name) const { return *std::get_if<f32>(find(name)); }
const std::string& Attributes::string(std::string_view name) const { return *std::get_if<std::string>(find(name)); }
const std::vector<s64>& Attributes::integers(std::string_view name) const {
  return *std::get_if<std::vector<s64>>(find(name));
}
const std::vector<f32>& Attributes::numbers(std::string_view name) const {
  return *std::get_if<std::vector<f32>>(find(name));
}

}  // namespace whit
