#pragma once
// What a .whit file says, as plain data. Produced by the reader (which has checked it) and never changed afterwards.

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "model/shape.h"

namespace whit {

/// Numbers are those of the file format.
enum class DType : u8 { f32 = 0, s8 = 1, u8 = 2, s32 = 3, s16 = 4, f16 = 5, b1 = 6, s4 = 7, t2 = 8, p4 = 9 };
const char* dtype_name(DType dtype);
/// Bits of one element.
int dtype_bits(DType dtype);

/// real = (q - zero_point) * scale. Per tensor (axis -1, one scale), per index of `axis`, or by groups: each kGroup
/// values of a row of the last axis, or fewer at its end, have a scale in f16, and all zero points are 0.
struct Quantization {
  static constexpr s64 kGroup = 32;

  std::vector<f32> scale;       ///< finite and > 0; empty: not quantised, or by groups
  std::vector<s32> zero_point;  ///< as long as scale
  int axis = -1;                ///< by groups: the last one
  /// f16 [rows][groups], finite and > 0, where the file has them: not aligned; empty: not by groups.
  std::span<const std::byte> group_scales = {};

  bool is_grouped() const { return !group_scales.empty(); }
  std::size_t group_count() const { return group_scales.size() / sizeof(u16); }
  /// The bits of one of them.
  u16 group_scale(std::size_t index) const {
    u16 scale;
    std::memcpy(&scale, group_scales.data() + index * sizeof scale, sizeof scale);
    return scale;
  }
  explicit operator bool() const { return !scale.empty() || is_grouped(); }
};

/// A tensor of the graph: an input, something computed, or a constant stored in the file.
struct Tensor {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;                         ///< -1: known only at run time
  std::vector<std::string> dim_names;  ///< per dimension; empty where the size is fixed
  Quantization quantization;
  const std::byte* data = nullptr;  ///< constants: dense row-major little-endian values, 64-byte aligned
  s64 bytes = 0;                    ///< of data
  s64 stored_bytes = 0;             ///< what the file spends on it
  const char* encoding = "";        ///< how the file stores it ("dense")
  bool is_constant() const { return data != nullptr; }
};

enum class Op : u16 {
#define WHIT_OP(name, ...) name,
#include "model/op_list.inc"
#undef WHIT_OP
};

using Attribute = std::variant<s64, f32, std::string, std::vector<s64>, std::vector<f32>>;

/// Attributes of one node. The reader has checked them against the operator list (all there, right types; defaults
/// filled in), so the accessors cannot fail on a Node that it made.
class Attributes {
 public:
  void set(std::string name, Attribute value);
  const Attribute* find(std::string_view name) const;
  s64 integer(std::string_view name) const;
  f32 number(std::string_view name) const;
  const std::string& string(std::string_view name) const;
  const std::vector<s64>& integers(std::string_view name) const;
  const std::vector<f32>& numbers(std::string_view name) const;
  const std::vector<std::pair<std::string, Attribute>>& all() const { return items_; }

 private:
  std::vector<std::pair<std::string, Attribute>> items_;
};

struct Node {
  std::string name;
  Op op;
  std::vector<int> inputs;   ///< indices into Model::tensors; -1 = absent
  std::vector<int> outputs;  ///< the same
  Attributes attributes;
};

class MappedFile;  // reader.cc

/// A loaded file. Nodes stand in an order in which they can run; every tensor has at most one producer.
struct Model {
  std::string name;  ///< of the graph; may be empty
  std::vector<Tensor> tensors;
  std::vector<Node> nodes;
  std::vector<int> inputs, outputs;
  std::string metadata;  ///< JSON
  u64 file_bytes = 0;
  int version_major = 0, version_minor = 0;
  std::shared_ptr<const void> storage;               ///< keeps the mapping or buffer that Tensor::data points into
  std::span<const std::byte> mapping;                ///< of the file, whose pages may be released; or empty
  std::vector<std::shared_ptr<const void>> decoded;  ///< buffers of tensors whose encoding is not dense
};

/// Maps and reads a file. Nothing in it is trusted.
Result<std::shared_ptr<const Model>> read_model_file(const std::string& path);
/// Reads from memory; the bytes are copied (64-byte aligned).
Result<std::shared_ptr<const Model>> read_model_bytes(const void* data, std::size_t bytes);
/// Reads from memory that the caller keeps unchanged while the model lives. It must be 64-byte aligned.
Result<std::shared_ptr<const Model>> read_model_borrowed(const void* data, std::size_t bytes);

}  // namespace whit
