#pragma once
// Threads that one session owns. Work is split statically, so that results and memory use do not depend on timing.

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "base/status.h"
#include "base/types.h"

namespace whit {

/// A callable by reference, without allocation. The callable must outlive the call.
template <class Signature>
class FunctionRef;
template <class R, class... A>
class FunctionRef<R(A...)> {
 public:
  template <class F>
  FunctionRef(const F& f)  // NOLINT: implicit by design
      : object_(&f),
        call_([](const void* object, A... args) -> R { return (*static_cast<const F*>(object))(args...); }) {}
  R operator()(A... args) const { return call_(object_, args...); }

 private:
  const void* object_;
  R (*call_)(const void*, A...);
};

/// Threads to use when the caller does not say: WHIT_NUM_THREADS, else the CPUs that the affinity mask and the cgroup
/// quota allow. A malformed WHIT_NUM_THREADS is an invalid_argument.
Result<int> default_threads();
/// CPUs in the affinity mask, reduced by the cgroup v1 or v2 quota (rounded up, at least 1).
int available_cpus();

/// In a child made by fork() the workers do not exist: there every parallel_for runs on the calling thread alone.
class ThreadPool {
 public:
  /// `threads` including the caller; threads - 1 are started, or as many as the system lets us.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }
  /// The most that one share of parallel_for(count, grain) has.
  isize largest_share(isize count, isize grain) const {
    return std::min(count, round_up(ceil_div(count, threads_), grain));
  }

  /// Calls work(begin, end, share) so that the ranges cover [0, count) once. Ranges begin on multiples of `grain`; at
  /// most one call per share; share is in [0, threads()). Each worker has its share; the caller takes the first one and
  /// those whose workers have not woken up when it is through. Returns when all are done.
  void parallel_for(isize count, isize grain, FunctionRef<void(isize, isize, int)> work);

  /// Between begin() and end() idle workers spin for a short while before they sleep, so that the operators of one
  /// inference hand over quickly; outside they sleep at once.
  void begin();
  void end();

 private:
  struct Worker {
    ThreadPool* pool = nullptr;
    int share = 0;
    pthread_t handle{};
    std::atomic<u32> taken{0};    // the last job whose share somebody has begun: one more with every job
    std::atomic<u32> done{0};     // the last job whose share is finished
    std::byte apart[kAlignment];  // from the next worker's
  };
  static void* enter(void* worker);
  void work(Worker& self);
  void run_share(int share) const;
  bool is_forked() const;

  int threads_;
  u32 fork_generation_;  // of the process that started the workers
  std::unique_ptr<Worker[]> workers_;
  // One job at a time: written by the caller before `job_` moves on, read by whoever has taken a share of it.
  const FunctionRef<void(isize, isize, int)>* work_ = nullptr;
  isize count_ = 0, grain_ = 1;
  alignas(kAlignment) std::atomic<u32> job_{0};
  std::atomic<bool> spinning_{false};
  std::atomic<bool> stop_{false};
};

}  // namespace whit
