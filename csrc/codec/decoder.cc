#include "codec/decoder.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/checked.h"
#include "base/pages.h"
#include "base/thread_pool.h"
#include "codec/blocks.h"
#include "codec/expand.h"

namespace whit {

using namespace codec;

namespace {

Status allocate(s64 bytes, AlignedMemory* memory) {
  *memory = allocate_aligned(std::max<std::size_t>(allocation_bytes(bytes), 1));
  if (*memory) return {};
  return error(Code::out_of_memory, "no memory for %lld bytes", static_cast<long long>(bytes));
}

/// Starting a thread is not worth it for less than this many symbols.
constexpr u64 kSymbolsPerThread = 1 << 18;
/// The adaptive coder takes that many times longer.
constexpr u64 kAdaptiveCost = 1000;

}  // namespace

/// One encoding of a tree: where its values go, and the memory that belongs to it.
struct Decoder::Node {
  StoredValues stored;
  std::byte* out = nullptr;
  AlignedMemory values;  // that `out` points to, if nested
  AlignedMemory planes;  // that `symbols` points to, if they are not the values themselves
  MutableBytes symbols;  // entropy_coded
  std::vector<Node> nested;

  MutableBytes bytes() const { return {out, static_cast<std::size_t>(stored.values.bytes())}; }
};

struct Decoder::Entry {
  std::size_t tensor = 0;
  Node root;
  std::atomic<std::size_t> left{1};  // tasks that have something to do here; one for add()
  std::mutex mutex;
  Status status;
};

/// A block of one tensor, a chain of adaptive values of several, or nothing but the expansion of a tensor.
struct Decoder::Task {
  Entry* entry = nullptr;
  BlockTask block;
  int bits = 8;
  std::vector<std::pair<Entry*, Node*>> chain;
};

Decoder::Decoder() = default;
Decoder::~Decoder() = default;

Status Decoder::add(StoredValues stored, std::byte* out, std::size_t tensor) {
  auto entry = std::make_unique<Entry>();
  entry->tensor = tensor;
  entry->root.stored = std::move(stored);
  entry->root.out = out;
  WHIT_RETURN_IF_ERROR(prepare(&entry->root, entry.get()));
  tasks_.push_back({entry.get(), {}, 0, {}});
  entries_.push_back(std::move(entry));
  return {};
}

Status Decoder::prepare(Node* node, Entry* entry) {
  if (node->stored.encoding == Encoding::entropy_coded) return prepare_symbols(node, entry);
  cost_ += static_cast<u64>(node->stored.values.elements);
  node->nested = std::vector<Node>(node->stored.nested.size());
  for (std::size_t i = 0; i < node->nested.size(); ++i) {
    Node& nested = node->nested[i];
    nested.stored = std::move(node->stored.nested[i]);
    WHIT_RETURN_IF_ERROR(allocate(nested.stored.values.bytes(), &nested.values));
    nested.out = nested.values.get();
    WHIT_RETURN_IF_ERROR(prepare(&nested, entry));
  }
  return {};
}

Status Decoder::prepare_symbols(Node* node, Entry* entry) {
  const StoredValues& stored = node->stored;
  const Symbols symbols = {stored.values, stored.pivot};
  node->symbols = {node->out, static_cast<std::size_t>(symbols.count())};
  if (stored.values.bits != 8) {
    WHIT_RETURN_IF_ERROR(allocate(static_cast<s64>(symbols.count()), &node->planes));
    node->symbols = {node->planes.get(), static_cast<std::size_t>(symbols.count())};
  }
  const auto coder = static_cast<Coder>(stored.coder);
  if (coder == Coder::blocks) {
    cost_ += symbols.count();
    std::vector<BlockTask> blocks;
    WHIT_RETURN_IF_ERROR(find_blocks(stored.payload, symbols, node->symbols, &blocks));
    for (const BlockTask& block : blocks) tasks_.push_back({entry, block, symbols.bits(), {}});
    entry->left += blocks.size();
    return {};
  }
  cost_ += kAdaptiveCost * symbols.count();
  if (coder == Coder::adaptive) {
    chain_ = tasks_.size();
    tasks_.push_back({});
  } else if (chain_ == SIZE_MAX) {
    return error(Code::format, "adaptive values continue those before, but there are none");
  }
  tasks_[chain_].chain.push_back({entry, node});
  ++entry->left;
  return {};
}

Status Decoder::finish(Node* node) {
  for (Node& nested : node->nested) WHIT_RETURN_IF_ERROR(finish(&nested));
  const StoredValues& stored = node->stored;
  const auto& nested = node->nested;
  switch (stored.encoding) {
    case Encoding::dense: std::copy(stored.payload.begin(), stored.payload.end(), node->out); return {};
    case Encoding::bit_packed: return unpack(stored, node->bytes());
    case Encoding::palette: return look_up(stored, nested[0].bytes(), node->bytes());
    case Encoding::linear: return scale_codes(stored, nested[0].bytes(), node->bytes());
    case Encoding::sparse: return scatter(stored, nested[0].bytes(), nested[1].bytes(), node->bytes());
    case Encoding::csr: return place_entries(stored, nested[0].bytes(), nested[1].bytes(), node->bytes());
    case Encoding::bitmap: return place_by_mask(stored, nested[0].bytes(), nested[1].bytes(), node->bytes());
    default:
      if (node->planes) join_planes(node->symbols, {stored.values, stored.pivot}, node->bytes());
      node->planes.reset();
      return {};
  }
}

/// One task less; the last one turns the symbols into values and frees what they needed.
void Decoder::complete(Entry* entry, const Status& status) {
  if (!status.ok()) {
    const std::lock_guard lock(entry->mutex);
    if (entry->status.ok()) entry->status = status;
  }
  if (entry->left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (entry->status.ok()) entry->status = finish(&entry->root);
  entry->root.nested.clear();
  entry->root.planes.reset();
}

void Decoder::run_task(const Task& task) {
  if (task.chain.empty()) {
    const bool has_block = task.bits > 0;
    complete(task.entry, has_block ? decode_block(task.block.block, task.bits, task.block.symbols) : Status());
    return;
  }
  AdaptiveDecoder decoder;
  Status status;
  for (const auto& [entry, node] : task.chain) {
    // What continues a failure cannot be decoded either.
    if (status.ok()) {
      const StoredValues& stored = node->stored;
      status = decoder.decode(stored.payload, {stored.values, stored.pivot}, node->symbols);
    }
    complete(entry, status);
  }
}

Status Decoder::run(int threads, std::size_t* tensor) {
  // Long tasks first, so that no thread is left alone with one at the end.
  std::stable_partition(tasks_.begin(), tasks_.end(), [](const Task& task) { return !task.chain.empty(); });
  const u64 useful = std::min<u64>(cost_ / kSymbolsPerThread + 1, tasks_.size());
  ThreadPool pool(static_cast<int>(std::clamp<u64>(useful, 1, static_cast<u64>(std::max(threads, 1)))));
  std::atomic<std::size_t> next{0};
  const auto work = [&](isize, isize, int) {
    for (std::size_t i = next++; i < tasks_.size(); i = next++) run_task(tasks_[i]);
  };
  pool.parallel_for(pool.threads(), 1, work);
  for (const auto& entry : entries_) {
    if (entry->status.ok()) continue;
    *tensor = entry->tensor;
    return entry->status;
  }
  return {};
}

}  // namespace whit
