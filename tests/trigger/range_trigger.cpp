#include <abyme/trigger/range_trigger.hpp>

#include <support/values.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <optional>
#include <vector>

namespace ab = abyme;

namespace range_trigger_tests {

using Fired = std::vector<double>;

TEST_CASE("a range trigger takes the low end in and leaves the high end out", "[trigger]") {
  CHECK(fired(ab::RangeTrigger("value", 2, 4), {1, 2, 3.9, 4, std::nullopt, NAN, 5, 3}) == Fired{2, 3.9, 3});
}

TEST_CASE("without a high end the range is open", "[trigger]") {
  CHECK(fired(ab::RangeTrigger("value", 2), {1, 2, 1e300, INFINITY, -INFINITY}) == Fired{2, 1e300, INFINITY});
}

TEST_CASE("an empty range never fires", "[trigger]") {
  CHECK(fired(ab::RangeTrigger("value", 2, 2), {1, 2, 3}) == Fired{});
}

}  // namespace range_trigger_tests
