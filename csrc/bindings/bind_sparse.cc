// whit.kernels: sparse matrix products without a model around them.

#include <algorithm>
#include <cstring>
#include <mutex>
#include <variant>
#include <vector>

#include "base/checked.h"
#include "bindings/bindings.h"
#include "bindings/sparse_families.h"

namespace whit::bindings {
namespace {

/// More threads than one for each so many products are not worth waking them.
constexpr s64 kProductsPerThread = 1 << 15;

/// A matrix with what kernels have made of it: that depends on how many columns they are given at once.
template <class Family>
class Matrix {
 public:
  using Value = typename Family::Value;
  using Sum = typename Family::Sum;

  explicit Matrix(OwnedCsr<Value> csr)
      : csr_(std::move(csr)), problem_(Family::problem(csr_.view())), isa_(unwrap(isa_active())) {}

  Csr<Value> csr() const { return csr_.view(); }
  const char* kernel() const { return Family::name(Family::select(problem_, isa_)); }

  std::size_t bytes() const {
    const std::lock_guard lock(mutex_);
    std::size_t bytes = csr_.starts.bytes() + csr_.columns.bytes() + csr_.values.bytes();
    for (const auto& [kernel, packed] : packed_) bytes += packed.bytes();
    return bytes;
  }

  /// Without the GIL.
  Status multiply(const Value* x, isize columns, Sum* out, int threads) {
    const Csr<Value> matrix = csr();
    const auto count = static_cast<s64>(matrix.values.size());
    if (count == 0) {
      std::fill(out, out + matrix.n * columns, Sum{0});
      return {};
    }
    auto problem = problem_;
    problem.pixels = columns;
    const auto& kernel = Family::select(problem, isa_);
    const std::byte* packed = nullptr;
    WHIT_RETURN_IF_ERROR(pack(kernel, &packed));
    const s64 useful = count / kProductsPerThread * columns + count % kProductsPerThread * columns / kProductsPerThread;
    Family::multiply(kernel, matrix, packed, x, columns, out, static_cast<int>(std::clamp<s64>(useful, 1, threads)));
    return {};
  }

 private:
  Status pack(const typename Family::Kernel& kernel, const std::byte** packed) {
    const std::lock_guard lock(mutex_);
    for (const auto& [known, buffer] : packed_) {
      if (known == &kernel) {
        *packed = buffer.data();
        return {};
      }
    }
    const Csr<Value> matrix = csr();
    const std::size_t bytes = Family::packed_bytes(kernel, matrix);
    if (bytes == SIZE_MAX)
      return error(Code::shape, "CsrMatrix: %lld values in %lld x %lld are too many for the packed form (4 GiB)",
                   static_cast<long long>(matrix.values.size()), static_cast<long long>(matrix.n),
                   static_cast<long long>(matrix.k));
    AlignedBuffer buffer = allocate(bytes);
    Family::pack(kernel, matrix, buffer.data());
    *packed = buffer.data();
    packed_.emplace_back(&kernel, std::move(buffer));
    return {};
  }

  OwnedCsr<Value> csr_;
  decltype(Family::problem(std::declval<Csr<Value>>())) problem_;
  IsaSet isa_;
  mutable std::mutex mutex_;
  std::vector<std::pair<const typename Family::Kernel*, AlignedBuffer>> packed_;
};

[[noreturn]] void invalid(const std::string& problem) { raise_error(Code::invalid_argument, "CsrMatrix: " + problem); }

/// C-contiguous with one axis.
const py::array& checked_list(const py::array& array, const char* what) {
  if (array.ndim() != 1 || !(array.flags() & py::array::c_style))
    invalid(std::string(what) + " must have one axis; got " + describe(array));
  return array;
}

/// Indices of either width, as s64.
class Indices {
 public:
  Indices(const py::array& array, const char* what) : array_(checked_list(array, what)) {
    is_wide_ = array.dtype().equal(py::dtype("i8"));
    if (!is_wide_ && !array.dtype().equal(py::dtype("i4")))
      invalid(std::string(what) + " must be int32 or int64; got " + describe(array));
  }
  s64 size() const { return array_.shape(0); }
  s64 operator[](s64 i) const {
    return is_wide_ ? static_cast<const s64*>(array_.data())[i] : static_cast<const s32*>(array_.data())[i];
  }

 private:
  py::array array_;
  bool is_wide_;
};

class CsrMatrix {
 public:
  CsrMatrix(const py::array& indptr, const py::array& indices, const py::array& data, s64 n, s64 k) {
    set_shape(n, k);
    checked_list(data, "data");
    if (has_dtype(data, DType::f32))
      make<F32>(indptr, indices, data);
    else
      make<S8>(indptr, indices, checked_data(data));
  }

