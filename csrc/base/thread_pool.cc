#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace whit {
namespace {

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ __volatile__("yield");
#endif
}

// How many fork()s lie between this process and the one that loaded the library.
std::atomic<u32> fork_generation{0};

u32 current_fork_generation() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { fork_generation.fetch_add(1); });
  static_cast<void>(registered);
  return fork_generation.load(std::memory_order_relaxed);
}

/// Asks again and again for a short while; false if the answer was no until the end. The while is longer than what the
/// system takes to wake a thread up: a worker that comes too late for its share of one operator is there for the next.
template <class Question>
bool spin_until(Question question) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kLongest = std::chrono::microseconds(200);
  constexpr int kQuestions = 64;  // between looks at the clock
  Clock::time_point end{};
  while (true) {
    for (int i = 0; i < kQuestions; ++i) {
      if (question()) return true;
      pause_cpu();
    }
    const Clock::time_point now = Clock::now();
    if (end == Clock::time_point{}) end = now + kLongest;
    if (now >= end) return false;
  }
}

// CPUs that a cgroup's quota allows, or 0 for no limit. `quota` and `period` are in microseconds.
int quota_cpus(f64 quota, f64 period) {
  if (!(quota > 0 && period > 0)) return 0;
  constexpr f64 kMost = 1 << 20;  // below what an int holds, whatever the files say
  return std::max(1, static_cast<int>(std::ceil(std::min(quota / period, kMost))));
}

// The first 64 KiB of a file, or nothing. C's files: C++ streams would bring half a megabyte of locales along.
std::string read_text(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (!file) return {};
  std::string text(1 << 16, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  return text;
}

bool read_words(const std::string& path, std::string* first, std::string* second) {
  char words[2][64] = {};
  const int count = std::sscanf(read_text(path).c_str(), "%63s %63s", words[0], words[1]);
  *first = words[0];
  *second = words[1];
  return count >= 1;
}

int cgroup_limit(const std::string& folder) {
  std::string quota, period;
  if (read_words(folder + "/cpu.max", &quota, &period) && quota != "max")
    return quota_cpus(std::atof(quota.c_str()), std::atof(period.c_str()));
  std::string unused;
  if (read_words(folder + "/cpu.cfs_quota_us", &quota, &unused) &&
      read_words(folder + "/cpu.cfs_period_us", &period, &unused))
    return quota_cpus(std::atof(quota.c_str()), std::atof(period.c_str()));
  return 0;
}

// The tightest limit of this process's cgroups and their parents (v2, and the cpu controller of v1), or 0.
int cgroup_cpus() {
  int limit = 0;
  const std::string groups = read_text("/proc/self/cgroup");
  for (std::size_t start = 0, end; start < groups.size(); start = end + 1) {
    end = std::min(groups.find('\n', start), groups.size());
    const std::string line = groups.substr(start, end - start);
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string root = "/sys/fs/cgroup";
    if (controllers != ",,") {
      if (controllers.find(",cpu,") == std::string::npos) continue;
      root += "/cpu";
    }
    std::string path = line.substr(second + 1);
    while (true) {
      const int here = cgroup_limit(root + path);
      if (here > 0) limit = limit ? std::min(limit, here) : here;
      const std::size_t slash = path.rfind('/');
      if (path.empty() || slash == std::string::npos) break;
      path.resize(slash);
    }
  }
  return limit;
}

}  // namespace

int available_cpus() {
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) cpus = CPU_COUNT(&mask);
#endif
  static const int quota = cgroup_cpus();  // files: some 40 us
  if (quota > 0) cpus = std::min(cpus, quota);
  return std::max(cpus, 1);
}

Result<int> default_threads() {
  const char* text = std::getenv("WHIT_NUM_THREADS");
  if (!text || !*text) return available_cpus();
  char* end = nullptr;
  const long threads = std::strtol(text, &end, 10);
  if (*end || threads < 1 || threads > 1024)
    return error(Code::invalid_argument, "WHIT_NUM_THREADS=%s is not a number of threads (1 to 1024)", text);
  return static_cast<int>(threads);
}

