#include <abyme/core/handle.hpp>

#include <abyme/core/describe.hpp>
#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/trigger/if.hpp>
#include <abyme/trigger/periodic_trigger.hpp>

#include "support/trace.hpp"

#include <functional>
#include <type_traits>

namespace ab = abyme;

namespace handle_tests {

using tests::happened;
using tests::Trace;

namespace {

std::vector<std::string>* told = nullptr;
void tells() { told->emplace_back("function"); }
void tells_counter(ab::IterationLooper::Node& node) {
  told->push_back(fmt::format("function {}", node.counter));
}

struct Functor {
  std::vector<std::string>* lines;
  void operator()(const ab::IterationLooper::Node& node) const {
    lines->push_back(fmt::format("functor {}", node.counter));
  }
};

// A part of a tree, as users return it from functions.
ab::IterationLooper part(const Trace& trace, int count) {
  ab::IterationLooper inner(count);
  return inner("iteration_end", trace("part", "counter"));
}

struct TwoNode : ab::Node {
  struct Inside {};
  int a;
  std::string b;
  TwoNode(int a, std::string b) : a(a), b(std::move(b)) {}
  ab::Step next(ab::Step) override { return ab::done; }
};
using Two = ab::Handle<TwoNode>;

}  // namespace

TEST_CASE("at and the call operator append to any event, any number of times, and return the handle itself") {
  Trace trace;
  ab::IterationLooper loop(1);
  STATIC_REQUIRE(std::is_same_v<decltype(loop.at("end", trace("x"))), ab::IterationLooper>);
  STATIC_REQUIRE(std::is_same_v<decltype(loop("end")), ab::IterationLooper>);
  const ab::IterationLooper same = loop.at("end", trace("1"))("start", trace("2"))
                                       .at("end", trace("3"), trace("4"))("end")("end", trace("5"));
  CHECK(same == loop);
  CHECK(&*same == &*loop);
  ab::Ground ground;
  ground("dig", same);
  ground.dig();
  CHECK_THAT(trace, happened("2\n 1\n 3\n 4\n 5"));
}

TEST_CASE("a child is a handle, a callable, a pack, or a list") {
  Trace trace;
  std::vector<std::string> lines;
  told = &lines;
  const auto tell = [&](std::string line) { lines.push_back(std::move(line)); };
  ab::IterationLooper loop(1);
  ab::Ground ground;
  ground("dig", loop);

  SECTION("handles, from wherever they come") {
    const ab::IterationLooper constant = part(trace, 1);
    ab::IterationLooper plain = part(trace, 2);
    loop("iteration_end", plain, constant, std::move(plain), part(trace, 1), ab::Child(constant));
    ground.dig();
    CHECK_THAT(trace, happened("part 1\n part 2\n part 1\n part 1\n part 2\n part 1\n part 1"));
  }
  SECTION("callables that take nothing, the node, the run, or both") {
    loop(
        "iteration_end", [&] { tell("nothing"); },
        [&](ab::IterationLooper::Node& node) { tell(fmt::format("node {}", node.counter)); },
        [&](ab::Node& node) { tell(fmt::format("base {}", node.name())); },
        [&](ab::Run& run) { tell("run at " + run.path()); },
        [&](const ab::IterationLooper::Node& node, ab::Run& run) {
          tell(fmt::format("both {} {}", node.counter, node.run() == &run));
        },
        [&](auto& node) { tell(fmt::format("generic {}", node.counter)); },
        [&](auto& node, ab::Run&) { tell(fmt::format("generic and run {}", node.counter)); },
        [&, calls = 0](auto&&...) mutable { tell(fmt::format("variadic, call {}", ++calls)); });
    ground.dig();
    CHECK(lines == std::vector<std::string>{"nothing", "node 1", "base IterationLooper",
                                            "run at IterationLooper/iteration_end[3]/Call", "both 1 true",
                                            "generic 1", "generic and run 1", "variadic, call 1"});
  }
  SECTION("functions, function objects and std::function; what they return is dropped") {
    const std::function<int()> returns = [&] { return tell("std::function"), 3; };
    const Functor functor{&lines};
    loop("iteration_end", tells, &tells, tells_counter, functor, Functor{&lines}, returns,
         std::function<void(ab::IterationLooper::Node&)>(tells_counter));
    ground.dig();
    CHECK(lines == std::vector<std::string>{"function", "function", "function 1", "functor 1", "functor 1",
                                            "std::function", "function 1"});
  }
  SECTION("packs, also inside packs, typed to the end") {
    const auto report = [&](const char* name) {
      return ab::children(trace(name), [&](ab::IterationLooper::Node& node) {
        trace.add(fmt::format("pack {}", node.counter));
      });
    };
    loop("iteration_end", report("a"),
         ab::children(ab::children(report("b"), part(trace, 1)), ab::children()), trace("end"));
    ground.dig();
    CHECK_THAT(trace, happened("a\n pack 1\n b\n pack 1\n part 1\n end"));
  }
  SECTION("lists built in a loop") {
    std::vector<ab::Child> list;
    for (int i = 0; i < 3; ++i) list.emplace_back([&, i] { trace.add(fmt::format("callable {}", i)); });
    list.push_back(part(trace, 1));
    list.push_back([&](ab::IterationLooper::Node& node) { trace.add(fmt::format("node {}", node.counter)); });
    loop("iteration_end", list, ab::children(std::vector<ab::Child>{trace("in a pack")}),
         std::vector<ab::Child>{});
    ground.dig();
    CHECK_THAT(trace, happened("callable 0\n callable 1\n callable 2\n part 1\n node 1\n in a pack"));
  }
  SECTION("calls made by hand, named and focused") {
    ab::IterationLooper other(7);
    other("end", [] {});
    loop("iteration_end",
         ab::Call(
             [&](ab::IterationLooper::Node& node) { tell(fmt::format("{} {}", node.name(), node.counter)); })
             .focus(other)
             .named("watch"),
         ab::Call([&](ab::Run& run) { tell(run.path()); }).named("where"));
    other.named("other");
    other->counter = 5;
    ground.dig();
    CHECK(lines == std::vector<std::string>{"other 5", "IterationLooper/iteration_end[1]/where"});
  }
}

TEST_CASE("the same child may hang again and again: it is one node") {
  Trace trace;
  ab::PeriodicTrigger every_2(2);
  every_2("dig", trace("fires", "counter"));
  ab::IterationLooper loop(2);
  ab::Ground ground;
  ground("dig", loop("iteration_start", every_2, every_2, every_2));
  ground.dig();
  CHECK_THAT(trace, happened("fires 0\n fires 0\n fires 1"));
  CHECK(every_2->counter == 6);
}

TEST_CASE("copies are the same node, a moved handle too") {
  ab::IterationLooper a(3);
  ab::IterationLooper b = a;
  const ab::IterationLooper c = std::move(a);
  CHECK(b == c);
  CHECK(c->count->constant() == 3);
  // NOLINTNEXTLINE: what was moved from is still a handle of the node, so nothing can be null
  CHECK(a == b);
  b = std::move(a);
  CHECK(a->count->constant() == 3);
  CHECK(a != ab::IterationLooper(3));
}

TEST_CASE("constructors take what the node's take, and options by name") {
  CHECK(Two(3, "three")->b == "three");
  CHECK(ab::PeriodicTrigger(3)->options.wait_periods.constant() == 0);
  CHECK(ab::PeriodicTrigger(3, {.wait_periods = 2})->options.wait_periods.constant() == 2);
  CHECK(ab::PeriodicTrigger("counter", {.wait_periods = 2})->period.text() == "caller.counter");
  const ab::PeriodicTriggerOptions options{.wait_periods = 4};
  CHECK(ab::PeriodicTrigger(3, options)->options.wait_periods.constant() == 4);
  CHECK(ab::Break({.reason = "x"})->options.reason == "x");
  CHECK(ab::Break()->options.reason == "broken off");
  STATIC_REQUIRE_FALSE(std::is_convertible_v<int, ab::IterationLooper>);
  STATIC_REQUIRE_FALSE(std::is_default_constructible_v<Two>);
}

TEST_CASE("a list of names in braces is a list of names, whatever stands before and behind it") {
  using Names = std::vector<std::string>;
  struct NamesOptions {
    std::string prefix = "none";
    std::string other = "none";
  };
  struct NamesNode : ab::Node {
    using Options = NamesOptions;
    Options options;
    std::string first;
    Names names;
    NamesNode() = default;
    explicit NamesNode(Options options) : options(std::move(options)) {}
    explicit NamesNode(Names names, Options options = {})
        : options(std::move(options)), names(std::move(names)) {}
    NamesNode(std::string first, Names names, Options options = {})
        : options(std::move(options)), first(std::move(first)), names(std::move(names)) {}
    ab::Step next(ab::Step) override { return ab::done; }
  };
  using Listing = ab::Handle<NamesNode>;
  // One and two texts might be options, or the beginning and the end of one text.
  CHECK(Listing({"a"})->names == Names{"a"});
  CHECK(Listing({"a", "b"})->names == Names{"a", "b"});
  CHECK(Listing({"a", "b", "c"})->names == Names{"a", "b", "c"});
  CHECK(Listing({"a", "b"}, {.prefix = "p"})->names == Names{"a", "b"});
  CHECK(Listing({"a", "b"}, {.prefix = "p"})->options.prefix == "p");
  CHECK(Listing("first", {"a", "b"})->names == Names{"a", "b"});
  CHECK(Listing("first", {"a"})->first == "first");
  CHECK(Listing("first", {"a"}, {.other = "o"})->options.other == "o");
  CHECK(Listing("first", {"a"}, {.other = "o"})->names == Names{"a"});
  const Names list{"x", "y"};
  CHECK(Listing(list)->names == list);
  CHECK(Listing("first", list, {.prefix = "p"})->names == list);
  CHECK(Listing({.prefix = "p"})->options.prefix == "p");
  CHECK(Listing({.prefix = "p"})->names.empty());
  CHECK(Listing()->names.empty());
}

TEST_CASE("a node is named by its type or by its user") {
  ab::IterationLooper loop(1);
  CHECK(loop->name() == "IterationLooper");
  CHECK_FALSE(loop->is_named());
  CHECK(loop.named("epochs") == loop);
  CHECK(loop->name() == "epochs");
  CHECK(loop.named("")->name() == "IterationLooper");
}

TEST_CASE("edges own: a tree outlives the handles it was made of, and ends with the last of them") {
  Trace trace;
  std::weak_ptr<ab::Node> inner;
  ab::Ground ground;
  {
    ab::IterationLooper outer(1);
    const auto kept = part(trace, 2);
    inner = kept.shared();
    ground("dig", outer("iteration_end", ab::PeriodicTrigger(1)("dig", kept)));
  }
  CHECK_FALSE(inner.expired());
  ground.dig();
  ground = ab::Ground();
  CHECK(inner.expired());
  CHECK_THAT(trace, happened("part 1\n part 2"));
}

// ---- callers, transparency, focus ----

TEST_CASE("a node below triggers sees who stands above them") {
  Trace trace;
  ab::IterationLooper loop(2);
  ab::Ground ground;
  ground("dig",
         loop("iteration_end", ab::If(true)("dig", ab::PeriodicTrigger(1)(
                                                       "dig", trace("through two triggers", "counter"),
                                                       [&](ab::IterationLooper::Node& node) {
                                                         trace.add(fmt::format("callable {}", node.counter));
                                                       },
                                                       [&](auto& node) {
                                                         trace.add(fmt::format("generic {}", node.name()));
                                                       }))));
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    through two triggers 1
    callable 1
    generic IterationLooper
    through two triggers 2
    callable 2
    generic IterationLooper
  )"));
}

