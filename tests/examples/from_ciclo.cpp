// The code of docs/from_ciclo.md.

#include <torch/torch.h>

#include <abyme/dialect/ciclo.hpp>

#include <catch2/catch.hpp>

#include "support/folder.hpp"

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;
using namespace std::chrono_literals;

namespace from_ciclo_tests {
namespace {

using Steps = std::vector<std::int64_t>;

struct State {
  torch::nn::Linear model{3, 1};
  torch::optim::SGD optimizer{model->parameters(), 0.1};
};

ab::Logs train_step(State& state, const ab::Batch& batch) {
  const torch::Tensor loss = torch::mse_loss(state.model->forward(batch.inputs), batch.targets);
  state.optimizer.zero_grad();
  loss.backward();
  state.optimizer.step();
  return ab::Logs().add_metric("loss", loss);
}

ab::Logs test_step(State& state, const ab::Batch& batch) {
  const torch::NoGradGuard no_grad;
  return ab::Logs().add_metric("loss", torch::mse_loss(state.model->forward(batch.inputs), batch.targets));
}

// 12 batches of 8 samples, and 2 of 20.
ab::TensorBatches data_of(std::int64_t samples, std::int64_t batch_size) {
  torch::manual_seed(1);
  const torch::Tensor inputs = torch::randn({samples, 3});
  return {inputs, inputs.sum(1, true), {.batch_size = batch_size}};
}

}  // namespace

TEST_CASE("from Ciclo: time") {
  auto dataset = data_of(96, 8);
  std::int64_t batches = 0;
  ab::Elapsed last;

  const ab::Period end_period = ab::steps(10) || 10min;

  for (const auto& [elapsed, batch] : ab::elapse(dataset)) {
    // elapsed.steps, .samples, .time, .date: what was finished before this batch
    if (elapsed >= end_period) break;
    ++batches;
    last = elapsed;
  }
  CHECK(batches == 10);
  CHECK(last.samples == 72);

  batches = 0;
  for (const auto& [elapsed, batch] : ab::elapse(dataset, {.stop = end_period})) {
    last = elapsed;
    ++batches;
  }
  CHECK(batches == 10);
}

TEST_CASE("from Ciclo: schedules") {
  auto dataset = data_of(96, 8);

  ab::Schedule evaluate = ab::every(5);
  ab::Schedule save = ab::every(ab::samples(30)) || ab::every(5min);
  ab::Schedule warm_up = ab::after(3).every(4);
  ab::Schedule rarer = ab::piecewise(ab::every(1), {{3, ab::every(4)}});
  ab::Schedule late = ab::after(10) && [](const ab::Elapsed& elapsed) { return elapsed.samples % 2 == 0; };
  ab::Schedule first = !ab::after(2);

  Steps evaluated, saved, warm, rare, ends, begins;
  for (const auto& [elapsed, batch] : ab::elapse(dataset)) {
    if (evaluate(elapsed)) evaluated.push_back(elapsed.steps);
    if (save(elapsed)) saved.push_back(elapsed.steps);
    if (warm_up(elapsed)) warm.push_back(elapsed.steps);
    if (rarer(elapsed)) rare.push_back(elapsed.steps);
    if (late(elapsed)) ends.push_back(elapsed.steps);
    if (first(elapsed)) begins.push_back(elapsed.steps);
  }
  CHECK(evaluated == Steps{0, 5, 10});
  CHECK(saved == Steps{4, 8});  // 32 samples, 64
  CHECK(warm == Steps{3, 7, 11});
  CHECK(rare == Steps{0, 1, 2, 3, 7, 11});
  CHECK(ends == Steps{10, 11});
  CHECK(begins == Steps{0, 1});
}

TEST_CASE("from Ciclo: logs and history") {
  const tests::Folder folder;
  auto dataset = data_of(96, 8);
  State state;

  ab::History history;

  for (const auto& [elapsed, batch] : ab::elapse(dataset)) {
    ab::Logs logs;
    logs.merge(train_step(state, batch));
    logs.add_loss("penalty", 0.5, {.metric = true}).add_output("inputs", batch.inputs);
    logs.add("timing", "load", 3ms);
    history.commit(elapsed, logs);
  }
  const auto [steps, loss] = history.collect("steps", "loss");
  const double first_loss = history[0].logs.get<double>("metrics.loss");
  const std::vector<torch::Tensor> inputs = history.collect<torch::Tensor>("outputs.inputs");
  history.to_csv(folder / "history.csv");
  history.to_jsonl(folder / "history.jsonl");

  CHECK(steps.size() == 12);
  CHECK(loss[0] == first_loss);
  CHECK(loss[11] < loss[0]);
  CHECK(inputs[0].sizes() == torch::IntArrayRef{8, 3});
  CHECK(ab::History::from_csv(folder / "history.csv").collect("loss") == loss);
  CHECK(ab::History::from_jsonl(folder / "history.jsonl").collect("losses.penalty")[0] == 0.5);
}

TEST_CASE("from Ciclo: the loop") {
  const tests::Folder folder;
  auto dataset = data_of(96, 8);
  const std::int64_t total_steps = 10;
  std::vector<double> reported;
  std::int64_t before = 0;
  const auto report = [&](State&, const ab::Batch&, const ab::Elapsed&, auto& loop) {
    reported.push_back(loop.history.logs().template get<double>("loss"));
  };
  const auto print_start = [&] { ++before; };

  auto [state, history, elapsed] =
      ab::tasks::loop(State(), dataset,
                      {{ab::every(1), train_step},
                       {ab::every(5), {ab::tasks::checkpoint(folder / "my-model"), report}},
                       ab::tasks::keras_bar(total_steps, {.verbose = 0})},
                      {.stop = total_steps, .on_start = print_start});

  CHECK(history.collect("steps") == std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(elapsed.steps == 10);
  CHECK(before == 1);
  const std::vector<double> loss = history.collect("loss");
  CHECK(reported == std::vector<double>{loss[0], loss[5]});

  const auto more =
      ab::tasks::loop(state, dataset, {train_step}, {.stop = 15, .history = history, .elapsed = elapsed});
  CHECK(more.elapsed.steps == 15);
  CHECK(more.history.collect("steps").back() == 14);
}

TEST_CASE("from Ciclo: the tree of a loop goes on from its checkpoint") {
  const tests::Folder folder;
  const auto train = [&](std::int64_t steps, const std::string& to) {
    auto dataset = data_of(96, 8);
    State state;
    const ab::History history;

    ab::Ground ground =
        ab::tasks::tree(state, dataset, {train_step, {ab::every(3), ab::tasks::checkpoint(to)}},
                        {.stop = steps, .history = history, .signals = {SIGINT, SIGTERM}});
    ground.resume(ab::Snapshot(to)).dig();

    return history.collect("loss");
  };
  const auto whole = train(9, folder / "whole");
  train(7, folder / "model");
  CHECK(train(9, folder / "model") == whole);
}

TEST_CASE("from Ciclo: what a step function takes and returns") {
  using Loop = ab::tasks::LoopState<State, ab::Batch>;
  std::vector<ab::tasks::Task<State, ab::Batch>> list;
  std::int64_t calls = 0;
  list.emplace_back([&] { ++calls; });
  list.emplace_back([&](State&) { return State(); });  // the new state
  list.emplace_back(
      [&](State&, const ab::Batch& batch) { return ab::Logs().add_metric("samples", batch.inputs.size(0)); });
  list.emplace_back([&](State&, const ab::Batch&, const ab::Elapsed& elapsed) {
    return std::pair{std::optional(ab::Logs().add_metric("half", double(elapsed.steps) / 2)),
                     std::optional<State>()};
  });
  list.emplace_back([&](State&, const ab::Batch&, const ab::Elapsed&, Loop& loop) {
    loop.stop_iteration = loop.history.logs().get<double>("half") > 1;
  });
  auto dataset = data_of(96, 8);
  const auto history = ab::tasks::loop(State(), dataset, list).history;
  CHECK(calls == 4);
  CHECK(history.collect("half") == std::vector<double>{0, 0.5, 1, 1.5});
}

namespace {

struct Reporter {
  std::ostringstream& out;
  void on_epoch_end(State&, const ab::Batch&, const ab::Elapsed&, auto& loop) {
    out << "epoch ends, step " << loop.elapsed.steps << '\n';
  }
};

}  // namespace

TEST_CASE("from Ciclo: a train loop") {
  const tests::Folder folder;
  auto train_data = data_of(96, 8);
  std::ostringstream out;
  Reporter reporter{out};

  auto [state, history, elapsed] = ab::tasks::train_loop(
      State(), train_data,
      {{"train_step", train_step}, {"test_step", test_step}, {ab::every(100), ab::tasks::noop()}},
      {.callbacks = {reporter, ab::tasks::early_stopping("loss_test", 9),
                     ab::tasks::checkpoint(folder / "best", {.monitor = "loss_test"})},
       .test_data = [] { return data_of(40, 20); },
       .epoch_duration = 4,
       .evaluation = {.aggregation = ab::tasks::Aggregate::sample_mean},
       .loop = {.stop = ab::samples(96)}});

  CHECK(out.str() == "epoch ends, step 3\nepoch ends, step 7\nepoch ends, step 11\n");
  CHECK(history.collect("steps", "loss_test") ==
        std::tuple(std::vector<double>{3, 7, 11}, history.collect("loss_test")));
  CHECK(std::filesystem::exists(folder / "best/best.safetensors"));
}

TEST_CASE("from Ciclo: the same nodes in a tree") {
  const tests::Folder folder;
  auto batches = data_of(96, 8), held_out = data_of(40, 20);
  torch::nn::Linear model(3, 1);
  torch::optim::SGD optimizer(model->parameters(), 0.1);
  const auto criterion = [](const torch::Tensor& outputs, const torch::Tensor& targets) {
    return torch::mse_loss(outputs, targets);
  };
  ab::IterationLooper epochs(3);
  ab::DataLooper train_data(batches), test_data(held_out);
  ab::SupervisedPass train_pass(model, optimizer, criterion), test_pass(model, criterion);
  ab::Stats test_loss("loss");
  ab::Snapshot snapshots(folder / "runs");
  ab::History history;

  train_data("iteration_end", train_pass("end", history.add_caller_to_row({"loss"})), history.commit_row(),
             ab::On(ab::every(1000) || ab::every(5min))("dig", snapshots));
  test_data("iteration_end", test_pass("end", test_loss));
  epochs("iteration_end", train_data, test_data,
         ab::EarlyStopping("average", 5, model).focus(test_loss)("dig", ab::Break(epochs)),
         ab::Reset(test_loss));

  ab::Ground ground;
  ground("dig", epochs);
  ground.dig();
  CHECK(history.size() == 36);
  CHECK(history.collect("samples").back() == 36 * 8);
}

TEST_CASE("from Ciclo: an inner loop, and predictions") {
  auto dataset = data_of(96, 8), valid_data = data_of(40, 20);

  const auto validate = [&](State& state) { return ab::tasks::loop(state, valid_data, {test_step}); };
  auto [state, history, elapsed] =
      ab::tasks::loop(State(), dataset,
                      {train_step,
                       {ab::every(5), ab::tasks::inner_loop("valid", validate,
                                                            {.aggregation = ab::tasks::Aggregate::mean})}});

  CHECK(history.collect("steps", "loss_valid") ==
        std::tuple(std::vector<double>{0, 5, 10}, history.collect("loss_valid")));

  const auto predict_step = [](State& now, const ab::Batch& batch) {
    return ab::Logs().add_output("preds", now.model->forward(batch.inputs));
  };
  auto inputs = data_of(40, 20);
  const auto predicted = ab::tasks::predict_loop(state, inputs, {{"predict_step", predict_step}});
  const torch::Tensor preds = ab::tasks::predictions(predicted.history);
  CHECK(preds.sizes() == torch::IntArrayRef{40, 1});
}

namespace {

torch::Tensor absolute_error(const torch::Tensor& outputs, const torch::Tensor& targets) {
  return (outputs - targets).abs().mean();
}

}  // namespace

TEST_CASE("from Ciclo: managed steps") {
  auto dataset = data_of(96, 8);
  torch::nn::Linear model(3, 1);
  torch::optim::SGD optimizer(model->parameters(), 0.1);

  const auto train_step = ab::tasks::train_step([](auto& state, const ab::Batch& batch) {
    const torch::Tensor outputs = state.model->forward(batch.inputs);
    state.statistics["mae"].update(outputs, batch.targets);
    return ab::Logs().add_loss("loss", torch::mse_loss(outputs, batch.targets), {.metric = true});
  });
  auto managed = ab::tasks::managed(model, optimizer).with_strategy("eager");
  managed.statistics.add("mae", ab::metrics::MeanAbsoluteError());

  auto [state, history, elapsed] = ab::tasks::loop(managed, dataset, {train_step});

  CHECK(state.step == 12);
  CHECK(history.collect("metrics.loss")[11] < history.collect("metrics.loss")[0]);
  CHECK(history.collect("stateful_metrics.mae").size() == 12);
}

TEST_CASE("from Ciclo: a ready-made state") {
  auto train_data = data_of(96, 8), test_data = data_of(40, 20);
  torch::nn::Linear model(3, 1);

  auto state =
      ab::tasks::create_state(model, ab::optim::Adam(model->parameters(), torch::optim::AdamOptions(1e-2)),
                              {.losses = {{"loss", torch::nn::MSELoss()}},
                               .metrics = {{"mae", absolute_error}, {"r2", ab::metrics::R2()}}});
  const auto trained = ab::tasks::train_loop(
      state, train_data, {}, {.test_data = [] { return data_of(40, 20); }, .epoch_duration = 6});
  const auto tested = ab::tasks::test_loop(state, test_data);
  const auto predicted = ab::tasks::predict_loop(state, test_data);
  const torch::Tensor preds = ab::tasks::predictions(predicted.history);

  CHECK(state.step == 12);
  const auto errors = trained.history.collect("mae_test");
  CHECK(errors.size() == 2);
  CHECK(tested.history.collect("mae").back() == Approx(errors.back()));
  CHECK(preds.sizes() == torch::IntArrayRef{40, 1});
}

}  // namespace from_ciclo_tests
