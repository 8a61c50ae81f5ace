// whit.kernels: dense products with weights of 4 bits.

#include <algorithm>

#include "base/buffer.h"
#include "bindings/bindings.h"
#include "bindings/dense_s8.h"
#include "bindings/pools.h"
#include "kernels/gemm_w4/gemm_w4.h"

namespace whit::bindings {
namespace {

class PackedW4 {
 public:
  explicit PackedW4(const py::handle& weights) {
    const py::array w = checked_matrix(weights, "pack_w4: w", "[n, k]");
    n_ = w.shape(0), k_ = w.shape(1);
    if (n_ < 1 || k_ < 1) raise_error(Code::shape, "pack_w4: w must not be empty; got " + describe(w));
    const s8* values = static_cast<const s8*>(w.data());
    s8 least = 0, most = 0;
    for (isize i = 0; i < n_ * k_; ++i) least = std::min(least, values[i]), most = std::max(most, values[i]);
    if (least < -8 || most > 7)
      raise_error(Code::invalid_argument, "pack_w4: w goes from " + std::to_string(least) + " to " +
                                              std::to_string(most) + "; weights of 4 bits go from -8 to 7");
    kernel_ = &gemm_w4::select({0, n_, 1, k_, 4}, unwrap(isa_active()));
    buffer_ = AlignedBuffer(gemm_w4::packed_bytes(*kernel_, n_, 1, k_));
    if (!buffer_.data()) throw std::bad_alloc();
    bool packed;
    {
      const GilRelease release;
      packed = gemm_w4::pack(*kernel_, {{values, nullptr, n_, 1, k_, 0}, gemm_w4::integers(4)}, buffer_.data(), 0, n_);
    }
    if (!packed) throw std::bad_alloc();
  }

  py::object multiply(const py::handle& lhs, const py::object& out, const std::optional<int>& threads) const {
    const py::array x = checked_lhs(lhs, "gemm_w4", k_);
    const isize m = x.shape(0);
    py::array result = checked_out(out, "gemm_w4", m, n_, x);
    if (m == 0) return result;
    const int count = thread_count(threads);
    const isize each = !gemm_w4::needs_scratch(m, 1, k_)
                           ? 0
                           : round_up(static_cast<isize>(gemm_w4::scratch_bytes(*kernel_, 1, k_)), isize{kAlignment});
    const AlignedBuffer scratch(static_cast<std::size_t>(each * count));
    if (each && !scratch.data()) throw std::bad_alloc();
    gemm_w4::Args args{};
    args.lhs = {static_cast<const s8*>(x.data()), k_, nullptr, nullptr};
    args.packed = buffer_.data();
    args.n = n_, args.taps = 1, args.k = k_;
    args.epilogue.output = EpilogueS8::Output::s32;
    args.out = result.mutable_data();
    args.out_stride = n_;
    const GilRelease release;
    const LentPool pool(count);
    share_product(*pool, count, m, gemm_w4::tile_rows(*kernel_), n_, gemm_w4::panel_columns(*kernel_),
                  [&](isize m_begin, isize m_end, isize n_begin, isize n_end, int thread) {
                    gemm_w4::Args mine = args;
                    mine.scratch = scratch.data() + thread * each;
                    gemm_w4::run(*kernel_, mine, m_begin, m_end, n_begin, n_end);
                  });
    return result;
  }

  isize n() const { return n_; }
  isize k() const { return k_; }
  std::size_t bytes() const { return buffer_.bytes(); }
  const char* kernel() const { return gemm_w4::name(*kernel_); }

 private:
  isize n_ = 0, k_ = 0;
  const gemm_w4::Kernel* kernel_ = nullptr;
  AlignedBuffer buffer_;
};

}  // namespace

void bind_w4(py::module_& module) {
  py::class_<PackedW4>(module, "PackedW4")
      .def(py::init([](const py::object& w) { return std::make_unique<PackedW4>(w); }), py::arg("w"))
      .def("multiply", &PackedW4::multiply, py::arg("x"), py::arg("out") = py::none(), py::arg("threads") = py::none())
      .def_property_readonly("shape", [](const PackedW4& self) { return py::make_tuple(self.n(), self.k()); })
      .def_property_readonly("nbytes", &PackedW4::bytes)
      .def_property_readonly("kernel", &PackedW4::kernel);
}

}  // namespace whit::bindings
