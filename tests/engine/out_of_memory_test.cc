// No allocation may be the one that breaks whit: each fails once while a model is loaded, planned and replanned.

#include <doctest/doctest.h>

#include <malloc.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "engine/session_support.h"
#include "engine/varied_model.h"

namespace {
// The allocation that fails counts down to 0; below that none does.
long aligned_until_failure = -1, small_until_failure = -1;
bool is_time(long* count) { return *count >= 0 && (*count)-- == 0; }
}  // namespace

// Tensors, packed weights and tables: everything whose size comes from a model.
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return is_time(&aligned_until_failure) ? nullptr : memalign(alignment, bytes);
}
// Names, lists and objects.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  void* p = is_time(&small_until_failure) ? nullptr : std::malloc(bytes ? bytes : 1);
  if (!p) throw std::bad_alloc();
  return p;
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return is_time(&small_until_failure) ? nullptr : std::malloc(bytes ? bytes : 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace whit {
namespace {

using namespace whit::test;

/// An input of n x 6: two plans of different sizes; every product with packed weights, tables and scratch.
std::shared_ptr<PreparedModel> dynamic_model() {
  ModelBuilder b;
  const int x = b.input({-1, 6});
  return b.finish({b.node(
      Op::gemm, {b.node(Op::exp, {b.node(Op::gemm, {x, b.constant_s8({9, 6})}, 2)}, 2), b.constant_s8({4, 9})}, 2)});
}

std::vector<std::vector<f32>> run(Session& session, const Shape& shape) { return Runner(session, {shape}).run(); }

TEST_CASE("every allocation of tensors and weights may fail, and the next attempt succeeds") {
  for (DType weights : {DType::f32, DType::s8}) {
    const std::shared_ptr<PreparedModel> model = varied_model(weights);
    const auto wanted = run(**Session::make(model, 2, {}), {1, 12, 10, 4});
    int failures = 0;
    for (bool failed = true; failed; failures += failed) {
      // A model of its own each time: packed weights are kept.
      const std::shared_ptr<PreparedModel> fresh = varied_model(weights);
      aligned_until_failure = failures;
      const auto session = Session::make(fresh, 2, {});
      failed = aligned_until_failure < 0;
      aligned_until_failure = -1;
      INFO("allocation ", failures);
      REQUIRE(session.ok() != failed);
      if (failed) {
        CHECK(session.status().code() == Code::out_of_memory);
        CHECK(session.status().message().find("no memory for") != std::string::npos);
      }
      const auto again = Session::make(fresh, 2, {});
      REQUIRE(again.ok());
      CHECK(run(**again, {1, 12, 10, 4}) == wanted);
    }
    // The arena and a chunk for all packed weights; 8 nodes pack some, and expand those of s8 before.
    CHECK(failures >= (weights == DType::s8 ? 10 : 2));
  }
}

TEST_CASE("a session whose new plan does not fit keeps its old one") {
  const std::shared_ptr<PreparedModel> model = dynamic_model();
  const auto made = Session::make(model, 2, {});
  REQUIRE(made.ok());
  Session& session = **made;
  const auto wanted = run(session, {3, 6});
  aligned_until_failure = 0;
  const Status status = session.prepare({Shape{500, 6}});
  aligned_until_failure = -1;
  CHECK(status.code() == Code::out_of_memory);
  CHECK(run(session, {3, 6}) == wanted);
  CHECK(run(session, {500, 6})[0].size() == 2000);
}

#if !defined(__SANITIZE_ADDRESS__)  // it would report what is not cleaned up
// The library is built without exceptions, so what std::bad_alloc passes on its way to the bindings does not clean up.
// It must not hang, crash or leave a plan half made behind.
TEST_CASE("every small allocation may fail") {
  for (long count = 0, failed = 1; failed; ++count) {
    const std::shared_ptr<PreparedModel> model = dynamic_model();
    const auto old = Session::make(model, 1, {});
    REQUIRE(old.ok());
    const auto wanted = run(**old, {3, 6});
    small_until_failure = count;
    bool thrown = false;
    try {
      const auto session = Session::make(model, 2, {});
      const Status status = session.ok() ? (*old)->prepare({Shape{40, 6}}) : session.status();
      thrown = status.code() == Code::out_of_memory;
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    failed = small_until_failure < 0;
    small_until_failure = -1;
    INFO("allocation ", count);
    CHECK(thrown <= (failed != 0));  // the sort of the planner does without its buffer
    CHECK(run(**old, {3, 6}) == wanted);
    CHECK(run(**old, {40, 6})[0].size() == 160);
    const auto fresh = Session::make(model, 2, {});
    REQUIRE(fresh.ok());
    CHECK(run(**fresh, {3, 6}) == wanted);
    REQUIRE(count < 10000);
  }
}
#endif

}  // namespace
}  // namespace whit
