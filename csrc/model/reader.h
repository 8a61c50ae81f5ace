#pragma once
// The steps of read_model_file(), in their order. Each checks what docs/FORMAT.md demands of its part.

#include <memory>
#include <span>
#include <vector>

#include "model/cursor.h"
#include "model/model.h"

namespace whit::reader {

struct Section {
  u64 offset = 0;  ///< in the file
  std::span<const std::byte> bytes;
  std::shared_ptr<const std::vector<std::byte>> decoded;  ///< what `bytes` are, if the file has them coded
  Cursor cursor() const { return Cursor(bytes, offset); }
};

/// The sections of a file whose header, section table, padding and checksums are right.
struct Layout {
  int version_major = 0, version_minor = 0;
  Section graph, tensors, metadata, data;
};
Result<Layout> read_layout(std::span<const std::byte> file);

/// Where in the file each tensor and node is described, for error messages.
struct Positions {
  std::vector<u64> tensors, nodes;
};

/// GRPH: fills name, tensors (without data), nodes, inputs, outputs. Every index is in range afterwards.
Status read_graph(const Section& section, Model* model, Positions* positions);

/// TENS and DATA: fills data, bytes, stored_bytes, encoding of the constants.
Status read_tensors(const Section& section, const Section& data, Model* model);

/// What holds for the graph as a whole: unique names, one source per tensor, nodes in an order in which they can run.
Status check_graph(const Model& model, const Positions& positions);

/// True if all bytes are zero.
bool is_zero(std::span<const std::byte> bytes);

}  // namespace whit::reader