ThreadPool::ThreadPool(int threads) : threads_(std::max(threads, 1)), fork_generation_(current_fork_generation()) {
  if (threads_ == 1) return;
  workers_ = std::make_unique<Worker[]>(static_cast<std::size_t>(threads_ - 1));
  for (int i = 1; i < threads_; ++i) {
    Worker& worker = workers_[static_cast<std::size_t>(i - 1)];
    worker.pool = this;
    worker.share = i;
    if (pthread_create(&worker.handle, nullptr, &ThreadPool::enter, &worker) == 0) continue;
    threads_ = i;  // no worker has looked at it yet: that takes a first job
  }
}

void* ThreadPool::enter(void* worker) {
  Worker& self = *static_cast<Worker*>(worker);
  self.pool->work(self);
  return nullptr;
}

bool ThreadPool::is_forked() const { return fork_generation.load(std::memory_order_relaxed) != fork_generation_; }

ThreadPool::~ThreadPool() {
  if (is_forked()) return;
  stop_.store(true, std::memory_order_relaxed);
  job_.fetch_add(1, std::memory_order_release);
  job_.notify_all();
  for (int i = 0; i < threads_ - 1; ++i) pthread_join(workers_[static_cast<std::size_t>(i)].handle, nullptr);
}

void ThreadPool::begin() { spinning_.store(true, std::memory_order_relaxed); }
void ThreadPool::end() { spinning_.store(false, std::memory_order_relaxed); }

void ThreadPool::run_share(int share) const {
  const isize most = largest_share(count_, grain_);
  const isize begin = std::min(most * share, count_);
  const isize end = std::min(begin + most, count_);
  if (begin < end) (*work_)(begin, end, share);
}

// Every share of every job is taken once, by its worker or by the caller, and a job ends after that. So whoever moves
// `taken` from the job before to this one knows that this job is still being worked on.
void ThreadPool::parallel_for(isize count, isize grain, FunctionRef<void(isize, isize, int)> work) {
  if (count <= 0) return;
  if (threads_ == 1 || count <= grain || is_forked()) {
    work(0, count, 0);
    return;
  }
  work_ = &work;
  count_ = count;
  grain_ = grain;
  const u32 before = job_.load(std::memory_order_relaxed), job = before + 1;
  job_.store(job, std::memory_order_release);
  job_.notify_all();
  run_share(0);
  for (int share = threads_ - 1; share > 0; --share) {
    u32 expected = before;
    Worker& worker = workers_[static_cast<std::size_t>(share - 1)];
    if (!worker.taken.compare_exchange_strong(expected, job, std::memory_order_relaxed)) continue;
    run_share(share);
    worker.done.store(job, std::memory_order_relaxed);
  }
  for (int share = 1; share < threads_; ++share) {
    const std::atomic<u32>& done = workers_[static_cast<std::size_t>(share - 1)].done;
    if (spin_until([&] { return done.load(std::memory_order_acquire) == job; })) continue;
    for (u32 last; (last = done.load(std::memory_order_acquire)) != job;) done.wait(last, std::memory_order_acquire);
  }
}

void ThreadPool::work(Worker& self) {
  u32 seen = 0;
  while (true) {
    const auto is_next = [&] { return job_.load(std::memory_order_acquire) != seen; };
    if (spinning_.load(std::memory_order_relaxed))
      spin_until([&] { return is_next() || !spinning_.load(std::memory_order_relaxed); });
    while (!is_next()) job_.wait(seen, std::memory_order_acquire);
    seen = job_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    u32 before = seen - 1;
    if (!self.taken.compare_exchange_strong(before, seen, std::memory_order_relaxed)) continue;
    run_share(self.share);
    self.done.store(seen, std::memory_order_release);
    self.done.notify_one();
  }
}

}  // namespace whit