TEST_CASE("a focus goes through triggers, belongs to the node, and can be set anew") {
  Trace trace;
  ab::IterationLooper watched(7), other(8), first(1), second(1);
  watched.named("watched")("end", [] {});
  other.named("other")("end", [] {});
  const auto name = [&](const char* where) {
    return [&trace, where](ab::Node& node) { trace.add(fmt::format("{} sees {}", where, node.name())); };
  };
  ab::If trigger(true);
  trigger.focus(watched)("dig", ab::If(true)("dig", name("inner"), ab::Call(name("focused")).focus(second)));
  first.named("first")("end", trigger, name("sibling"));
  second.named("second")("end", trigger, trigger);
  ab::Ground ground;
  ground("dig", first, second);
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    inner sees watched
    focused sees second
    sibling sees first
    inner sees watched
    focused sees second
    inner sees watched
    focused sees second
  )"));
  trace.clear();
  trigger.focus(other);
  ground.dig();
  CHECK(trace.lines().front() == "inner sees other");
}

TEST_CASE("a node that shows itself is seen below it whatever its focus") {
  Trace trace;
  ab::IterationLooper watched(7), loop(1);
  watched.named("watched")("end", [] {});
  ab::Ground ground;
  ground("dig", loop.named("loop").focus(watched)(
                    "end", [&](ab::Node& node) { trace.add(fmt::format("below {}", node.name())); },
                    [&](ab::IterationLooper::Node& node) {
                      trace.add(fmt::format("caller {}", node.caller()->name()));
                    }));
  ground.dig();
  CHECK_THAT(trace, happened("below loop\n caller watched"));
}

