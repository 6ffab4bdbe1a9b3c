// The same step of a small network (784-128-10, batch 32, SGD, one thread) as a tree and by hand, in turn:
// the ratio of their times, and the calls of operator new that the tree adds.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include "figure.hpp"

#include <chrono>
#include <cstdint>
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

struct Costs {  // of a step, epoch by epoch
  std::vector<double> seconds, allocations;

  void begin() {
    before_ = ::allocations;
    start_ = std::chrono::steady_clock::now();
  }
  void end(std::int64_t steps) {
    const double took = bench::seconds_since(start_);
    allocations.push_back(double(::allocations - before_) / double(steps));
    seconds.push_back(took / double(steps));
  }

private:
  std::int64_t before_ = 0;
  std::chrono::steady_clock::time_point start_;
};

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
  Costs hand, tree;
  const std::int64_t steps = by_hand.batches.size();
  // A dig walks the tree and makes its stack, so the epochs are measured inside one; the hand-written ones
  // between.
  data("start", [&] { tree.begin(); }).at("end", [&] { tree.end(steps); });
  ab::IterationLooper loop(epochs);
  loop("iteration_end", [&] {
    hand.begin();
    hand_epoch();
    hand.end(steps);
  }).at("iteration_end", data);
  ab::Ground()("dig", loop).dig();

  bench::compare("tree_step_vs_hand_written", "the same loop by hand, a mean loss its only statistics",
                 tree.seconds, hand.seconds, 1e6, "us a step");
  bench::figure("tree_allocations_per_step",
                bench::spread(tree.allocations).median - bench::spread(hand.allocations).median,
                "calls of operator new");
}
