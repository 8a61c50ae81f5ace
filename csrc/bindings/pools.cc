#include "bindings/pools.h"

#include <mutex>
#include <vector>

namespace whit::bindings {
namespace {

/// Pools that nobody has, one for each number of threads.
class PoolShelf {
 public:
  std::unique_ptr<ThreadPool> take(int threads) {
    {
      const std::lock_guard lock(mutex_);
      for (auto& pool : pools_) {
        if (pool && pool->threads() == threads) {
          std::unique_ptr<ThreadPool> found = std::move(pool);
          std::erase(pools_, nullptr);
          return found;
        }
      }
    }
    return std::make_unique<ThreadPool>(threads);
  }
  void put(std::unique_ptr<ThreadPool> pool) {
    const std::lock_guard lock(mutex_);
    if (pools_.size() < kMost) pools_.push_back(std::move(pool));
  }

 private:
  static constexpr std::size_t kMost = 4;
  std::mutex mutex_;
  std::vector<std::unique_ptr<ThreadPool>> pools_;
};

PoolShelf& shelf() {
  static PoolShelf* shelf = new PoolShelf;  // never destroyed: threads must not be joined while the process exits
  return *shelf;
}

}  // namespace

LentPool::LentPool(int threads) : pool_(shelf().take(threads)) {}
LentPool::~LentPool() { shelf().put(std::move(pool_)); }

}  // namespace whit::bindings
