#pragma once
// Threads for the calls of whit.kernels.

#include <memory>

#include "base/thread_pool.h"

namespace whit::bindings {

/// A pool of earlier calls, lent to one call at a time.
class LentPool {
 public:
  explicit LentPool(int threads);
  ~LentPool();
  LentPool(const LentPool&) = delete;
  LentPool& operator=(const LentPool&) = delete;
  ThreadPool* operator->() const { return pool_.get(); }
  ThreadPool& operator*() const { return *pool_; }

 private:
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace whit::bindings
