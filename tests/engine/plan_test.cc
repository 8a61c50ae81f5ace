// Plan: what shares memory and what must not.

#include <doctest/doctest.h>

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "engine/model_builder.h"

namespace whit {
namespace {

using namespace whit::test;
using V = std::vector<s64>;
using Kind = Placement::Kind;

const Shape kShape{4, 100};
constexpr s64 kBytes = 1600;

std::unique_ptr<Plan> plan_of(ModelBuilder& builder, std::vector<int> outputs, std::vector<int> observe = {},
                              std::shared_ptr<PreparedModel>* keep = nullptr) {
  static std::shared_ptr<PreparedModel> prepared;  // nodes of the plan point into it
  prepared = builder.finish(std::move(outputs));
  REQUIRE(prepared);
  if (keep) *keep = prepared;
  std::vector<Shape> shapes;
  for (int input : prepared->model().inputs)
    shapes.push_back(prepared->model().tensors[static_cast<std::size_t>(input)].shape);
  auto plan = Plan::make(*prepared, shapes, observe, 1);
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  return std::move(*plan);
}

const Placement& at(const Plan& plan, int tensor) { return plan.placement[static_cast<std::size_t>(tensor)]; }

bool same_place(const Plan& plan, int a, int b) {
  return at(plan, a).kind == at(plan, b).kind && at(plan, a).index == at(plan, b).index &&
         at(plan, a).offset == at(plan, b).offset;
}

TEST_CASE("inputs, constants and outputs lie where they are") {
  ModelBuilder b;
  const int x = b.input(kShape), c = b.constant(kShape);
  const int y = b.node(Op::sub, {x, c}, 2);
  const auto plan = plan_of(b, {y});
  CHECK(at(*plan, x).kind == Kind::input);
  CHECK(at(*plan, c).kind == Kind::constant);
  CHECK(at(*plan, y).kind == Kind::output);
  CHECK(plan->copied_outputs.empty());
  CHECK(plan->arena_bytes == 0);
  CHECK(plan->shapes[static_cast<std::size_t>(y)] == kShape);
}

TEST_CASE("elementwise chains run in one place") {
  ModelBuilder b;
  const int x = b.input(kShape);
  std::vector<int> chain{b.node(Op::neg, {x}, 2)};
  for (int i = 0; i < 9; ++i) chain.push_back(b.node(Op::exp, {chain.back()}, 2));
  const int y = b.node(Op::transpose, {chain.back()}, 2, {{"perm", V{1, 0}}});
  const auto plan = plan_of(b, {y});
  for (int tensor : chain) {
    CHECK(at(*plan, tensor).kind == Kind::arena);
    CHECK(same_place(*plan, tensor, chain[0]));
  }
  CHECK(plan->arena_bytes == kBytes);
}

TEST_CASE("a chain that ends in an output runs in the caller's buffer") {
  ModelBuilder b;
  const int x = b.input(kShape), a = b.node(Op::neg, {x}, 2), y = b.node(Op::exp, {a}, 2);
  const auto plan = plan_of(b, {y});
  CHECK(at(*plan, a).kind == Kind::output);
  CHECK(plan->arena_bytes == 0);
}

TEST_CASE("the arena is smaller than the sum of the tensors on a chain that cannot run in place") {
  ModelBuilder b;
  int tensor = b.input(kShape);
  for (int i = 0; i < 20; ++i) tensor = b.node(Op::transpose, {tensor}, 2, {{"perm", V{1, 0}}});
  const auto plan = plan_of(b, {tensor});
  CHECK(plan->arena_bytes == 2 * kBytes);
}

TEST_CASE("not in place: an input of the model") {
  ModelBuilder b;
  const int x = b.input(kShape), flat = b.node(Op::reshape, {x}, 1, {{"shape", V{-1}}});
  const int a = b.node(Op::neg, {flat}, 1), y = b.node(Op::transpose, {a}, 1, {{"perm", V{0}}});
  const auto plan = plan_of(b, {y});
  CHECK(same_place(*plan, x, flat));
  CHECK(!same_place(*plan, x, a));
}

TEST_CASE("not in place: a constant, and a view of one") {
  ModelBuilder b;
  const int c = b.constant(kShape), view = b.node(Op::reshape, {c}, 1, {{"shape", V{-1}}});
  const int a = b.node(Op::neg, {c}, 2), d = b.node(Op::neg, {view}, 1);
  const auto plan = plan_of(b, {a, d});
  CHECK(same_place(*plan, c, view));
  CHECK(at(*plan, a).kind == Kind::output);
  CHECK(at(*plan, d).kind == Kind::output);
}

TEST_CASE("not in place: a tensor that is read later, by itself or through a view") {
  for (bool through_view : {false, true}) {
    ModelBuilder b;
    const int x = b.input(kShape), a = b.node(Op::exp, {x}, 2);
    const int source = through_view ? b.node(Op::reshape, {a}, 1, {{"shape", V{-1}}}) : a;
    const int rank = through_view ? 1 : 2;
    const int c = b.node(Op::neg, {source}, rank);
    const int d = b.node(Op::reshape, {c}, 2, {{"shape", V{4, 100}}});
    const int y = b.node(Op::sub, {a, d}, 2);
    const auto plan = plan_of(b, {y});
    CHECK(same_place(*plan, a, source));
    CHECK(!same_place(*plan, a, c));
    CHECK(same_place(*plan, a, y));  // here both die, so the result may take the first one's place
  }
}

TEST_CASE("not in place: an output, and a tensor that is observed") {
  for (bool observed : {false, true}) {
    ModelBuilder b;
    const int x = b.input(kShape), a = b.node(Op::exp, {x}, 2), y = b.node(Op::neg, {a}, 2);
    const auto plan = observed ? plan_of(b, {y}, {a}) : plan_of(b, {y, a});
    CHECK(at(*plan, a).kind == Kind::output);
    CHECK(at(*plan, y).kind == Kind::output);
    CHECK(!same_place(*plan, a, y));
  }
}

TEST_CASE("not in place: both operands are one tensor, or the sizes differ") {
  ModelBuilder b;
  const int x = b.input({4, 1}), row = b.input({100});
  const int a = b.node(Op::exp, {x}, 2), c = b.node(Op::exp, {row}, 1);
  const int sum = b.node(Op::add, {a, c}, 2);
  const int square = b.node(Op::mul, {sum, sum}, 2);
  const int y = b.node(Op::transpose, {square}, 2, {{"perm", V{1, 0}}});
  const auto plan = plan_of(b, {y});
  CHECK(!same_place(*plan, sum, a));
  CHECK(!same_place(*plan, sum, c));
  CHECK(!same_place(*plan, sum, square));
}

TEST_CASE("in place in the second operand") {
  ModelBuilder b;
  const int x = b.input(kShape), row = b.input({100});
  const int a = b.node(Op::exp, {row}, 1), c = b.node(Op::exp, {x}, 2), d = b.node(Op::sub, {a, c}, 2);
  const int y = b.node(Op::transpose, {d}, 2, {{"perm", V{1, 0}}});
  const auto plan = plan_of(b, {y});
  CHECK(same_place(*plan, c, d));
}

TEST_CASE("views cost nothing, and outputs that share memory are copied") {
  ModelBuilder b;
  const int x = b.input(kShape), c = b.constant({3});
  const int a = b.node(Op::exp, {x}, 2), view = b.node(Op::reshape, {a}, 1, {{"shape", V{-1}}});
  const auto plan = plan_of(b, {x, c, a, view});
  CHECK(plan->nodes.size() == 1);  // views are left out
  CHECK(plan->copied_outputs == std::vector<int>{0, 1, 3});
  CHECK(same_place(*plan, a, view));
}

TEST_CASE("scratch lies apart from everything that is alive") {
  ModelBuilder b;
  const int x = b.input({300, 40}), y = b.input({40, 5});
  const int a = b.node(Op::exp, {x}, 2), c = b.node(Op::exp, {y}, 2);
  const int product = b.node(Op::mat_mul, {a, c}, 2);
  const int z = b.node(Op::transpose, {product}, 2, {{"perm", V{1, 0}}});
  const auto plan = plan_of(b, {z});
  const PlannedNode& node = plan->nodes[2];
  REQUIRE(node.node->op == Op::mat_mul);
  const s64 scratch = static_cast<s64>(node.op->scratch_bytes());
  REQUIRE(scratch > 0);
  const std::pair<int, s64> others[] = {{a, 300 * 40 * 4}, {c, 40 * 5 * 4}, {product, 300 * 5 * 4}};
  for (const auto& [tensor, bytes] : others) {
    REQUIRE(at(*plan, tensor).kind == Kind::arena);
    const s64 offset = at(*plan, tensor).offset;
    CHECK((offset + bytes <= node.scratch_offset || node.scratch_offset + scratch <= offset));
  }
  CHECK(node.scratch_offset + scratch <= plan->arena_bytes);
}

TEST_CASE("packed weights are made once for all plans of a model") {
  ModelBuilder b;
  const int x = b.input({-1, 16}), w = b.constant({8, 16});
  const int y = b.node(Op::gemm, {x, w}, 2);
  const auto prepared = b.finish({y});
  REQUIRE(prepared);
  CHECK(prepared->packed_bytes() == 0);
  REQUIRE(Plan::make(*prepared, {Shape{5, 16}}, {}, 1).ok());
  const std::size_t bytes = prepared->packed_bytes();
  CHECK(bytes >= 8 * 16 * sizeof(f32));
  REQUIRE(Plan::make(*prepared, {Shape{5, 16}}, {}, 2).ok());
  CHECK(prepared->packed_bytes() == bytes);
}

TEST_CASE("what does not fit together is an error, and sizes never overflow") {
  {
    ModelBuilder b;
    const int x = b.input({2, 3}), c = b.constant({4}), y = b.node(Op::add, {x, c}, 2);
    const auto prepared = b.finish({y});
    REQUIRE(prepared);
    const Status status = Plan::make(*prepared, {Shape{2, 3}}, {}, 1).status();
    CHECK(status.code() == Code::shape);
    CHECK(status.message().find("node 'add0' (add)") != std::string::npos);
  }
  {
    ModelBuilder b;  // declared otherwise than computed
    const int x = b.input({2, 3}), y = b.node(Op::neg, {x}, 2);
    b.tensor(y).shape = {3, 2};
    const auto prepared = b.finish({y});
    REQUIRE(prepared);
    const Status status = Plan::make(*prepared, {Shape{2, 3}}, {}, 1).status();
    CHECK(status.code() == Code::shape);
    CHECK(status.message().find("is declared as [3, 2]") != std::string::npos);
  }
  for (s64 size : {s64{1} << 30, std::numeric_limits<s64>::max()}) {
    ModelBuilder b;
    const int x = b.input({-1, -1}), y = b.node(Op::neg, {x}, 2);
    const auto prepared = b.finish({y});
    REQUIRE(prepared);
    const Status status = Plan::make(*prepared, {Shape{size, size}}, {}, 1).status();
    CHECK(status.code() == Code::shape);
    CHECK(status.message().find("larger than whit handles") != std::string::npos);
  }
}

TEST_CASE("what the address space cannot hold is an error, never a size that has wrapped") {
  constexpr bool k32Bit = sizeof(isize) == 4;
  const auto make = [](ModelBuilder& b, const Shape& x, int y) {
    const auto prepared = b.finish({y});
    REQUIRE(prepared);
    auto plan = Plan::make(*prepared, {x}, {}, 2);
    return plan.ok() ? std::pair{Status(), (*plan)->arena_bytes} : std::pair{plan.status(), s64{0}};
  };
  {
    ModelBuilder b;  // 4 GiB
    const Shape shape{1 << 15, 1 << 15};
    const int x = b.input(shape);
    const Status status = make(b, shape, b.node(Op::neg, {x}, 2)).first;
    CHECK(status.code() == (k32Bit ? Code::shape : Code::ok));
    if (k32Bit) CHECK(status.message().find("larger than whit handles on a 32-bit system") != std::string::npos);
  }
  {
    ModelBuilder b;  // three tensors of 1 GiB at a time
    const Shape shape{1 << 14, 1 << 14};
    const int x = b.input(shape), y = b.node(Op::neg, {x}, 2);
    const int z = b.node(Op::transpose, {y}, 2, {{"perm", V{1, 0}}}), t = b.node(Op::sub, {z, y}, 2);
    const int u = b.node(Op::transpose, {t}, 2, {{"perm", V{1, 0}}});
    const int v = b.node(Op::add, {u, t}, 2), w = b.node(Op::add, {v, y}, 2);
    const auto [status, arena_bytes] = make(b, shape, b.node(Op::transpose, {w}, 2, {{"perm", V{1, 0}}}));
    CHECK(status.code() == (k32Bit ? Code::out_of_memory : Code::ok));
    if (k32Bit)
      CHECK(status.message().find("more than fit into memory") != std::string::npos);
    else
      CHECK(arena_bytes == s64{3} << 30);
  }
  const auto conv = [](int x, int w, s64 dilation, ModelBuilder& b) {
    return b.node(Op::conv, {x, w}, 4,
                  {{"strides", V{1, 1}},
                   {"dilations", V{1, dilation}},
                   {"pads", V{0, 0, 0, 0}},
                   {"group", s64{1}},
                   {"activation", std::string()},
                   {"clamp_min", -std::numeric_limits<f32>::infinity()},
                   {"clamp_max", std::numeric_limits<f32>::infinity()}});
  };
  {
    ModelBuilder b;  // a kernel that spans 2^32 + 1 pixels
    const Shape shape{1, 1, 64, 16};
    const int x = b.input(shape), w = b.constant({1, 1, 4097, 16});
    const Status status = make(b, shape, conv(x, w, 1 << 20, b)).first;
    CHECK(status.code() == Code::shape);
    CHECK(status.message().find("larger than the padded input") != std::string::npos);
  }
  {
    ModelBuilder b;  // a table of 2034 * 2034 * 225 * 4 bytes
    const Shape shape{1, 2048, 2048, 16};
    const int x = b.input(shape), w = b.constant({1, 15, 15, 16});
    const Status status = make(b, shape, conv(x, w, 1, b)).first;
    CHECK(status.code() == Code::unsupported);
    CHECK(status.message().find("are more than whit handles") != std::string::npos);
  }
}

TEST_CASE("allocation_bytes and AlignedBuffer refuse what no object can have") {
  CHECK(allocation_bytes(3, 5, 4) == 60);
  CHECK(allocation_bytes(0, s64{1} << 40) == 0);
  CHECK(allocation_bytes(s64{1} << 32, s64{1} << 32) == SIZE_MAX);
  CHECK(allocation_bytes(PTRDIFF_MAX, 2) == SIZE_MAX);
  CHECK(AlignedBuffer(SIZE_MAX).data() == nullptr);
  CHECK(AlignedBuffer(std::size_t{PTRDIFF_MAX} - 1).data() == nullptr);
}

}  // namespace
}  // namespace whit
