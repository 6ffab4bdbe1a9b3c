#include <abyme/trigger/new_low_trigger.hpp>

#include <support/values.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <optional>
#include <vector>

namespace ab = abyme;

namespace new_low_trigger_tests {

using Fired = std::vector<double>;

TEST_CASE("a new low: the first value, then each that is strictly lower", "[trigger]") {
  CHECK(fired(ab::NewLowTrigger("value"), {3, 3, 4, 2, 2, 1.5}) == Fired{3, 2, 1.5});
}

TEST_CASE("zero is a low like any other, also below it", "[trigger]") {
  CHECK(fired(ab::NewLowTrigger("value"), {0, 5, 0, -1, 7}) == Fired{0, -1});
}

TEST_CASE("values that are not there yet, and NaN, are passed over, also as the first", "[trigger]") {
  CHECK(fired(ab::NewLowTrigger("value"), {std::nullopt, NAN, 3, NAN, std::nullopt, 2}) == Fired{3, 2});
}

TEST_CASE("with min_delta a value counts only where it is lower by more than that", "[trigger]") {
  CHECK(fired(ab::NewLowTrigger("value", {.min_delta = 0.5}), {3, 2.75, 2.5, 2.25, 1.9, 1.75}) ==
        Fired{3, 2.25});
}

TEST_CASE("the low is set before the children run, and set back when a ground digs", "[trigger]") {
  const ab::NewLowTrigger trigger("value");
  std::vector<double> lows;
  trigger("dig", [&] { lows.push_back(trigger.get("min").as<double>()); });
  CHECK(fired(trigger, {3, 4, 2}) == Fired{3, 2});
  CHECK(fired(trigger, {5}) == Fired{5});
  CHECK(lows == std::vector<double>{3, 2, 5});
}

TEST_CASE("a new high is the mirror", "[trigger]") {
  CHECK(fired(ab::NewHighTrigger("value"), {-3, -3, -4, NAN, 0, 0, 1}) == Fired{-3, 0, 1});
  CHECK(fired(ab::NewHighTrigger("value", {.min_delta = 1}), {1, 2, 2.5}) == Fired{1, 2.5});
}

}  // namespace new_low_trigger_tests
