// GRPH: tensors, nodes, inputs and outputs.

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/half.h"
#include "model/file_format.h"
#include "model/op_schema.h"
#include "model/reader.h"

namespace whit::reader {
namespace {

using namespace file_format;

// The fewest bytes that one item takes in the file.
constexpr std::size_t kTensorBytes = 2 + 1 + 1 + 1;
constexpr std::size_t kNodeBytes = 2 + 2 + 2 + 2 + 1;

struct Range {
  s32 low, high;
};

/// What a zero point of this dtype may be; low > high for dtypes that cannot be quantised.
Range zero_point_range(DType dtype) {
  switch (dtype) {
    case DType::s8: return {-128, 127};
    case DType::u8: return {0, 255};
    case DType::s16: return {-32768, 32767};
    case DType::s32: return {-2147483647 - 1, 2147483647};
    case DType::b1: return {0, 1};
    case DType::s4: return {-8, 7};
    case DType::t2: return {-1, 1};
    case DType::f32:
    case DType::f16:
    case DType::p4: break;
  }
  return {1, 0};
}

void read_shape(Cursor* cursor, Tensor* tensor) {
  const u8 rank = cursor->number<u8>("rank");
  if (rank > Shape::kMaxRank)
    return cursor->fail(error(Code::format, "tensor %s has rank %u; at most %d is allowed",
                              quoted(tensor->name).c_str(), rank, Shape::kMaxRank));
  tensor->dim_names.resize(rank);
  s64 elements = 1;
  for (std::size_t axis = 0; axis < rank && cursor->ok(); ++axis) {
    const s32 size = cursor->number<s32>("dimension");
    if (size < -1) {
      return cursor->fail(
          error(Code::format, "tensor %s: dimension %zu is %d", quoted(tensor->name).c_str(), axis, size));
    }
    if (size == -1) tensor->dim_names[axis] = cursor->text("dimension name");
    if (size > 0 && (!checked_mul(elements, size, &elements) || elements > kMaxElements))
      return cursor->fail(error(Code::format, "tensor %s has more than 2^40 elements", quoted(tensor->name).c_str()));
    tensor->shape.push_back(size);
  }
}

void read_group_scales(Cursor* cursor, Tensor* tensor) {
  const std::string name = quoted(tensor->name);
  const Shape& shape = tensor->shape;
  const bool has_rows =
      shape.rank() >= 2 && std::all_of(shape.begin(), shape.end(), [](s64 size) { return size >= 1; });
  if (tensor->dtype != DType::s8 || !has_rows)
    return cursor->fail(error(Code::format,
                              "tensor %s: scales by groups are for s8 of two axes or more, of fixed sizes; it is %s %s",
                              name.c_str(), dtype_name(tensor->dtype), shape.text().c_str()));
  Quantization& quantization = tensor->quantization;
  quantization.axis = shape.rank() - 1;
  const s64 groups = (shape[quantization.axis] + Quantization::kGroup - 1) / Quantization::kGroup;
  const s64 rows = shape.elements(0, quantization.axis);
  quantization.group_scales = cursor->items(static_cast<u64>(rows * groups), sizeof(u16), "quantization scales");
  for (std::size_t i = 0; i < quantization.group_count(); ++i)
    if (const u16 scale = quantization.group_scale(i); !is_positive_half(scale))
      return cursor->fail(error(Code::format, "tensor %s: the scale of a group is %g; scales are finite and above 0",
                                name.c_str(), static_cast<double>(half_to_float(scale))));
}

void read_quantization(Cursor* cursor, Tensor* tensor) {
  const u8 kind = cursor->number<u8>("quantization");
  if (!cursor->ok() || kind == kNotQuantized) return;
  const std::string name = quoted(tensor->name);
  if (kind > kPerGroup)
    return cursor->fail(error(Code::unsupported, "tensor %s: quantization of kind %u needs a newer version of whit",
                              name.c_str(), kind));
  if (kind == kPerGroup) return read_group_scales(cursor, tensor);
  const Range range = zero_point_range(tensor->dtype);
  if (range.low > range.high)
    return cursor->fail(
        error(Code::format, "tensor %s: dtype %s cannot be quantized", name.c_str(), dtype_name(tensor->dtype)));

  Quantization& quantization = tensor->quantization;
  u64 count = 1;
  if (kind != kPerTensor) {
    const u8 axis = cursor->number<u8>("quantization axis");
    if (axis >= tensor->shape.rank() || tensor->shape[axis] < 1)
      return cursor->fail(error(Code::format, "tensor %s: quantization axis %u, but its shape is %s", name.c_str(),
                                axis, tensor->shape.text().c_str()));
    quantization.axis = axis;
    count = static_cast<u64>(tensor->shape[axis]);
  }
  quantization.scale = cursor->numbers<f32>(count, "quantization scales");
  if (kind == kSymmetricPerAxis)
    quantization.zero_point.assign(quantization.scale.size(), 0);
  else
    quantization.zero_point = cursor->numbers<s32>(count, "quantization zero points");
  for (f32 scale : quantization.scale)
    if (!std::isfinite(scale) || scale <= 0)
      return cursor->fail(error(Code::format, "tensor %s: a scale is %g; scales are finite and above 0", name.c_str(),
                                static_cast<double>(scale)));
  for (s32 zero_point : quantization.zero_point)
    if (zero_point < range.low || zero_point > range.high)
      return cursor->fail(error(Code::format, "tensor %s: a zero point is %d, outside %s", name.c_str(), zero_point,
                                dtype_name(tensor->dtype)));
}

Tensor read_tensor(Cursor* cursor) {
  Tensor tensor;
  tensor.name = cursor->text("tensor name");
  if (cursor->ok() && tensor.name.empty()) cursor->fail(error(Code::format, "a tensor has no name"));
  const u8 dtype = cursor->number<u8>("dtype");
  if (dtype > static_cast<u8>(DType::p4)) {
    cursor->fail(error(Code::unsupported, "tensor %s: dtype %u needs a newer version of whit",
                       quoted(tensor.name).c_str(), dtype));
    return tensor;
  }
  tensor.dtype = static_cast<DType>(dtype);
  read_shape(cursor, &tensor);
  read_quantization(cursor, &tensor);
  return tensor;
}

/// `count` tensor indices; -1 stands for an absent one where that is allowed.
std::vector<int> read_indices(Cursor* cursor, std::size_t tensors, bool may_be_absent, const char* what) {
  const u16 count = cursor->number<u16>(what);
  const u64 start = cursor->offset();
  std::vector<int> indices = cursor->numbers<int>(count, what);
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const int index = indices[i];
    if (index == -1 && may_be_absent) continue;
    if (index < 0 || static_cast<std::size_t>(index) >= tensors)
      cursor->fail(error(Code::format, "%s: tensor %d of %zu", what, index, tensors), start + i * sizeof(int));
  }
  return indices;
}

Attribute read_attribute_value(Cursor* cursor, const std::string& name) {
  const u8 type = cursor->number<u8>("attribute type");
  switch (static_cast<AttributeType>(type)) {
    case AttributeType::integer: return cursor->number<s64>("attribute value");
    case AttributeType::number: return cursor->number<f32>("attribute value");
    case AttributeType::string: return cursor->text("attribute value");
    case AttributeType::integers:
      return cursor->numbers<s64>(cursor->number<u16>("attribute size"), "attribute values");
    case AttributeType::numbers: return cursor->numbers<f32>(cursor->number<u16>("attribute size"), "attribute values");
  }
  cursor->fail(
      error(Code::unsupported, "attribute %s: type %u needs a newer version of whit", quoted(name).c_str(), type));
  return s64{0};
}

void read_attributes(Cursor* cursor, Node* node) {
  const u8 count = cursor->number<u8>("attribute count");
  if (count > kMaxAttributes)
    return cursor->fail(error(Code::format, "node %s has %u attributes; at most %u are allowed",
                              quoted(node->name).c_str(), count, kMaxAttributes));
  for (u8 i = 0; i < count && cursor->ok(); ++i) {
    const u64 start = cursor->offset();
    const std::string name = cursor->text("attribute name");
    Attribute value = read_attribute_value(cursor, name);
    if (cursor->ok() && node->attributes.find(name))
      return cursor->fail(
          error(Code::format, "node %s: attribute %s appears twice", quoted(node->name).c_str(), quoted(name).c_str()),
          start);
    node->attributes.set(name, std::move(value));
  }
}

Node read_node(Cursor* cursor, std::size_t tensors) {
  const u64 start = cursor->offset();
  Node node;
  node.name = cursor->text("node name");
  const u16 op = cursor->number<u16>("operator");
  if (op >= op_schemas().size()) {
    cursor->fail(error(Code::unsupported, "node %s: operator %u needs a newer version of whit; this one knows %zu",
                       quoted(node.name).c_str(), op, op_schemas().size()));
    return node;
  }
  node.op = static_cast<Op>(op);
  node.inputs = read_indices(cursor, tensors, /*may_be_absent=*/true, "node input");
  node.outputs = read_indices(cursor, tensors, /*may_be_absent=*/true, "node output");
  if (cursor->ok() && std::all_of(node.outputs.begin(), node.outputs.end(), [](int output) { return output < 0; }))
    cursor->fail(error(Code::format, "node %s has no output", quoted(node.name).c_str()), start);
  read_attributes(cursor, &node);
  if (cursor->ok()) cursor->fail(check_node(node), start);
  return node;
}

}  // namespace

