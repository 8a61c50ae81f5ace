// Names and sets of instruction sets, WHIT_ISA, and that choosing a kernel depends on its arguments alone.

#include <doctest/doctest.h>

#include <cstdlib>
#include <initializer_list>
#include <string>

#include "base/isa.h"
#include "kernels/dwconv_f32/dwconv_f32.h"
#include "kernels/dwconv_s8/dwconv_s8.h"
#include "kernels/gemm_f32/gemm_f32.h"
#include "kernels/gemm_s8/gemm_s8.h"

namespace whit {
namespace {

constexpr Isa kAll[] = {Isa::scalar, Isa::neon,    Isa::neondot,    Isa::i8mm,      Isa::neon32,
                        Isa::avx2,   Isa::avxvnni, Isa::avx512vnni, Isa::avx512icl, Isa::amx};

IsaSet set_of(std::initializer_list<Isa> levels) {
  IsaSet set;
  for (Isa isa : levels) set = set.with(isa);
  return set;
}

/// Sets WHIT_ISA for a scope.
class Environment {
 public:
  explicit Environment(const char* value) {
    if (const char* old = std::getenv("WHIT_ISA")) old_ = old, had_ = true;
    value ? setenv("WHIT_ISA", value, 1) : unsetenv("WHIT_ISA");
  }
  ~Environment() { had_ ? setenv("WHIT_ISA", old_.c_str(), 1) : unsetenv("WHIT_ISA"); }

 private:
  std::string old_;
  bool had_ = false;
};

TEST_CASE("names and levels belong together") {
  static_assert(std::size(kAll) == kIsaCount);
  for (Isa isa : kAll) {
    REQUIRE(isa_from_name(isa_name(isa)).has_value());
    CHECK(*isa_from_name(isa_name(isa)) == isa);
  }
  for (const char* wrong : {"", "AVX2", "avx2 ", "avx", "avx512", "sse", "scalarr"}) CHECK(!isa_from_name(wrong));
}

TEST_CASE("a level brings those below it") {
  CHECK(isa_up_to(Isa::scalar) == set_of({Isa::scalar}));
  CHECK(isa_up_to(Isa::neon) == set_of({Isa::scalar, Isa::neon}));
  CHECK(isa_up_to(Isa::i8mm) == set_of({Isa::scalar, Isa::neon, Isa::neondot, Isa::i8mm}));
  CHECK(isa_up_to(Isa::neon32) == set_of({Isa::scalar, Isa::neon32}));
  CHECK(isa_up_to(Isa::avxvnni) == set_of({Isa::scalar, Isa::avx2, Isa::avxvnni}));
  CHECK(isa_up_to(Isa::avx512vnni) == set_of({Isa::scalar, Isa::avx2, Isa::avx512vnni}));
  CHECK(isa_up_to(Isa::avx512icl) == set_of({Isa::scalar, Isa::avx2, Isa::avx512vnni, Isa::avx512icl}));
  CHECK(isa_up_to(Isa::amx) == set_of({Isa::scalar, Isa::avx2, Isa::avx512vnni, Isa::avx512icl, Isa::amx}));
  for (Isa isa : kAll) {
    const IsaSet set = isa_up_to(isa);
    CHECK(set.has(Isa::scalar));
    CHECK(set.has(isa));
    for (Isa below : kAll)
      if (set.has(below)) CHECK((isa_up_to(below) & set) == isa_up_to(below));
  }
}

TEST_CASE("sets") {
  const IsaSet set = isa_up_to(Isa::avx512vnni);
  CHECK(isa_list(set) == "scalar avx2 avx512vnni");
  CHECK(isa_list(IsaSet()).empty());
  CHECK(isa_best(set) == Isa::avx512vnni);
  CHECK(isa_best(isa_up_to(Isa::neondot)) == Isa::neondot);
  CHECK(isa_best(IsaSet()) == Isa::scalar);
  CHECK((set & isa_up_to(Isa::avxvnni)) == isa_up_to(Isa::avx2));
  CHECK(set.with(Isa::avx2) == set);
}

TEST_CASE("every machine runs scalar, and detection gives the same answer again") {
  CHECK(isa_detected().has(Isa::scalar));
  CHECK(isa_compiled().has(Isa::scalar));
  CHECK(isa_detected() == isa_detected());
}

TEST_CASE("WHIT_ISA") {
  const IsaSet usable = isa_detected() & isa_compiled();
  {
    const Environment none(nullptr);
    REQUIRE(isa_active().ok());
    CHECK(*isa_active() == usable);
  }
  {
    const Environment empty("");
    REQUIRE(isa_active().ok());
    CHECK(*isa_active() == usable);
  }
  for (Isa isa : kAll) {
    const Environment forced(isa_name(isa));
    const Result<IsaSet> active = isa_active();
    if (usable.has(isa)) {
      REQUIRE(active.ok());
      CHECK(*active == (usable & isa_up_to(isa)));
    } else {
      CHECK(active.status().code() == Code::invalid_argument);
      CHECK(active.status().message().find(isa_list(usable)) != std::string::npos);
    }
  }
  const Environment wrong("avx9000");
  CHECK(isa_active().status().code() == Code::invalid_argument);
  CHECK(isa_active().status().message().find("avx9000") != std::string::npos);
}

TEST_CASE("select is a pure function of shape and set") {
  const Environment scalar("scalar");  // must not matter: the set says what may be used
  for (Isa isa : kAll) {
    const IsaSet set = isa_up_to(isa) & isa_compiled();
    for (isize m : {0, 1, 2, 7, 64, 1000})
      for (isize n : {1, 8, 17, 256})
        for (isize k : {1, 9, 64, 500}) {
          CHECK(&gemm_s8::select({m, n, 1, k}, set) == &gemm_s8::select({m, n, 1, k}, set));
          CHECK(&gemm_f32::select({m, n, 9, k}, set) == &gemm_f32::select({m, n, 9, k}, set));
          const std::string s8_name = gemm_s8::name(gemm_s8::select({m, n, 1, k}, set));
          const std::string chosen = s8_name.substr(s8_name.rfind('_') + 1);
          REQUIRE_MESSAGE(isa_from_name(chosen).has_value(), s8_name);
          CHECK(set.has(*isa_from_name(chosen)));
          const std::string f32_name = gemm_f32::name(gemm_f32::select({m, n, 1, k}, set));
          CHECK(set.has(*isa_from_name(f32_name.substr(f32_name.rfind('_') + 1))));
        }
    const dwconv_s8::Geometry g8{8, 9, 33, 3, 3, 1, 1, 1, 1, 1, 1, 8, 9};
    const dwconv_f32::Geometry gf{8, 9, 33, 3, 3, 1, 1, 1, 1, 1, 1, 8, 9};
    for (const std::string name :
         {dwconv_s8::name(dwconv_s8::select(g8, set)), dwconv_f32::name(dwconv_f32::select(gf, set))})
      CHECK(set.has(*isa_from_name(name.substr(name.rfind('_') + 1))));
  }
}

}  // namespace
}  // namespace whit
