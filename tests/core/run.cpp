#include <abyme/core/run.hpp>

#include <abyme/core/ground.hpp>
#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/reset.hpp>
#include <abyme/trigger/if.hpp>

#include "support/trace.hpp"

#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ab = abyme;

namespace run_tests {

using tests::happened;
using tests::Trace;

namespace {

// Fires its two events, and tells what the run does with it.
struct WitnessNode : ab::Node {
  static constexpr auto events = ab::events("first", "second");
  Trace trace;
  std::string name_;
  std::string throws_in;                               // the function that throws
  std::function<void(const std::string& where)> also;  // what it does besides
  WitnessNode(Trace trace, std::string name, std::string throws_in = "")
      : trace(std::move(trace)), name_(std::move(name)), throws_in(std::move(throws_in)) {}

  void tell(const std::string& where) {
    trace.add(name_ + " " + where);
    if (also) also(where);
    if (throws_in == where) throw std::runtime_error(where + " of " + name_);
  }
  ab::Step next(ab::Step finished) override {
    if (finished == ab::entry) {
      tell("next entry");
      return events["first"];
    }
    if (finished == events["first"]) {
      tell("next first");
      return events["second"];
    }
    tell("next second");
    return ab::done;
  }
  ab::Step left(std::string_view reason) override {
    tell("left: " + std::string(reason));
    if (throws_in == "left") throw std::runtime_error("left of " + name_);
    return ab::done;
  }
  void run_started() override { tell("run_started"); }
  void run_ended() override { tell("run_ended"); }
};
using Witness = ab::Handle<WitnessNode>;

struct StopsNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  bool at_start;
  explicit StopsNode(bool at_start) : at_start(at_start) {}
  ab::Step next(ab::Step) override {
    if (!at_start) run()->stop("in next");
    return ab::done;
  }
  void run_started() override {
    if (at_start) run()->stop("at the start");
  }
};

struct WrongNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  ab::Step answer;
  bool when_left;
  WrongNode(ab::Step answer, bool when_left) : answer(answer), when_left(when_left) {}
  ab::Step next(ab::Step finished) override {
    return finished == events["dig"] ? ab::done : when_left ? events["dig"] : answer;
  }
  ab::Step left(std::string_view) override { return when_left ? answer : ab::done; }
};

struct CountNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  std::int64_t kept = 3, shown = 0;
  static constexpr auto fields =
      ab::fields(ab::state("kept", &CountNode::kept), ab::field("shown", &CountNode::shown));
  ab::Step next(ab::Step finished) override {
    if (finished != ab::entry) return ab::done;
    ++kept, ++shown;
    return events["dig"];
  }
};

struct HangsNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  std::function<void()> in_left, at_start;
  ab::Step next(ab::Step finished) override { return finished == ab::entry ? events["dig"] : ab::done; }
  ab::Step left(std::string_view) override { return in_left(), ab::done; }
  void run_started() override { at_start(); }
};

// What the exceptions say, from the outside in.
std::vector<std::string> told(const std::function<void()>& act) {
  std::vector<std::string> all;
  const std::function<void(const std::exception&)> tell = [&](const std::exception& error) {
    all.emplace_back(error.what());
    try {
      std::rethrow_if_nested(error);
    } catch (const std::exception& nested) {
      tell(nested);
    } catch (...) {
      all.emplace_back("(something else)");
    }
  };
  try {
    act();
  } catch (const std::exception& error) {
    tell(error);
  }
  return all;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("children of an event run in order, each with its whole subtree before the next") {
  Trace trace;
  Witness a(trace, "a"), b(trace, "b");
  a("first", trace("1"), b, trace("2"));
  a("second", trace("3"));
  a("first", trace("4"));
  b("second", trace("in b"));
  ab::Ground ground;
  ground("dig", a);
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    a run_started
    b run_started
    a next entry
      1
      b next entry
      b next first
        in b
      b next second
      2
      4
    a next first
      3
    a next second
    a run_ended
    b run_ended
  )"));
}