  /// Of a C-contiguous matrix.
  explicit CsrMatrix(const py::array& dense) {
    if (dense.ndim() != 2 || !(dense.flags() & py::array::c_style))
      invalid("w must be a matrix [n, k]; got " + describe(dense));
    set_shape(dense.shape(0), dense.shape(1));
    if (has_dtype(dense, DType::f32))
      make_from<F32>(dense);
    else
      make_from<S8>(checked_data(dense));
  }

  py::array multiply(const py::object& lhs, const py::object& out, const std::optional<int>& threads) const {
    return std::visit([&](const auto& matrix) { return multiply_by(*matrix, lhs, out, threads); }, matrix_);
  }

  py::array to_dense() const {
    return std::visit(
        [&](const auto& matrix) {
          const auto csr = matrix->csr();
          using Value = typename std::decay_t<decltype(*matrix)>::Value;
          py::array_t<Value> dense({n_, k_});
          Value* out = dense.mutable_data();
          std::fill(out, out + n_ * k_, Value{0});
          for (isize i = 0; i < n_; ++i)
            for (s64 e = csr.starts[static_cast<std::size_t>(i)]; e < csr.starts[static_cast<std::size_t>(i) + 1]; ++e)
              out[i * k_ + csr.columns[static_cast<std::size_t>(e)]] = csr.values[static_cast<std::size_t>(e)];
          return py::array(std::move(dense));
        },
        matrix_);
  }

  py::tuple shape() const { return py::make_tuple(n_, k_); }
  s64 count() const {
    return std::visit([](const auto& matrix) { return static_cast<s64>(matrix->csr().values.size()); }, matrix_);
  }
  py::dtype dtype() const { return numpy_dtype(matrix_.index() == 0 ? DType::f32 : DType::s8); }
  std::size_t bytes() const {
    return std::visit([](const auto& matrix) { return matrix->bytes(); }, matrix_);
  }
  const char* kernel() const {
    return std::visit([](const auto& matrix) { return matrix->kernel(); }, matrix_);
  }

 private:
  static bool has_dtype(const py::array& array, DType dtype) { return array.dtype().equal(numpy_dtype(dtype)); }

  static const py::array& checked_data(const py::array& data) {
    if (!has_dtype(data, DType::s8))
      invalid("values must be float32 or int8 (use .astype(numpy.float32)); got " + describe(data));
    if (data.size() > 0 && std::memchr(data.data(), 0x80, static_cast<std::size_t>(data.size())))
      invalid("int8 values contain -128; weights go from -127 to 127");
    return data;
  }

  void set_shape(s64 n, s64 k) {
    if (std::min(n, k) < 0 || std::max(n, k) > INT32_MAX)
      raise_error(Code::shape, "CsrMatrix: shape must be two sizes from 0 to 2^31 - 1; got (" + std::to_string(n) +
                                   ", " + std::to_string(k) + ")");
    n_ = static_cast<isize>(n), k_ = static_cast<isize>(k);
  }

  template <class Family>
  void make(const py::array& indptr, const py::array& indices, const py::array& data) {
    using Value = typename Family::Value;
    const Indices starts(indptr, "indptr"), columns(indices, "indices");
    const isize count = data.shape(0);
    if (starts.size() != n_ + 1)
      raise_error(Code::shape, "CsrMatrix: indptr must have n + 1 = " + std::to_string(n_ + 1) + " items; got " +
                                   std::to_string(starts.size()));
    if (columns.size() != count)
      raise_error(Code::shape,
                  "CsrMatrix: indices has " + std::to_string(columns.size()) + " items, data " + std::to_string(count));
    OwnedCsr<Value> csr{n_,
                        1,
                        k_,
                        count,
                        allocate(allocation_bytes(s64{n_} + 1, sizeof(s64))),
                        allocate(allocation_bytes(count, sizeof(s32))),
                        allocate(allocation_bytes(count, sizeof(Value)))};
    // Copied first, then checked: the caller's arrays may change meanwhile.
    s64* start = reinterpret_cast<s64*>(csr.starts.data());
    for (isize i = 0; i <= n_; ++i) start[i] = starts[i];
    if (start[0] != 0) invalid("indptr must begin with 0; got " + std::to_string(start[0]));
    for (isize i = 0; i < n_; ++i) {
      if (start[i + 1] < start[i])
        invalid("indptr must not fall; row " + std::to_string(i) + " goes from " + std::to_string(start[i]) + " to " +
                std::to_string(start[i + 1]));
    }
    if (start[n_] != count)
      raise_error(Code::shape, "CsrMatrix: indptr ends with " + std::to_string(start[n_]) + ", but there are " +
                                   std::to_string(count) + " values");
    s32* column = reinterpret_cast<s32*>(csr.columns.data());
    for (isize i = 0; i < n_; ++i) {
      for (s64 e = start[i]; e < start[i + 1]; ++e) {
        const s64 index = columns[e];
        if (index < 0 || index >= k_)
          invalid("column " + std::to_string(index) + " in row " + std::to_string(i) + "; columns go from 0 to " +
                  std::to_string(k_ - 1));
        if (e > start[i] && index <= column[e - 1])
          invalid("columns of row " + std::to_string(i) + " must ascend; " + std::to_string(index) + " follows " +
                  std::to_string(column[e - 1]));
        column[e] = static_cast<s32>(index);
      }
    }
    if (count > 0) std::memcpy(csr.values.data(), data.data(), static_cast<std::size_t>(count) * sizeof(Value));
    matrix_ = std::make_unique<Matrix<Family>>(std::move(csr));
  }

