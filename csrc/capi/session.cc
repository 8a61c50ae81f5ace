#include <string>

#include "capi/handles.h"

namespace whit::capi {
namespace {

/// One user of a session at a time.
class InUse {
 public:
  explicit InUse(whit_session* session)
      : flag_(&session->busy), taken_(!flag_->test_and_set(std::memory_order_acquire)) {}
  ~InUse() {
    if (taken_) flag_->clear(std::memory_order_release);
  }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;
  bool taken() const { return taken_; }

 private:
  std::atomic_flag* flag_;
  bool taken_;
};

constexpr const char* kBusy = "another thread is using this session; make one session for each thread";

const Plan* plan_of(const whit_session* session) { return session ? session->session->plan() : nullptr; }

const Tensor& tensor(const whit_session& session, int index) {
  return session.prepared->model().tensors[static_cast<std::size_t>(index)];
}

const PlannedNode* node_at(const whit_session* session, std::size_t index) {
  const Plan* plan = plan_of(session);
  return plan && index < plan->nodes.size() ? &plan->nodes[index] : nullptr;
}

whit_shape shape_at(const whit_session* session, const std::vector<int>& tensors, std::size_t index) {
  if (!plan_of(session) || index >= tensors.size()) return kNoShape;
  return to_c(plan_of(session)->shapes[static_cast<std::size_t>(tensors[index])]);
}

std::size_t bytes_at(const whit_session* session, const std::vector<int>& tensors, std::size_t index) {
  if (!plan_of(session) || index >= tensors.size()) return 0;
  return static_cast<std::size_t>(plan_of(session)->tensor_bytes(session->prepared->model(), tensors[index]));
}

Status read_shape(const whit_shape& given, const Tensor& input, Shape* shape) {
  if (given.rank < 0 || given.rank > WHIT_MAX_RANK || given.reserved != 0)
    return error(Code::invalid_argument, "the shape of input '%s' has rank %d (at most %d) and reserved %d (must be 0)",
                 input.name.c_str(), static_cast<int>(given.rank), WHIT_MAX_RANK, static_cast<int>(given.reserved));
  for (int i = 0; i < given.rank; ++i) shape->push_back(given.sizes[i]);
  return {};
}

Status check_count(const char* what, std::size_t given, std::size_t wanted) {
  if (given == wanted) return {};
  return error(Code::invalid_argument, "the model has %zu %ss; got %zu buffers", wanted, what, given);
}

/// The caller's buffers are checked here, and nowhere after.
template <class Buffer>
Status check_buffers(const whit_session& session, const char* what, const std::vector<int>& tensors,
                     const Buffer* buffers, std::size_t count) {
  WHIT_RETURN_IF_ERROR(check_count(what, count, tensors.size()));
  if (count > 0 && !buffers) return error(Code::invalid_argument, "%ss is NULL", what);
  for (std::size_t i = 0; i < count; ++i) {
    const Tensor& t = tensor(session, tensors[i]);
    const std::size_t wanted = bytes_at(&session, tensors, i);
    const std::size_t alignment = static_cast<std::size_t>(dtype_bits(t.dtype) + 7) / 8;
    if (buffers[i].bytes != wanted)
      return error(Code::invalid_argument, "%s %zu ('%s') needs a buffer of %zu bytes for %s %s; got %zu", what, i,
                   t.name.c_str(), wanted, dtype_name(t.dtype),
                   plan_of(&session)->shapes[static_cast<std::size_t>(tensors[i])].text().c_str(), buffers[i].bytes);
    if (!buffers[i].data)
      return error(Code::invalid_argument, "the buffer of %s %zu ('%s') is NULL", what, i, t.name.c_str());
    if (reinterpret_cast<std::uintptr_t>(buffers[i].data) % alignment != 0)
      return error(Code::invalid_argument, "the buffer of %s %zu ('%s') is not aligned to the %zu bytes of an element",
                   what, i, t.name.c_str(), alignment);
  }
  return {};
}

template <class A, class B>
bool overlap(const A& a, const B& b) {
  const auto a_begin = reinterpret_cast<std::uintptr_t>(a.data), b_begin = reinterpret_cast<std::uintptr_t>(b.data);
  return a_begin < b_begin + b.bytes && b_begin < a_begin + a.bytes;
}

Status check_apart(const whit_session& session, const whit_input* inputs, std::size_t input_count,
                   const whit_output* outputs, std::size_t output_count) {
  for (std::size_t i = 0; i < output_count; ++i) {
    const char* name = tensor(session, session.prepared->model().outputs[i]).name.c_str();
    for (std::size_t k = 0; k < input_count; ++k)
      if (overlap(outputs[i], inputs[k]))
        return error(Code::invalid_argument, "the buffer of output %zu ('%s') overlaps that of input %zu", i, name, k);
    for (std::size_t k = 0; k < i; ++k)
      if (overlap(outputs[i], outputs[k]))
        return error(Code::invalid_argument, "the buffer of output %zu ('%s') overlaps that of output %zu", i, name, k);
  }
  return {};
}

Status run(whit_session* session, const whit_input* inputs, std::size_t input_count, const whit_output* outputs,
           std::size_t output_count, std::span<u64> times) {
  const Model& model = session->prepared->model();
  WHIT_RETURN_IF_ERROR(check_buffers(*session, "input", model.inputs, inputs, input_count));
  WHIT_RETURN_IF_ERROR(check_buffers(*session, "output", model.outputs, outputs, output_count));
  WHIT_RETURN_IF_ERROR(check_apart(*session, inputs, input_count, outputs, output_count));
  for (std::size_t i = 0; i < input_count; ++i) session->inputs[i] = static_cast<const std::byte*>(inputs[i].data);
  for (std::size_t i = 0; i < output_count; ++i) session->outputs[i] = static_cast<std::byte*>(outputs[i].data);
  session->session->run(session->inputs, session->outputs, times);
  return {};
}

Status make_session(whit_model* model, const whit_session_options& options, whit_session** session) {
  if (options.threads < 0 || options.threads > 1024)
    return error(Code::invalid_argument, "threads must be from 1 to 1024, or 0 for the default; got %d",
                 static_cast<int>(options.threads));
  if (options.reserved != 0) return error(Code::invalid_argument, "whit_session_options.reserved must be 0");
  const Result<int> threads = options.threads > 0 ? Result<int>(options.threads) : default_threads();
  if (!threads.ok()) return threads.status();
  Result<std::unique_ptr<Session>> made = Session::make(model->prepared, *threads, {});
  if (!made.ok()) return made.status();
  auto result = std::make_unique<whit_session>();
  result->prepared = model->prepared;
  result->session = std::move(*made);
  result->inputs.resize(model->prepared->model().inputs.size());
  result->outputs.resize(model->prepared->model().outputs.size());
  *session = result.release();
  return {};
}

Status no_plan() {
  return error(Code::shape, "the model has open sizes that cannot be 1: call whit_session_set_shapes first");
}

}  // namespace
}  // namespace whit::capi

