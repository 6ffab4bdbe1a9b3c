#include <abyme/save/early_stopping.hpp>

#include <abyme/loop/iteration_looper.hpp>

#include "support/error_of.hpp"
#include "support/trace.hpp"

#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

namespace ab = abyme;

namespace early_stopping_tests {

using tests::happened;
using tests::Trace;

namespace {

using Values = std::vector<double>;

/// The epoch at which training stops: 0 where it does not.
std::int64_t stops_at(const Values& values, ab::Period patience, ab::EarlyStoppingOptions options = {}) {
  std::int64_t at = 0;
  ab::IterationLooper epochs(static_cast<std::int64_t>(values.size()));
  ab::EarlyStopping stopping(
      [&](ab::IterationLooper::Node& node) { return values[static_cast<std::size_t>(node.counter - 1)]; },
      patience, options);
  epochs("iteration_end",
         stopping(
             "dig", [&](ab::IterationLooper::Node& node) { at = node.counter; }, ab::Break(epochs)));
  ab::Ground()("dig", epochs).dig();
  return at;
}

}  // namespace

TEST_CASE("training stops when a value has not improved for the patience") {
  CHECK(stops_at({5, 4, 3, 3, 3.5, 2, 1}, 2) == 5);  // best in epoch 3
  CHECK(stops_at({5, 4, 3, 3, 3.5, 2, 1}, 3) == 0);
  CHECK(stops_at({5, 4, 3, 2, 1}, 1) == 0);
  CHECK(stops_at({5, 4, 3}, 0) == 1);
  CHECK(stops_at({1, 2, 3, 3, 3}, 2, {.high_is_better = true}) == 5);
  CHECK(stops_at({1, 2, 3}, 1, {.high_is_better = true}) == 0);
}

TEST_CASE("what is better by no more than min_delta, or not better than the baseline, is no improvement") {
  CHECK(stops_at({5, 4.9, 4.8, 4.7, 4.3}, 3, {.min_delta = 0.5}) == 4);
  CHECK(stops_at({5, 4.5, 4.0}, 1, {.min_delta = 0.5}) == 2);  // by no more than that
  CHECK(stops_at({5, 4.25, 3.5}, 1, {.min_delta = 0.5}) == 0);
  CHECK(stops_at({5, 4, 3, 1}, 2, {.baseline = 2.0}) == 3);  // the first dig starts the clock
  CHECK(stops_at({5, 1.5, 1, 0.5}, 2, {.baseline = 2.0}) == 0);
}

TEST_CASE("not-a-number is no improvement, and a number after it is") {
  const double nan = std::nan("");
  CHECK(stops_at({nan, nan, nan}, 2) == 3);
  CHECK(stops_at({nan, 3, 2, nan, 1}, 2) == 0);
  CHECK(stops_at({3, nan, nan, 1}, 2) == 3);
}

TEST_CASE("the best weights are put back before the children run, and held for that only by copies") {
  torch::nn::Linear model(1, 1);
  const Values values{3, 1, 2, 2};
  ab::IterationLooper epochs(4);
  Trace trace;
  ab::EarlyStopping stopping(
      [&](ab::IterationLooper::Node& node) { return values[static_cast<std::size_t>(node.counter - 1)]; }, 2,
      model);
  epochs("iteration_start", [&](ab::IterationLooper::Node& node) {
    const torch::NoGradGuard no_grad;
    model->weight.fill_(double(node.counter));
  });
  const auto weight = [&] { trace.add(fmt::format("weight {}", model->weight.item<float>())); };
  epochs("iteration_end", weight, stopping("dig", trace("stops", "counter"), weight, ab::Break(epochs)));
  ab::Ground ground;
  ground("dig", epochs);
  for (int run = 0; run < 2; ++run) {  // a new run forgets the best one
    ground.dig();
    CHECK_THAT(trace, happened(R"(
      weight 0
      weight 1
      weight 2
      weight 3
      stops 4
      weight 1
    )"));
    CHECK(stopping->best == 1.0);
    CHECK(stopping->since->steps == 2);
    trace.clear();
  }
}

TEST_CASE("patience counts in the nearest looper, and what can't be is told before the first batch") {
  ab::IterationLooper epochs(2), inner(10);
  std::vector<std::int64_t> fired;
  inner("iteration_end",
        ab::EarlyStopping([] { return 1.0; }, ab::steps(6))(
            "dig", [&](ab::IterationLooper::Node& node) { fired.push_back(node.steps); }, ab::Break(inner)));
  epochs("iteration_start", inner);
  ab::Ground()("dig", epochs).dig();
  CHECK(fired == std::vector<std::int64_t>{7, 8});  // once over, each dig without improvement fires

  ab::Ground wrong;
  wrong("dig", ab::EarlyStopping([] { return 1.0; }, 3, {.min_delta = -1})("dig", ab::Break()));
  CHECK(tests::error_of([&] { wrong.dig(); }).find("patience needs a looper above it") != std::string::npos);
  CHECK(tests::error_of([&] { wrong.dig(); }).find("min_delta must be at least 0, got -1") !=
        std::string::npos);
}

}  // namespace early_stopping_tests
