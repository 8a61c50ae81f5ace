// Every level of eltwise against naive f64 code and, bit for bit, against the scalar level.
#include "kernels/eltwise/eltwise.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "kernels/table_support.h"

namespace whit::eltwise {
namespace {

using test::Guarded;
using test::same_value;

const Table& scalar() { return select(isa_up_to(Isa::scalar)); }

// Distance of `got` from `exact` in units in the last place of the exact result.
f64 ulps(f64 exact, f32 got) {
  if (std::isnan(exact) || std::isnan(got)) return std::isnan(exact) && std::isnan(got) ? 0 : 1e30;
  if (static_cast<f32>(exact) == got) return 0;
  if (std::isinf(got)) return std::fabs(exact) > 0x1.fffffep127 ? 1 : 1e30;
  if (std::isinf(static_cast<f32>(exact))) return std::fabs(got) == 0x1.fffffep127f ? 1 : 1e30;
  int exponent = 0;
  std::frexp(exact, &exponent);
  return std::fabs(exact - static_cast<f64>(got)) / std::ldexp(1.0, std::max(exponent, -125) - 24);
}

struct UnaryCase {
  Unary function;
  const char* name;
  f32 p, q;
  f64 (*exact)(f64);
  f64 bound;  // ulps
};

// Bounds are those that kernels/math.inc states; 0 and 0.5 mean exact and correctly rounded.
const UnaryCase kExactCases[] = {
    {Unary::exp, "exp", 0, 0, [](f64 x) { return std::exp(x); }, 1.0},
    {Unary::elu, "elu", 1, 0, [](f64 x) { return x < 0 ? std::expm1(x) : x; }, 1.0},
    {Unary::sigmoid, "sigmoid", 0, 0, [](f64 x) { return 1 / (1 + std::exp(-x)); }, 2.5},
    {Unary::tanh, "tanh", 0, 0, [](f64 x) { return std::tanh(x); }, 1.4},
    {Unary::erf, "erf", 0, 0, [](f64 x) { return std::erf(x); }, 1.4},
    {Unary::log, "log", 0, 0, [](f64 x) { return std::log(x); }, 0.9},
    {Unary::softplus, "softplus", 0, 0,
     [](f64 x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }, 2.0},
    {Unary::sin, "sin", 0, 0, [](f64 x) { return std::sin(x); }, 0.51},
    {Unary::binarize, "binarize", 0, 0, [](f64 x) { return x < 0 ? -1.0 : 1.0; }, 0},
    {Unary::cos, "cos", 0, 0, [](f64 x) { return std::cos(x); }, 0.51},
    {Unary::sqrt, "sqrt", 0, 0, [](f64 x) { return std::sqrt(x); }, 0.5},
    {Unary::reciprocal, "reciprocal", 0, 0, [](f64 x) { return 1 / x; }, 0.5},
    {Unary::abs, "abs", 0, 0, [](f64 x) { return std::fabs(x); }, 0},
    {Unary::neg, "neg", 0, 0, [](f64 x) { return -x; }, 0},
    {Unary::floor, "floor", 0, 0, [](f64 x) { return std::floor(x); }, 0},
    {Unary::ceil, "ceil", 0, 0, [](f64 x) { return std::ceil(x); }, 0},
    {Unary::round, "round", 0, 0, [](f64 x) { return std::nearbyint(x); }, 0},
    {Unary::leaky_relu, "leaky_relu", 0.25f, 0, [](f64 x) { return x < 0 ? x * 0.25 : x; }, 0.5},
};

// Functions whose value is a product with a cancellation: bounded in absolute terms, tolerance * max(|x|, 1).
const UnaryCase kBoundedCases[] = {
    {Unary::silu, "silu", 0, 0, [](f64 x) { return x / (1 + std::exp(-x)); }, 4e-7},
    {Unary::gelu, "gelu", 0, 0, [](f64 x) { return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5))); }, 3e-7},
    {Unary::gelu_tanh, "gelu_tanh", 0, 0,
     [](f64 x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }, 4e-7},
    {Unary::hard_sigmoid, "hard_sigmoid", 0.2f, 0.5f,
     [](f64 x) { return std::min(std::max(x * f64{0.2f} + 0.5, 0.0), 1.0); }, 1.2e-7},
    {Unary::hard_swish, "hard_swish", 0, 0, [](f64 x) { return x * std::min(std::max(x / 6 + 0.5, 0.0), 1.0); },
     2.5e-7},
    {Unary::clip, "clip", -1, 2, [](f64 x) { return std::min(std::max(x, -1.0), 2.0); }, 0},
};

