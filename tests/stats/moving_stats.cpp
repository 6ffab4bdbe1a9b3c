#include <abyme/stats/moving_stats.hpp>

#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/reset.hpp>
#include <abyme/stats/stats.hpp>

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include "support/trace.hpp"  // behind LibTorch, which has a CHECK of its own

#include <cmath>
#include <limits>

namespace ab = abyme;

namespace moving_stats_tests {

using tests::happened;
using tests::Trace;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

struct Seen {
  double average, std, min, max;
};

// What the statistics show after each value.
std::vector<Seen> moving(std::vector<double> values, ab::MovingStatsOptions options) {
  std::vector<Seen> seen;
  ab::DataLooper data(std::move(values));
  ab::MovingStats stats([](ab::DataLooper::Node& node) { return node.batch<double>(); }, std::move(options));
  stats("dig", [&](ab::MovingStats::Node& node) {
    seen.push_back({*node.average(), node.std().value_or(-1), *node.min(), *node.max()});
  });
  ab::Ground()("dig", data("iteration_end", stats)).dig();
  return seen;
}

const std::vector<double> ten{2.5, -1, 4, 0.125, 7, -3.5, 0, 0, 1e3, -2};

void check(const std::vector<Seen>& seen, const std::vector<Seen>& expected) {
  REQUIRE(seen.size() == expected.size());
  for (std::size_t i = 0; i < seen.size(); ++i) {
    CAPTURE(i);
    CHECK(seen[i].average == Approx(expected[i].average).epsilon(1e-15).margin(1e-15));
    CHECK(seen[i].std == Approx(expected[i].std).epsilon(1e-14).margin(1e-15));
    CHECK(seen[i].min == expected[i].min);
    CHECK(seen[i].max == expected[i].max);
  }
}

}  // namespace

TEST_CASE("only what is in the window counts, also before it is full; as Python's statistics has it") {
  check(moving(ten, {.window = 3}), {{2.5, 0.0, 2.5, 2.5},
                                     {0.75, 1.75, -1, 2.5},
                                     {1.8333333333333333, 2.094967514996089, -1, 4},
                                     {1.0416666666666667, 2.141682879316066, -1, 4},
                                     {3.7083333333333335, 2.8142741317947135, 0.125, 7},
                                     {1.2083333333333333, 4.354515536262967, -3.5, 7},
                                     {1.1666666666666667, 4.365266951236265, -3.5, 7},
                                     {-1.1666666666666667, 1.6499158227686108, -3.5, 0},
                                     {333.3333333333333, 471.4045207910317, 0, 1000},
                                     {332.6666666666667, 471.8766317116748, -2, 1000}});
  check(moving({2.5, -1, 4, 0.125, 7}, {.window = 4, .sample = true}),
        {{2.5, -1, 2.5, 2.5},  // one value has no deviation of a sample
         {0.75, 2.4748737341529163, -1, 2.5},
         {1.8333333333333333, 2.565800719723442, -1, 4},
         {1.40625, 2.2624079170948224, -1, 4},
         {2.53125, 3.669092474077661, -1, 7}});
}

TEST_CASE("a window of 1 holds the last value, a window that is never full holds all") {
  std::vector<Seen> last;
  for (const double value : ten) last.push_back({value, 0, value, value});
  check(moving(ten, {.window = 1}), last);
  const auto all = moving(ten, {.window = 1'000'000});
  CHECK(all.back().average == Approx(100.7125).epsilon(1e-15));
  CHECK(all.back().min == -3.5);
  CHECK(all.back().max == 1000);
  check(moving({0, 0, 0}, {.window = 2}), {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}});
}

TEST_CASE("what has left the window is forgotten: not a number, infinities, and what cost digits") {
  const auto seen = moving({1, not_a_number, 2, 4, inf, 1, 3, 1e20, 5, 7}, {.window = 2});
  CHECK(std::isnan(seen[1].average));
  CHECK(std::isnan(seen[1].max));
  CHECK(std::isnan(seen[2].average));
  CHECK(std::isnan(seen[2].min));
  CHECK(seen[3].average == 3);
  CHECK(seen[3].min == 2);
  CHECK(seen[5].average == inf);
  CHECK(seen[6].average == 2);
  CHECK(seen[6].std == 1);
  CHECK(seen[9].average == 6);
  CHECK(seen[9].std == 1);
}

