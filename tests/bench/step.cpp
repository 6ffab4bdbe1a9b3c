// The same step of a small network (784-128-10, batch 32, SGD, one thread) as a tree and by hand, in turn:
// the ratio of the medians, and the calls of operator new that the tree adds.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

namespace ab = abyme;

namespace {
std::int64_t allocations = 0;
}
// Not inlined: GCC takes malloc and free in them for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

struct Training {  // one network and its data
  torch::nn::Sequential model{torch::nn::Linear(784, 128), torch::nn::ReLU(), torch::nn::Linear(128, 10)};
  torch::optim::SGD optimizer{model->parameters(), torch::optim::SGDOptions(0.01)};
  ab::TensorBatches batches{torch::rand({32 * 50, 784}), torch::randint(10, {32 * 50}), {.batch_size = 32}};
};

torch::Tensor criterion(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::cross_entropy_loss(outputs, targets);
}

struct Cost {
  double seconds;
  std::int64_t allocations;
};

template <class Epoch>
Cost measure(Epoch epoch) {
  const std::int64_t before = allocations;
  const auto start = std::chrono::steady_clock::now();
  epoch();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
          allocations - before};
}

Cost median(std::vector<Cost> costs) {
  const auto middle = costs.begin() + std::ptrdiff_t(costs.size() / 2);
  std::nth_element(costs.begin(), middle, costs.end(), [](Cost a, Cost b) { return a.seconds < b.seconds; });
  return *middle;
}

void figure(const char* name, double value, const char* unit) {
  std::printf("{\"name\": \"%s\", \"value\": %.4f, \"unit\": \"%s\"}\n", name, value, unit);
}

}  // namespace

int main() {
  torch::set_num_threads(1);
  Training by_hand, by_tree;

  double sum = 0;  // the mean loss, as a hand-written loop keeps it
  const auto hand_epoch = [&] {
    sum = 0;
    by_hand.model->train();
    for (const ab::Batch& batch : by_hand.batches) {
      by_hand.optimizer.zero_grad();
      torch::Tensor loss = criterion(by_hand.model->forward(batch.inputs), batch.targets);
      loss.backward();
      by_hand.optimizer.step();
      sum += loss.item<float>();
    }
  };

  ab::DataLooper data(by_tree.batches);
  ab::Stats loss("loss");
  data("iteration_end", ab::SupervisedPass(by_tree.model, by_tree.optimizer,
                                           criterion)("end", loss, ab::PeriodicTrigger(100)));
  constexpr int epochs = 41;
  std::vector<Cost> hand, tree;
  std::int64_t before = 0;
  std::chrono::steady_clock::time_point start;
  // A dig walks the tree and makes its stack, so the epochs are measured inside one; the hand-written ones
  // between.
  data("start", [&] {
    before = allocations;
    start = std::chrono::steady_clock::now();
  }).at("end", [&] {
    tree.push_back({std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
                    allocations - before});
  });
  hand.reserve(epochs);
  tree.reserve(epochs);
  ab::IterationLooper loop(epochs);
  loop(
      "iteration_end", [&] { hand.push_back(measure(hand_epoch)); }, data);
  ab::Ground()("dig", loop).dig();

  const double steps = double(by_hand.batches.size());
  const Cost hand_cost = median(hand), tree_cost = median(tree);
  figure("hand_written_step", 1e6 * hand_cost.seconds / steps, "us");
  figure("tree_step_vs_hand_written", tree_cost.seconds / hand_cost.seconds, "ratio");
  figure("tree_allocations_per_step", double(tree_cost.allocations - hand_cost.allocations) / steps,
         "calls of operator new");
}
