// Where the time of a model goes, and several sessions on one set of weights:
//
//     profile MODEL.whit INPUT.raw [THREADS]
//
// INPUT.raw holds the model's inputs as they are in memory, one after the other. THREADS sessions of one thread each
// run it side by side; all must give the same bytes. Prints the five slowest nodes of the first, then the outputs'
// values.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <numeric>
#include <thread>

#include "whit.hpp"

namespace {

constexpr int kRuns = 10, kShown = 5;

whit::Session make_session(const whit::Model& model, const std::string& path) {
  whit::Session session(model, 1);
  std::ifstream file(path, std::ios::binary);
  for (auto& array : session.inputs) file.read(reinterpret_cast<char*>(array.data()), static_cast<long>(array.size()));
  if (!file) throw std::runtime_error(path + ": has fewer bytes than the model's inputs");
  return session;
}

void print_slowest(const whit::Session& session, const std::vector<std::uint64_t>& times) {
  std::vector<std::size_t> order(times.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return times[a] > times[b]; });
  order.resize(std::min<std::size_t>(order.size(), kShown));
  for (std::size_t i : order)
    std::printf("%9.3f ms  %-20s %-16s %s\n", static_cast<double>(times[i]) / kRuns / 1e6,
                whit_session_node_kernel(session.get(), i), whit_session_node_op(session.get(), i),
                whit_session_node_name(session.get(), i));
}

void print_values(const whit::Model& model, const whit::Session& session) {
  for (std::size_t i = 0; i < session.outputs.size(); ++i) {
    const whit_tensor* output = whit_model_output(model.get(), i);
    std::printf("%s:", whit_tensor_name(output));
    if (whit_tensor_dtype(output) == WHIT_F32) {
      std::vector<float> values(session.outputs[i].size() / sizeof(float));
      std::memcpy(values.data(), session.outputs[i].data(), session.outputs[i].size());
      for (std::size_t k = 0; k < std::min<std::size_t>(values.size(), 10); ++k) std::printf(" %.6g", values[k]);
    }
    std::printf("\n");
  }
}

int run(const std::string& path, const std::string& input, int count) {
  const whit::Model model(path);
  std::vector<whit::Session> sessions;
  for (int i = 0; i < count; ++i) sessions.push_back(make_session(model, input));
  std::vector<std::thread> threads;
  for (int i = 1; i < count; ++i)
    threads.emplace_back([&session = sessions[static_cast<std::size_t>(i)]] {
      for (int n = 0; n < kRuns; ++n) session.run();
    });
  std::vector<std::uint64_t> times(whit_session_node_count(sessions[0].get()));
  for (int n = 0; n < kRuns; ++n) sessions[0].profile(times);
  for (std::thread& thread : threads) thread.join();
  print_slowest(sessions[0], times);
  std::printf("%d sessions on %zu bytes of packed weights, %s\n", count, model.packed_bytes(),
              whit_model_isa(model.get()));
  print_values(model, sessions[0]);
  for (const whit::Session& session : sessions)
    if (session.outputs != sessions[0].outputs) throw std::runtime_error("the sessions disagree");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 3 ? std::atoi(argv[3]) : 2;
  if (argc < 3 || count < 1) {
    std::fprintf(stderr, "profile MODEL.whit INPUT.raw [THREADS]\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], count);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "profile: %s\n", error.what());
    return 1;
  }
}
