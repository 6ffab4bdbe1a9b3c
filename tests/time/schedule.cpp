#include <abyme/time/schedule.hpp>

#include "support/error_of.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <vector>

namespace ab = abyme;
using namespace std::chrono_literals;

namespace schedule_tests {

using tests::error_of;

namespace {

using Steps = std::vector<std::int64_t>;

/// The steps, out of these many, at which it is due. A batch has `batch` samples, a step takes `time`.
Steps due(ab::Schedule& schedule, std::int64_t count, std::int64_t batch = 1, ab::Duration time = 1s,
          std::int64_t from = 0) {
  Steps steps;
  for (std::int64_t step = from; step < count; ++step) {
    if (schedule({step, step * batch, double(step) * time, ab::Date()})) steps.push_back(step);
  }
  return steps;
}
Steps due(ab::Schedule&& schedule, std::int64_t count, std::int64_t batch = 1, ab::Duration time = 1s) {
  return due(schedule, count, batch, time);
}

const auto odd = [](const ab::Elapsed& elapsed) { return elapsed.steps % 2 == 1; };

}  // namespace

TEST_CASE("every is due at multiples of steps, 0 included, never before 0") {
  CHECK(due(ab::every(3), 10) == Steps{0, 3, 6, 9});
  CHECK(due(ab::every(1), 3) == Steps{0, 1, 2});
  ab::Schedule schedule = ab::every(3);
  CHECK(due(schedule, 4, 1, 1s, -6) == Steps{0, 3});
}

TEST_CASE(
    "every is due at the first step at or past each multiple of samples and of time, and does not drift") {
  CHECK(due(ab::every(ab::samples(100)), 14, 32) == Steps{4, 7, 10, 13});  // 128, 224, 320, 416
  CHECK(due(ab::every(ab::samples(10)), 4, 32) == Steps{1, 2, 3});         // several multiples in one step
  CHECK(due(ab::every(1s), 9, 1, 300ms) == Steps{4, 7});                   // 1.2 s, 2.1 s
  CHECK(due(ab::every(ab::steps(5) || ab::samples(64)), 8, 32) == Steps{0, 2, 4, 5, 6});
}

TEST_CASE("after is due from a period on, whichever of its units comes first") {
  CHECK(due(ab::after(3), 6) == Steps{3, 4, 5});
  CHECK(due(ab::after(ab::samples(60)), 4, 32) == Steps{2, 3});
  CHECK(due(ab::after(ab::steps(5) || 3s), 6) == Steps{3, 4, 5});
  CHECK(due(ab::after(3).every(5), 15) == Steps{3, 8, 13});
  CHECK(due(ab::after(3).then(odd), 9) == Steps{4, 6, 8});  // it counts from there
  // The count of samples begins at the switch, so nothing is due there.
  CHECK(due(ab::after(3).every(ab::samples(64)), 9, 32) == Steps{5, 7});
}

TEST_CASE("always, never, and, or, not, also with plain functions on either side") {
  CHECK(due(ab::always(), 3) == Steps{0, 1, 2});
  CHECK(due(ab::never(), 3) == Steps{});
  CHECK(due(ab::every(2) && ab::every(3), 13) == Steps{0, 6, 12});
  CHECK(due(ab::every(2) || ab::every(3), 7) == Steps{0, 2, 3, 4, 6});
  CHECK(due(!ab::every(2), 5) == Steps{1, 3});
  CHECK(due(ab::every(3) && odd, 10) == Steps{3, 9});
  CHECK(due(odd && ab::every(3), 10) == Steps{3, 9});
  CHECK(due(odd, 4) == Steps{1, 3});
}

TEST_CASE("the second is not asked where the first decides, so it remembers only what it was asked") {
  CHECK(due(ab::every(4) && ab::every(ab::samples(64)), 10, 32) == Steps{4, 8});
  CHECK(due(ab::every(4) || ab::every(ab::samples(64)), 6, 32) == Steps{0, 2, 4, 5});
}

TEST_CASE("piecewise takes one schedule after the other, each counted from its turn") {
  CHECK(due(ab::piecewise(ab::every(1), {{3, ab::every(4)}, {10, ab::every(2)}}), 15) ==
        Steps{0, 1, 2, 3, 7, 10, 12, 14});
  CHECK(due(ab::piecewise(ab::never(), {{2s, ab::every(2s)}}), 9) == Steps{4, 6, 8});  // time too
  ab::Schedule late = ab::piecewise(ab::every(2), {{100, ab::never()}});
  CHECK(due(late, 10, 1, 1s, 5) == Steps{5, 7, 9});  // the first counts from the first question
  ab::Schedule jump = ab::piecewise(ab::never(), {{1, ab::never()}, {2, ab::always()}});
  CHECK(due(jump, 12, 1, 1s, 10) == Steps{11});  // one turn a question
}

TEST_CASE("on_steps and geometric are due at their steps") {
  CHECK(due(ab::on_steps({1, 10, 100}), 200) == Steps{1, 10, 100});
  CHECK(due(ab::geometric(1, 2.0), 100) == Steps{1, 2, 4, 8, 16, 32, 64});
  CHECK(due(ab::geometric(10, 1.5), 120) == Steps{10, 15, 23, 34, 51, 76, 114});
  CHECK(due(ab::geometric(1, 1.1), 12) == Steps{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("a copy has a memory of its own, however deep it lies") {
  const ab::Schedule fresh =
      !(ab::after(0).every(ab::samples(64)) && ab::piecewise(ab::every(4s), {{100, ab::never()}}));
  ab::Schedule first = fresh, second = fresh;
  const Steps once = due(first, 12, 32);
  CHECK(once.size() < 12);
  CHECK(due(second, 12, 32) == once);
  CHECK(due(first, 12, 32) != once);
}

TEST_CASE("what a schedule remembers can be kept and put back") {
  const auto make = [] {
    return ab::every(ab::samples(100) || 7s) || ab::after(4).every(3) || (ab::every(5s) && odd) ||
           !ab::piecewise(ab::always(), {{9, ab::never()}});
  };
  for (std::int64_t cut = 0; cut <= 20; ++cut) {
    ab::Schedule whole = make(), before = make(), after = make();
    Steps steps = due(before, cut, 32);
    ab::Kept kept;
    before.save(kept);
    after.load(kept);
    for (const std::int64_t step : due(after, 20, 32, 1s, cut)) steps.push_back(step);
    CHECK(steps == due(whole, 20, 32));
  }
}

TEST_CASE("a schedule tells itself as it was written") {
  CHECK(ab::every(ab::steps(1000) || 5min).text() == "every 1000 steps or 300 s");
  CHECK((ab::every(2) && (odd || !ab::after(3))).text() ==
        "(every 2 steps and (callable or not after 3 steps))");
  CHECK(ab::after(3).every(5).text() == "never, after 3 steps every 5 steps");
  CHECK(ab::on_steps({1, 10}).text() == "on the steps 1 10");
  CHECK(ab::geometric(1, 2.0).text() == "on the steps 1, times 2 each");
}

TEST_CASE("periods that can't be are refused; integers and bools are no schedules") {
  CHECK(error_of([] { ab::every(0); }) ==
        "every: a period must be positive, got 0 steps; pass one in steps, samples or time that is");
  CHECK(error_of([] { ab::every(-1s); }) ==
        "every: a period must be positive, got -1 s; pass one in steps, samples or time that is");
  CHECK(error_of([] { ab::every(ab::Date()); }) == "every: a period that comes again must be in steps, "
                                                   "samples or time, got 0.000 s since 1970; pass one of "
                                                   "these");
  CHECK(error_of([] { ab::after(ab::samples(-1)); }) ==
        "after: a period must be at least 0, got -1 samples; pass one in steps, samples or time that is");
  CHECK(error_of([] { ab::geometric(0, 2); }) ==
        "geometric: it begins at 1 or more and grows by a factor above 1, got 0 and 2; pass 1 and 2.0");
  STATIC_REQUIRE_FALSE(std::convertible_to<int, ab::Schedule>);
  STATIC_REQUIRE_FALSE(std::convertible_to<bool, ab::Schedule>);
  STATIC_REQUIRE(std::convertible_to<decltype(odd), ab::Schedule>);
}

}  // namespace schedule_tests
