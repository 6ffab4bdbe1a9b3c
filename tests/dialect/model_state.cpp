#include <abyme/data/batch.hpp>
#include <abyme/dialect/loops.hpp>
#include <abyme/dialect/model_state.hpp>
#include <abyme/stats/metrics/accuracy.hpp>

#include "support/error_of.hpp"

#include <torch/torch.h>

#include <catch2/catch.hpp>

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace model_state_tests {

namespace tasks = abyme::tasks;

namespace {

torch::nn::Linear model_of(std::uint64_t seed) {
  torch::manual_seed(seed);
  return torch::nn::Linear(4, 3);
}
torch::optim::SGD sgd(const torch::nn::Linear& model) { return torch::optim::SGD(model->parameters(), 0.1); }
std::vector<ab::Batch> batches(int count, std::uint64_t seed) {
  torch::manual_seed(seed);
  std::vector<ab::Batch> all;
  for (int i = 0; i < count; ++i) {
    const std::int64_t size = i + 1 < count ? 6 : 2;
    all.push_back({torch::randn({size, 4}), torch::randint(3, {size})});
  }
  return all;
}
torch::Tensor cross_entropy(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return torch::nn::functional::cross_entropy(outputs, targets);
}

}  // namespace

TEST_CASE("a model, an optimizer, losses and metrics are a state that trains, tests and predicts",
          "[dialect]") {
  const auto train = batches(4, 1), test = batches(3, 2);

  // By hand: two epochs of two batches, an evaluation behind each, in which the metrics are those of that
  // alone.
  auto by_hand = model_of(1);
  auto optimizer = sgd(by_hand);
  std::vector<double> losses, test_losses, test_accuracies;
  for (std::size_t i = 0; i < train.size(); ++i) {
    optimizer.zero_grad();
    const auto loss = cross_entropy(by_hand->forward(train[i].inputs), train[i].targets);
    loss.backward();
    optimizer.step();
    losses.push_back(loss.item<double>());
    if (i % 2 == 0) continue;
    const torch::NoGradGuard no_grad;
    double sum = 0, right = 0, samples = 0;
    for (const auto& batch : test) {
      const auto outputs = by_hand->forward(batch.inputs);
      sum += cross_entropy(outputs, batch.targets).item<double>() * double(batch.targets.size(0));
      right += outputs.argmax(1).eq(batch.targets).sum().item<double>();
      samples += double(batch.targets.size(0));
    }
    test_losses.push_back(sum / samples);
    test_accuracies.push_back(right / samples);
  }

  auto model = model_of(1);
  auto state = tasks::create_state(model, sgd(model),
                                   {.losses = {{"loss", torch::nn::CrossEntropyLoss()}},
                                    .metrics = {{"accuracy", ab::metrics::Accuracy()}}});
  const auto result =
      tasks::train_loop(state, train, {}, {.test_data = [&] { return test; }, .epoch_duration = 2});
  CHECK(result.history.collect("losses.loss") == losses);
  const auto averages = result.history.collect("stateful_metrics.avg_loss_test");
  REQUIRE(averages.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) CHECK(averages[i] == Approx(test_losses[i]).epsilon(1e-6));
  CHECK(result.history.collect("accuracy_test") == test_accuracies);
  CHECK(model->weight.equal(by_hand->weight));
  CHECK(state.step == 4);

  const auto predicted =
      tasks::predict_loop(state, std::vector<torch::Tensor>{test[0].inputs, test[2].inputs});
  const torch::NoGradGuard no_grad;
  CHECK(tasks::predictions(predicted.history)
            .equal(torch::cat({by_hand->forward(test[0].inputs), by_hand->forward(test[2].inputs)})));
}

TEST_CASE("losses are added up, metrics may be functions, and samples may have weights", "[dialect]") {
  using Weighted = std::tuple<torch::Tensor, torch::Tensor, torch::Tensor>;
  auto model = model_of(1);
  const auto weighted = [](const torch::Tensor& outputs, const torch::Tensor& targets,
                           const torch::Tensor& weights) {
    const auto each = (outputs - targets).square().mean(1);
    return weights.defined() ? each.mul(weights).sum() / weights.sum() : each.mean();
  };
  const auto error = [](const torch::Tensor& outputs, const torch::Tensor& targets) {
    return (outputs - targets).abs().mean();
  };
  auto state = tasks::create_state(
      model, sgd(model),
      {.losses = {{"main", weighted}, {"side", error}}, .metrics = {{"error", error}, {"avg_side", error}}});
  const auto inputs = torch::randn({4, 4}), targets = torch::randn({4, 3}),
             weights = torch::tensor({1.0F, 0.0F, 2.0F, 1.0F});
  auto by_hand = model_of(1);
  const auto outputs = by_hand->forward(inputs);
  const auto main = weighted(outputs, targets, weights), side = error(outputs, targets);
  (main + side).backward();
  const ab::Logs logs = state.train_step(Weighted{inputs, targets, weights});
  CHECK(logs.get<double>("losses.main") == main.item<double>());
  CHECK(logs.get<double>("side") == side.item<double>());
  CHECK(logs.get<double>("error") == Approx(side.item<double>()));
  CHECK(logs.get<double>("avg_side") == Approx(side.item<double>()));  // the metric of that name
  CHECK((model->weight - (by_hand->weight - 0.1 * by_hand->weight.grad())).abs().max().item<double>() < 1e-7);
  state.test_step(std::pair{inputs, targets * 2});
  state.reset_step();
  CHECK(state.test_step(std::pair{inputs, inputs.slice(1, 0, 3)}).get<double>("error") ==
        Approx(error(model->forward(inputs), inputs.slice(1, 0, 3)).item<double>()));
  CHECK(tests::error_of([&] { state.train_step(inputs); }) ==
        "a train or test step: a batch must have targets, got inputs alone; give pairs, or ab::Batch");
}

}  // namespace model_state_tests
