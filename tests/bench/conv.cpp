// The network of LibTorch's MNIST example learns 8,000 digits in batches of 64 by SGD: the tree of
// examples/mnist, and the loop of LibTorch's example. Both see the same batches and the same dropout.
//
// race: conv_vs_official_1_thread 1 abyme official: LibTorch's example: an item a call and Stack, item()
// race: conv_vs_official_2_threads 2 abyme official: LibTorch's example: an item a call and Stack, item()
// print: parts 1

#include <torch/torch.h>

#include <abyme/abyme.hpp>
#include <abyme/optim/tune.hpp>

#include "digits.hpp"
#include "parts.hpp"
#include "turn.hpp"

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>

namespace ab = abyme;

namespace {

constexpr std::int64_t epochs = 2, batch_size = 64, block = 5;
constexpr std::uint64_t seed = 1;
constexpr double learning_rate = 0.01, momentum = 0.5;

struct NetImpl : torch::nn::Module {
  torch::nn::Conv2d conv1{register_module("conv1", torch::nn::Conv2d(1, 10, 5))};
  torch::nn::Conv2d conv2{register_module("conv2", torch::nn::Conv2d(10, 20, 5))};
  torch::nn::Dropout2d conv2_drop{register_module("conv2_drop", torch::nn::Dropout2d())};
  torch::nn::Linear fc1{register_module("fc1", torch::nn::Linear(320, 50))};
  torch::nn::Linear fc2{register_module("fc2", torch::nn::Linear(50, 10))};

  torch::Tensor forward(torch::Tensor x) {                                   // [batch, 1, 28, 28]
    x = torch::relu(torch::max_pool2d(conv1(x), 2));                         // [batch, 10, 12, 12]
    x = torch::relu(torch::max_pool2d(conv2_drop(conv2(x)), 2)).flatten(1);  // [batch, 320]
    x = torch::dropout(torch::relu(fc1(x)), 0.5, is_training());
    return torch::log_softmax(fc2(x), 1);  // [batch, 10]
  }
};
TORCH_MODULE(Net);

struct Problem {
  torch::Tensor images, labels;  // [samples, 1, 28, 28] float32, [samples] int64
};

Net fresh_net() {  // the same weights each time
  torch::manual_seed(seed);
  return Net();
}

/// Both draw a step's dropout from the same place of the one generator that all threads share.
void seed_dropout(std::int64_t step) { torch::manual_seed(1'000 + std::uint64_t(step)); }

double by_abyme(const Problem& problem, Net model, bench::Turn* turn, bench::Parts* parts) {
  ab::optim::SGD optimizer(model->parameters(), torch::optim::SGDOptions(learning_rate).momentum(momentum));
  ab::TensorBatches train_batches(problem.images, problem.labels, {.batch_size = batch_size, .seed = seed});
  const auto report = ab::tune(model, problem.images.slice(0, 0, batch_size));
  std::cerr << report;
  const auto criterion = [](const torch::Tensor& outputs, const torch::Tensor& targets) {
    return torch::nll_loss(outputs, targets);
  };
  std::int64_t step = 0;

  ab::IterationLooper loop(epochs);
  ab::DataLooper train_data(train_batches);
  ab::SupervisedPass train_pass(model, optimizer, criterion, {.channels_last = report.channels_last});
  ab::Stats train_loss("loss", {.weight = "batch_size"});
  ab::Stats train_accuracy(ab::accuracy, {.weight = "batch_size"});
  if (turn) train_data("iteration_start", [&] { seed_dropout(step++); });
  if (parts) parts->hang_before(train_data, train_pass);
  train_data("iteration_end", train_pass("end", train_loss, train_accuracy));
  if (parts) parts->hang_behind(train_data);
  if (turn) train_data("iteration_end", [&] { turn->step(); });
  loop("iteration_start", train_data);
  ab::Ground()("dig", loop).dig();
  return *train_loss->average();
}

double by_official_example(const Problem& problem, Net model, bench::Turn& turn) {
  auto dataset = bench::Items(problem.images, problem.labels).map(torch::data::transforms::Stack<>());
  auto loader =
      torch::data::make_data_loader<torch::data::samplers::RandomSampler>(std::move(dataset), batch_size);
  torch::optim::SGD optimizer(model->parameters(),
                              torch::optim::SGDOptions(learning_rate).momentum(momentum));
  // The sampler draws from the generator that dropout draws from: it goes on where it was.
  torch::Generator shared = at::detail::getDefaultCPUGenerator();
  torch::manual_seed(seed);
  torch::Tensor sampler_state = shared.get_state();

  double sum = 0;
  std::int64_t steps = 0;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    model->train();
    shared.set_state(sampler_state);
    auto batch = loader->begin();
    sampler_state = shared.get_state();
    for (; batch != loader->end(); ++batch) {
      seed_dropout(steps);
      optimizer.zero_grad();
      torch::Tensor loss = torch::nll_loss(model->forward(batch->data), batch->target);
      sum += loss.item<float>();
      loss.backward();
      optimizer.step();
      ++steps;
      turn.step();
    }
  }
  return sum / double(steps);
}

}  // namespace

int main(int, char** arguments) {
  const std::string way = arguments[1];
  torch::set_num_threads(std::stoi(arguments[2]));
  const auto digits = bench::digits();
  const Problem problem{ab::normalize(digits.images, 0.1307, 0.3081).unsqueeze(1), digits.labels};
  if (way == "parts") {
    bench::Parts parts;
    by_abyme(problem, fresh_net(), nullptr, &parts);
    parts.print("conv_step");
    return EXIT_SUCCESS;
  }
  bench::Turn turn(block);
  turn.finish(way == "abyme" ? by_abyme(problem, fresh_net(), &turn, nullptr)
                             : by_official_example(problem, fresh_net(), turn));
}