// f32 numbers spread over all bit patterns, a dense stretch of ordinary ones, and the special ones.
std::vector<f32> inputs() {
  std::vector<f32> x = test::special_values();
  for (u64 bits = 0; bits < (u64{1} << 32); bits += 40009) x.push_back(test::f32_of(static_cast<u32>(bits)));
  test::Random random(1);
  for (int i = 0; i < 60000; ++i) x.push_back(random.real(-12, 12));
  return x;
}

std::vector<f32> apply(const Table& table, const UnaryCase& c, const std::vector<f32>& x) {
  std::vector<f32> y(x.size());
  table.unary[static_cast<int>(c.function)]({x.data(), y.data(), static_cast<isize>(x.size()), c.p, c.q});
  return y;
}

TEST_CASE("unary functions are as close to f64 as stated") {
  const std::vector<f32> x = inputs();
  for (const UnaryCase& c : kExactCases) {
    const std::vector<f32> y = apply(scalar(), c, x);
    f64 worst = 0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const f64 exact = c.exact(x[i]);
      const f64 distance = ulps(exact, y[i]);
      if (distance > worst) worst = distance, at = i;
      if (exact == 0 && c.function != Unary::softplus) CHECK(std::signbit(exact) == std::signbit(y[i]));
    }
    INFO(std::string(c.name), "(", x[at], ") = ", y[at], ", wanted ", c.exact(x[at]));
    CHECK(worst <= c.bound);
  }
  for (const UnaryCase& c : kBoundedCases) {
    const std::vector<f32> y = apply(scalar(), c, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!std::isfinite(x[i]) || std::fabs(x[i]) > 1e18f) continue;
      const f64 exact = c.exact(x[i]);
      INFO(std::string(c.name), "(", x[i], ") = ", y[i], ", wanted ", exact);
      if (std::fabs(exact - f64{y[i]}) > c.bound * std::max(1.0, std::fabs(f64{x[i]}))) FAIL_CHECK("too far");
    }
  }
}

TEST_CASE("clamps and thresholds treat NaN and infinity as documented") {
  const f32 inf = __builtin_inff(), nan = __builtin_nanf("");
  const std::vector<f32> x = {nan, -inf, inf, -0.0f};
  test::for_each_level(tables(), [&](const Table& table) {
    std::vector<f32> y(4);
    table.unary[static_cast<int>(Unary::clip)]({x.data(), y.data(), 4, 0.0f, inf});
    CHECK(std::isnan(y[0]));
    CHECK(y[1] == 0.0f);
    CHECK(y[2] == inf);
    table.unary[static_cast<int>(Unary::leaky_relu)]({x.data(), y.data(), 4, 0.1f, 0});
    CHECK(std::isnan(y[0]));
    CHECK(y[1] == -inf);
  });
}

TEST_CASE("unary functions give the same bits on every level, in place and at every length") {
  const std::vector<f32> x = inputs();
  std::vector<UnaryCase> cases(std::begin(kExactCases), std::end(kExactCases));
  cases.insert(cases.end(), std::begin(kBoundedCases), std::end(kBoundedCases));
  CHECK(cases.size() == kUnaryCount);
  test::for_each_level(tables(), [&](const Table& table) {
    for (const UnaryCase& c : cases) {
      INFO(std::string(c.name));
      const std::vector<f32> wanted = apply(scalar(), c, x);
      // Index of the first wrong value; neon32 may take subnormal operands for zeros.
      const auto first_wrong = [&](const auto& got) {
        for (isize i = 0; i < static_cast<isize>(got.size()); ++i) {
          const std::size_t at = static_cast<std::size_t>(i);
          if (test::agrees(table.isa, wanted[at], got[i])) continue;
          if (table.isa != Isa::neon32) return i;
          const std::vector<f32> zero = {test::flushed(x[at])};
          if (!test::agrees(table.isa, apply(scalar(), c, zero)[0], got[i])) return i;
        }
        return isize{-1};
      };
      CHECK(first_wrong(apply(table, c, x)) == -1);
      for (isize n : {0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 63, 70, 257}) {
        Guarded<f32> y(n);
        std::copy_n(x.begin(), n, y.data());
        table.unary[static_cast<int>(c.function)]({y.data(), y.data(), n, c.p, c.q});
        CHECK(first_wrong(y) == -1);
      }
    }
  });
}

