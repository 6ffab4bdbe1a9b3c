#include <abyme/data/batch.hpp>
#include <abyme/dialect/cuda_graph.hpp>
#include <abyme/dialect/data_parallel.hpp>
#include <abyme/dialect/managed.hpp>
#include <abyme/dialect/tasks.hpp>
#include <abyme/stats/metrics/accuracy.hpp>

#include "support/error_of.hpp"

#include <torch/torch.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ab = abyme;

namespace managed_tests {

namespace tasks = abyme::tasks;
using tests::error_of;

namespace {

torch::nn::Sequential model_of(std::uint64_t seed) {
  torch::manual_seed(seed);
  return torch::nn::Sequential(torch::nn::Linear(4, 8), torch::nn::BatchNorm1d(8), torch::nn::ReLU(),
                               torch::nn::Linear(8, 3));
}
std::vector<ab::Batch> batches(std::int64_t size = 6) {
  torch::manual_seed(7);
  std::vector<ab::Batch> all;
  for (int i = 0; i < 5; ++i) all.push_back({torch::randn({size, 4}), torch::randint(3, {size})});
  return all;
}
const auto classify = [](auto& state, const ab::Batch& batch) {
  const torch::Tensor outputs = state.model->forward(batch.inputs);
  state.statistics["accuracy"].update(outputs, batch.targets, {});
  return ab::Logs()
      .add_loss("loss", torch::nn::functional::cross_entropy(outputs, batch.targets), {.metric = true})
      .add_loss("penalty", 1e-2 * state.model->parameters()[0].square().sum())
      .add_output("preds", outputs);
};
auto state_of(const torch::nn::Sequential& model, tasks::Strategy strategy = tasks::eager()) {
  auto state = tasks::managed(
      model, torch::optim::SGD(model->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9)),
      std::move(strategy));
  state.statistics.add("accuracy", ab::metrics::Accuracy());
  return state;
}
double difference(const torch::nn::Sequential& a, const torch::nn::Sequential& b) {
  double most = 0;
  for (std::size_t i = 0; i < a->parameters().size(); ++i)
    most = std::max(most, (a->parameters()[i] - b->parameters()[i]).abs().max().item<double>());
  return most;
}

}  // namespace

