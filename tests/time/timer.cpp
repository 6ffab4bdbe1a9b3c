#include <abyme/time/timer.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/reset.hpp>
#include <abyme/trigger/if.hpp>

#include "support/trace.hpp"

#include <stdexcept>

namespace ab = abyme;

namespace timer_tests {

using tests::happened;
using tests::Trace;

namespace {

std::string shown(const ab::Timer& timer) {
  std::string text;
  for (const char* name : {"elapsed", "last", "start", "end"})
    text += ab::kind(timer.get(name)()) == ab::Kind::nothing ? "- " : "x ";
  return text + ab::to_text(timer.get("count")());
}

}  // namespace

TEST_CASE("a timer is transparent, and before its first dig shows nothing but zeros") {
  Trace trace;
  ab::Timer timer;
  CHECK(shown(timer) == "- - - - 0");
  CHECK(timer.get("total").as<ab::Duration>().count() == 0);
  ab::IterationLooper loop(2);
  loop("iteration_end",
       timer("dig", trace("sees", "counter"), [&](ab::IterationLooper::Node&) { trace.add(shown(timer)); }));
  ab::Ground()("dig", loop).dig();
  CHECK_THAT(trace, happened(R"(
    sees 1
    x - x - 0
    sees 2
    x x x - 1
  )"));
  CHECK(shown(timer) == "x x x x 2");
}

TEST_CASE("the total is the sum of all digs; time goes forward") {
  ab::Timer timer;
  ab::Duration sum{0}, before{0};
  ab::IterationLooper loop(50);
  loop("iteration_end",
       timer("dig",
             [&] {
               const ab::Duration running = *timer->elapsed();
               CHECK(running >= ab::Duration(0));
               CHECK(*timer->elapsed() >= running);
               CHECK(timer->total == sum);  // what runs is not in it yet
               before = running;
             }),
       [&] {
         CHECK(timer->last >= before);
         CHECK(timer->elapsed() == timer->last);
         sum += *timer->last;
         CHECK(timer->total == sum);
         CHECK(*timer->start > 1'600'000'000);  // seconds since 1970 in September 2020
       });
  ab::Ground()("dig", loop).dig();
  CHECK(timer->count == 50);
  CHECK(timer.get("total").as<ab::Duration>() == sum);
}

TEST_CASE("a dig that is broken off or fails is timed too") {
  Trace trace;
  ab::Timer timer;
  ab::IterationLooper inner(9);
  SECTION("by a break below it") {
    ab::Ground()("dig", timer("dig", inner("iteration_end", ab::Break()))).dig();
  }
  SECTION("by a break of the timer itself; the next dig is another") {
    timer(
        "dig", [] {}, ab::Break(timer), trace("never"));
    ab::Ground ground;
    ground("dig", timer, ab::If([&] { return timer->count == 1; })("dig", trace("then")));
    ground.dig();
    CHECK_THAT(trace, happened("then"));
  }
  SECTION("by an error") {
    const auto ground = ab::Ground()("dig", timer("dig", [] { throw std::runtime_error("stop here"); }));
    CHECK_THROWS_AS(ground.dig(), ab::Error);
  }
  CHECK(shown(timer) == "x x x x 1");
  CHECK(timer->total == *timer->last);
}

TEST_CASE("a timer is set back with the run, and when it is reset") {
  ab::Timer timer;
  ab::Ground ground;
  ground("dig", timer("dig", [] {}));
  ground.dig();
  ground.dig();
  CHECK(timer->count == 1);
  ground.dig({.keep = true});
  CHECK(timer->count == 2);
  CHECK(timer->total >= *timer->last);
  ground("final", ab::Reset(timer));
  ground.dig();
  CHECK(shown(timer) == "- - - - 0");
  CHECK(timer->total.count() == 0);
}

}  // namespace timer_tests
