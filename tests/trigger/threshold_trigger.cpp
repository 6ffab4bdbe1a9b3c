#include <abyme/core/describe.hpp>
#include <abyme/trigger/new_low_trigger.hpp>
#include <abyme/trigger/range_trigger.hpp>
#include <abyme/trigger/threshold_trigger.hpp>

#include <support/values.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <optional>
#include <vector>

namespace ab = abyme;

namespace threshold_trigger_tests {

using Fired = std::vector<double>;

TEST_CASE("a threshold trigger fires strictly above, each time", "[trigger]") {
  CHECK(fired(ab::ThresholdTrigger("value", 2), {1, 2, 2.5, std::nullopt, NAN, 3, 0, 4}) == Fired{2.5, 3, 4});
}

TEST_CASE("its threshold may be late-bound", "[trigger]") {
  double threshold = 2;
  const ab::ThresholdTrigger trigger("value", [&] { return threshold; });
  CHECK(fired(trigger, {1, 3}) == Fired{3});
  threshold = 3;
  CHECK(fired(trigger, {3, 4}) == Fired{4});
}

TEST_CASE("a field that holds no number is a fault", "[trigger]") {
  const ab::ThresholdTrigger trigger("text", 2);
  ab::Ground ground;
  ground("dig", Values(std::vector<std::optional<double>>{1})("value", trigger));
  const auto faults = ab::faults(ground);
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].path == "Values/value[0]/ThresholdTrigger");
  CHECK(faults[0].message == "value must be a number, got Values.text, which holds a text");
}

}  // namespace threshold_trigger_tests
