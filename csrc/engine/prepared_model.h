#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/slab.h"
#include "ops/operator.h"

namespace whit {

/// A model with the CPU it will run on. Owns the packed weights; shared by all its sessions.
class PreparedModel final : public ops::WeightCache {
 public:
  PreparedModel(std::shared_ptr<const Model> model, IsaSet isa);
  const Model& model() const { return *model_; }
  IsaSet isa() const { return isa_; }
  /// Bytes of all packed weights made so far.
  std::size_t packed_bytes() const;
  /// Those of one node of the model; 0 for any other node.
  std::size_t packed_bytes(const Node& node) const;

  const std::byte* get(const Node& node, const std::string& key, std::size_t bytes,
                       const std::function<bool(std::byte*)>& fill) override;

  /// How often get() has packed something.
  std::size_t packed_count() const;
  /// Releases the file's pages under the large constants that a node has packed.
  void release_constants(const Node& node) const;

 private:
  std::shared_ptr<const Model> model_;
  IsaSet isa_;
  mutable std::mutex mutex_;
  struct Packed {
    const std::byte* data;
    std::size_t bytes;
  };
  std::map<std::string, Packed> packed_;
  Slab memory_;  // of packed_
};

}  // namespace whit