TEST_CASE("a focus on a trigger shows the trigger; one on oneself too") {
  Trace trace;
  ab::PeriodicTrigger every_2(2);
  ab::IterationLooper loop(2);
  ab::Ground ground;
  ab::Call self([&](ab::Node& node) { trace.add(std::string(node.name())); });
  ground("dig",
         loop("iteration_end", every_2, trace("digs", "counter", "period").focus(every_2), self.focus(self)));
  ground.dig();
  CHECK_THAT(trace, happened("digs 1 2\n Call\n digs 2 2\n Call"));
}

TEST_CASE("a focus on a node outside the tree looks at it, and keeps it for the length of the run") {
  Trace trace;
  ab::IterationLooper loop(2);
  auto outside = std::make_unique<ab::IterationLooper>(1);
  (*outside)->counter = 5;
  std::weak_ptr<ab::Node> alive = outside->shared();
  ab::Ground ground;
  ground("dig", loop("iteration_end", trace("outside", "counter").focus(*outside), [&] { outside.reset(); }));
  ground.dig();
  CHECK_THAT(trace, happened("outside 5\n outside 5"));
  CHECK(alive.expired());
  CHECK_THROWS_WITH(ground.dig(), Catch::Contains("focus must be a node that is alive, but it is gone"));
}

