#include <abyme/core/event.hpp>

#include <catch2/catch.hpp>

namespace ab = abyme;

namespace event_tests {

TEST_CASE("events are steps by name, which the compiler looks up") {
  static constexpr auto events = ab::events("start", "end");
  STATIC_REQUIRE(events["start"] == ab::Step{0});
  STATIC_REQUIRE(events["end"] == ab::Step{1});
  STATIC_REQUIRE(events["end"] != events["start"]);
  STATIC_REQUIRE(ab::entry != ab::done);
  STATIC_REQUIRE(events["start"] != ab::entry);
  CHECK(events.names[1] == "end");
}

}  // namespace event_tests
