#include <abyme/time/period.hpp>

#include "support/error_of.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <concepts>
#include <string>

namespace ab = abyme;
using namespace std::chrono_literals;

namespace elapsed_tests {
namespace {

const ab::Date noon{std::chrono::seconds(1'700'000'000)};

ab::Elapsed elapsed_of(std::int64_t steps, std::int64_t samples = 0, ab::Duration time = 0s) {
  return {steps, samples, time, noon + std::chrono::duration_cast<ab::Date::duration>(time)};
}

template <class Left, class Right>
concept HasEqual = requires(Left left, Right right) { left == right; };
template <class Left, class Right>
concept HasAbove = requires(Left left, Right right) { left > right; };
template <class Left, class Right>
concept HasUpTo = requires(Left left, Right right) { left <= right; };
template <class Left, class Right>
concept HasReached = requires(Left left, Right right) {
  { left >= right } -> std::same_as<bool>;
  { left < right } -> std::same_as<bool>;
};

}  // namespace

TEST_CASE("one more batch is one more step, its samples, and the time until now") {
  const ab::Elapsed before{3, 96, 2s, std::chrono::system_clock::now() - 5s};
  const ab::Elapsed after = before.update(32);
  CHECK(after.steps == 4);
  CHECK(after.samples == 128);
  CHECK(after.time - before.time == after.date - before.date);
  CHECK(after.time >= 7s);
  CHECK(after.start() <= before.start() + 1us);
  const ab::Elapsed later = before.update_time();
  CHECK(later.steps == 3);
  CHECK(later.samples == 96);
  CHECK(later.time >= 7s);
}

TEST_CASE("the difference of two is what was done in between, its time too") {
  const ab::Elapsed a = elapsed_of(10, 320, 8s), b = elapsed_of(4, 128, 3s);
  CHECK(a - b == ab::Elapsed{6, 192, 5s, a.date});
  CHECK((a - b).start() == b.date);
  CHECK(to_text(a - b) == "6 steps, 192 samples, 5 s");
}

TEST_CASE("with one unit what has elapsed compares in every way") {
  const ab::Elapsed now = elapsed_of(10, 320, 8s);
  CHECK(now < ab::steps(11));
  CHECK(now <= ab::steps(10));
  CHECK(now == ab::steps(10));
  CHECK(now != ab::steps(11));
  CHECK(now >= ab::steps(10));
  CHECK(now > ab::steps(9));
  CHECK(ab::steps(9) < now);
  CHECK(now > ab::samples(319));
  CHECK(now == ab::samples(320));
  CHECK(now < 9s);
  CHECK(now > 7999ms);
  CHECK(now >= noon + 8s);
  CHECK(now < noon + 9s);
}

TEST_CASE("a period of several units is reached with the first of them, and compares in no other way") {
  const ab::Period period = ab::steps(10) || ab::samples(1000) || 1min;
  CHECK_FALSE(elapsed_of(9, 999, 59s) >= period);
  CHECK(elapsed_of(9, 999, 59s) < period);
  CHECK(elapsed_of(10, 0, 0s) >= period);
  CHECK(elapsed_of(0, 1000, 0s) >= period);
  CHECK(elapsed_of(0, 0, 60s) >= period);
  CHECK_FALSE(elapsed_of(0, 0, 60s) < period);
  CHECK(elapsed_of(0, 0, 60s) >= (ab::steps(10) || noon + 60s));
  CHECK_FALSE(elapsed_of(0, 0, 59s) >= (ab::steps(10) || noon + 60s));
  CHECK((ab::steps(10) || ab::steps(3)) == ab::Period(3));

  STATIC_REQUIRE(HasReached<ab::Elapsed, ab::Period>);
  STATIC_REQUIRE_FALSE(HasEqual<ab::Elapsed, ab::Period>);
  STATIC_REQUIRE_FALSE(HasAbove<ab::Elapsed, ab::Period>);
  STATIC_REQUIRE_FALSE(HasUpTo<ab::Elapsed, ab::Period>);
  STATIC_REQUIRE_FALSE(HasAbove<ab::Elapsed, ab::Elapsed>);
}

TEST_CASE("an integer is a period of steps, a bool is none, and a period tells itself") {
  CHECK(ab::Period(10) == ab::Period(ab::steps(10)));
  STATIC_REQUIRE_FALSE(std::convertible_to<bool, ab::Period>);
  CHECK(ab::Period(10).text() == "10 steps");
  CHECK((ab::steps(10) || ab::samples(64) || 1500ms).text() == "10 steps or 64 samples or 1.5 s");
  CHECK(ab::Period(noon).text() == "1700000000.000 s since 1970");
}

}  // namespace elapsed_tests
