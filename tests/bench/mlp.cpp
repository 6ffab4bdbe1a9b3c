// A small network, 784-128-10, learns 8,000 digits in batches of 32 by Adam on one thread, 5 epochs long: as
// abyme does it when it is asked nicely, and by hand. All begin with the same weights and see the same
// batches.
//
// race: mlp_vs_official 1 abyme official: LibTorch's example: an item a call, Stack, stock Adam, item()
// race: mlp_vs_tight 1 abyme tight: by hand: indexed batches, fused Adam, gradients none, no item()
// race: mlp_vs_limit 1 abyme row_major|column_major: tight, one buffer, denormals flushed, the better order
// race: mlp_vs_pytorch 1 abyme mlp.py pytorch: PyTorch: DataLoader, Adam, item()
// race: mlp_vs_pytorch_tight 1 abyme mlp.py pytorch_tight: PyTorch: tight, denormals flushed
// race: mlp_vs_jax 1 abyme mlp.py jax: JAX: one jitted step, buffers donated
// print: parts 1

#include <torch/torch.h>

#include <abyme/abyme.hpp>
#include <abyme/optim/tune.hpp>

#include "digits.hpp"
#include "parts.hpp"
#include "turn.hpp"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace {

constexpr std::int64_t epochs = 5, batch_size = 32, block = 50;
constexpr std::uint64_t seed = 1;
constexpr double learning_rate = 1e-3;

struct NetImpl : torch::nn::Module {
  torch::nn::Linear fc1{register_module("fc1", torch::nn::Linear(784, 128))};
  torch::nn::Linear fc2{register_module("fc2", torch::nn::Linear(128, 10))};
  torch::Tensor forward(const torch::Tensor& x) { return fc2(torch::relu(fc1(x))); }
};
TORCH_MODULE(Net);

struct Problem {
  torch::Tensor images, labels;  // [samples, 784] float32, [samples] int64
};

Net fresh_net() {  // the same weights each time
  torch::manual_seed(seed);
  return Net();
}

torch::Tensor criterion(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::cross_entropy_loss(outputs, targets);
}

double by_abyme(const Problem& problem, Net net, bench::Turn* turn, bench::Parts* parts) {
  ab::TensorBatches batches(problem.images, problem.labels, {.batch_size = batch_size, .seed = seed});
  const auto report = ab::tune(net, problem.images.slice(0, 0, batch_size));
  std::cerr << report;
  ab::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(learning_rate));

  ab::Stats loss("loss");
  ab::DataLooper data(batches);
  ab::SupervisedPass pass(net, optimizer, criterion);
  if (parts) parts->hang_before(data, pass);
  data("iteration_end", pass("end", loss));
  if (parts) parts->hang_behind(data);
  if (turn) data("iteration_end", [&] { turn->step(); });
  ab::IterationLooper loop(epochs);
  loop("iteration_end", data);
  ab::Ground()("dig", loop).dig();
  return *loss->average();
}

double by_official_example(const Problem& problem, Net net, bench::Turn& turn) {
  auto dataset = bench::Items(problem.images, problem.labels).map(torch::data::transforms::Stack<>());
  auto loader =
      torch::data::make_data_loader<torch::data::samplers::RandomSampler>(std::move(dataset), batch_size);
  torch::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(learning_rate));
  torch::manual_seed(seed);  // the sampler's

  double sum = 0;
  std::int64_t steps = 0;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    net->train();
    for (const auto& batch : *loader) {
      optimizer.zero_grad();
      torch::Tensor loss = criterion(net->forward(batch.data), batch.target);
      sum += loss.item<float>();
      loss.backward();
      optimizer.step();
      ++steps;
      turn.step();
    }
  }
  return sum / double(steps);
}

/// What both tight loops share: the order of an epoch, as the others draw it.
torch::Tensor draw_order(const Problem& problem, torch::Generator& generator) {
  return torch::randperm(problem.images.size(0), generator, torch::kInt64);
}

/// Adam's kernel for all parameters, each as what `view` makes of it and of its gradient.
struct FusedAdam {
  std::vector<torch::Tensor> parameters, views, gradients, averages, squares, steps;