TEST_CASE("left is called for each node that is unwound, from the inside out, with the reason") {
  Trace trace;
  Witness a(trace, "a"), b(trace, "b"), c(trace, "c"), sibling(trace, "sibling");
  ab::Ground ground;
  ground("dig", a, sibling)("final", trace("final", "reason"));
  a("first", b);
  b("second", c);

  SECTION("of a break: up to the node that ends") {
    c("first", [&](ab::Run& run) { run.break_to(*b, "enough"); });
    ground.dig();
    CHECK_THAT(trace, happened(R"(
      a run_started
      b run_started
      c run_started
      sibling run_started
      a next entry
        b next entry
        b next first
          c next entry
          c left: enough
        b left: enough
      a next first
      a next second
      sibling next entry
      sibling next first
      sibling next second
      final completed
      a run_ended
      b run_ended
      c run_ended
      sibling run_ended
    )"));
  }
  SECTION("of a stop: all") {
    c("first", [](ab::Run& run) { run.stop("signal"); });
    ground.dig();
    CHECK_THAT(trace, happened(R"(
      a run_started
      b run_started
      c run_started
      sibling run_started
      a next entry
        b next entry
        b next first
          c next entry
          c left: signal
        b left: signal
      a left: signal
      final signal
      a run_ended
      b run_ended
      c run_ended
      sibling run_ended
    )"));
  }
  SECTION("of an error, also where left throws") {
    c->throws_in = "next first";
    b->throws_in = "left";
    CHECK(told([&] { ground.dig(); }) ==
          Texts{"dig[0]/Witness/first[0]/Witness/second[0]/Witness: next first of c\n"
                "  then, while the run ended: dig[0]/Witness/first[0]/Witness: left of b",
                "next first of c"});
    CHECK_THAT(trace, happened(R"(
      a run_started
      b run_started
      c run_started
      sibling run_started
      a next entry
        b next entry
        b next first
          c next entry
          c next first
          c left: error: next first of c
        b left: error: next first of c
      a left: error: next first of c
      final error: next first of c
      a run_ended
      b run_ended
      c run_ended
      sibling run_ended
    )"));
  }
}

TEST_CASE("what code of the user's throws reaches the caller of dig with the path, the original inside") {
  Trace trace;
  ab::IterationLooper epochs(2);
  ab::DataLooper data(std::vector<int>{1, 2, 3});
  Witness end(trace, "end");
  epochs.named("epochs");
  data.named("train_data");
  epochs(
      "iteration_start", [] {}, data);
  ab::Ground ground;
  ground("dig", epochs, end)("final", trace("final", "reason"));

  SECTION("a std::exception") {
    data("iteration_end", [](ab::DataLooper::Node& node) {
      if (node.counter == 2) throw std::out_of_range("row 7");
    });
    try {
      ground.dig();
      FAIL("dig must throw");
    } catch (const ab::Error& error) {
      CHECK(std::string(error.what()) == "epochs/iteration_start[1]/train_data/iteration_end[0]/Call: row 7");
      CHECK_THROWS_AS(std::rethrow_if_nested(error), std::out_of_range);
    }
    CHECK_THAT(trace, happened(R"(
      end run_started
      final error: row 7
      end run_ended
    )"));
  }
  SECTION("something else") {
    data("iteration_end", [] { throw 42; });
    try {
      ground.dig();
      FAIL("dig must throw");
    } catch (const ab::Error& error) {
      CHECK(std::string(error.what()) ==
            "epochs/iteration_start[1]/train_data/iteration_end[0]/Call: an exception that is no "
            "std::exception");
      CHECK_THROWS_AS(std::rethrow_if_nested(error), int);
    }
  }
  SECTION("in final: the first is not hidden") {
    data("start", [] { throw std::runtime_error("first"); });
    ground(
        "final", [] { throw std::runtime_error("second"); }, trace("never"));
    CHECK(told([&] { ground.dig(); }) == Texts{"epochs/iteration_start[1]/train_data/start[0]/Call: first\n"
                                               "  then, while the run ended: final[1]/Call: second",
                                               "first"});
  }
  SECTION("in final alone") {
    ground("final", [] { throw std::runtime_error("only"); });
    data("start", [] {});
    CHECK(told([&] { ground.dig(); }) == Texts{"final[1]/Call: only", "only"});
  }
  SECTION("in run_ended, after a stop and an error: all are told, and all nodes are called") {
    Witness last(trace, "last", "run_ended");
    end->throws_in = "run_ended";
    ground("dig", last);
    data("start", [] { throw std::runtime_error("first"); });
    CHECK(told([&] { ground.dig(); }) == Texts{"epochs/iteration_start[1]/train_data/start[0]/Call: first\n"
                                               "  then, while the run ended: Witness: run_ended of end\n"
                                               "  then, while the run ended: Witness: run_ended of last",
                                               "first"});
    CHECK_THAT(trace, happened(R"(
      end run_started
      last run_started
      final error: first
      end run_ended
      last run_ended
    )"));
  }
  SECTION("in run_started: nothing has run, all nodes are told that the run has ended") {
    end->throws_in = "run_started";
    data("start", trace("never"));
    CHECK_THROWS_WITH(ground.dig(), Catch::Contains("run_started of end"));
    CHECK(trace.lines().front() == "end run_started");
    CHECK(trace.lines().back() == "end run_ended");
  }
  SECTION("the tree can be dug again afterwards") {
    bool fails = true;
    data("start", [&] {
      if (fails) throw std::runtime_error("once");
    });
    CHECK_THROWS_AS(ground.dig(), ab::Error);
    fails = false;
    CHECK(ground.dig().completed);
    CHECK(epochs->counter == 2);
    CHECK_THAT(trace, happened(R"(
      end run_started
      final error: once
      end run_ended
      end run_started
      end next entry
      end next first
      end next second
      final completed
      end run_ended
    )"));
  }
}

TEST_CASE("run.break_to a node that is not above says so when it is called") {
  Trace trace;
  ab::IterationLooper first(1), second(1);
  first.named("first");
  second.named("second");
  ab::Ground ground;
  ground("dig", first, second);
  first("iteration_end", [] {});
  second("iteration_end", [&](ab::Run& run) { run.break_to(*first, "not there"); });
  CHECK(told([&] { ground.dig(); }) == Texts{"second/iteration_end[0]/Call: the node that a break ends must "
                                             "be running, got first, which is not above "
                                             "it; hang the break below that node",
                                             "the node that a break ends must be running, got first, which "
                                             "is not above it; hang the break below that "
                                             "node"});
  CHECK_FALSE(bool(first->run()));
}

TEST_CASE("of several stops the one that reaches furthest holds, of several that reach as far the first") {
  Trace trace;
  Witness a(trace, "a"), b(trace, "b"), c(trace, "c");
  ab::Ground ground;
  ground("dig", a, trace("after a"))("final", trace("final", "reason"));
  a("first", b, trace("after b"));
  b("first", c, trace("after c"));
  const auto run = [&](std::function<void(ab::Run&)> stops) {
    c("first", std::move(stops));
    const auto outcome = ground.dig();
    const auto last = trace.lines();
    return std::find(last.begin(), last.end(), "after c") != last.end()   ? "c"
           : std::find(last.begin(), last.end(), "after b") != last.end() ? "b"
           : std::find(last.begin(), last.end(), "after a") != last.end() ? "a"
                                                                          : "all";
  };
  SECTION("near, then far") {
    CHECK(run([&](ab::Run& r) { r.break_to(*c, "c"), r.break_to(*a, "a"); }) == std::string("a"));
  }
  SECTION("far, then near") {
    CHECK(run([&](ab::Run& r) { r.break_to(*a, "a"), r.break_to(*c, "c"); }) == std::string("a"));
  }
  SECTION("near, then all") {
    CHECK(run([&](ab::Run& r) { r.break_to(*b, "b"), r.stop("all"); }) == std::string("all"));
  }
  SECTION("all, then near") {
    CHECK(run([&](ab::Run& r) { r.stop("all"), r.break_to(*b, "b"); }) == std::string("all"));
    CHECK(ground->reason == "all");
  }
}

TEST_CASE("a stop asked between events of a node and in run_started ends the run") {
  Trace trace;
  ab::Ground ground;
  ab::Handle<StopsNode> stops(false);
  ground("dig", trace("dig"), stops, trace("never"))("final", trace("final", "reason", "completed"));
  CHECK(ground.dig().reason == "in next");
  stops->at_start = true;
  const auto outcome = ground.dig();
  CHECK((outcome.reason == "at the start" && !outcome.completed));
  CHECK_THAT(trace, happened(R"(
    dig
    final in next false
    final at the start false
  )"));
}

TEST_CASE("a node on whose events nothing hangs is on the stack while it runs, "
          "as any other") {
  Trace trace;
  Witness above(trace, "above"), alone(trace, "alone");
  above.named("above");
  ab::Ground ground;
  ground("dig", above, trace("behind"))("final", trace("final", "reason"));
  above("first", alone.named("alone"), trace("beside"));
  const std::string begins = R"(
    above run_started
    alone run_started
    above next entry
      alone next entry
  )",
                    ends = R"(
    above run_ended
    alone run_ended
  )",
                    goes_on = R"(
      beside
    above next first
    above next second
    behind
    final completed
  )";
  const auto does = [&](std::string where, std::function<void(ab::Run&)> what) {
    alone->also = [=, &alone](const std::string& here) {
      if (here == where) what(*alone->run());
    };
  };

  SECTION("it throws") {
    alone->throws_in = "next first";
    CHECK(told([&] { ground.dig(); }) ==
          Texts{"above/first[0]/alone: next first of alone", "next first of alone"});
    CHECK_THAT(trace, happened(begins + R"(
        alone next first
        alone left: error: next first of alone
      above left: error: next first of alone
      final error: next first of alone
    )" + ends));
  }
  SECTION("it stops the run between its events") {
    does("next first", [](ab::Run& run) { run.stop("enough"); });
    CHECK(ground.dig().reason == "enough");
    CHECK_THAT(trace, happened(begins + R"(
        alone next first
        alone left: enough
      above left: enough
      final enough
    )" + ends));
  }
  SECTION("it stops the run when it is done") {
    does("next second", [](ab::Run& run) { run.stop("enough"); });
    CHECK(ground.dig().reason == "enough");
    CHECK_THAT(trace, happened(begins + R"(
        alone next first
        alone next second
      above left: enough
      final enough
    )" + ends));
  }
  SECTION("it breaks itself off") {
    does("next first", [&](ab::Run& run) { run.break_to(*alone, "enough"); });
    CHECK(ground.dig().completed);
    CHECK_THAT(trace, happened(begins + R"(
        alone next first
        alone left: enough
    )" + goes_on + ends));
  }
  SECTION("it breaks itself off when it is done") {
    does("next second", [&](ab::Run& run) { run.break_to(*alone, "enough"); });
    CHECK(ground.dig().completed);
    CHECK_THAT(trace, happened(begins + R"(
        alone next first
        alone next second
    )" + goes_on + ends));
  }
  SECTION("it breaks off what is above it, of both the further one") {
    does("next first", [&](ab::Run& run) {
      run.break_to(*alone, "alone");
      run.break_to(*above, "above");
      run.break_to(*alone, "alone again");
    });
    CHECK(ground.dig().completed);
    CHECK_THAT(trace, happened(begins + R"(
        alone next first
        alone left: above
      above left: above
      behind
      final completed
    )" + ends));
  }
  SECTION("a break of it from elsewhere comes too late") {
    above("first", [&](ab::Run& run) { run.break_to(*alone, "late"); });
    CHECK_THROWS_WITH(ground.dig(), Catch::Contains("above/first[2]/Call: the node that a break ends must be "
                                                    "running, got alone"));
  }
  SECTION("it hangs a child on the event that comes") {
    does("next first", [&](ab::Run&) { alone("second", trace("hung")); });
    CHECK(ground.dig().completed);
    CHECK_THAT(trace, happened(begins + R"(
        alone next first
          hung
        alone next second
    )" + goes_on + ends));
  }
  SECTION("it tells where it is") {
    std::vector<std::string> paths;
    alone->also = [&](const std::string&) { paths.push_back(alone->run()->path()); };
    ground.dig();
    CHECK(paths ==
          Texts{"Ground", "above/first[0]/alone", "above/first[0]/alone", "above/first[0]/alone", "Ground"});
  }
}

TEST_CASE("the nearest looper of a looper on which nothing hangs now is itself") {
  std::vector<std::int64_t> steps;
  ab::Ground ground;
  ab::IterationLooper outer(3);
  ab::IterationLooper inner([&](ab::Run& run) {
    steps.push_back(run.elapsed()->steps);
    return 2;
  });
  inner("start", [] {});
  outer("iteration_end", inner, [&](ab::Run& run) { steps.push_back(run.elapsed()->steps); });
  ground("dig", outer);
  ground.dig();
  CHECK(steps == std::vector<std::int64_t>{0, 1, 2, 2, 4, 3});
}

TEST_CASE("a node that answers next with an event it does not have is told, in a few words") {
  const auto message = [&](ab::Step answer, bool when_left) {
    ab::Ground ground;
    ground("dig", ab::Handle<WrongNode>(answer, when_left)("dig", [](ab::Run& run) { run.stop("stop"); }));
    return told([&] { ground.dig(); }).at(0);
  };
  CHECK(message({1}, false) == "Wrong: next must return one of Wrong's own events or done, got number 1");
  CHECK(message({-1}, false) == "Wrong: next must return one of Wrong's own events or done, got number -1");
  CHECK_THAT(message({5}, true),
             Catch::Contains("left must return one of Wrong's own events or done, got number 5"));
}

TEST_CASE("counters of a node hung in two places are one set") {
  Trace trace;
  ab::IterationLooper shared(2), a(1), b(1);
  shared("end", trace("shared end", "counter"));
  a("iteration_end", shared);
  b("iteration_end", shared);
  ab::Ground ground;
  ground("dig", a, b, shared, trace("done"));
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    shared end 2
    shared end 2
    shared end 2
    done
  )"));
}

TEST_CASE("a new dig sets states back unless it is told to keep them") {
  Trace trace;
  ab::Handle<CountNode> count;
  ab::Ground ground;
  count("dig", trace("count", "kept", "shown"));
  ground("dig", count, count);
  ground.dig();
  ground.dig();
  ground.dig({.keep = true});
  CHECK_THAT(trace, happened(R"(
    count 4 1
    count 5 2
    count 4 3
    count 5 4
    count 6 5
    count 7 6
  )"));
}

TEST_CASE("the caller and the run are known during a run only") {
  ab::IterationLooper loop(1);
  ab::Call call([&](ab::IterationLooper::Node& node, ab::Run& run) {
    CHECK(&node == &*loop);
    CHECK(node.run() == &run);
  });
  loop("iteration_end", call);
  ab::Ground ground;
  ground("dig", loop);
  ground.dig();
  CHECK(loop->caller() == nullptr);
  CHECK(loop->run() == nullptr);
  CHECK(call->caller() == nullptr);
}

// ---- hung while it runs ----

TEST_CASE("a child hung while the tree runs is walked and runs in the same launch") {
  Trace trace;
  ab::IterationLooper loop(3);
  ab::Ground ground;
  ground("dig", loop);
  loop("iteration_start", trace("start", "counter"));
  SECTION("on the event that runs") {
    loop("iteration_end", [&](ab::IterationLooper::Node& node) {
      if (node.counter == 1) loop("iteration_end", trace("hung", "counter"));
    });
    ground.dig();
    CHECK_THAT(trace, happened(R"(
      start 0
      hung 1
      start 1
      hung 2
      start 2
      hung 3
    )"));
  }
  SECTION("many, deep ones: the tables move while frames run through them") {
    loop("iteration_end", [&](ab::IterationLooper::Node& node) {
      if (node.counter > 1) return;
      ab::Handle<WitnessNode> above = Witness(trace, "0");
      loop("iteration_end", above);
      for (int i = 1; i < 100; ++i) {
        Witness below(trace, std::to_string(i));
        above("second", below);
        above = below;
      }
      above("first", trace("bottom"));
    });
    ground.dig();
    CHECK(std::count(trace.lines().begin(), trace.lines().end(), "bottom") == 3);
    CHECK(std::count(trace.lines().begin(), trace.lines().end(), "99 run_started") == 1);
    CHECK(std::count(trace.lines().begin(), trace.lines().end(), "99 run_ended") == 1);
  }
  SECTION("a faulty one is an error, and does not hang") {
    ab::IterationLooper empty;
    loop("iteration_end", [&] {
      CHECK_THROWS_WITH(loop("iteration_end", empty), Catch::Contains("a looper needs its count"));
      CHECK_THROWS_WITH(loop("iteration_end", empty), Catch::Contains("IterationLooper/iteration_end[1]/"));
    });
    CHECK(ground.dig().completed);
    CHECK(ground.dig().completed);
    CHECK(loop->children(ab::IterationLooper::Node::events["iteration_end"]).size() == 1);
  }
  SECTION("one whose run_started throws ends the run") {
    loop("iteration_end", [&] { loop("iteration_end", Witness(trace, "w", "run_started")); });
    CHECK_THROWS_WITH(ground.dig(), Catch::Contains("iteration_end[0]/Call: run_started of w"));
    CHECK(trace.lines().back() == "w run_ended");
  }
  SECTION("one whose check throws does not hang") {
    struct ThrowsNode : ab::Node {
      ab::Step next(ab::Step) override { return ab::done; }
      void check(ab::Place&) const override { throw std::runtime_error("no check"); }
    };
    loop("iteration_end",
         [&] { CHECK_THROWS_WITH(loop("iteration_end", ab::Handle<ThrowsNode>()), "no check"); });
    CHECK(ground.dig().completed);
  }
  SECTION("below a node that is gone by") {
    Witness early(trace, "early");
    ab::Ground other;
    other(
        "dig", early, [&] { early("first", trace("first")); }, early);
    other.dig();
    CHECK_THAT(trace, happened(R"(
      early run_started
      early next entry
      early next first
      early next second
      early next entry
        first
      early next first
      early next second
      early run_ended
    )"));
  }
  SECTION("in left and in run_started") {
    ab::Handle<HangsNode> hangs;
    Witness deep(trace, "deep");
    deep("first", ab::If(true)("dig", ab::If(true)("dig", ab::If(true)("dig", trace("deep inside")))));
    ab::Ground other;
    hangs->at_start = [&] {
      if (!hangs->has_children()) hangs("dig", ab::Break(other));
    };
    hangs->in_left = [&] { other("final", deep); };
    other("dig", hangs)("final", trace("final"));
    other.dig();
    CHECK_THAT(trace, happened(R"(
      deep run_started
      final
      deep next entry
        deep inside
      deep next first
      deep next second
      deep run_ended
    )"));
  }
}

TEST_CASE("what a running node sees lives on to the end of the run, also where its focus is set anew and it "
          "is hung "
          "anew") {
  Trace trace;
  ab::IterationLooper loop(2), other(1);
  auto before = std::make_unique<ab::IterationLooper>(7);
  (*before).named("before");
  ab::If trigger(true);
  trigger.focus (*before)(
      "dig",
      [&] {
        if (!before) return;
        trigger.focus(other.named("other"));
        before.reset();
        loop("end", trace("end"));
      },
      [&](ab::Node& node) { trace.add(fmt::format("sees {}", node.name())); });
  ab::Ground ground;
  ground("dig", loop("iteration_end", trigger));
  ground.dig();
  CHECK_THAT(trace, happened("sees before\n sees other\n end"));
}

// ---- several runs ----

TEST_CASE("a callable may dig another tree while its own runs") {
  Trace trace;
  ab::IterationLooper outer_loop(2), inner_loop(2);
  ab::Ground outer, inner;
  inner("dig", inner_loop("iteration_end", trace("inner", "counter"), [&, looks = outer_loop.get("counter")] {
          trace.add("sees outer " + ab::to_text(looks()));
        }))("final", trace("inner final", "reason"));
  outer("dig", outer_loop)("final", trace("outer final", "reason"));

  SECTION("and goes on") {
    outer_loop(
        "iteration_start", [&] { inner.dig(); }, trace("outer", "counter"));
    outer.dig();
    CHECK_THAT(trace, happened(R"(
      inner 1
      sees outer 0
      inner 2
      sees outer 0
      inner final completed
      outer 0
      inner 1
      sees outer 1
      inner 2
      sees outer 1
      inner final completed
      outer 1
      outer final completed
    )"));
  }
  SECTION("an error passes through both") {
    inner_loop("iteration_end", [] { throw std::runtime_error("deep"); });
    outer_loop("iteration_start", [&] { inner.dig(); });
    CHECK(told([&] { outer.dig(); }) ==
          Texts{"IterationLooper/iteration_start[0]/Call: IterationLooper/iteration_end[2]/Call: deep",
                "IterationLooper/iteration_end[2]/Call: deep", "deep"});
    CHECK(trace.lines().back() == "outer final error: IterationLooper/iteration_end[2]/Call: deep");
  }
  SECTION("a break of the other run's nodes is an error") {
    inner_loop("iteration_end", [&](ab::Run& run) { run.break_to(*outer_loop, "across"); });
    outer_loop("iteration_start", [&] { inner.dig(); });
    CHECK_THROWS_WITH(outer.dig(), Catch::Contains("must be running, got IterationLooper"));
  }
  SECTION("a run object ends only what it runs") {
    outer_loop("iteration_start", [&](ab::Run& run) {
      inner_loop("iteration_start", [&] { run.stop("from within"); });
      inner.dig();
    });
    const auto outcome = outer.dig();
    CHECK(outcome.reason == "from within");
    CHECK(inner->reason == "completed");
  }
}

TEST_CASE("a ground dug inside its own run is told that it runs already, and the run goes on") {
  Trace trace;
  ab::Ground ground;
  ab::IterationLooper loop(2);
  ab::Ground part;
  part("dig", trace("part"));
  loop(
      "iteration_end", part,
      [&] { CHECK_THROWS_WITH(ground.dig(), Catch::Contains("a node is in one run at a time")); },
      [&] { CHECK_THROWS_WITH(part.dig(), Catch::Contains("a node is in one run at a time")); },
      trace("loop", "counter"));
  ground("dig", loop);
  CHECK(ground.dig().completed);
  CHECK_THAT(trace, happened(R"(
    part
    loop 1
    part
    loop 2
  )"));
}

TEST_CASE("threads may each dig a tree of their own") {
  std::vector<std::int64_t> sums(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    threads.emplace_back([&sum = sums[i]] {
      for (int dig = 0; dig < 20; ++dig) {
        ab::IterationLooper outer(10), inner(outer.get("counter"));
        inner("iteration_end", [&](ab::IterationLooper::Node& node) { sum += node.counter; });
        ab::Ground ground;
        ground("dig", outer("iteration_end", inner));
        ground.dig();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(sums == std::vector<std::int64_t>(4, 20 * 220));
}

}  // namespace run_tests
