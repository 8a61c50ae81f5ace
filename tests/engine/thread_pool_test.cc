// ThreadPool: every range once, on its grain, for any number of threads and any number of jobs.

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread_pool.h"

// How many threads the system still starts, or -1 for any number: ThreadPool's calls of pthread_create end here.
static int threads_to_start = -1;

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*enter)(void*),
                              void* argument) noexcept {
  if (threads_to_start == 0) return EAGAIN;
  if (threads_to_start > 0) --threads_to_start;
  static const auto start = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return start(thread, attributes, enter, argument);
}

namespace whit {
namespace {

struct Share {
  isize begin = -1, end = -1;
};

/// Runs one job and checks everything that parallel_for promises.
void check_job(ThreadPool& pool, isize count, isize grain) {
  std::vector<Share> shares(static_cast<std::size_t>(pool.threads()));
  std::vector<std::atomic<int>> calls(shares.size());
  std::vector<u8> touched(static_cast<std::size_t>(count));
  pool.parallel_for(count, grain, [&](isize begin, isize end, int thread) {
    const std::size_t t = static_cast<std::size_t>(thread);
    calls[t].fetch_add(1);
    shares[t] = {begin, end};
    for (isize i = begin; i < end; ++i) ++touched[static_cast<std::size_t>(i)];
  });
  INFO("threads ", pool.threads(), " count ", count, " grain ", grain);
  isize total = 0;
  for (std::size_t t = 0; t < shares.size(); ++t) {
    REQUIRE(calls[t] <= 1);
    if (calls[t] == 0) continue;
    CHECK(shares[t].begin < shares[t].end);
    CHECK(shares[t].begin % grain == 0);
    CHECK((shares[t].end % grain == 0 || shares[t].end == count));
    total += shares[t].end - shares[t].begin;
  }
  CHECK(total == count);
  CHECK(std::all_of(touched.begin(), touched.end(), [](u8 times) { return times == 1; }));
}

TEST_CASE("ranges cover the work once") {
  for (int threads : {1, 2, 3, 4, 7}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (isize count : {1, 2, 3, 5, 8, 63, 64, 65, 1000})
      for (isize grain : {1, 2, 7, 64, 5000}) check_job(pool, count, grain);
  }
}

TEST_CASE("no work, no call") {
  ThreadPool pool(3);
  for (isize count : {0, -1, -100}) pool.parallel_for(count, 4, [](isize, isize, int) { CHECK(false); });
}

TEST_CASE("work below one grain stays on the caller") {
  ThreadPool pool(3);
  const std::thread::id caller = std::this_thread::get_id();
  std::thread::id seen;
  pool.parallel_for(64, 64, [&](isize begin, isize end, int thread) {
    seen = std::this_thread::get_id();
    CHECK(begin == 0);
    CHECK(end == 64);
    CHECK(thread == 0);
  });
  CHECK(seen == caller);
}

TEST_CASE("the work is split by count, grain and threads alone") {
  ThreadPool first(3), second(3);
  const auto split = [](ThreadPool& pool) {
    std::vector<isize> owner(1000);
    pool.parallel_for(1000, 8, [&](isize begin, isize end, int thread) {
      std::fill(owner.begin() + begin, owner.begin() + end, thread);
    });
    return owner;
  };
  const std::vector<isize> wanted = split(first);
  CHECK(std::set<isize>(wanted.begin(), wanted.end()).size() == 3);
  for (int i = 0; i < 100; ++i) CHECK(split(i % 2 ? first : second) == wanted);
}

TEST_CASE("thousands of jobs, spinning and asleep") {
  ThreadPool pool(4);
  s64 sum = 0;
  std::vector<s64> parts(4 * 16);  // a cache line each
  for (int round = 0; round < 200; ++round) {
    pool.begin();
    for (int job = 0; job < 20; ++job) {
      pool.parallel_for(100 + job, 1, [&](isize begin, isize end, int thread) {
        for (isize i = begin; i < end; ++i) parts[static_cast<std::size_t>(thread) * 16] += i;
      });
      sum += s64{100 + job} * (99 + job) / 2;
    }
    pool.end();
    if (round % 50 == 0) usleep(2000);  // long enough for the workers to sleep
    check_job(pool, 17, 1);             // outside of begin and end
  }
  CHECK(std::accumulate(parts.begin(), parts.end(), s64{0}) == sum);
}

TEST_CASE("what the caller wrote before is seen by the workers, and the other way round") {
  ThreadPool pool(3);
  std::vector<int> values(3000, 0);
  for (int step = 1; step <= 500; ++step) {
    // Each job reads what another thread wrote in the job before.
    std::vector<int> next(values.size());
    pool.parallel_for(3000, 1, [&](isize begin, isize end, int) {
      for (isize i = begin; i < end; ++i)
        next[static_cast<std::size_t>(i)] = values[static_cast<std::size_t>((i + 1000) % 3000)] + 1;
    });
    values = next;
  }
  CHECK(std::all_of(values.begin(), values.end(), [](int value) { return value == 500; }));
}

TEST_CASE("pools come and go") {
  for (int i = 0; i < 100; ++i) {
    ThreadPool idle(3);
    ThreadPool used(2);
    check_job(used, 10, 1);
  }
}

TEST_CASE("pools of several threads at once") {
  std::vector<std::thread> callers;
  std::atomic<s64> sum{0};
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      ThreadPool pool(3);
      for (int job = 0; job < 200; ++job)
        pool.parallel_for(30, 1, [&](isize begin, isize end, int) { sum.fetch_add(end - begin); });
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(sum == 4 * 200 * 30);
}

int exit_code_of_child(void (*work)(ThreadPool*), ThreadPool* pool) {
  const pid_t child = fork();
  if (child == 0) {
    work(pool);
    _exit(3);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_CASE("a forked child runs alone and may destroy the pool") {
  auto pool = std::make_unique<ThreadPool>(3);
  check_job(*pool, 100, 1);
  const auto use = [](ThreadPool* p) {
    int calls = 0;
    p->parallel_for(100, 1, [&](isize begin, isize end, int) { calls += begin == 0 && end == 100; });
    if (calls != 1) _exit(4);
    ThreadPool fresh(2);
    isize done = 0;
    fresh.parallel_for(1, 1, [&](isize begin, isize end, int) { done += end - begin; });
    if (done != 1) _exit(5);
  };
  const auto destroy = [](ThreadPool* p) { delete p; };
  CHECK(exit_code_of_child(use, pool.get()) == 3);
  CHECK(exit_code_of_child(destroy, pool.get()) == 3);
  check_job(*pool, 100, 1);
}

TEST_CASE("a system that refuses threads leaves fewer, not none") {
  for (int started : {0, 1, 3}) {
    threads_to_start = started;
    ThreadPool pool(8);
    threads_to_start = -1;
    CHECK(pool.threads() == started + 1);
    for (isize count : {1, 2, 5, 1000}) check_job(pool, count, 1);
  }
}

TEST_CASE("default_threads") {
  const char* before = std::getenv("WHIT_NUM_THREADS");
  const std::string old = before ? before : "";
  unsetenv("WHIT_NUM_THREADS");
  REQUIRE(default_threads().ok());
  CHECK(*default_threads() == available_cpus());
  for (const char* text : {"1", "2", "1024"}) {
    setenv("WHIT_NUM_THREADS", text, 1);
    REQUIRE(default_threads().ok());
    CHECK(*default_threads() == std::atoi(text));
  }
  for (const char* text : {"0", "-1", "1025", "x", "2x", "1.5", "99999999999999999999999"}) {
    setenv("WHIT_NUM_THREADS", text, 1);
    CHECK(default_threads().status().code() == Code::invalid_argument);
    CHECK(default_threads().status().message().find(text) != std::string::npos);
  }
  before ? setenv("WHIT_NUM_THREADS", old.c_str(), 1) : unsetenv("WHIT_NUM_THREADS");
}

TEST_CASE("available_cpus obeys the affinity mask") {
  CHECK(available_cpus() >= 1);
  const auto one = [](ThreadPool*) {
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof mask, &mask) != 0) _exit(4);
    int last = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &mask)) last = cpu;
    CPU_ZERO(&mask);
    CPU_SET(last, &mask);
    if (sched_setaffinity(0, sizeof mask, &mask) != 0 || available_cpus() != 1) _exit(5);
  };
  CHECK(exit_code_of_child(one, nullptr) == 3);
}

}  // namespace
}  // namespace whit