// FNV-1a of the bits, every NaN counted as the same one.
u64 fingerprint(const std::vector<f32>& values) {
  u64 hash = 0xcbf29ce484222325u;
  for (f32 value : values) hash = (hash ^ (std::isnan(value) ? 0x7fc00000u : test::bits_of(value))) * 0x100000001b3u;
  return hash;
}

TEST_CASE("unary functions and pow give the bits that every other CPU gives") {
  const std::vector<f32> x = inputs();
  std::vector<f32> all;
  std::vector<UnaryCase> cases(std::begin(kExactCases), std::end(kExactCases));
  cases.insert(cases.end(), std::begin(kBoundedCases), std::end(kBoundedCases));
  for (const UnaryCase& c : cases) {
    const std::vector<f32> y = apply(scalar(), c, x);
    all.insert(all.end(), y.begin(), y.end());
  }
  std::vector<f32> exponents(x.rbegin(), x.rend()), powers(x.size());
  const isize n = static_cast<isize>(x.size());
  scalar().binary_f32[static_cast<int>(Binary::pow)]({x.data(), exponents.data(), powers.data(), 1, n, n, n, 1, 1, {}});
  all.insert(all.end(), powers.begin(), powers.end());
  CHECK(fingerprint(all) == 12275772784058549954u);  // changes only together with the functions themselves
}

// --- binary ---------------------------------------------------------------------------------------------------------

f32 naive(Binary op, f32 a, f32 b, const BinaryParams& p) {
  const auto clamped = [&](f32 t) {
    if (std::isinf(p.clamp_min) && std::isinf(p.clamp_max)) return t;
    t = p.clamp_min > t ? p.clamp_min : t;
    return p.clamp_max < t ? p.clamp_max : t;
  };
  const bool nan = std::isnan(a) || std::isnan(b);
  switch (op) {
    case Binary::add: return clamped(a + b);
    case Binary::sub: return clamped(a - b);
    case Binary::mul: return clamped(a * b);
    case Binary::div: return a / b;
    case Binary::pow: return static_cast<f32>(std::pow(static_cast<f64>(a), static_cast<f64>(b)));
    case Binary::min: return nan ? __builtin_nanf("") : b < a ? b : a;
    case Binary::max: return nan ? __builtin_nanf("") : a < b ? b : a;
    case Binary::prelu: return a < 0 ? a * b : a;
  }
  return 0;
}

s8 naive(Binary op, s8 a, s8 b, const BinaryParams& p) {
  volatile f32 t, u = 0;  // volatile: each operation rounded on its own
  if (op == Binary::mul) {
    t = static_cast<f32>((a - p.a_zero_point) * (b - p.b_zero_point));
    t = t * p.a_scale;
  } else {
    t = static_cast<f32>(a - p.a_zero_point);
    t = t * p.a_scale;
    u = static_cast<f32>(b - p.b_zero_point);
    u = u * p.b_scale;
    if (op == Binary::add)
      t = t + u;
    else
      t = t - u;
  }
  f32 v = t;
  v = v > p.clamp_min ? v : p.clamp_min;
  v = v < p.clamp_max ? v : p.clamp_max;
  return static_cast<s8>(static_cast<s32>(std::nearbyint(v)) + p.zero_point);
}

enum class Form { same, scalar_a, scalar_b, row_a, row_b, column_a, column_b, strided_b };
constexpr Form kForms[] = {Form::same,  Form::scalar_a, Form::scalar_b, Form::row_a,
                           Form::row_b, Form::column_a, Form::column_b, Form::strided_b};