  FusedAdam(std::vector<torch::Tensor> all, bool transposed)
      : parameters(std::move(all)), transposed_(transposed) {
    for (const torch::Tensor& parameter : parameters) {
      views.push_back(view(parameter.detach()));
      averages.push_back(torch::zeros_like(views.back()));
      squares.push_back(torch::zeros_like(views.back()));
      steps.push_back(torch::zeros({}));
    }
    gradients.resize(parameters.size());
  }
  void zero_grad() {
    for (torch::Tensor& parameter : parameters) parameter.mutable_grad().reset();
  }
  void step() {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      gradients[i] = view(parameters[i].grad());
      *steps[i].data_ptr<float>() += 1;
    }
    at::_fused_adam_(views, gradients, averages, squares, {}, steps, learning_rate, 0.9, 0.999, 0.0, 1e-8,
                     false, false);
    for (torch::Tensor& gradient : gradients) gradient.reset();
  }

private:
  torch::Tensor view(const torch::Tensor& tensor) const {
    return transposed_ && tensor.dim() == 2 ? tensor.t() : tensor;
  }
  bool transposed_;
};

double by_tight_loop(const Problem& problem, Net net, bench::Turn& turn) {
  FusedAdam optimizer(net->parameters(), false);
  auto generator = at::detail::createCPUGenerator(seed);

  torch::Tensor sum = torch::zeros({});
  std::int64_t steps = 0;
  net->train();
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    for (const torch::Tensor& rows : draw_order(problem, generator).split(batch_size)) {
      optimizer.zero_grad();
      torch::Tensor loss =
          criterion(net->forward(problem.images.index_select(0, rows)), problem.labels.index_select(0, rows));
      loss.backward();
      optimizer.step();
      sum += loss.detach();
      ++steps;
      turn.step();
    }
  }
  return sum.item<double>() / double(steps);
}

double by_all_means(const Problem& problem, Net net, bench::Turn& turn, bool column_major) {
  at::globalContext().setFlushDenormal(true);
  for (torch::Tensor& parameter : net->parameters()) {
    if (column_major && parameter.dim() == 2) parameter.set_data(parameter.detach().t().contiguous().t());
  }
  FusedAdam optimizer(net->parameters(), column_major);
  auto generator = at::detail::createCPUGenerator(seed);
  torch::Tensor inputs = torch::empty({batch_size, problem.images.size(1)});
  torch::Tensor targets = torch::empty({batch_size}, torch::kInt64);

  double sum = 0;
  std::int64_t steps = 0;
  net->train();
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    const torch::Tensor order = draw_order(problem, generator);
    for (std::int64_t first = 0; first < order.size(0); first += batch_size) {
      const torch::Tensor rows = order.narrow(0, first, batch_size);
      at::index_select_out(inputs, problem.images, 0, rows);
      at::index_select_out(targets, problem.labels, 0, rows);
      optimizer.zero_grad();
      torch::Tensor loss = criterion(net->forward(inputs), targets);
      loss.backward();
      optimizer.step();
      sum += *loss.const_data_ptr<float>();
      ++steps;
      turn.step();
    }
  }
  return sum / double(steps);
}

/// What a script needs to do the same.
void write_problem(const Problem& problem, const std::filesystem::path& folder) {
  auto generator = at::detail::createCPUGenerator(seed);
  std::vector<torch::Tensor> orders;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) orders.push_back(draw_order(problem, generator));
  std::vector<ab::NamedTensor> tensors{
      {"images", problem.images}, {"labels", problem.labels}, {"orders", torch::stack(orders)}};
  for (const auto& weight : fresh_net()->named_parameters())
    tensors.push_back({weight.key(), weight.value()});
  ab::File file(folder / "mlp.safetensors", ab::File::Open::create);
  ab::write_safetensors(file, tensors);
}

}  // namespace

int main(int, char** arguments) {
  const std::string way = arguments[1];
  torch::set_num_threads(1);
  const auto digits = bench::digits();
  const Problem problem{digits.images.flatten(1).to(torch::kFloat).div_(255), digits.labels};
  if (way == "problem") {
    write_problem(problem, arguments[2]);
    return EXIT_SUCCESS;
  }
  if (way == "parts") {
    bench::Parts parts;
    by_abyme(problem, fresh_net(), nullptr, &parts);
    parts.print("mlp_step");
    return EXIT_SUCCESS;
  }
  bench::Turn turn(block);
  if (way == "abyme") turn.finish(by_abyme(problem, fresh_net(), &turn, nullptr));
  else if (way == "official") turn.finish(by_official_example(problem, fresh_net(), turn));
  else if (way == "tight") turn.finish(by_tight_loop(problem, fresh_net(), turn));
  else turn.finish(by_all_means(problem, fresh_net(), turn, way == "column_major"));
}
