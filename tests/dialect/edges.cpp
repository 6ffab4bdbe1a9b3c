#include <abyme/dialect/ciclo.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"

#include <torch/torch.h>

#include <catch2/catch.hpp>

#include <cmath>
#include <csignal>
#include <cstdint>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace edges_tests {

namespace tasks = abyme::tasks;
using tests::error_of, tests::Folder;

namespace {

using Steps = std::vector<std::int64_t>;

struct State {
  std::int64_t sum = 0;
};
const std::vector<int> numbers{1, 2, 3, 4, 5, 6};

// Logs these, one a step, then the last again.
auto logging(std::string name, std::vector<double> values) {
  return [name, values](State&, const int&, const ab::Elapsed& elapsed) {
    return ab::Logs().add_metric(name, values[std::min(values.size() - 1, std::size_t(elapsed.steps))]);
  };
}
std::string steps_of(const ab::History& history) {
  std::string text;
  for (const auto& row : history) text += fmt::format("{} ", row.elapsed.steps);
  return text;
}

}  // namespace

TEST_CASE("what snapshots can't hold of a state is told, and what a pointer owns is held", "[dialect]") {
  const Folder folder;
  struct Mapped {
    double loss = 0;
    std::map<std::string, torch::Tensor> weights;
  };
  const std::string error =
      error_of([&] { tasks::loop(Mapped(), numbers, {tasks::checkpoint(folder / "mapped")}); });
  CHECK(error.find(
            "checkpoint: the state is a struct whose members are models, optimizers and values, or a class "
            "with save and load, got state.weights, a std::") == 0);

  struct Owning {
    torch::nn::Linear model{1, 1};
    std::unique_ptr<torch::optim::Optimizer> optimizer =
        std::make_unique<torch::optim::SGD>(model->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
    std::function<double(double)> schedule;
  };
  const auto train = [&](int steps, const std::string& to) {
    torch::manual_seed(1);
    Owning state;
    auto ground = tasks::tree(state, std::vector<int>(8),
                              {[](Owning& now) {
                                 now.optimizer->zero_grad();
                                 now.model->forward(torch::ones({1, 1})).square().sum().backward();
                                 now.optimizer->step();
                               },
                               tasks::checkpoint(folder / to)},
                              {.stop = steps});
    ground.resume(ab::Snapshot(folder / to)).dig();
    return state.model->weight.item<float>();
  };
  const float whole = train(8, "whole");
  train(4, "cut");
  CHECK(train(8, "cut") == whole);
}

TEST_CASE("on_end has the last batch when the data has let go of it", "[dialect]") {
  using Batch = torch::data::Example<>;
  const auto data = [] {
    return torch::data::make_data_loader<torch::data::samplers::SequentialSampler>(
        torch::data::datasets::TensorDataset(
            std::vector{torch::tensor(1.0), torch::tensor(2.0), torch::tensor(3.0)})
            .map(torch::data::transforms::Lambda<torch::data::TensorExample, Batch>(
                [](torch::data::TensorExample example) { return Batch(example.data, example.data); }))
            .map(torch::data::transforms::Stack<>()),
        2);
  };
  double last = 0;
  tasks::loop(State(), data(), {[] {}},
              {.on_end = [&](State&, const Batch& batch) { last = batch.data.sum().item<double>(); }});
  CHECK(last == 3);
  tasks::loop(State(), data(), {[] {}}, {.stop = 1, .on_end = [&](State&, const Batch& batch) {
                                           last = batch.data.sum().item<double>();
                                         }});
  CHECK(last == 3);  // 1 + 2

  const Folder folder;
  for (int start = 0; start < 2; ++start) {  // the second goes on in on_end
    State state;
    int seen = 0;
    auto ground = tasks::tree(
        state, numbers, {[] {}},
        {.on_end = {tasks::checkpoint(folder / "runs"), [&](State&, const int& batch) { seen = batch; }}});
    ground.resume(ab::Snapshot(folder / "runs")).dig();
    CHECK(seen == 6);
  }

  double tested = 0;  // test data may be a loader too
  tasks::train_loop(
      State(), data(),
      {{"test_step", [&](State&, const Batch& batch) { tested += batch.data.sum().item<double>(); }}},
      {.test_data = data, .epoch_duration = 2});
  CHECK(tested == 6);
}

TEST_CASE("a loop that hangs in another one begins anew with each dig", "[dialect]") {
  std::ostringstream out;
  Steps epochs;
  int steps = 0, stopped = 0;
  ab::IterationLooper folds(3);
  State state;
  const auto train = [&](State&, const int&, const ab::Elapsed& elapsed) {
    ++steps;  // better in the first fold than in all others
    return ab::Logs().add_metric("loss",
                                 folds->counter == 0 ? double(elapsed.steps) : 10.0 + double(elapsed.steps));
  };
  folds("iteration_start",
        tasks::train_tree(state, numbers, {{"train_step", train}, tasks::keras_bar(out, 6, {.lines = 1})},
                          {.callbacks = {tasks::early_stopping("loss", 3)},
                           .epoch_duration = 1,
                           .loop = {.on_end = [&] { stopped = steps; }}}));
  ab::Ground()("dig", folds).dig();
  CHECK(stopped == 12);  // in each fold the first is the best, and three are no better

  ab::IterationLooper twice(2);
  twice("iteration_start", tasks::train_tree(state, numbers,
                                             {{"on_epoch_end",
                                               [&](State&, const int&, const ab::Elapsed& elapsed) {
                                                 epochs.push_back(elapsed.samples);
                                               }},
                                              tasks::keras_bar(out, 6, {.lines = 1}),
                                              logging("loss", {1})},
                                             {.epoch_duration = ab::samples(3)}));
  ab::Ground()("dig", twice).dig();
  CHECK(epochs == Steps{2, 5, 2, 5});
  std::size_t ends = 0;
  for (std::size_t at = out.str().find("6/6 "); at != std::string::npos; at = out.str().find("6/6 ", at + 1))
    ++ends;
  CHECK(ends == 2);
}

TEST_CASE("a second loop goes on with epochs, schedules and bars where the first ended", "[dialect]") {
  Steps epochs, due;
  std::ostringstream out;
  ab::Elapsed before;
  for (int part = 0; part < 2; ++part) {
    before =
        tasks::train_loop(
            State(), numbers,
            {{"on_epoch_end",
              [&](State&, const int&, const ab::Elapsed& elapsed) { epochs.push_back(elapsed.samples + 1); }},
             {ab::every(ab::samples(4)),
              [&](State&, const int&, const ab::Elapsed& elapsed) { due.push_back(elapsed.samples); }},
             logging("loss", {1}),
             tasks::keras_bar(out, 12, {.lines = 1})},
            {.epoch_duration = ab::samples(6), .loop = {.elapsed = before}})
            .elapsed;
  }
  CHECK(before.steps == 12);
  CHECK(epochs == Steps{6, 12});
  CHECK(due == Steps{4, 8});
  CHECK(out.str().find("6/6 [") != std::string::npos);
}

TEST_CASE("a step that is broken off has its row and counts, in whatever way", "[dialect]") {
  const auto run = [](auto break_off, std::vector<int> signals = {}) {
    ab::History history;
    ab::Elapsed elapsed, at_end;
    const auto caught = error_of([&] {
      elapsed = tasks::loop(State(), numbers,
                            {[](State&, const int& batch) { return ab::Logs().add_metric("loss", batch); },
                             {ab::on_steps({2}), break_off}},
                            {.on_end = [&](State&, const int&, const ab::Elapsed& now) { at_end = now; },
                             .history = history,
                             .signals = std::move(signals)})
                    .elapsed;
    });
    return fmt::format("{}rows, {} steps, {} at the end; {}", steps_of(history), elapsed.steps, at_end.steps,
                       caught.substr(0, 8));
  };
  CHECK(run([](State&, const int&, const ab::Elapsed&, auto& loop) { loop.stop_iteration = true; }) ==
        "0 1 2 rows, 3 steps, 3 at the end; no error");
  CHECK(run([] { std::raise(SIGINT); }, {SIGINT}) == "0 1 2 rows, 3 steps, 0 at the end; no error");
  CHECK(run([] { throw std::runtime_error("some"); }).substr(0, 10) == "0 1 2 rows");

  const auto stopped = tasks::loop(
      State(), numbers, {[] {}},
      {.on_start = [](State&, const int&, const ab::Elapsed&, auto& loop) { loop.stop_iteration = true; }});
  CHECK(stopped.elapsed.steps == 0);
}

TEST_CASE("what a checkpoint can't monitor ends the run, and no NaN is the best", "[dialect]") {
  const Folder folder;
  CHECK(error_of([&] {
          tasks::loop(State(), numbers,
                      {logging("loss", {1}), tasks::checkpoint(folder / "typo", {.monitor = "lss"})});
        }).find("lss") != std::string::npos);
  State state;
  auto ground =
      tasks::tree(state, numbers,
                  {logging("loss", {NAN, 8, 7, 9}), tasks::checkpoint(folder / "best", {.monitor = "loss"})});
  ground.dig();
  const ab::Walk walk(*ground);
  for (ab::Node* node : walk.nodes()) {
    if (const auto* snapshot = dynamic_cast<ab::SnapshotNode*>(node)) CHECK(*snapshot->best_value == 7);
  }
}

TEST_CASE("an evaluation that a callback stops weights its last batch too", "[dialect]") {
  const std::vector<std::vector<int>> train{{0}}, test{{10, 10}, {20, 20}, {99}};
  const auto history =
      tasks::train_loop(State(), train,
                        {{"test_step",
                          [](State&, const std::vector<int>& batch, const ab::Elapsed& elapsed, auto& loop) {
                            loop.stop_iteration = elapsed.steps == 1;
                            return ab::Logs().add_metric("score", batch[0]);
                          }}},
                        {.test_data = [&] { return test; },
                         .epoch_duration = 1,
                         .evaluation = {.aggregation = tasks::Aggregate::sample_mean}})
          .history;
  CHECK(history.collect("score_test") == std::vector<double>{15});
}

TEST_CASE("an evaluation leaves what is frozen in a model as it was", "[dialect]") {
  torch::nn::Sequential model(torch::nn::Linear(2, 2), torch::nn::BatchNorm1d(2));
  model->children()[1]->eval();
  auto state = tasks::create_state(model, torch::optim::SGD(model->parameters(), 0.1),
                                   {.losses = {{"loss", torch::nn::MSELoss()}}});
  const std::vector<ab::Batch> data(4, {torch::randn({4, 2}), torch::randn({4, 2})});
  std::string modes;
  tasks::train_loop(state, data,
                    {{"on_train_step", [&] { modes += model->children()[1]->is_training() ? "1" : "0"; }}},
                    {.test_data = [&] { return data; }, .epoch_duration = 1});
  CHECK(modes == "0000");
  tasks::test_loop(state, data);
  CHECK(model->is_training());
  CHECK_FALSE(model->children()[1]->is_training());
}

TEST_CASE("json_lines has the rows of the history, those of epochs and of scheduled tasks too", "[dialect]") {
  const Folder folder;
  const auto history =
      tasks::train_loop(State(), numbers,
                        {{ab::every(3), logging("late", {1})}, {"train_step", logging("loss", {2})}},
                        {.callbacks = {tasks::json_lines(folder / "rows.jsonl")}})
          .history;
  std::size_t late = 0;
  const std::string text = tests::content(folder / "rows.jsonl");
  for (std::size_t at = text.find("late"); at != std::string::npos; at = text.find("late", at + 1)) ++late;
  CHECK(late == history.collect("late").size());
  CHECK(late == 2);
}

TEST_CASE("a callback that a ready-made loop would not run is told", "[dialect]") {
  const Folder folder;
  CHECK(error_of([&] {
          tasks::test_loop(State(), numbers, {}, {.callbacks = {tasks::json_lines(folder / "a.jsonl")}});
        }).find("got \"on_train_batch_end\"") != std::string::npos);
  CHECK(error_of([&] {
          tasks::train_loop(State(), numbers, {}, {.test_data = [] { return numbers; }});
        }).find("wait for the end of an epoch, got no epoch_duration") != std::string::npos);
  CHECK(error_of([&] {
          tasks::train_loop(State(), numbers, {}, {.callbacks = {tasks::early_stopping("loss", 3)}});
        }).find("wait for the end of an epoch, got no epoch_duration") != std::string::npos);
}

TEST_CASE("a bar's means are of the steps that logged", "[dialect]") {
  std::ostringstream out;
  tasks::loop(State(), numbers,
              {{ab::on_steps({0}), logging("acc", {10})},
               {ab::on_steps({5}), logging("acc", {0})},
               tasks::keras_bar(out, 6, {.lines = 1})});
  CHECK(out.str().find("acc: 5.0000") != std::string::npos);
}

TEST_CASE("a schedule that was changed begins anew where a run goes on", "[dialect]") {
  const Folder folder;
  const auto run = [&](ab::Schedule when, int steps) {
    State state;
    Steps due;
    auto ground =
        tasks::tree(state, numbers,
                    {{std::move(when),
                      [&](State&, const int&, const ab::Elapsed& elapsed) { due.push_back(elapsed.steps); }},
                     tasks::checkpoint(folder / "runs")},
                    {.stop = steps});
    ground.resume(ab::Snapshot(folder / "runs")).dig();
    return due;
  };
  CHECK(run(ab::every(ab::samples(2)), 3) == Steps{2});
  CHECK(run(ab::every(3), 6) == Steps{3});
}

TEST_CASE("a ready-made state refuses a strategy that can't gather", "[dialect]") {
  torch::nn::Linear model(1, 1);
  CHECK(error_of([&] {
          tasks::create_state(model, torch::optim::SGD(model->parameters(), 0.1),
                              {.strategy = {"recorded", tasks::eager().runner, false}});
        }) == "create_state: its steps gather means, which the strategy recorded can't; take another, or "
              "ab::tasks::managed");
}

}  // namespace edges_tests
