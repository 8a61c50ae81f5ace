#pragma once
// Families with one table of functions a level: a group for each function and shape.

#include <string>
#include <utility>

#include "bench/kernels/harness.h"
#include "bench/kernels/shapes.h"

namespace whit::bench {

inline std::span<const ImageShape> image_shapes(const Options& options) {
  return options.smoke ? std::span<const ImageShape>(kSmallImageShapes) : std::span<const ImageShape>(kImageShapes);
}

inline std::string shape_name(const ImageShape& s) {
  return std::to_string(s.side) + "x" + std::to_string(s.side) + "x" + std::to_string(s.channels);
}

inline isize elements(const ImageShape& s) { return s.side * s.side * s.channels; }

/// A job for each table of these levels: `call(table)` returns one call.
template <class Tables, class Call>
void add_tables(Group& group, const std::string& function, const Tables& tables, IsaSet isa, const Call& call) {
  bool first = true;
  for (const auto* table : tables) {
    if (!isa.has(table->isa)) continue;
    group.jobs.push_back(
        {function + "_" + isa_name(table->isa), table->isa, std::exchange(first, false), call(*table)});
  }
}

}  // namespace whit::bench
