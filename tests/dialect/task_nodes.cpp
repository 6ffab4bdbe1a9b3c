#include <abyme/dialect/loops.hpp>
#include <abyme/dialect/task_nodes.hpp>
#include <abyme/save/read_safetensors.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"
#include "support/trace.hpp"

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace ab = abyme;

namespace task_nodes_tests {

namespace tasks = abyme::tasks;
using tests::happened;
using tests::Trace;

namespace {

struct State {
  torch::nn::Linear model{torch::nn::LinearOptions(1, 1).bias(false)};
  std::int64_t steps = 0;
};

// Step n sets the weight to n, and logs the n-th loss.
auto training(std::vector<double> losses) {
  return [losses](State& state) {
    const torch::NoGradGuard no_grad;
    state.model->weight.fill_(double(++state.steps));
    return ab::Logs().add_metric("loss", losses[static_cast<std::size_t>(state.steps - 1)]);
  };
}
double weight(const State& state) { return state.model->weight.item<double>(); }

}  // namespace

TEST_CASE("early stopping ends a loop, and puts the best state back where it is told to") {
  const std::vector<int> data(9);
  const auto run = [&](tasks::StoppingOptions options) {
    const auto result = tasks::loop(
        State{}, data,
        {training({5, 3, 4, 4, 4, 1, 1, 1, 1}), tasks::early_stopping("metrics.loss", 2, options)});
    return fmt::format("{} rows, weight {}, steps {}, elapsed {}", result.history.size(),
                       weight(result.state), result.state.steps, result.elapsed.steps);
  };
  CHECK(run({}) == "4 rows, weight 4, steps 4, elapsed 4");
  CHECK(run({.restore_best = true}) == "4 rows, weight 2, steps 2, elapsed 4");
  CHECK(run({.min_delta = 2.5}) == "3 rows, weight 3, steps 3, elapsed 3");
  CHECK(tests::error_of([&] {
          tasks::loop(State{}, data, {training({5, 3}), tasks::early_stopping("score", 2)});
        }).find("score") != std::string::npos);
}

TEST_CASE("a checkpoint is a snapshot, with the best one apart; the loop goes on from it") {
  const tests::Folder folder;
  const std::vector<int> data(6);
  const std::vector<double> losses{5, 3, 4, 6, 7, 8};
  State state;
  tasks::loop(state, data,
              {training(losses), tasks::checkpoint(folder / "runs", {.keep = 2, .monitor = "loss"})});
  CHECK(std::filesystem::exists(folder / "runs/00000005.safetensors"));
  CHECK(std::filesystem::exists(folder / "runs/00000006.safetensors"));
  CHECK_FALSE(std::filesystem::exists(folder / "runs/00000004.safetensors"));
  const auto best = ab::read_safetensors(folder / "runs/best.safetensors");
  std::optional<double> weight_of_best;
  for (const auto& [name, tensor] : best.tensors) {
    if (name == "state.model.weight") weight_of_best = tensor.item<double>();
  }
  CHECK(weight_of_best == 2.0);
}

TEST_CASE("bars show the metrics, and end at n of n; each row can be a line of JSON", "[dialect]") {
  const tests::Folder folder;
  std::ostringstream out;
  tasks::loop(State{}, std::vector<int>(4),
              {training({8, 4, 2, 2}), tasks::keras_bar(out, 4, {.lines = 2}),
               tasks::json_lines(folder / "log.jsonl")});
  const auto without_times = [](const std::string& text) {
    const std::regex time("[0-9.e-]+(us|ms|s)(?=[ /])|(\"time\":)[^,]*");
    return std::regex_replace(text, time, "$2T");
  };
  CHECK(without_times(out.str()) ==  // the metric is a mean over the pass
        "2/4 [==============>...............] - ETA: T - loss: 6.0000\n"
        "4/4 [==============================] - T T/step - loss: 4.0000\n");
  CHECK(without_times(tests::content(folder / "log.jsonl")) ==
        "{\"steps\":0,\"samples\":0,\"time\":T,\"loss\":8.0}\n{\"steps\":1,\"samples\":1,\"time\":T,\"loss\":"
        "4.0}\n"
        "{\"steps\":2,\"samples\":2,\"time\":T,\"loss\":2.0}\n{\"steps\":3,\"samples\":3,\"time\":T,\"loss\":"
        "2.0}\n");
}

TEST_CASE("a state that snapshots can't hold is told before the first batch") {
  struct Closed {
    explicit Closed(int) {}
  };
  const std::string rule =
      ": the state is a struct whose members are models, optimizers and values, or a class with save and "
      "load, got state, a ";
  const auto run = [](const tasks::NodeTask& task) {
    tasks::loop(Closed(1), std::vector<int>(3), {[] { return ab::Logs().add_metric("loss", 1); }, task});
  };
  const tests::Folder folder;
  CHECK(tests::error_of([&] { run(tasks::checkpoint(folder / "runs")); }).starts_with("checkpoint" + rule));
  CHECK(tests::error_of([&] {
          run(tasks::early_stopping("loss", 5, {.restore_best = true}));
        }).starts_with("early_stopping" + rule));
  run(tasks::early_stopping("loss", 5));
}

TEST_CASE("a function of what has elapsed, and nothing, are tasks") {
  std::string seen;
  tasks::loop(
      State{}, std::vector<int>(3),
      {tasks::with_elapsed([&](const ab::Elapsed& elapsed) { seen += fmt::format("{} ", elapsed.steps); }),
       tasks::noop()});
  CHECK(seen == "0 1 2 ");
}

}  // namespace task_nodes_tests
