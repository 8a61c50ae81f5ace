#pragma once

#include <array>
#include <initializer_list>
#include <string>

#include "base/types.h"

namespace whit {

/// Sizes of up to 8 axes, without allocation.
class Shape {
 public:
  static constexpr int kMaxRank = 8;
  Shape() = default;
  Shape(std::initializer_list<s64> sizes) {
    for (s64 size : sizes) push_back(size);
  }
  int rank() const { return rank_; }
  s64& operator[](int axis) { return sizes_[static_cast<std::size_t>(axis)]; }
  s64 operator[](int axis) const { return sizes_[static_cast<std::size_t>(axis)]; }
  void push_back(s64 size) { sizes_[static_cast<std::size_t>(rank_++)] = size; }
  const s64* begin() const { return sizes_.data(); }
  const s64* end() const { return sizes_.data() + rank_; }
  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if ((*this)[i] != other[i]) return false;
    return true;
  }
  /// Product of the sizes from axis `first` up to (not including) `last`. The engine has checked that the product of
  /// all fits into 2^40.
  s64 elements(int first, int last) const {
    s64 product = 1;
    for (int i = first; i < last; ++i) product *= (*this)[i];
    return product;
  }
  s64 elements() const { return elements(0, rank_); }
  bool is_static() const {
    for (s64 size : *this)
      if (size < 0) return false;
    return true;
  }
  /// "[1, 3, ?, ?]"
  std::string text() const {
    std::string out = "[";
    for (int i = 0; i < rank_; ++i) {
      if (i) out += ", ";
      out += (*this)[i] < 0 ? std::string("?") : std::to_string((*this)[i]);
    }
    out += ']';
    return out;
  }

 private:
  std::array<s64, kMaxRank> sizes_{};
  int rank_ = 0;
};

}  // namespace whit