  template <class Family>
  void make_from(const py::array& dense) {
    using Value = typename Family::Value;
    auto csr = spmm::csr_from_dense(static_cast<const Value*>(dense.data()), n_, 1, k_);
    if (!csr) throw std::bad_alloc();
    matrix_ = std::make_unique<Matrix<Family>>(std::move(*csr));
  }

  template <class Family>
  py::array multiply_by(Matrix<Family>& matrix, const py::object& lhs, const py::object& out,
                        const std::optional<int>& threads) const {
    const auto wanted = [] {
      return std::string("csr @ x: x must be C-contiguous ") + Family::kName + " [k, c] or [k]";
    };
    if (!py::isinstance<py::array>(lhs)) raise_error(Code::invalid_argument, wanted() + ", a numpy array");
    const py::array x = py::reinterpret_borrow<py::array>(lhs);
    if (!has_dtype(x, Family::kData) || x.ndim() < 1 || x.ndim() > 2 || !(x.flags() & py::array::c_style))
      raise_error(Code::invalid_argument, wanted() + "; got " + describe(x));
    if (x.shape(0) != k_)
      raise_error(Code::shape, "csr @ x: x must have k = " + std::to_string(k_) + " rows; got " + describe(x));
    std::vector<py::ssize_t> shape{n_};
    if (x.ndim() == 2) shape.push_back(x.shape(1));
    py::array result =
        out.is_none() ? py::array(numpy_dtype(Family::kSums), shape) : checked_out<Family>(out, shape, x);
    const isize columns = x.ndim() == 2 ? x.shape(1) : 1;
    const int count = thread_count(threads);
    if (n_ == 0 || columns == 0) return result;
    const auto* values = static_cast<const typename Family::Value*>(x.data());
    auto* sums = static_cast<typename Family::Sum*>(result.mutable_data());
    Status status;
    {
      const GilRelease release;
      status = matrix.multiply(values, columns, sums, count);
    }
    raise_if_error(status);
    return result;
  }

  template <class Family>
  static py::array checked_out(const py::object& out, const std::vector<py::ssize_t>& shape, const py::array& x) {
    const auto wanted = [&] {
      const std::string dtype = py::str(numpy_dtype(Family::kSums)).cast<std::string>();
      const std::string columns = shape.size() == 2 ? ", " + std::to_string(shape[1]) : "";
      return "csr @ x: out must be writable C-contiguous " + dtype + " [" + std::to_string(shape[0]) + columns + "]";
    };
    if (!py::isinstance<py::array>(out)) raise_error(Code::invalid_argument, wanted());
    py::array array = py::reinterpret_borrow<py::array>(out);
    if (!has_dtype(array, Family::kSums) ||
        !std::equal(shape.begin(), shape.end(), array.shape(), array.shape() + array.ndim()) ||
        !(array.flags() & py::array::c_style) || !array.writeable())
      raise_error(Code::shape, wanted() + "; got " + describe(array));
    if (overlap(array, x)) raise_error(Code::invalid_argument, "csr @ x: out overlaps x");
    return array;
  }

  isize n_ = 0, k_ = 0;
  std::variant<std::unique_ptr<Matrix<F32>>, std::unique_ptr<Matrix<S8>>> matrix_;
};

}  // namespace

void bind_sparse(py::module_& module) {
  py::class_<CsrMatrix>(module, "CsrMatrix")
      .def(py::init<const py::array&, const py::array&, const py::array&, s64, s64>(), py::arg("indptr"),
           py::arg("indices"), py::arg("data"), py::arg("n"), py::arg("k"))
      .def(py::init<const py::array&>(), py::arg("w"))
      .def("matmul", &CsrMatrix::multiply, py::arg("x"), py::arg("out") = py::none(), py::arg("threads") = py::none())
      .def("to_dense", &CsrMatrix::to_dense)
      .def_property_readonly("shape", &CsrMatrix::shape)
      .def_property_readonly("nnz", &CsrMatrix::count)
      .def_property_readonly("dtype", &CsrMatrix::dtype)
      .def_property_readonly("nbytes", &CsrMatrix::bytes)
      .def_property_readonly("kernel", &CsrMatrix::kernel);
}

}  // namespace whit::bindings