template <class T>
void check_binary(const Table& table, Binary op, void (*run)(const BinaryArgs&), Form form, isize rows, isize cols,
                  const BinaryParams& params, test::Random& random) {
  const bool once_a = form == Form::scalar_a || form == Form::row_a || form == Form::column_a;
  const bool once_b = form == Form::scalar_b || form == Form::row_b || form == Form::column_b;
  const isize gap = form == Form::strided_b ? 3 : 0;
  const auto stride = [&](bool once) -> isize {
    if (!once) return cols;
    return form == Form::column_a || form == Form::column_b ? 1 : 0;
  };
  const auto step = [&](bool once) { return once && form != Form::row_a && form != Form::row_b ? 0 : 1; };
  const auto count = [&](bool once, isize extra) {
    if (!once) return (rows - 1) * (cols + extra) + cols;
    return form == Form::row_a || form == Form::row_b         ? cols
           : form == Form::column_a || form == Form::column_b ? rows
                                                              : 1;
  };
  Guarded<T> a(count(once_a, 0)), b(count(once_b, gap)), y(rows * cols), reference(rows * cols);
  const std::vector<f32> special = test::special_values();
  const auto fill = [&](Guarded<T>& buffer) {
    for (isize i = 0; i < buffer.size(); ++i) {
      if constexpr (sizeof(T) == 1)
        buffer[i] = static_cast<T>(random.integer(0, 9) == 0 ? -128 : random.integer(-128, 127));
      else
        buffer[i] = random.integer(0, 7) == 0
                        ? special[static_cast<std::size_t>(random.integer(0, static_cast<s64>(special.size()) - 1))]
                        : random.real(-5, 5);
    }
  };
  fill(a);
  fill(b);
  BinaryArgs args{a.data(),     b.data(),     y.data(), rows, cols, stride(once_a), stride(once_b) + gap,
                  step(once_a), step(once_b), params};
  run(args);
  const bool exact = op != Binary::pow;
  for (isize r = 0; r < rows; ++r)
    for (isize c = 0; c < cols; ++c) {
      const T left = a[r * args.a_row_stride + c * args.a_step], right = b[r * args.b_row_stride + c * args.b_step];
      const T wanted = naive(op, left, right, params), got = y[r * cols + c];
      const auto is_good = [&](T a_value, T b_value) {
        if constexpr (sizeof(T) == 4)
          if (!exact) return ulps(std::pow(static_cast<f64>(a_value), static_cast<f64>(b_value)), got) < 0.51;
        return test::agrees(table.isa, naive(op, a_value, b_value, params), got);
      };
      bool good = is_good(left, right);
      if (table.isa == Isa::neon32)  // may take subnormal operands for zeros
        good = good || is_good(test::flushed(left), test::flushed(right)) || is_good(test::flushed(left), right) ||
               is_good(left, test::flushed(right));
      INFO("row ", r, " of ", rows, ", column ", c, " of ", cols, ": ", +left, " op ", +right, " = ", +got, ", wanted ",
           +wanted);
      if (!good) FAIL_CHECK("wrong value");
    }
  args.y = reference.data();
  if constexpr (sizeof(T) == 4)
    scalar().binary_f32[static_cast<int>(op)](args);
  else
    scalar().binary_s8[static_cast<int>(op)](args);
  if (table.isa != Isa::neon32 || sizeof(T) == 1) CHECK(test::first_difference(reference, y) == -1);
  if (!once_a) {
    args.y = a.data();
    run(args);
    CHECK(test::first_difference(y, a) == -1);
  } else if (gap == 0) {
    args.y = b.data();
    run(args);
    CHECK(test::first_difference(y, b) == -1);
  }
}

TEST_CASE("f32 binary operators: every form of broadcasting, special values, clamps") {
  test::Random random(2);
  test::for_each_level(tables(), [&](const Table& table) {
    for (int op = 0; op < kBinaryCount; ++op)
      for (Form form : kForms)
        for (auto [rows, cols] :
             {std::pair<isize, isize>{1, 1}, {1, 100}, {2, 7}, {3, 64}, {5, 3}, {37, 1}, {53, 16}, {9, 65}, {300, 6}}) {
          INFO("operator ", op, ", form ", static_cast<int>(form));
          const Binary binary = static_cast<Binary>(op);
          check_binary<f32>(table, binary, table.binary_f32[op], form, rows, cols, {}, random);
          if (binary != Binary::add && binary != Binary::mul) continue;
          BinaryParams clamp;
          clamp.clamp_min = 0;
          check_binary<f32>(table, binary, table.binary_f32[op], form, rows, cols, clamp, random);
          clamp.clamp_max = 3;
          check_binary<f32>(table, binary, table.binary_f32[op], form, rows, cols, clamp, random);
        }
  });
}

