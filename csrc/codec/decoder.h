#pragma once
// Decodes the stored values of a whole file, on all CPUs.

#include <memory>
#include <vector>

#include "codec/coders.h"
#include "codec/encoding.h"

namespace whit {

/// Add every tensor in the order of the file, then run, once.
class Decoder {
 public:
  Decoder();
  ~Decoder();
  /// `out`: values.bytes() bytes that stay there until run() is through. Allocates what is needed on the way to the
  /// values, about their size once more at most. `tensor` is what run() calls it in an error.
  Status add(StoredValues stored, std::byte* out, std::size_t tensor);

  /// Decodes all of them on at most `threads` threads, fewer if the system gives no more, or if there is little to do.
  /// Of several failures the first tensor's is returned, and *tensor says which one that is.
  Status run(int threads, std::size_t* tensor);

 private:
  struct Node;
  struct Entry;
  struct Task;
  Status prepare(Node* node, Entry* entry);
  Status prepare_symbols(Node* node, Entry* entry);
  static Status finish(Node* node);
  static void run_task(const Task& task);
  static void complete(Entry* entry, const Status& status);

  std::vector<std::unique_ptr<Entry>> entries_;
  std::vector<Task> tasks_;
  std::size_t chain_ = SIZE_MAX;  // the task that adaptive_continued continues
  u64 cost_ = 0;                  // in symbols of the fast coders
};

}  // namespace whit
