#include <abyme/optim/rate_schedule.hpp>

#include <abyme/core/describe.hpp>
#include <abyme/loop/iteration_looper.hpp>

#include "support/trace.hpp"  // behind LibTorch, which has a CHECK of its own

#include <torch/optim/sgd.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace ab = abyme;

namespace rate_schedule_tests {

namespace rates = abyme::rates;

namespace {

constexpr double first = 0.4;
constexpr int steps = 200;

// The columns of rates.csv, which PyTorch wrote: see rates.py.
const std::map<std::string, std::vector<double>>& table() {
  static const auto columns = [] {
    std::ifstream file(std::filesystem::path(__FILE__).replace_filename("rates.csv"));
    std::map<std::string, std::vector<double>> read;
    std::vector<std::string> names;
    for (std::string line; std::getline(file, line);) {
      std::istringstream cells(line);
      std::size_t column = 0;
      for (std::string cell; std::getline(cells, cell, ','); ++column) {
        if (column == names.size()) names.push_back(cell);
        else read[names[column]].push_back(std::stod(cell));
      }
    }
    return read;
  }();
  return columns;
}

torch::optim::SGD an_optimizer() {
  return torch::optim::SGD({torch::zeros({1}).requires_grad_()}, torch::optim::SGDOptions(first));
}

// The rates that the optimizer has in each step, where the schedule is dug behind each.
template <class Schedule>
std::vector<double> rates_of(const Schedule& schedule) {
  std::vector<double> seen;
  ab::IterationLooper loop(steps);
  loop("iteration_start", [&] { seen.push_back(*schedule->rate()); }).at("iteration_end", schedule);
  ab::Ground ground;
  ground("dig", loop);
  ground.dig();
  return seen;
}

double difference(const std::vector<double>& got, const std::string& column) {
  const std::vector<double>& expected = table().at(column);
  if (got.size() != expected.size() || got.empty()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) largest = std::max(largest, std::abs(got[i] - expected[i]));
  return largest;
}

double difference(const ab::Rate& rate, const std::string& column) {
  auto optimizer = an_optimizer();
  return difference(rates_of(ab::RateSchedule(optimizer, rate)), column);
}

// Digs a schedule with one value after the other.
struct FeedNode : ab::Node {
  static constexpr auto events = ab::events("value");
  std::vector<double> values;
  std::optional<double> value;
  static constexpr auto fields = ab::fields(ab::field("value", &FeedNode::value));
  explicit FeedNode(std::vector<double> values) : values(std::move(values)) {}
  ab::Step next(ab::Step finished) override {
    if (finished == ab::entry) at = 0;
    if (at == values.size()) return ab::done;
    value = values[at++];
    return events["value"];
  }
  std::size_t at = 0;
};
using Feed = ab::Handle<FeedNode>;

std::vector<double> plateau_rates(std::vector<double> values, ab::ReduceRateOnPlateauOptions options) {
  auto optimizer = an_optimizer();
  ab::ReduceRateOnPlateau schedule(optimizer, "value", options);
  std::vector<double> seen;
  ab::Ground ground;
  ground("dig", Feed(std::move(values))(
                    "value", [&] { seen.push_back(*schedule->rate()); }, schedule));
  ground.dig();
  return seen;
}

std::vector<double> metric() {
  std::vector<double> values;
  for (int step = 0; step < steps; ++step)
    values.push_back(step < 120 ? 1 / (1 + double(std::min(step, 40))) : 0.001 * step);
  return values;
}

}  // namespace

TEST_CASE("200 steps of each schedule are PyTorch's") {
  constexpr double close = 1e-12;
  CHECK(difference(rates::constant(0.25, 20), "constant") < close);
  CHECK(difference(rates::step(30, 0.5), "step") < close);
  CHECK(difference(rates::multi_step({50, 10, 180, 51}, 0.3), "multi_step") < close);
  CHECK(difference(rates::exponential(0.97), "exponential") < close);
  CHECK(difference(rates::cosine(80, 0.01), "cosine") < close);
  CHECK(difference(rates::cosine_restarts(15, 2, 0.02), "cosine_restarts") < close);
  CHECK(difference(rates::cosine_restarts(40), "cosine_restarts_even") < close);
  CHECK(difference(rates::linear(120, 0.1, 0.8), "linear") < close);
  CHECK(difference(rates::polynomial(150, 2.5), "polynomial") < close);
  CHECK(difference(rates::one_cycle(200, 1.5), "one_cycle") < close);
  CHECK(difference(rates::one_cycle(200, 1.5,
                                    {.rise = 0.4, .cosine = false, .divide_first = 10, .divide_last = 100}),
                   "one_cycle_linear") < close);
  CHECK(difference(rates::warm_up(25, 0.05, rates::cosine(175)), "warm_up_cosine") < close);
  CHECK(difference(rates::piecewise({{90, 0.1}, {20, 0.5}, {150, 0.7}}), "piecewise") < close);
  CHECK(
      difference(ab::Rate([](std::int64_t step, double base) { return base / std::sqrt(1 + double(step)); }),
                 "lambda") < close);
}

TEST_CASE("a rate that stops getting better is reduced as in PyTorch") {
  CHECK(difference(plateau_rates(metric(), {.factor = 0.5, .patience = 4, .cooldown = 3, .lowest = 0.003}),
                   "plateau") < 1e-12);
  CHECK(difference(
            plateau_rates(
                metric(),
                {.factor = 0.3, .patience = 7, .threshold = 0.05, .relative = false, .high_is_better = true}),
            "plateau_max") < 1e-12);
}

TEST_CASE("NaN is no better, and the first value is the best there was") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(plateau_rates({nan, nan, nan, 5, 4}, {.factor = 0.5, .patience = 1}) ==
        std::vector<double>{0.4, 0.4, 0.2, 0.2, 0.2});
}

