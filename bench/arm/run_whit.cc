// Runs one model between two markers, for the instruction counter:   run_whit MODEL.whit [THREADS]
// The first runs warm up; close(-7000001) marks the start of the counted one, close(-7000002) its end.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "engine/session.h"

namespace {

constexpr int kMarker = -7000000;

int fail(const whit::Status& status) {
  std::fprintf(stderr, "run_whit: %s\n", status.message().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace whit;
  if (argc < 2) return fail(error(Code::invalid_argument, "usage: run_whit MODEL.whit [THREADS]"));
  const Result<IsaSet> isa = isa_active();
  if (!isa.ok()) return fail(isa.status());
  Result<std::shared_ptr<const Model>> model = read_model_file(argv[1]);
  if (!model.ok()) return fail(model.status());
  auto prepared = std::make_shared<PreparedModel>(*model, *isa);
  Result<std::unique_ptr<Session>> session = Session::make(prepared, argc > 2 ? std::atoi(argv[2]) : 1, {});
  if (!session.ok()) return fail(session.status());
  const Plan* plan = (*session)->plan();
  if (!plan) return fail(error(Code::shape, "%s has inputs of unknown size", argv[1]));

  std::vector<std::vector<std::byte>> buffers;
  std::vector<const std::byte*> inputs;
  std::vector<std::byte*> outputs;
  const auto buffer = [&](int tensor) {
    buffers.emplace_back(static_cast<std::size_t>(plan->tensor_bytes(**model, tensor)), std::byte{0});
    return buffers.back().data();
  };
  for (int tensor : (*model)->inputs) inputs.push_back(buffer(tensor));
  for (int tensor : plan->outputs) outputs.push_back(buffer(tensor));
  for (int run = 0; run < 2; ++run) (*session)->run(inputs, outputs);
  close(kMarker - 1);
  (*session)->run(inputs, outputs);
  close(kMarker - 2);
  if (argc > 3) {
    for (int i = 0; i < static_cast<int>(plan->nodes.size()); ++i)
      std::printf("%s\n", plan->nodes[static_cast<std::size_t>(i)].op->kernel());
  }
  return 0;
}
