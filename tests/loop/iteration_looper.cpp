#include <abyme/loop/iteration_looper.hpp>

#include <abyme/stats/reset.hpp>

#include "support/trace.hpp"

namespace ab = abyme;

namespace iteration_looper_tests {

using tests::happened;
using tests::Trace;

namespace {

ab::IterationLooper traced(ab::IterationLooper looper, const Trace& trace, const std::string& name = "") {
  return looper("start", trace(name + "start", "counter", "total", "fraction"))(
      "iteration_start", trace(name + "iteration_start", "counter", "fraction"))(
      "iteration_end", trace(name + "iteration_end", "counter", "fraction"))("end",
                                                                             trace(name + "end", "counter"));
}

}  // namespace

TEST_CASE(
    "counter is 0 at start, the index in iteration_start, the number completed in iteration_end and end") {
  Trace trace;
  ab::Ground ground;
  ground("dig", traced(ab::IterationLooper(2), trace));
  for (int dig = 0; dig < 2; ++dig) {
    ground.dig();
    CHECK_THAT(trace, happened(R"(
      start 0 2 0
        iteration_start 0 0
        iteration_end 1 0.5
        iteration_start 1 0.5
        iteration_end 2 1
      end 2
    )"));
    trace.clear();
  }
  ground.dig({.keep = true});
  CHECK(trace.lines().front() == "start 0 2 0");
}

TEST_CASE("zero iterations or fewer give start and end only") {
  for (const int count : {0, -3}) {
    Trace trace;
    const auto looper = traced(ab::IterationLooper(count), trace);
    ab::Ground ground;
    ground("dig", looper);
    CHECK(ground.dig().completed);
    CHECK_THAT(trace, happened(fmt::format("start 0 {} 1\n end 0", count)));
    CHECK(looper->counter == 0);
  }
}

TEST_CASE("a looper inside another starts from 0 each time") {
  Trace trace;
  ab::IterationLooper outer(2), inner(2);
  outer("iteration_start", trace("outer", "counter"), traced(inner, trace));
  ab::Ground ground;
  ground("dig", outer);
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    outer 0
      start 0 2 0
        iteration_start 0 0
        iteration_end 1 0.5
        iteration_start 1 0.5
        iteration_end 2 1
      end 2
    outer 1
      start 0 2 0
        iteration_start 0 0
        iteration_end 1 0.5
        iteration_start 1 0.5
        iteration_end 2 1
      end 2
  )"));
}

TEST_CASE("a looper may be set up after it was hung") {
  Trace trace;
  ab::IterationLooper epochs;
  ab::Ground ground;
  ground("dig", epochs("iteration_end", trace("iteration", "counter", "total")));
  CHECK(ab::to_text(epochs.get("total")()) == "none");
  CHECK(ab::to_text(epochs.get("fraction")()) == "none");
  CHECK(ab::to_text(epochs.get("count")()) == "none");
  CHECK_THROWS_WITH(
      ground.dig(),
      Catch::Contains(
          "IterationLooper: a looper needs its count, got none; pass it, or call setup(10) before the dig"));
  CHECK(epochs.setup(2) == epochs);
  ground.dig();
  epochs.setup(1);
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    iteration 1 2
    iteration 2 2
    iteration 1 1
  )"));
}

TEST_CASE("the count is an input, read once a dig") {
  Trace trace;
  ab::IterationLooper outer(3), inner(outer.get("counter"));
  inner("start", trace("inner", "total"));
  outer("iteration_start", inner, [&] { inner->total.reset(), outer.setup(100); });
  ab::Ground ground;
  ground("dig", outer);
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    inner 0
    inner 1
    inner 2
  )"));
}

TEST_CASE("a looper that is reset while it runs ends") {
  Trace trace;
  ab::IterationLooper loop(5);
  loop("iteration_end", trace("iteration", "counter"), ab::Reset(loop))("end",
                                                                        trace("end", "counter", "total"));
  ab::Ground ground;
  ground("dig", loop);
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    iteration 1
    end 0 none
  )"));
}

TEST_CASE("a looper without a child is a fault") {
  ab::Ground ground;
  ground("dig", ab::IterationLooper(2));
  REQUIRE(ab::faults(ground).size() == 1);
  CHECK(ab::faults(ground)[0].message == "a looper needs a child, got none; hang one on \"iteration_end\"");
}

}  // namespace iteration_looper_tests
