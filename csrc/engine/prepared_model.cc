#include "engine/prepared_model.h"

#include <algorithm>
#include <cstdint>

#include "base/pages.h"

namespace whit {
namespace {

/// What packed weights take, about: most of the constants are packed, and panels that are not full add a little.
std::size_t expected_packed_bytes(const Model& model) {
  std::size_t total = 0;
  for (const Tensor& tensor : model.tensors)
    if (tensor.is_constant()) total += static_cast<std::size_t>(tensor.bytes);
  return total + total / 8;
}

}  // namespace

PreparedModel::PreparedModel(std::shared_ptr<const Model> model, IsaSet isa)
    : model_(std::move(model)), isa_(isa), memory_(expected_packed_bytes(*model_)) {}

std::size_t PreparedModel::packed_bytes() const {
  const std::lock_guard lock(mutex_);
  std::size_t total = 0;
  for (const auto& [key, packed] : packed_) total += packed.bytes;
  return total;
}

std::size_t PreparedModel::packed_bytes(const Node& node) const {
  const auto found =
      std::find_if(model_->nodes.begin(), model_->nodes.end(), [&](const Node& known) { return &known == &node; });
  const std::string prefix = std::to_string(found - model_->nodes.begin()) + "/";
  const std::lock_guard lock(mutex_);
  std::size_t total = 0;
  for (auto at = packed_.lower_bound(prefix); at != packed_.end() && at->first.starts_with(prefix); ++at)
    total += at->second.bytes;
  return total;
}

std::size_t PreparedModel::packed_count() const {
  const std::lock_guard lock(mutex_);
  return packed_.size();
}

void PreparedModel::release_constants(const Node& node) const {
  constexpr std::size_t kLeastBytes = 32 << 10;
  const std::span<const std::byte> file = model_->mapping;
  const auto release = [&](std::span<const std::byte> bytes) {
    if (bytes.size() < kLeastBytes) return;
    const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
    const auto begin = reinterpret_cast<std::uintptr_t>(file.data());
    if (address >= begin && address < begin + file.size()) release_file_pages(bytes.data(), bytes.size());
  };
  for (int input : node.inputs) {
    if (input < 0) continue;
    const Tensor& tensor = model_->tensors[static_cast<std::size_t>(input)];
    if (!tensor.is_constant()) continue;
    release({tensor.data, static_cast<std::size_t>(tensor.bytes)});
    release(tensor.quantization.group_scales);
  }
}

const std::byte* PreparedModel::get(const Node& node, const std::string& key, std::size_t bytes,
                                    const std::function<bool(std::byte*)>& fill) {
  const std::string full_key = std::to_string(&node - model_->nodes.data()) + "/" + key;
  std::map<std::string, Packed> entry;  // made before the lock: nothing that changes may throw std::bad_alloc
  entry.try_emplace(full_key);
  const std::lock_guard lock(mutex_);
  if (const auto found = packed_.find(full_key); found != packed_.end()) return found->second.data;
  std::byte* const fresh = memory_.allocate(bytes);
  if (!fresh) return nullptr;
  if (!fill(fresh)) {
    memory_.undo();
    return nullptr;
  }
  entry.begin()->second = {fresh, bytes};
  packed_.insert(entry.extract(entry.begin()));
  return fresh;
}

}  // namespace whit
