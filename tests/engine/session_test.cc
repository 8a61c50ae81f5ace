// Session: runs, does not allocate while it does, changes its plan with the sizes of the inputs.

#include <doctest/doctest.h>

#include <malloc.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "engine/session_support.h"
#include "engine/varied_model.h"

namespace {
// Every allocation of this program: whit uses operator new and aligned_alloc alone.
std::atomic<long> allocations{0};
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  allocations.fetch_add(1);
  void* p = std::malloc(bytes ? bytes : 1);
  if (!p) std::abort();
  return p;
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {  // std::stable_sort's buffer
  allocations.fetch_add(1);
  return std::malloc(bytes ? bytes : 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  allocations.fetch_add(1);
  return memalign(alignment, bytes);
}

namespace whit {
namespace {

using namespace whit::test;
using V = std::vector<s64>;
using F = std::vector<f32>;

/// Of `runs` runs.
long allocations_of(Runner& runner, int runs) {
  runner.run();
  const long before = allocations.load();
  for (int i = 0; i < runs; ++i) runner.run();
  return allocations.load() - before;
}

TEST_CASE("running does not allocate") {
  for (int threads : {1, 3}) {
    const auto session = session_of(varied_model(), threads);
    Runner runner(*session, {Shape{1, 12, 10, 4}});
    CHECK(allocations_of(runner, 20) == 0);
    long before = allocations.load();
    ::operator delete(::operator new(1));     // not a new-expression, which compilers may leave out
    CHECK(allocations.load() == before + 1);  // the counter works
    before = allocations.load();
    AlignedBuffer buffer(100);
    CHECK(allocations.load() == before + 1);
  }
}

TEST_CASE("the same bytes again, for every number of threads") {
  const auto model = varied_model();
  const auto first = session_of(model, 1);
  const std::vector<F> wanted = Runner(*first, {Shape{1, 12, 10, 4}}).run();
  for (const F& output : wanted)
    for (f32 value : output) REQUIRE(std::isfinite(value));
  for (int threads : {1, 2, 3, 5}) {
    const auto session = session_of(model, threads);
    Runner runner(*session, {Shape{1, 12, 10, 4}});
    for (int i = 0; i < 5; ++i) CHECK(runner.run() == wanted);
  }
}

TEST_CASE("sessions of one model run side by side") {
  const auto model = varied_model();
  const auto first = session_of(model, 1);
  const std::vector<F> wanted = Runner(*first, {Shape{1, 12, 10, 4}}).run();
  std::vector<std::thread> threads;
  std::atomic<int> same{0};
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      const auto session = session_of(model, 1 + i % 2);
      Runner runner(*session, {Shape{1, 12, 10, 4}});
      for (int run = 0; run < 25; ++run) same += runner.run() == wanted;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(same == 100);
}

TEST_CASE("times are added up per node") {
  const auto session = session_of(varied_model(), 1);
  Runner runner(*session, {Shape{1, 12, 10, 4}});
  std::vector<u64> times(session->plan()->nodes.size(), 0);
  runner.run(times);
  for (u64 time : times) CHECK(time > 0);
  const std::vector<u64> once = times;
  runner.run(times);
  for (std::size_t i = 0; i < times.size(); ++i) CHECK(times[i] > once[i]);
}

TEST_CASE("observed tensors come behind the outputs and change nothing") {
  const auto model = varied_model();
  const std::vector<F> wanted = Runner(*session_of(model, 1), {Shape{1, 12, 10, 4}}).run();
  std::vector<int> all;
  for (const Node& node : model->model().nodes) all.push_back(node.outputs[0]);
  const auto session = session_of(model, 2, all);
  const std::vector<F> got = Runner(*session, {Shape{1, 12, 10, 4}}).run();
  REQUIRE(got.size() == wanted.size() + all.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(got[i] == wanted[i]);
  for (const F& output : got)
    for (f32 value : output) CHECK(std::isfinite(value));
}

TEST_CASE("the plan follows the sizes of the inputs") {
  ModelBuilder b;
  const int x = b.input({-1, 3}), y = b.node(Op::exp, {b.node(Op::neg, {x}, 2)}, 2);
  const auto session = session_of(b.finish({y}), 2);
  REQUIRE(session->plan());  // made for a size of 1
  for (s64 rows : {1, 5, 4000, 5, 2}) {
    Runner runner(*session, {Shape{rows, 3}});
    const Plan* plan = session->plan();
    CHECK(plan->shapes[static_cast<std::size_t>(y)] == Shape{rows, 3});
    const F got = runner.run()[0];
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(std::exp(-f64{Runner::input(i)})));
    REQUIRE(session->prepare({Shape{rows, 3}}).ok());
    CHECK(session->plan() == plan);  // nothing to do for the same sizes
  }
}

TEST_CASE("inputs of the wrong shape are refused and leave the plan alone") {
  ModelBuilder b;
  const int x = b.input({-1, 3}), y = b.node(Op::neg, {x}, 2);
  const auto session = session_of(b.finish({y}), 1);
  const Plan* plan = session->plan();
  for (const Shape& shape : {Shape{2, 4}, Shape{3}, Shape{1, 1, 3}, Shape{0, 3}, Shape{}}) {
    const Status status = session->prepare({shape});
    CHECK(status.code() == Code::shape);
    CHECK(status.message().find("input 't0' must have shape [size, 3]; got " + shape.text()) != std::string::npos);
    CHECK(session->plan() == plan);
  }
}

TEST_CASE("sizes that a 1 does not satisfy are planned on the first run") {
  ModelBuilder b;
  const int x = b.input({-1}), y = b.node(Op::reshape, {x}, 2, {{"shape", V{2, -1}}});
  const auto session = session_of(b.finish({y}), 1);
  CHECK(session->plan() == nullptr);
  CHECK(Runner(*session, {Shape{6}}).run()[0].size() == 6);
  CHECK(session->prepare({Shape{7}}).code() == Code::shape);
}

TEST_CASE("fixed sizes that do not fit together are an error at once") {
  ModelBuilder b;
  const int x = b.input({5}), y = b.node(Op::reshape, {x}, 2, {{"shape", V{2, -1}}});
  const auto session = Session::make(b.finish({y}), 1, {});
  CHECK(session.status().code() == Code::shape);
}

}  // namespace
}  // namespace whit
