#include <abyme/stats/stats.hpp>

#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/reset.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include "support/trace.hpp"  // behind LibTorch, which has a CHECK of its own

#include <cmath>
#include <limits>
#include <random>

namespace ab = abyme;

namespace stats_tests {

using tests::happened;
using tests::Trace;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

struct Item {
  double value = 0;
  double weight = 1;
};

ab::Moments moments_of(const std::vector<Item>& items) {
  ab::Moments moments;
  for (const Item& item : items) moments.add(item.value, item.weight);
  return moments;
}

// Digs a Stats with each item; below it `observe`.
template <class Observe>
ab::Stats dug(std::vector<Item> items, Observe observe, bool weighted) {
  ab::DataLooper data(std::move(items));
  const auto value = [](ab::DataLooper::Node& node) { return node.batch<Item>().value; };
  const auto weight = [](ab::DataLooper::Node& node) { return node.batch<Item>().weight; };
  ab::Stats stats = weighted ? ab::Stats(value, {.weight = weight}) : ab::Stats(value);
  ab::Ground ground;
  ground("dig", data("iteration_end", stats("dig", observe)));
  ground.dig();
  return stats;
}

const std::vector<Item> five{{2.5, 64}, {-1, 64}, {4, 64}, {0.125, 32}, {7, 1}};

}  // namespace

