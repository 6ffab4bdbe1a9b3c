#include <abyme/core/ground.hpp>

#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/trigger/periodic_trigger.hpp>

#include "support/trace.hpp"

#include <stdexcept>
#include <vector>

namespace ab = abyme;

namespace ground_tests {

using tests::happened;
using tests::Trace;

namespace {

// The small nodes that the tree of Abyme's README needs and abyme does not have yet.
struct CounterNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  std::int64_t count = 0;
  static constexpr auto fields = ab::fields(ab::state("count", &CounterNode::count));
  ab::Step next(ab::Step finished) override {
    if (finished != ab::entry) return ab::done;
    ++count;
    return events["dig"];
  }
};
using Counter = ab::Handle<CounterNode>;

struct PassNode : ab::Node {
  static constexpr auto events = ab::events("start", "end");
  ab::Input<ab::Opaque> data = ab::caller("data");
  std::int64_t batch = -1;
  Trace trace;
  static constexpr auto fields =
      ab::fields(ab::field("data", &PassNode::data), ab::field("batch", &PassNode::batch));
  explicit PassNode(Trace trace) : trace(std::move(trace)) { data.take_only({&ab::type_id<int>}); }
  ab::Step next(ab::Step finished) override {
    if (finished == ab::entry) return events["start"];
    if (finished == events["end"]) return ab::done;
    batch = *static_cast<const int*>(read(data).address);
    trace.add(fmt::format("work on batch {}", batch));
    return events["end"];
  }
};
using Pass = ab::Handle<PassNode>;

struct NewLowNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  static constexpr bool transparent = true;
  ab::Input<double> value;
  std::optional<double> min;
  static constexpr auto fields =
      ab::fields(ab::field("value", &NewLowNode::value), ab::state("min", &NewLowNode::min));
  explicit NewLowNode(ab::Input<double> value) : value(std::move(value)) {}
  ab::Step next(ab::Step finished) override {
    if (finished != ab::entry) return ab::done;
    const double now = read(value);
    if (min && !(now < *min)) return ab::done;
    min = now;
    return events["dig"];
  }
};
using NewLow = ab::Handle<NewLowNode>;

}  // namespace