TEST_CASE("the tree of Abyme's README: triggers look at statistics, whoever digs them") {
  Trace trace;
  ab::IterationLooper epochs(2);
  ab::DataLooper train_data(std::vector<double>{4, 2}), test_data(std::vector<double>{3});
  ab::Stats train_stats([&] { return train_data->batch<double>(); });
  ab::Stats test_stats([&] { return test_data->batch<double>(); });
  const auto report = [&](const std::string& name, const ab::DataLooper& data, const ab::Stats& stats) {
    return ab::children(
        ab::If([](ab::Stats::Node& seen) { return seen.last() < 3.5; })
            .focus(stats)("dig", trace("==> " + name, "average", "count"),
                          [&trace, name, epoch = epochs.get("counter"),
                           batch = data.get("counter")](ab::Stats::Node& seen) {
                            trace.add(fmt::format("{} save {} epoch {} batch {}", name, seen.count(),
                                                  ab::to_text(epoch()), ab::to_text(batch())));
                          }),
        ab::PeriodicTrigger(2, {.wait_periods = 0}).focus(stats)("dig", trace(name + " periodic", "max")));
  };
  test_data("iteration_end", test_stats)("end", report("test", test_data, test_stats));
  train_data("iteration_end", train_stats)("end", test_data, report("train", train_data, train_stats));
  epochs("start", trace("starts"))("iteration_start", train_data)("end", trace("ends"));
  ab::Ground ground;
  ground("dig", epochs);
  ground.dig();
  CHECK_THAT(trace, happened(R"(
    starts
    ==> test 3 1
    test save 1 epoch 0 batch 1
    test periodic 3
    ==> train 3 2
    train save 2 epoch 0 batch 2
    train periodic 4
    ==> test 3 2
    test save 2 epoch 1 batch 1
    ==> train 3 4
    train save 4 epoch 1 batch 2
    ends
  )"));
}

// ---- depth ----

TEST_CASE("a chain of 100,000 nested nodes is built, walked, described, dug and destroyed") {
  constexpr int depth = 100'000;
  std::int64_t bottoms = 0;
  ab::Ground ground;
  SECTION("of nodes that show themselves") {
    ab::IterationLooper above(1);
    ground("dig", above);
    for (int i = 1; i < depth; ++i) {
      ab::IterationLooper below(1);
      above("iteration_end", below);
      above = below;
    }
    above("iteration_end", [&] { ++bottoms; });
  }
  SECTION("of triggers, to the bottom of which a callable asks for the ground") {
    ab::If above(true);
    ground("dig", above);
    for (int i = 1; i < depth; ++i) {
      ab::If below(true);
      above("dig", below);
      above = below;
    }
    above("dig", [&](ab::Ground::Node&) { ++bottoms; });
  }
  SECTION("broken off at the bottom") {
    ab::Ground above;
    ground("dig", above);
    for (int i = 1; i < depth; ++i) {
      ab::Ground below;
      above("dig", below)("final", [&] { ++bottoms; });
      above = below;
    }
    above("dig", ab::Break({.reason = "bottom"}));
    CHECK(ab::faults(ground).empty());
    CHECK(ground.dig().reason == "bottom");
    CHECK(bottoms == depth - 1);
    return;
  }
  CHECK(ab::faults(ground).empty());
  CHECK(ab::describe(ground).size() > depth);
  CHECK(ab::describe_dot(ground).size() > depth);
  CHECK(ground.dig().completed);
  CHECK(ground.dig().completed);
  CHECK(bottoms == 2);
}

}  // namespace handle_tests
