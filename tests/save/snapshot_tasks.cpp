#include <torch/torch.h>

#include <abyme/abyme.hpp>
#include <abyme/dialect/loops.hpp>
#include <abyme/dialect/task_nodes.hpp>

#include <catch2/catch.hpp>

#include "support/every_boundary.hpp"

#include <algorithm>
#include <cstdint>
#include <regex>
#include <string>
#include <utility>
#include <vector>

namespace ab = abyme;

namespace snapshot_tasks_tests {

namespace tasks = abyme::tasks;

namespace {

struct State {
  torch::nn::Linear model{nullptr};
  torch::optim::SGD optimizer;
  std::int64_t seen = 0;
};

// A train loop with an evaluation, schedules that remember, early stopping, a history and a stream of it;
// other schedules beside it.
struct AllTasks : tests::Resumable {
  AllTasks(bool takes, std::uint64_t seed)
      : Resumable(takes, seed), model(3, 1), state{model, torch::optim::SGD(model->parameters(), 0.05)} {
    const auto generator = at::detail::createCPUGenerator(4);
    ab::TensorBatches data(torch::randn({14, 3}, generator), torch::randn({14, 1}, generator),
                           {.batch_size = 2, .seed = 1});
    const torch::Tensor inputs = torch::randn({5, 3}, generator), targets = torch::randn({5, 1}, generator);
    const auto loss_of = [](State& now, const ab::Batch& batch) {
      return torch::mse_loss(torch::dropout(now.model->forward(batch.inputs), 0.3, true), batch.targets);
    };
    const auto train_step = [loss_of](State& now, const ab::Batch& batch) {
      now.optimizer.zero_grad();
      const torch::Tensor loss = loss_of(now, batch);
      loss.backward();
      now.optimizer.step();
      ++now.seen;
      return ab::Logs().add_metric("loss", loss).add_stateful_metric("seen", now.seen);
    };
    const auto test_step = [loss_of](State& now, const ab::Batch& batch) {
      const torch::NoGradGuard no_grad;
      now.seen += 100;
      return ab::Logs().add_metric("loss", loss_of(now, batch)).add_metric("seen", now.seen);
    };
    const ab::History history;
    const ab::Ground loop = tasks::train_tree(
        state, std::move(data),
        {{"train_step", {train_step, here()}},
         {"test_step", {test_step, here()}},
         {"on_epoch_end", here()},
         {ab::every(ab::samples(3)), {[](State& now) { ++now.seen; }, here()}},
         {ab::on_steps({1, 4}),
          [](State&, const ab::Batch&, const ab::Elapsed&, tasks::LoopState<State, ab::Batch>& now) {
            now.replace_batch({torch::ones({1, 3}), torch::ones({1, 1})});
          }},
         here(),
         [](State&, const ab::Batch& batch) { return ab::Logs().add_metric("batch", batch.inputs.sum()); },
         {ab::after(1).every(2), {history.stream_to("files/history.jsonl"), here()}},
         tasks::early_stopping("loss", 4, {.restore_best = true})},
        {.test_data = [inputs, targets] { return ab::TensorBatches(inputs, targets, {.batch_size = 2}); },
         .epoch_duration = 3,
         .evaluation = {.aggregation = tasks::Aggregate::mean},
         .loop = {.stop = 6, .on_start = here(), .on_end = here(), .history = history, .name = "train"}});
    ab::IterationLooper rounds(2);
    rounds("iteration_start", loop, here(), ab::On(ab::every(2) || ab::geometric(1, 2.0))("dig", here()))
        .at("iteration_end",
            ab::EarlyStopping([this] { return model->weight.sum(); }, 1, model)("dig", here()));
    ground("dig", rounds, here());
    look_at_the_end();
  }

  // Without what a clock tells, which differs.
  std::vector<std::string> outcome() const {
    std::vector<std::string> lines = Resumable::outcome();
    static const std::regex clock("\\.(time|date|time\\.numbers|date\\.numbers|file\\.bytes): "),
        column("\"time\":[^,]*");
    std::erase_if(lines, [](const std::string& line) { return std::regex_search(line, clock); });
    for (std::string& line : lines) line = std::regex_replace(line, column, "\"time\":");
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  torch::nn::Linear model;
  State state;
};

}  // namespace

TEST_CASE("a run goes on in loops of tasks", "[snapshot]") { tests::check_every_boundary<AllTasks>(50); }

}  // namespace snapshot_tasks_tests