TEST_CASE("each group follows from its own first rate; a new dig begins again, one that keeps goes on") {
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(std::vector<at::Tensor>{torch::zeros({1})});
  groups.emplace_back(std::vector<at::Tensor>{torch::zeros({1})},
                      std::make_unique<torch::optim::SGDOptions>(torch::optim::SGDOptions(8)));
  torch::optim::SGD optimizer(groups, torch::optim::SGDOptions(2));
  ab::RateSchedule halved(optimizer, rates::exponential(0.5));
  tests::Trace trace;
  ab::IterationLooper loop(2);
  loop("iteration_end", halved, [&] {
    trace.add(fmt::format("{} {}", optimizer.param_groups()[0].options().get_lr(),
                          optimizer.param_groups()[1].options().get_lr()));
  });
  ab::Ground ground;
  ground("dig", loop);
  ground.dig();
  ground.dig();
  ground.dig({.keep = true});
  CHECK_THAT(trace, tests::happened("1 4\n 0.5 2\n 1 4\n 0.5 2\n 0.25 1\n 0.125 0.5"));
  CHECK(ab::describe(ground).find("RateSchedule(schedule = \"exponential(0.5)\")") != std::string::npos);
}

TEST_CASE("steps, lengths and factors that mean nothing are told") {
  CHECK_THROWS_WITH(rates::cosine(0),
                    "rates::cosine: steps must be at least 1, got 0; pass how many it lasts");
  CHECK_THROWS_WITH(
      rates::cosine_restarts(5, 0),
      "rates::cosine_restarts: stretch must be at least 1, got 0; pass 1 for cycles of one length");
  auto optimizer = an_optimizer();
  ab::Ground ground;
  ground("dig",
         Feed(std::vector<double>{})("value", ab::ReduceRateOnPlateau(optimizer, "value", {.factor = 1.5})));
  const auto faults = ab::faults(ground);
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].message == "factor must be less than 1, got 1.5; pass 0.1 for a tenth");
}

}  // namespace rate_schedule_tests