TEST_CASE("a managed step differentiates the sum of its losses, as a loop by hand does", "[dialect]") {
  const auto data = batches();
  auto by_hand = model_of(1);
  torch::optim::SGD optimizer(by_hand->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  std::vector<double> losses;
  double right = 0, seen = 0;
  std::vector<double> accuracies;
  for (const auto& batch : data) {
    optimizer.zero_grad();
    const auto outputs = by_hand->forward(batch.inputs);
    const auto loss = torch::nn::functional::cross_entropy(outputs, batch.targets);
    (loss + 1e-2 * by_hand->parameters()[0].square().sum()).backward();
    optimizer.step();
    losses.push_back(loss.item<double>());
    right += outputs.argmax(1).eq(batch.targets).sum().item<double>();
    seen += double(batch.targets.size(0));
    accuracies.push_back(right / seen);
  }

  const auto model = model_of(1);
  const auto [state, history, elapsed] = tasks::loop(state_of(model), data, {tasks::train_step(classify)});
  CHECK(difference(model, by_hand) == 0);
  CHECK(history.collect("metrics.loss") == losses);
  CHECK(history.collect("accuracy") == accuracies);
  CHECK(history.collect<torch::Tensor>("preds")[0].numel() == 6 * 3);
  CHECK_FALSE(history.collect<torch::Tensor>("preds")[0].requires_grad());
  CHECK(state.step == 5);
  CHECK(model->is_training());
}

TEST_CASE("a step without gradients evaluates, and changes nothing but its statistics", "[dialect]") {
  const auto model = model_of(1), before = model_of(1);
  bool had_gradients = true, was_training = true;
  const auto evaluate = tasks::step([&](auto& state, const ab::Batch& batch, const ab::Elapsed&) {
    const torch::Tensor outputs = state.model->forward(batch.inputs);
    had_gradients = outputs.requires_grad();
    was_training = state.model->is_training();
    state.statistics["accuracy"].update(outputs, batch.targets, {});
    return ab::Logs();
  });
  const auto result = tasks::loop(state_of(model), batches(), {evaluate});
  CHECK_FALSE(had_gradients);
  CHECK_FALSE(was_training);
  CHECK(model->is_training());  // put back
  CHECK(difference(model, before) == 0);
  CHECK(result.state.step == 0);
  CHECK(result.history.size() == 5);
}

TEST_CASE("data parallel on two devices gives what one gives for the whole batch", "[dialect]") {
  // Without the batch norm, whose statistics are of a share.
  const auto plain = [](std::uint64_t seed) {
    torch::manual_seed(seed);
    return torch::nn::Sequential(torch::nn::Linear(4, 8), torch::nn::Tanh(), torch::nn::Linear(8, 3));
  };
  const auto whole = plain(3), shared = plain(3);
  const auto expected = tasks::loop(state_of(whole), batches(), {tasks::train_step(classify)});
  const auto got = tasks::loop(state_of(shared, tasks::data_parallel({torch::kCPU, torch::kCPU})), batches(),
                               {tasks::train_step(classify)});
  CHECK(difference(whole, shared) < 1e-6);
  CHECK(difference(plain(3), shared) > 1e-3);
  const auto losses = expected.history.collect("metrics.loss"), shares = got.history.collect("metrics.loss");
  for (std::size_t i = 0; i < losses.size(); ++i) CHECK(shares[i] == Approx(losses[i]).epsilon(1e-5));
  CHECK(got.history.collect("accuracy") == expected.history.collect("accuracy"));
  CHECK(got.history.collect<torch::Tensor>("preds")[4].allclose(
      expected.history.collect<torch::Tensor>("preds")[4], 1e-4, 1e-5));
  CHECK(got.state.step == 5);

  CHECK(error_of([&] {
          tasks::loop(state_of(shared, tasks::data_parallel({torch::kCPU, torch::kCPU})), batches(5),
                      {tasks::train_step(classify)});
        }).find("data_parallel: a batch is split evenly over the devices, got 5 samples for 2") !=
        std::string::npos);
  if (!torch::cuda::is_available()) {
    CHECK(error_of([] { tasks::data_parallel(); }) ==
          "data_parallel: it needs CUDA devices, got none on this machine; name the devices, or take "
          "ab::tasks::eager()");
    CHECK(error_of([] { tasks::cuda_graph(); }) ==
          "cuda_graph: it needs a CUDA device, got none on this machine; take ab::tasks::eager()");
  }
}

TEST_CASE("batch norm's statistics are averaged over the devices", "[dialect]") {
  const auto model = model_of(1);
  const auto data = std::vector{batches()[0]};
  tasks::loop(state_of(model, tasks::data_parallel({torch::kCPU, torch::kCPU})), data,
              {tasks::train_step(classify)});
  auto first = model_of(1), second = model_of(1);
  first->forward(data[0].inputs.slice(0, 0, 3));
  second->forward(data[0].inputs.slice(0, 3));
  const auto mean = [](const torch::nn::Sequential& each) { return each->named_buffers()["1.running_mean"]; };
  CHECK(mean(model).allclose((mean(first) + mean(second)) / 2));
}

TEST_CASE("autocast computes the function in bfloat16, parameters stay what they are", "[dialect]") {
  const auto model = model_of(1);
  torch::Dtype seen = torch::kFloat;
  const auto result =
      tasks::loop(state_of(model, tasks::autocast()), batches(),
                  {tasks::train_step([&](auto& state, const ab::Batch& batch) {
                    const torch::Tensor outputs = state.model->forward(batch.inputs);
                    seen = outputs.scalar_type();
                    return ab::Logs().add_loss("loss", outputs.to(torch::kFloat).square().mean());
                  })});
  CHECK(seen == torch::kBFloat16);
  CHECK(model->parameters()[0].scalar_type() == torch::kFloat);
  CHECK(error_of([] { tasks::autocast(torch::kHalf); }) ==
        "autocast: the dtype must be BFloat16, got Half; float16 needs a loss scale, which an "
        "ab::SupervisedPass has");
}

TEST_CASE("strategies have names; one's own can be registered", "[dialect]") {
  struct Twice : tasks::reflect::EagerRunner {
    Twice() : EagerRunner(std::nullopt) {}
    ab::Logs run(tasks::StepOnce& step) override {
      EagerRunner::run(step);
      return EagerRunner::run(step);
    }
  };
  if (error_of([] { tasks::get_strategy("twice"); }) != "no error") {
    CHECK(
        error_of([] { tasks::get_strategy("twice"); }) ==
        "get_strategy: it must be one of autocast, cuda_graph, data_parallel, eager, got \"twice\"; register "
        "it, or take one of these");
    tasks::register_strategy("twice", [] {
      return tasks::Strategy{"twice", [] { return std::make_unique<Twice>(); }};
    });
  }
  CHECK(error_of([] { tasks::register_strategy("twice", tasks::eager); }) ==
        "register_strategy: a name is given once, got \"twice\" again; take another");
  int calls = 0;
  const auto step = tasks::train_step([&](auto& state) {
    ++calls;
    return ab::Logs().add_loss("loss", state.model->parameters()[0].sum());
  });
  tasks::loop(state_of(model_of(1)).with_strategy("twice"), batches(), {step});
  CHECK(calls == 10);
  CHECK(tasks::eager() == tasks::get_strategy("eager"));
  CHECK_FALSE(tasks::eager() == tasks::autocast());
}

TEST_CASE("what a managed step can't do is told", "[dialect]") {
  const auto told = [](auto function) {
    return error_of([&] { tasks::loop(state_of(model_of(1)), batches(), {tasks::train_step(function)}); });
  };
  CHECK(told([](auto&) {
          return ab::Logs().add_metric("loss", 1.0);
        }).find("a training step: it must log a loss to be differentiated, got none") != std::string::npos);
  CHECK(told([](auto& state) {
          return ab::Logs().add_loss("loss", state.model->parameters()[0]);
        }).find("a loss must be a tensor with one element, got Tensor[8, 4] for \"loss\"") !=
        std::string::npos);
  CHECK(told([](auto& state) {
          state.statistics["f1"];
          return ab::Logs();
        }).find("a metric must be one of accuracy, got \"f1\"") != std::string::npos);
}

}  // namespace managed_tests