TEST_CASE("s8 binary operators follow the documented arithmetic") {
  test::Random random(3);
  test::for_each_level(tables(), [&](const Table& table) {
    for (int op = 0; op < kBinaryCountS8; ++op)
      for (Form form : kForms)
        for (auto [rows, cols] : {std::pair<isize, isize>{1, 200}, {2, 7}, {5, 3}, {53, 16}, {9, 65}, {300, 6}}) {
          BinaryParams p;
          p.a_zero_point = static_cast<s32>(random.integer(-128, 127));
          p.b_zero_point = static_cast<s32>(random.integer(-128, 127));
          p.zero_point = static_cast<s32>(random.integer(-128, 127));
          const bool extreme = random.integer(0, 3) == 0;  // far beyond s8: the clamp must come before the rounding
          p.a_scale = extreme ? random.real(0, 1e30f) : op == 2 ? random.real(0, 0.02f) : random.real(0, 2);
          p.b_scale = extreme ? random.real(0, 1e30f) : random.integer(0, 2) == 0 ? 0.5f : random.real(0, 2);
          p.clamp_min = static_cast<f32>(-128 - p.zero_point);
          p.clamp_max = static_cast<f32>(127 - p.zero_point);
          if (random.integer(0, 1) == 0) p.clamp_min = std::min(p.clamp_max, std::max(p.clamp_min, 0.0f));
          INFO("operator ", op, ", form ", static_cast<int>(form));
          check_binary<s8>(table, static_cast<Binary>(op), table.binary_s8[op], form, rows, cols, p, random);
        }
  });
}

TEST_CASE("all 65536 pairs of s8") {
  std::vector<s8> a, b;
  for (int i = -128; i < 128; ++i)
    for (int j = -128; j < 128; ++j) a.push_back(static_cast<s8>(i)), b.push_back(static_cast<s8>(j));
  BinaryParams p;
  p.a_zero_point = -128, p.b_zero_point = 127, p.zero_point = -5;
  p.a_scale = 0.5f, p.b_scale = 0.25f;  // many ties
  p.clamp_min = -123, p.clamp_max = 132;
  const isize n = static_cast<isize>(a.size());
  test::for_each_level(tables(), [&](const Table& table) {
    for (int op = 0; op < kBinaryCountS8; ++op) {
      std::vector<s8> y(a.size());
      table.binary_s8[op]({a.data(), b.data(), y.data(), 1, n, n, n, 1, 1, p});
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < a.size(); ++i) wrong += y[i] != naive(static_cast<Binary>(op), a[i], b[i], p);
      INFO("operator ", op);
      CHECK(wrong == 0);
    }
  });
}

TEST_CASE("pow: special cases of C, and accuracy") {
  const std::vector<f32> special = test::special_values();
  std::vector<f32> a, b;
  for (f32 x : special)
    for (f32 y : special) a.push_back(x), b.push_back(y);
  test::Random random(4);
  for (int i = 0; i < 200000; ++i) {
    const f32 x = test::f32_of(static_cast<u32>(random.next()));
    a.push_back(i % 2 ? std::fabs(x) : x);
    b.push_back(i % 3 == 0 ? static_cast<f32>(random.integer(-9, 9)) : random.real(-20, 20));
  }
  const isize n = static_cast<isize>(a.size());
  test::for_each_level(tables(), [&](const Table& table) {
    std::vector<f32> y(a.size());
    table.binary_f32[static_cast<int>(Binary::pow)]({a.data(), b.data(), y.data(), 1, n, n, n, 1, 1, {}});
    for (std::size_t i = 0; i < a.size(); ++i) {
      const auto is_good = [&](f32 base, f32 exponent) {
        const f64 exact = std::pow(static_cast<f64>(base), static_cast<f64>(exponent));
        return ulps(exact, y[i]) <= 0.51 && (exact != 0 || std::signbit(exact) == std::signbit(y[i]));
      };
      bool good = is_good(a[i], b[i]);
      if (table.isa == Isa::neon32)  // may take subnormal operands for zeros
        good = good || is_good(test::flushed(a[i]), test::flushed(b[i])) || is_good(test::flushed(a[i]), b[i]) ||
               is_good(a[i], test::flushed(b[i]));
      INFO(a[i], " ^ ", b[i], " = ", y[i]);
      if (!good) FAIL_CHECK("wrong");
    }
  });
}

}  // namespace
}  // namespace whit::eltwise