TEST_CASE("average, deviation, min, max, last and count are those of NumPy") {
  Trace trace;
  const auto stats = dug(five, trace("", "last", "count", "min", "max"), false);
  CHECK(*stats->average() == Approx(2.525).epsilon(1e-15));
  CHECK(*stats->std() == Approx(2.8420942982244624).epsilon(1e-15));
  CHECK_THAT(trace, happened(R"(
    2.5 1 2.5 2.5
    -1 2 -1 2.5
    4 3 -1 4
    0.125 4 -1 4
    7 5 -1 7
  )"));
}

TEST_CASE("weighted, a short batch counts for less") {
  const auto stats = dug(
      five, [] {}, true);
  CHECK(*stats->average() == Approx(1.6133333333333333).epsilon(1e-15));
  CHECK(*stats->std() == Approx(2.056815229642393).epsilon(1e-15));
  CHECK(stats->count() == 5);
  CHECK(*stats->max() == 7);
}

TEST_CASE(
    "the deviation of a sample is that of Python's statistics.stdev, and nothing before the second value") {
  const auto deviations = [](bool weighted) {
    ab::DataLooper data(five);
    std::vector<double> seen;
    const auto value = [](ab::DataLooper::Node& node) { return node.batch<Item>().value; };
    const auto weight = [](ab::DataLooper::Node& node) { return node.batch<Item>().weight; };
    ab::Stats stats =
        weighted ? ab::Stats(value, {.weight = weight, .sample = true}) : ab::Stats(value, {.sample = true});
    stats("dig", [&](ab::Stats::Node& node) { seen.push_back(node.std().value_or(-1)); });
    ab::Ground()("dig", data("iteration_end", stats)).dig();
    return seen;
  };
  const auto plain = deviations(false);
  CHECK(plain[0] == -1);
  CHECK(plain[1] == Approx(2.4748737341529163).epsilon(1e-15));
  CHECK(plain[2] == Approx(2.565800719723442).epsilon(1e-15));
  CHECK(plain[3] == Approx(2.2624079170948224).epsilon(1e-15));
  CHECK(plain[4] == Approx(3.177558024647229).epsilon(1e-15));
  // A weight of 64 is a value that came 64 times.
  CHECK(deviations(true)[4] == Approx(2.0614012224698035).epsilon(1e-14));
}

TEST_CASE("before the first value there is nothing; after one value its deviation is 0") {
  const ab::Stats stats("loss");
  std::string text;
  for (const char* name : {"average", "std", "min", "max", "last", "count"})
    text += ab::to_text(stats.get(name)()) + " ";
  CHECK(text == "none none none none none 0 ");

  const auto one = dug(
      {{3.5}}, [] {}, false);
  text.clear();
  for (const char* name : {"average", "std", "min", "max", "last", "count"})
    text += ab::to_text(one.get(name)()) + " ";
  CHECK(text == "3.5 0 3.5 3.5 3.5 1 ");
}

TEST_CASE("not a number stays, infinities are as in NumPy") {
  const auto with_nan = moments_of({{1}, {not_a_number}, {2}});
  CHECK(std::isnan(with_nan.average));
  CHECK(std::isnan(with_nan.squares));
  CHECK(std::isnan(with_nan.min));
  CHECK(std::isnan(with_nan.max));
  CHECK(with_nan.last == 2);
  CHECK(with_nan.count == 3);

  CHECK(moments_of({{1}, {inf}, {2}}).average == inf);
  CHECK(moments_of({{1}, {inf}, {2}}).max == inf);
  CHECK(moments_of({{1}, {inf}, {2}}).min == 1);
  CHECK(std::isnan(moments_of({{1}, {inf}, {2}}).squares));
  CHECK(std::isnan(moments_of({{inf}, {-inf}}).average));
}

TEST_CASE("a value of weight 0 is counted and leaves the average alone; without any weight there is none") {
  const auto some = dug(
      {{1, 1}, {100, 0}, {3, 1}}, [] {}, true);
  CHECK(*some->average() == 2);
  CHECK(*some->max() == 100);
  CHECK(some->count() == 3);
  const auto none = dug(
      {{5, 0}}, [] {}, true);
  CHECK_FALSE(none->average());
  CHECK_FALSE(none->std());
  CHECK(*none->last() == 5);
}

TEST_CASE("the deviation of a million values around 1e8 keeps its digits") {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> noise(-1, 1);
  std::vector<double> values(1'000'000);
  for (double& value : values) value = 1e8 + noise(random);
  ab::Moments moments;
  long double sum = 0, squares = 0;
  for (const double value : values) moments.add(value, 1), sum += value;
  const long double average = sum / static_cast<long double>(values.size());
  for (const double value : values) squares += (value - average) * (value - average);
  const double deviation = static_cast<double>(std::sqrt(squares / static_cast<long double>(values.size())));
  CHECK(moments.average == Approx(static_cast<double>(average)).epsilon(1e-13));
  CHECK(std::sqrt(moments.squares / moments.weight) == Approx(deviation).epsilon(1e-8));
}

TEST_CASE("it takes numbers, fields and tensors with one element; other things are errors with the path") {
  ab::IterationLooper loop(3);
  ab::Stats counter("counter"), tensor([] { return at::scalar_tensor(0.5); }), row([] {
    return at::zeros({1, 1}).add(2);
  }),
      constant(4), flag([] { return true; });
  ab::Ground ground;
  ground("dig", loop("iteration_end", counter, tensor, row, constant, flag));
  ground.dig();
  CHECK(*counter->average() == 2);
  CHECK(*tensor->average() == 0.5);
  CHECK(*row->average() == 2);
  CHECK(*constant->average() == 4);
  CHECK(*flag->average() == 1);

  const auto error = [](ab::Input<ab::Number> value) -> std::string {
    ab::Ground other;
    other("dig", ab::IterationLooper(1)("end", ab::Stats(std::move(value))));
    try {
      other.dig();
    } catch (const ab::Error& caught) {
      return caught.what();
    }
    return "";
  };
  CHECK(error([] {
          return at::zeros({2, 3});
        }) == "IterationLooper/end[0]/Stats: a statistic takes one number at a time, got Tensor[2, 3]; give "
              "it a mean or a "
              "sum");
  CHECK(error([] { return std::optional<double>(); }) ==
        "IterationLooper/end[0]/Stats: callable must hold a number when it is read, got nothing");
  CHECK(error("loss").find("value must be a field of IterationLooper, got \"loss\"") != std::string::npos);
}

TEST_CASE("what comes next is not part of what was kept: a tensor that changes later was read at once") {
  at::Tensor value = at::scalar_tensor(1.0);
  ab::Stats stats([&] { return value; });
  ab::IterationLooper loop(2);
  ab::Ground ground;
  ground("dig", loop("iteration_end", stats, [&] { value.fill_(3); }));
  ground.dig();
  CHECK(*stats->average() == 2);
}

TEST_CASE("statistics start anew when they are reset and with each run that does not keep them") {
  Trace trace;
  ab::IterationLooper epochs(2), steps(2);
  ab::Stats stats(steps.get("counter"));
  steps("iteration_end", stats);
  epochs("iteration_start", steps, trace("epoch").focus(stats), trace("", "average", "count").focus(stats));
  ab::Ground ground;
  ground("dig", epochs);
  SECTION("never") {
    ground.dig();
    ground.dig({.keep = true});
    CHECK_THAT(trace, happened("epoch\n 1.5 2\n epoch\n 1.5 4\n epoch\n 1.5 6\n epoch\n 1.5 8"));
  }
  SECTION("each run") {
    ground.dig();
    ground.dig();
    CHECK_THAT(trace, happened("epoch\n 1.5 2\n epoch\n 1.5 4\n epoch\n 1.5 2\n epoch\n 1.5 4"));
  }
  SECTION("each epoch") {
    epochs("iteration_end", ab::Reset(stats), trace("reset", "average", "count").focus(stats));
    ground.dig();
    CHECK_THAT(trace, happened("epoch\n 1.5 2\n reset none 0\n epoch\n 1.5 2\n reset none 0"));
  }
}

// ---- values on a device, for which tensors on the CPU stand in ----

TEST_CASE("deferred values are folded in their order when somebody reads or the slots are full") {
  ab::Accumulator<ab::Moments> deferred, direct;
  const at::Tensor values = at::arange(1000, at::kFloat);
  const auto same = [&] {
    return deferred.gathered().average == direct.gathered().average &&
           deferred.gathered().squares == direct.gathered().squares &&
           deferred.gathered().count == direct.gathered().count &&
           deferred.gathered().last == direct.gathered().last;
  };
  for (std::int64_t i = 0; i < 1000; ++i) {
    const double weight = 1 + double(i % 3);
    deferred.defer(values[i], weight);
    direct.add(double(i), weight);
    if (i == 3 || i == 255 || i == 256 || i == 700) CHECK(same());
  }
  CHECK(same());
  CHECK(deferred.gathered().count == 1000);
}

TEST_CASE("exactly as many as there are slots, then one more") {
  for (const std::size_t count :
       {ab::Accumulator<ab::Moments>::capacity, ab::Accumulator<ab::Moments>::capacity + 1}) {
    ab::Accumulator<ab::Moments> seen;
    for (std::size_t i = 0; i < count; ++i) seen.defer(at::scalar_tensor(2.0), 1);
    CHECK(seen.gathered().count == std::int64_t(count));
    CHECK(seen.gathered().average == 2);
  }
}

TEST_CASE(
    "a deferred value is copied when it is given, of any type and shape with one element, without a graph") {
  ab::Accumulator<ab::Moments> seen;
  at::Tensor value = at::scalar_tensor(1.0).requires_grad_();
  const at::Tensor loss = value.mul(3);
  seen.defer(loss, 1);
  {
    const at::NoGradGuard no_grad;
    value.fill_(100);
  }
  seen.defer(at::zeros({1, 1, 1}, at::TensorOptions(at::kLong)).add(5), 1);
  seen.defer(at::scalar_tensor(7, at::TensorOptions(at::kHalf)), 1);
  seen.add(9, 1);  // folds what waits first
  CHECK(seen.gathered().count == 4);
  CHECK(seen.gathered().average == 6);
  CHECK(seen.gathered().last == 9);
  CHECK_THROWS(seen.defer(at::zeros({2}), 1));
  CHECK(seen.gathered().count == 4);
}

TEST_CASE("a copy has what waited, an assignment drops what waits") {
  ab::Accumulator<ab::Moments> seen;
  const ab::Accumulator<ab::Moments> empty = seen;
  seen.defer(at::scalar_tensor(1.0), 1);
  seen.defer(at::scalar_tensor(3.0), 1);
  const ab::Accumulator<ab::Moments> copy = seen;
  seen.defer(at::scalar_tensor(5.0), 1);
  CHECK(copy.gathered().average == 2);
  CHECK(seen.gathered().average == 3);
  seen.defer(at::scalar_tensor(100.0), 1);
  seen = empty;  // as a reset does
  CHECK(seen.gathered().count == 0);
  seen.defer(at::scalar_tensor(4.0), 1);
  CHECK(seen.gathered().average == 4);
  seen = copy;
  seen.defer(at::scalar_tensor(8.0), 1);
  CHECK(seen.gathered().average == 4);
  CHECK(copy.gathered().average == 2);
  seen = *&seen;
  CHECK(seen.gathered().count == 3);
}

}  // namespace stats_tests