TEST_CASE(
    "the events of 2 epochs of 2 batches happen in the order of Abyme's, data set before an iteration") {
  Trace trace;
  ab::IterationLooper epochs(2);
  ab::DataLooper data(std::vector<int>{0, 1});
  Pass pass(trace);
  Counter stats, moving;
  stats.named("stats");
  epochs("start", trace("epochs start", "counter"))("iteration_start",
                                                    trace("epochs iteration_start", "counter"), data)(
      "iteration_end", trace("epochs iteration_end", "counter"))("end", trace("epochs end", "counter"));
  const auto batch = [](ab::DataLooper::Node& node) { return node.batch<int>(); };
  data("start", trace("data start", "counter"))
      .at("iteration_start",
          [&, batch](ab::DataLooper::Node& node) {
            trace.add(fmt::format("data iteration_start {}, batch {}", node.counter, batch(node)));
          })
      .at(
          "iteration_end",
          [&, batch](ab::DataLooper::Node& node) {
            trace.add(fmt::format("data iteration_end {}, batch {}", node.counter, batch(node)));
          },
          pass)
      .at("end", trace("data end", "counter"),
          NewLow("count").focus(stats)("dig", trace("new low, stats", "count")));
  pass("start", trace("pass start"))("end", trace("pass end", "batch"), stats);
  stats("dig", trace("stats dig", "count"), moving);
  moving("dig", trace("moving dig", "count"),
         ab::PeriodicTrigger(2)("dig", trace("trigger, moving", "count")));

  ab::Ground ground;
  ground("dig", trace("ground dig"), epochs)("final", trace("ground final", "reason", "completed"));
  const ab::Outcome outcome = ground.dig();
  CHECK(outcome.completed);
  CHECK(outcome.reason == "completed");
  CHECK_THAT(trace, happened(R"(
    ground dig
      epochs start 0
      epochs iteration_start 0
        data start 0
        data iteration_start 0, batch 0
        data iteration_end 1, batch 0
          pass start
            work on batch 0
          pass end 0
            stats dig 1
              moving dig 1
                trigger, moving 1
        data iteration_start 1, batch 1
        data iteration_end 2, batch 1
          pass start
            work on batch 1
          pass end 1
            stats dig 2
              moving dig 2
        data end 2
          new low, stats 2
      epochs iteration_end 1
      epochs iteration_start 1
        data start 0
        data iteration_start 0, batch 0
        data iteration_end 1, batch 0
          pass start
            work on batch 0
          pass end 0
            stats dig 3
              moving dig 3
                trigger, moving 3
        data iteration_start 1, batch 1
        data iteration_end 2, batch 1
          pass start
            work on batch 1
          pass end 1
            stats dig 4
              moving dig 4
        data end 2
      epochs iteration_end 2
      epochs end 2
    ground final completed true
  )"));
}

TEST_CASE("a ground fires dig, then final, and tells how it ended") {
  Trace trace;
  ab::Ground ground;
  ground("final", trace("final", "reason", "completed"));
  CHECK(ab::to_text(ground.get("reason")()) == "none");

  SECTION("completed") {
    ground("dig", trace("dig", "reason", "completed"));
    const auto outcome = ground.dig();
    CHECK((outcome.completed && outcome.reason == "completed"));
    CHECK_THAT(trace, happened(R"(
      dig none false
      final completed true
    )"));
  }
  SECTION("by a stop") {
    ground(
        "dig", [](ab::Run& run) { run.stop("enough"); }, trace("never"));
    const auto outcome = ground.dig();
    CHECK((!outcome.completed && outcome.reason == "enough"));
    CHECK_THAT(trace, happened("final enough false"));
  }
  SECTION("by an error") {
    ground("dig", [] { throw std::runtime_error("no memory"); });
    CHECK_THROWS_AS(ground.dig(), ab::Error);
    CHECK_THAT(trace, happened("final error: no memory false"));
  }
  SECTION("empty, and dug again after a stop") {
    bool stop = true;
    ground("dig", [&](ab::Run& run) {
      if (stop) run.stop("first");
    });
    CHECK(ground.dig().reason == "first");
    stop = false;
    CHECK(ground.dig().reason == "completed");
    CHECK_THAT(trace, happened(R"(
      final first false
      final completed true
    )"));
  }
}

TEST_CASE("Break ends the node that it is given; the next child of that node's parent goes on") {
  Trace trace;
  ab::IterationLooper outer(2), inner(3);
  ab::Ground ground;
  outer("iteration_start", trace("outer start", "counter"), inner, trace("after inner"))(
      "iteration_end", trace("outer end", "counter"))("end", trace("outer done", "counter"));
  inner("iteration_start", trace("inner start", "counter"))("iteration_end", trace("inner end", "counter"))(
      "end", trace("inner done"));
  ground("dig", outer, trace("after outer", "reason"))("final", trace("final", "reason", "completed"));

  SECTION("the loop around it") {
    inner("iteration_end", ab::Break(inner), trace("never"));
    CHECK(ground.dig().reason == "completed");
    CHECK_THAT(trace, happened(R"(
      outer start 0
        inner start 0
        inner end 1
      after inner
      outer end 1
      outer start 1
        inner start 0
        inner end 1
      after inner
      outer end 2
      outer done 2
      after outer none
      final completed true
    )"));
    CHECK(inner->counter == 1);
  }
  SECTION("a loop further out, from the middle of its iteration_start") {
    inner("iteration_start", ab::Break(outer), trace("never"));
    CHECK(ground.dig().completed);
    CHECK_THAT(trace, happened(R"(
      outer start 0
        inner start 0
      after outer none
      final completed true
    )"));
    CHECK(outer->counter == 0);
  }
  SECTION("out of triggers") {
    inner("iteration_start",
          ab::PeriodicTrigger(1)("dig", ab::PeriodicTrigger(1)("dig", ab::Break(outer), trace("never")),
                                 trace("never")));
    ground.dig();
    CHECK_THAT(trace, happened(R"(
      outer start 0
        inner start 0
      after outer none
      final completed true
    )"));
  }
  SECTION("the ground: final, and the reason in the outcome") {
    inner("iteration_end", ab::Break(ground, {.reason = "loss is low"}));
    const auto outcome = ground.dig();
    CHECK((!outcome.completed && outcome.reason == "loss is low"));
    CHECK_THAT(trace, happened(R"(
      outer start 0
        inner start 0
        inner end 1
      final loss is low false
    )"));
  }
  SECTION("without a node: everything") {
    inner("iteration_end", ab::Break());
    CHECK(ground.dig().reason == "broken off");
    CHECK_THAT(trace, happened(R"(
      outer start 0
        inner start 0
        inner end 1
      final broken off false
    )"));
  }
  SECTION("with a reason only") {
    inner("iteration_end", ab::Break({.reason = "time is up"}));
    CHECK(ground.dig().reason == "time is up");
  }
}

TEST_CASE("a break aimed at a PeriodicTrigger skips its other children and does not freeze it") {
  Trace trace;
  ab::IterationLooper loop(5);
  ab::PeriodicTrigger every_2(2);
  every_2("dig", trace("fires", "counter"), ab::Break(every_2), trace("never"));
  loop("iteration_start", every_2, trace("after", "counter"));
  ab::Ground ground;
  ground("dig", loop);
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    fires 0
    after 0
    after 1
    fires 2
    after 2
    after 3
    fires 4
    after 4
  )"));
  CHECK(every_2->counter == 5);
}

TEST_CASE("final of each nested ground fires once, from the inside out, with the reason") {
  Trace trace;
  ab::Ground outer, inner, sibling;
  outer.named("outer");
  inner.named("inner");
  ab::IterationLooper loop(3);
  outer("dig", loop, trace("after the loop"))("final", trace("outer final", "reason", "completed"));
  loop("iteration_end", inner, trace("iteration_end", "counter"))("end", trace("end"));
  inner("final", trace("inner final", "reason", "completed"));

  SECTION("nothing stops") {
    outer.dig();
    CHECK_THAT(trace, happened(R"(
      inner final completed true
      iteration_end 1
      inner final completed true
      iteration_end 2
      inner final completed true
      iteration_end 3
      end
      after the loop
      outer final completed true
    )"));
  }
  SECTION("a break of the inner ground ends it alone") {
    inner("dig", ab::Break(inner, {.reason = "inner only"}));
    CHECK(outer.dig().completed);
    CHECK_THAT(trace, happened(R"(
      inner final inner only false
      iteration_end 1
      inner final inner only false
      iteration_end 2
      inner final inner only false
      iteration_end 3
      end
      after the loop
      outer final completed true
    )"));
  }
  SECTION("a break of the loop passes through the inner ground") {
    inner("dig", ab::Break(loop, {.reason = "the loop"}));
    CHECK(outer.dig().completed);
    CHECK_THAT(trace, happened(R"(
      inner final the loop false
      after the loop
      outer final completed true
    )"));
  }
  SECTION("Break() ends the outermost ground") {
    inner("dig", ab::Break({.reason = "all"}));
    CHECK_FALSE(outer.dig().completed);
    CHECK_THAT(trace, happened(R"(
      inner final all false
      outer final all false
    )"));
  }
  SECTION("an error") {
    inner("dig", [] { throw std::runtime_error("oh"); });
    CHECK_THROWS_AS(outer.dig(), ab::Error);
    CHECK_THAT(trace, happened(R"(
      inner final error: oh false
      outer final error: oh false
    )"));
  }
  SECTION("a break inside final, of its own ground: the rest of final is dropped, the first stop goes on") {
    inner("dig", ab::Break({.reason = "all"}))("final", ab::Break(inner, {.reason = "second"}),
                                               trace("never"));
    CHECK(outer.dig().reason == "all");
    CHECK_THAT(trace, happened(R"(
      inner final all false
      outer final all false
    )"));
  }
  SECTION("a stop inside final of a ground that had completed") {
    inner(
        "final", [](ab::Run& run) { run.stop("from final"); }, trace("never"));
    CHECK(outer.dig().reason == "from final");
    CHECK_THAT(trace, happened(R"(
      inner final completed true
      outer final from final false
    )"));
  }
  SECTION("a stop inside final while a break unwinds to the loop reaches further") {
    inner("dig", ab::Break(loop, {.reason = "the loop"}))("final", [](ab::Run& run) { run.stop("all"); });
    CHECK_FALSE(outer.dig().completed);
    CHECK_THAT(trace, happened(R"(
      inner final the loop false
      outer final all false
    )"));
  }
  SECTION("a ground hung in final of the one that is broken runs as a whole") {
    sibling("dig", trace("sibling dig"), ab::Break(sibling),
            trace("never"))("final", trace("sibling final", "reason"));
    inner("dig", ab::Break())("final", sibling, trace("inner final goes on"));
    outer.dig();
    CHECK_THAT(trace, happened(R"(
      inner final broken off false
        sibling dig
        sibling final broken off
      inner final goes on
      outer final broken off false
    )"));
  }
}

TEST_CASE("a break below a node that hangs in two places, one of them not below its target, is told when it "
          "comes") {
  Trace trace;
  ab::IterationLooper target(2), elsewhere(1), shared(1);
  target.named("target")("iteration_end", shared);
  elsewhere.named("elsewhere")("iteration_end", shared);
  shared.named("shared")("end", ab::Break(target));
  ab::Ground ground;
  ground("dig", target, trace("after target"), elsewhere)("final", trace("final"));
  CHECK(ab::faults(ground).empty());  // the walk follows the first path to the shared node
  CHECK_THROWS_WITH(
      ground.dig(),
      "elsewhere/iteration_end[0]/shared/end[0]/Break: the node that a break ends must be running, got "
      "target, which is not above it; hang the break below that node");
  CHECK_THAT(trace, happened("after target\n final"));
}

}  // namespace ground_tests