Status read_graph(const Section& section, Model* model, Positions* positions) {
  Cursor cursor = section.cursor();
  model->name = cursor.text("graph name");
  const u32 tensors = cursor.count(kMaxTensors, kTensorBytes, "tensor count");
  for (u32 i = 0; i < tensors && cursor.ok(); ++i) {
    positions->tensors.push_back(cursor.offset());
    model->tensors.push_back(read_tensor(&cursor));
  }
  const u32 nodes = cursor.count(kMaxNodes, kNodeBytes, "node count");
  for (u32 i = 0; i < nodes && cursor.ok(); ++i) {
    positions->nodes.push_back(cursor.offset());
    model->nodes.push_back(read_node(&cursor, model->tensors.size()));
  }
  model->inputs = read_indices(&cursor, model->tensors.size(), /*may_be_absent=*/false, "graph input");
  model->outputs = read_indices(&cursor, model->tensors.size(), /*may_be_absent=*/false, "graph output");
  if (cursor.ok() && model->outputs.empty()) cursor.fail(error(Code::format, "the graph has no outputs"));
  const auto is_grouped = [](const Tensor& tensor) { return tensor.quantization.is_grouped(); };
  if (section.decoded && std::any_of(model->tensors.begin(), model->tensors.end(), is_grouped))
    model->decoded.push_back(section.decoded);  // where their scales are
  cursor.finish("section GRPH");
  return cursor.status();
}

}  // namespace whit::reader