using namespace whit;        // NOLINT: the functions below have C linkage and no namespace
using namespace whit::capi;  // NOLINT

extern "C" {

whit_status whit_session_create(whit_model* model, const whit_session_options* given, whit_session** session,
                                whit_error* error) {
  if (session) *session = nullptr;
  return guarded(error, [&]() -> Status {
    WHIT_RETURN_IF_ERROR(check_not_null(model, "model"));
    WHIT_RETURN_IF_ERROR(check_not_null(session, "session"));
    whit_session_options options;
    WHIT_RETURN_IF_ERROR(read_options(given, "whit_session_options", &options));
    return make_session(model, options, session);
  });
}

void whit_session_free(whit_session* session) { delete session; }

int32_t whit_session_threads(const whit_session* session) { return session ? session->session->threads() : 0; }

whit_status whit_session_set_shapes(whit_session* session, const whit_shape* shapes, size_t count, whit_error* error) {
  if (!session) return report(error, WHIT_INVALID_ARGUMENT, "session is NULL");
  const InUse use(session);
  if (!use.taken()) return report(error, WHIT_BUSY, kBusy);
  return guarded(error, [&]() -> Status {
    const Model& model = session->prepared->model();
    if (count != model.inputs.size())
      return whit::error(Code::invalid_argument, "the model has %zu inputs; got %zu shapes", model.inputs.size(),
                         count);
    if (count > 0) WHIT_RETURN_IF_ERROR(check_not_null(shapes, "shapes"));
    std::vector<Shape> wanted(count);
    for (std::size_t i = 0; i < count; ++i)
      WHIT_RETURN_IF_ERROR(read_shape(shapes[i], tensor(*session, model.inputs[i]), &wanted[i]));
    return session->session->prepare(wanted);
  });
}

whit_shape whit_session_input_shape(const whit_session* session, size_t index) {
  return session ? shape_at(session, session->prepared->model().inputs, index) : kNoShape;
}

whit_shape whit_session_output_shape(const whit_session* session, size_t index) {
  return session ? shape_at(session, session->prepared->model().outputs, index) : kNoShape;
}

size_t whit_session_input_bytes(const whit_session* session, size_t index) {
  return session ? bytes_at(session, session->prepared->model().inputs, index) : 0;
}

size_t whit_session_output_bytes(const whit_session* session, size_t index) {
  return session ? bytes_at(session, session->prepared->model().outputs, index) : 0;
}

size_t whit_session_arena_bytes(const whit_session* session) {
  return plan_of(session) ? static_cast<size_t>(plan_of(session)->arena_bytes) : 0;
}

whit_status whit_session_run(whit_session* session, const whit_input* inputs, size_t input_count,
                             const whit_output* outputs, size_t output_count, whit_error* error) {
  if (!session) return report(error, WHIT_INVALID_ARGUMENT, "session is NULL");
  const InUse use(session);
  if (!use.taken()) return report(error, WHIT_BUSY, kBusy);
  return guarded(error, [&]() -> Status {
    if (!plan_of(session)) return no_plan();
    return run(session, inputs, input_count, outputs, output_count, {});
  });
}

size_t whit_session_node_count(const whit_session* session) {
  return plan_of(session) ? plan_of(session)->nodes.size() : 0;
}

const char* whit_session_node_name(const whit_session* session, size_t index) {
  const PlannedNode* node = node_at(session, index);
  return node ? node->node->name.c_str() : nullptr;
}

const char* whit_session_node_op(const whit_session* session, size_t index) {
  const PlannedNode* node = node_at(session, index);
  return node ? op_name(node->node->op) : nullptr;
}

const char* whit_session_node_kernel(const whit_session* session, size_t index) {
  const PlannedNode* node = node_at(session, index);
  return node ? node->op->kernel() : nullptr;
}

whit_status whit_session_profile(whit_session* session, const whit_input* inputs, size_t input_count,
                                 const whit_output* outputs, size_t output_count, uint64_t* nanoseconds,
                                 size_t node_count, whit_error* error) {
  if (!session) return report(error, WHIT_INVALID_ARGUMENT, "session is NULL");
  const InUse use(session);
  if (!use.taken()) return report(error, WHIT_BUSY, kBusy);
  return guarded(error, [&]() -> Status {
    if (!plan_of(session)) return no_plan();
    WHIT_RETURN_IF_ERROR(check_not_null(nanoseconds, "nanoseconds"));
    if (node_count != plan_of(session)->nodes.size())
      return whit::error(Code::invalid_argument, "the model runs %zu nodes; got times for %zu",
                         plan_of(session)->nodes.size(), node_count);
    return run(session, inputs, input_count, outputs, output_count, {nanoseconds, node_count});
  });
}

}  // extern "C"