TEST_CASE("a default window holds 100 values") {
  std::vector<double> values(100, 1.0);
  values.insert(values.begin(), 101.0);
  const auto seen = moving(values, {});
  CHECK(seen[99].average == Approx(2).epsilon(1e-14));
  CHECK(seen[100].average == Approx(1).epsilon(1e-14));
  CHECK(seen[99].max == 101);
  CHECK(seen[100].max == 1);
}

TEST_CASE("a value weighs what it is given; without any weight in the window there is no average") {
  struct Item {
    double value, weight;
  };
  Trace trace;
  ab::DataLooper data(std::vector<Item>{{1, 1}, {2, 2}, {6, 1}, {8, 0}, {9, 0}});
  ab::MovingStats stats(
      [](ab::DataLooper::Node& node) { return node.batch<Item>().value; },
      {.window = 2, .weight = [](ab::DataLooper::Node& node) { return node.batch<Item>().weight; }});
  std::vector<double> averages, deviations;
  stats("dig", trace("", "min", "max", "last", "count", "counter"), [&](ab::MovingStats::Node& node) {
    averages.push_back(node.average().value_or(-1));
    deviations.push_back(node.std().value_or(-1));
  });
  ab::Ground()("dig", data("iteration_end", stats)).dig();
  CHECK(averages[0] == 1);
  CHECK(averages[1] == Approx(5.0 / 3).epsilon(1e-15));
  CHECK(averages[2] == Approx(10.0 / 3).epsilon(1e-15));
  CHECK(deviations[2] == Approx(1.8856180831641267).epsilon(1e-15));
  CHECK(averages[3] == 6);
  CHECK(deviations[3] == 0);
  CHECK(averages[4] == -1);
  CHECK(deviations[4] == -1);
  CHECK_THAT(trace, happened(R"(
    1 1 1 1 1
    1 2 2 2 2
    2 6 6 2 3
    6 8 8 2 4
    8 9 9 2 5
  )"));
}

TEST_CASE("before the first value there is nothing but the input and the options") {
  const ab::MovingStats stats(4, {.window = 7});
  std::string text;
  for (const char* name :
       {"average", "std", "min", "max", "last", "count", "counter", "value", "window", "weight"})
    text += ab::to_text(stats.get(name)()) + " ";
  CHECK(text == "none none none none none 0 0 4 7 none ");
}

TEST_CASE("it starts anew when it is reset and with each run that does not keep it; the window stays") {
  Trace trace;
  ab::IterationLooper epochs(2), steps(4);
  ab::MovingStats stats("counter", {.window = 3});
  steps("iteration_end", stats);
  epochs("iteration_start", steps, trace("", "average", "count", "counter").focus(stats));
  ab::Ground ground;
  ground("dig", epochs);
  SECTION("each run") {
    ground.dig();
    ground.dig();
    CHECK_THAT(trace, happened("3 3 4\n 3 3 8\n 3 3 4\n 3 3 8"));
  }
  SECTION("never") {
    steps.setup(1);
    ground.dig();
    ground.dig({.keep = true});
    CHECK_THAT(trace, happened("1 1 1\n 1 2 2\n 1 3 3\n 1 3 4"));
  }
  SECTION("each epoch") {
    epochs("iteration_end", ab::Reset(stats), trace("reset", "average", "count", "counter").focus(stats));
    ground.dig();
    CHECK_THAT(trace, happened("3 3 4\n reset none 0 0\n 3 3 4\n reset none 0 0"));
  }
}

TEST_CASE("a late-bound window is read at the first value of a run; one that shrinks keeps the last values") {
  Trace trace;
  int reads = 0;
  std::int64_t window = 4;
  ab::IterationLooper loop(6);
  ab::MovingStats stats("counter", {.window = [&] { return ++reads, window; }});
  loop("iteration_end", stats("dig", trace("", "min", "max", "count")), [&] { window = 2; });
  ab::Ground ground;
  ground("dig", loop);
  ground.dig();
  CHECK(reads == 1);
  CHECK_THAT(trace, happened("1 1 1\n 1 2 2\n 1 3 3\n 1 4 4\n 2 5 4\n 3 6 4"));
  trace.clear();
  ground.dig({.keep = true});
  CHECK(reads == 2);
  CHECK_THAT(trace, happened("1 6 2\n 1 2 2\n 2 3 2\n 3 4 2\n 4 5 2\n 5 6 2"));
  trace.clear();
  window = 3;
  loop.setup(2);
  ground.dig({.keep = true});
  CHECK_THAT(trace, happened("1 6 3\n 1 6 3"));
}

TEST_CASE("a window of less than 1 is a fault where it is constant, otherwise an error at the dig") {
  ab::IterationLooper loop(1);
  ab::Ground ground;
  ground("dig", loop);
  SECTION("constant") {
    loop("end", ab::MovingStats("counter", {.window = 0}), ab::MovingStats("counter", {.window = -1}));
    REQUIRE(ab::faults(ground).size() == 2);
    CHECK(ab::faults(ground)[0].message ==
          "window must be at least 1, got 0; pass 1 for the last value alone");
  }
  SECTION("late-bound") {
    loop("iteration_start", ab::MovingStats("counter", {.window = ab::caller("counter")}));
    CHECK_THROWS_WITH(ground.dig(),
                      "IterationLooper/iteration_start[0]/MovingStats: window must be at least 1, got "
                      "0; pass 1 for the last value alone");
  }
}

TEST_CASE("what is no number, or more than one, is an error with the path") {
  const auto error = [](ab::Input<ab::Number> value) -> std::string {
    ab::Ground ground;
    ground("dig", ab::IterationLooper(1)("end", ab::MovingStats(std::move(value))));
    try {
      ground.dig();
    } catch (const ab::Error& caught) {
      return caught.what();
    }
    return "";
  };
  CHECK(error([] { return at::zeros({2}); }) == "IterationLooper/end[0]/MovingStats: a statistic takes one "
                                                "number at a time, got Tensor[2]; give it a mean "
                                                "or a sum");
  CHECK(error([] { return std::optional<double>(); }) ==
        "IterationLooper/end[0]/MovingStats: callable must hold a number when it is read, got nothing");
}

TEST_CASE("the average of a moving statistic may be taken of another statistic") {
  Trace trace;
  ab::IterationLooper loop(4);
  ab::Stats stats("counter");
  ab::MovingStats moving("average", {.window = 2});
  loop("iteration_end", stats, moving.focus(stats)("dig", trace("", "average")));
  ab::Ground()("dig", loop).dig();
  CHECK_THAT(trace, happened("1\n 1.25\n 1.75\n 2.25"));
}

// ---- values on a device, for which tensors on the CPU stand in ----

TEST_CASE("deferred values pass through the window in their order, read or not") {
  ab::Accumulator<ab::Window> deferred, direct;
  deferred.gathered().set_limit(10);
  direct.gathered().set_limit(10);
  for (int i = 0; i < 1000; ++i) {
    deferred.defer(at::scalar_tensor((i * 37) % 101, at::kFloat), 1 + i % 3);
    direct.add((i * 37) % 101, 1 + i % 3);
    if (i == 3 || i == 255 || i == 256 || i == 700 || i == 999) {
      const ab::Moments &a = deferred.gathered().moments(), &b = direct.gathered().moments();
      CHECK(a.count == b.count);
      CHECK(a.average == b.average);
      CHECK(a.squares == b.squares);
      CHECK(a.min == b.min);
      CHECK(a.max == b.max);
      CHECK(a.last == b.last);
    }
  }
}

TEST_CASE("a window set anew holds what waits, in its order; an assignment drops it and leaves the limit") {
  ab::Accumulator<ab::Window> seen;
  const ab::Accumulator<ab::Window> empty = seen;
  seen.gathered().set_limit(3);
  for (int i = 1; i <= 5; ++i) seen.defer(at::scalar_tensor(i, at::kFloat), 1);
  seen.gathered().set_limit(2);
  CHECK(seen.gathered().moments().average == 4.5);
  seen.defer(at::scalar_tensor(100, at::kFloat), 1);
  seen = empty;  // as a reset does
  CHECK(seen.gathered().moments().count == 0);
  for (int i = 1; i <= 3; ++i) seen.defer(at::scalar_tensor(i, at::kFloat), 1);
  CHECK(seen.gathered().moments().average == 2.5);
  CHECK(seen.gathered().moments().last == 3);
}

}  // namespace moving_stats_tests
