#include <abyme/trigger/periodic_trigger.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/reset.hpp>

#include "support/trace.hpp"

namespace ab = abyme;

namespace periodic_trigger_tests {

using tests::happened;
using tests::Trace;

namespace {

// The digs, from 1 on, on which it fires.
std::vector<std::int64_t> fires(const ab::PeriodicTrigger& trigger, int digs = 10) {
  std::vector<std::int64_t> at;
  ab::IterationLooper loop(digs);
  trigger("dig", [&](ab::IterationLooper::Node& node) { at.push_back(node.counter); });
  ab::Ground ground;
  ground("dig", loop("iteration_end", trigger));
  ground.dig();
  return at;
}

using Digs = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("with period 3 it fires on digs 1, 4, 7, with periods of waiting that much later") {
  CHECK(fires(ab::PeriodicTrigger(3)) == Digs{1, 4, 7, 10});
  CHECK(fires(ab::PeriodicTrigger(3, {.wait_periods = 1})) == Digs{4, 7, 10});
  CHECK(fires(ab::PeriodicTrigger(3, {.wait_periods = 2})) == Digs{7, 10});
  CHECK(fires(ab::PeriodicTrigger(1)) == Digs{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  CHECK(fires(ab::PeriodicTrigger(100)) == Digs{1});
  CHECK(fires(ab::PeriodicTrigger(100, {.wait_periods = 1})) == Digs{});
}

TEST_CASE("it counts its own digs through all loops, and starts anew with the run or when it is reset") {
  Trace trace;
  ab::IterationLooper outer(2), inner(3);
  ab::PeriodicTrigger trigger(2);
  trigger("dig", trace("fires", "counter"));
  ab::Ground ground;
  ground("dig", outer("iteration_start", trace("outer", "counter"), inner("iteration_start", trigger)));
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    outer 0
      fires 0
      fires 2
    outer 1
      fires 1
  )"));
  CHECK(trigger->counter == 6);
  trace.clear();
  outer("iteration_start", ab::Reset(trigger));
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    outer 0
      fires 0
      fires 2
    outer 1
      fires 0
      fires 2
  )"));
}

TEST_CASE("period and wait may be late-bound, read at each dig") {
  CHECK(fires(ab::PeriodicTrigger("counter")) == Digs{1});
  std::int64_t period = 2;
  ab::PeriodicTrigger trigger([&] { return period; });
  trigger("dig", [&] { period = 5; });
  CHECK(fires(trigger) == Digs{1, 6});
  ab::IterationLooper wait(1);
  wait.setup(2);
  CHECK(fires(ab::PeriodicTrigger(2, {.wait_periods = wait.get("count")})) == Digs{5, 7, 9});
}

TEST_CASE("a period less than 1 is a fault where it is constant, otherwise an error at the dig") {
  ab::IterationLooper loop(3);
  ab::Ground ground;
  ground("dig", loop);
  SECTION("constant") {
    loop("end", ab::PeriodicTrigger(0), ab::PeriodicTrigger(-2));
    REQUIRE(ab::faults(ground).size() == 2);
    CHECK(ab::faults(ground)[1].message == "period must be at least 1, got -2; pass 1 to fire on every dig");
  }
  SECTION("late-bound") {
    loop("iteration_start", ab::PeriodicTrigger("counter"));
    CHECK_THROWS_WITH(ground.dig(),
                      "IterationLooper/iteration_start[0]/PeriodicTrigger: period must be at least 1, "
                      "got 0; pass 1 to fire on every dig");
  }
}

TEST_CASE("its fields") {
  const ab::PeriodicTrigger trigger(3, {.wait_periods = 2});
  CHECK(trigger.get("period").as<std::int64_t>() == 3);
  CHECK(trigger.get("wait_periods").as<std::int64_t>() == 2);
  CHECK(trigger.get("counter").as<std::int64_t>() == 0);
}

}  // namespace periodic_trigger_tests
