#include <abyme/stats/reset.hpp>

#include <abyme/core/describe.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/trigger/periodic_trigger.hpp>

#include <catch2/catch.hpp>

namespace ab = abyme;

namespace reset_tests {

TEST_CASE("a reset sets the states of other nodes back, and nothing of its caller's") {
  ab::IterationLooper loop(3), other(5);
  ab::PeriodicTrigger first(2), second(2), untouched(2);
  loop("iteration_end", first, second, untouched)("end", ab::Reset(first, second, other));
  other->counter = 4;
  ab::Ground ground;
  ground("dig", loop);
  ground.dig();
  CHECK(first->counter == 0);
  CHECK(second->counter == 0);
  CHECK(other->counter == 0);
  CHECK(untouched->counter == 3);
  CHECK(loop->counter == 3);
}

TEST_CASE("a node to reset that is gone is a fault; targets are described") {
  ab::PeriodicTrigger trigger(2);
  ab::Ground ground;
  ground("dig", ab::Reset(trigger.named("every_2"), ab::PeriodicTrigger(1)));
  REQUIRE(ab::faults(ground).size() == 1);
  CHECK(ab::faults(ground)[0].message ==
        "a node to reset must be alive, but it is gone; keep a handle of it while the tree is used");
  CHECK(ab::describe(ground).find("Reset(targets = \"every_2, (gone)\")") != std::string::npos);
}

}  // namespace reset_tests
