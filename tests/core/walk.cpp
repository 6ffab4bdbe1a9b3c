#include <abyme/core/walk.hpp>

#include <abyme/core/ground.hpp>
#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/reset.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/trigger/if.hpp>
#include <abyme/trigger/periodic_trigger.hpp>
#include <abyme/write/print.hpp>

#include "support/trace.hpp"

#include <regex>

namespace ab = abyme;

namespace walk_tests {

using tests::happened;
using tests::Trace;

struct Image {};
struct Sentence {};

namespace {

// Writes a file, as tables do.
struct WritesNode : ab::Node {
  std::string file;
  explicit WritesNode(std::string file) : file(std::move(file)) {}
  ab::Step next(ab::Step) override { return ab::done; }
  void check(ab::Place& place) const override { place.claim(file); }
};
using Writes = ab::Handle<WritesNode>;

// Takes batches of images or of whole numbers, as passes do.
struct TakesNode : ab::Node {
  ab::Input<ab::Opaque> data = ab::caller("data");
  static constexpr auto fields = ab::fields(ab::field("data", &TakesNode::data));
  TakesNode() { data.take_only({&ab::type_id<Image>, &ab::type_id<int>}); }
  ab::Step next(ab::Step) override { return read(data), ab::done; }
};
using Takes = ab::Handle<TakesNode>;

// What stands in a cycle owns itself: kept for ever, so that it is no leak.
template <class Handle>
Handle keep(Handle handle) {
  static std::vector<Handle>& kept = *new std::vector<Handle>;
  return kept.emplace_back(std::move(handle));
}

std::string all_faults(const ab::Ground& ground) {
  std::string text;
  for (const auto& fault : ab::faults(ground)) text += fault.path + ": " + fault.message + "\n";
  // What fmt says of a spec differs from version to version.
  return std::regex_replace(text, std::regex(R"(\([a-z ]*\); change the spec)"), "(...); change the spec");
}

}  // namespace

TEST_CASE("the walk finds all faults of a tree at once, and says where each is and what exists instead") {
  Trace trace;
  ab::Ground ground = keep(ab::Ground());
  ab::IterationLooper epochs(2), other(1), not_set_up;
  ab::DataLooper images(std::vector<Image>(1)), sentences(std::vector<Sentence>(1));
  ab::Stats stats("loss");
  ab::Print text("text");
  ab::PeriodicTrigger cycle = keep(ab::PeriodicTrigger(1));
  epochs.named("epochs");
  images.named("images");

  ground("dig", epochs, other.named("other"));
  epochs("start", ab::Print("{}", ab::Stats("x").get("average")),  // a look at a node that is gone
         trace("x").focus(ab::IterationLooper(1)),                 // a focus that is gone
         ab::Print("{:.3f} {}", epochs.get("counter"),
                   ab::caller("lr")))                           // a spec that does not fit; no such field
      .at("iteration_start", ab::IterationLooper(3),            // no child
          not_set_up,                                           // no count, no child
          ab::IterationLooper("name")("end", [] {}),            // the caller has no such field
          ab::PeriodicTrigger(0, {.wait_periods = "counter"}),  // the period
          ab::If("data"),                                       // no such field
          images, sentences)
      .at("iteration_end", ab::If(true)("dig", [](ab::Stats::Node&) {}),   // takes another node than it gets
          ab::If([](ab::Stats::Node& node) { return node.count() > 1; }),  // the same in an input
          ab::PeriodicTrigger([] { return std::string("ten"); }),          // gives another type
          ab::Call([](ab::IterationLooper::Node&) {}).focus(images),  // takes another node than its focus
          ab::If(text.get("format")),                                 // a field of another type
          Writes("a.csv"), Writes("b.csv"), Writes("a.csv"),          // two write one file
          ab::Break(other), ab::Break(ab::IterationLooper(1)),        // not above; gone
          ab::Reset(ab::Stats("x")),                                  // gone
          cycle);
  images("iteration_end", Takes(), stats,
         ab::Print("{:>5} {:d}", ab::caller("data"), ab::caller("fraction")));
  sentences("iteration_end", Takes().named("takes"));
  cycle("dig", ab::If(true)("dig", cycle));
  other("end", trace("y").named("epochs"));  // a name that is taken

  CHECK(
      all_faults(ground) ==
      R"(epochs/start[0]/Print: arguments reads "average" of a node that must be alive, but it is gone; keep a handle of it while the tree is used
epochs/start[1]/Call: focus must be a node that is alive, but it is gone; keep a handle of it while the tree is used
epochs/start[2]/Print: arguments must be a field of epochs, got "lr"; it shows count, counter, total, fraction, steps
epochs/start[2]/Print: a format spec must fit its value, got "{:.3f}" for epochs.counter, which is an integer (...); change the spec
epochs/iteration_start[0]/IterationLooper: a looper needs a child, got none; hang one on "iteration_end"
epochs/iteration_start[1]/IterationLooper: a looper needs its count, got none; pass it, or call setup(10) before the dig
epochs/iteration_start[1]/IterationLooper: a looper needs a child, got none; hang one on "iteration_end"
epochs/iteration_start[2]/IterationLooper: count must be a field of epochs, got "name"; it shows count, counter, total, fraction, steps
epochs/iteration_start[3]/PeriodicTrigger: period must be at least 1, got 0; pass 1 to fire on every dig
epochs/iteration_start[4]/If: condition must be a field of epochs, got "data"; it shows count, counter, total, fraction, steps
epochs/iteration_start[5]/images/iteration_end[1]/Stats: value must be a field of images, got "loss"; it shows data, counter, total, fraction, last, steps, samples, done_before
epochs/iteration_start[5]/images/iteration_end[2]/Print: a format spec must fit its value, got "{:d}" for caller.fraction, which is a number (...); change the spec
epochs/iteration_start[6]/DataLooper/iteration_end[0]/takes: data must be of type walk_tests::Image or int, got DataLooper.data, which is walk_tests::Sentence; take that type, or map the source to yours
epochs/iteration_end[0]/If/dig[0]/Call: a callable is given its caller, it takes Stats, got IterationLooper; change its parameter, or hang it elsewhere
epochs/iteration_end[1]/If: the callable for condition is given the caller, it takes Stats, got IterationLooper; change its parameter, or hang the node elsewhere
epochs/iteration_end[2]/PeriodicTrigger: period must be an integer, got a callable that returns a text
epochs/iteration_end[3]/Call: a callable is given its caller, it takes IterationLooper, got DataLooper; change its parameter, or hang it elsewhere
epochs/iteration_end[4]/If: condition must be a bool, got Print.format, which holds a text
epochs/iteration_end[7]/Writes: a file is written by one node, got "a.csv", which epochs/iteration_end[5]/Writes writes; give each its own
epochs/iteration_end[8]/Break: the node that it ends must be above it, got other, which is not; hang the break below that node
epochs/iteration_end[9]/Break: the node that it ends must be alive, but it is gone; keep a handle of it while the tree is used
epochs/iteration_end[10]/Reset: a node to reset must be alive, but it is gone; keep a handle of it while the tree is used
epochs/iteration_end[11]/PeriodicTrigger/dig[0]/If/dig[0]/PeriodicTrigger: a node must not hang below itself, got a cycle; hang another node here
other/end[0]/epochs: a given name is unique in a tree, got "epochs" twice; name one of them otherwise
)");
}

TEST_CASE("a node has its first path, and is found by it") {
  ab::IterationLooper epochs(1), shared(1), other(1);
  shared("end", [] {});
  ab::Ground ground;
  ground("dig", epochs.named("epochs"), other.named("other"));
  epochs("iteration_start", shared)("end", ab::If(true)("dig", shared));
  other("start", shared);
  const ab::Walk walk(*ground);
  std::vector<std::string> paths;
  for (const ab::Node* node : walk.nodes()) {
    paths.push_back(walk.path_of(*node));
    CHECK(walk.find(paths.back()) == node);
  }
  CHECK(paths == std::vector<std::string>{"Ground", "epochs", "epochs/iteration_start[0]/IterationLooper",
                                          "epochs/iteration_start[0]/IterationLooper/end[0]/Call",
                                          "epochs/end[0]/If", "other"});
  CHECK(walk.find("other/start[0]/IterationLooper") == nullptr);  // it has another one
  CHECK(walk.path_of(*ab::Stats("loss")) == "Stats");             // in no tree
}

TEST_CASE("the error that dig throws tells the faults in one text; nothing has run") {
  Trace trace;
  ab::Ground ground;
  ab::IterationLooper empty(1);
  ground("dig", trace("never"), empty.named("empty"), ab::PeriodicTrigger(0))("final", trace("never"));
  CHECK_THROWS_WITH(ground.dig(),
                    "the tree has 2 faults\n"
                    "  empty: a looper needs a child, got none; hang one on \"iteration_end\"\n"
                    "  PeriodicTrigger: period must be at least 1, got 0; pass 1 to fire on every dig");
  try {
    ground.dig();
  } catch (const ab::WiringError& error) {
    CHECK(error.faults().size() == 2);
    CHECK(error.faults()[0].path == "empty");
  }
  CHECK(trace.lines().empty());
  CHECK(empty->run() == nullptr);
  empty("end", [] {});
  CHECK_THROWS_WITH(ground.dig(), Catch::StartsWith("the tree has 1 fault\n"));
}

TEST_CASE("a path has names, with the event and the place in it between them") {
  std::vector<std::string> paths;
  const auto path = [&](ab::Run& run) { paths.push_back(run.path()); };
  ab::IterationLooper epochs(1), inner(1);
  inner("end", path);
  epochs.named("epochs")("iteration_start", path, inner)("end", ab::If(true)("otherwise", [] {})(
                                                                    "dig", [] {}, path));
  ab::Ground ground;
  ground("dig", path, epochs, path, ab::Call(path).named("alone"))("final", path);
  ground.dig();
  // The root is left out, and its "dig" too where the name alone tells which child is meant.
  CHECK(paths == std::vector<std::string>{
                     "dig[0]/Call",
                     "epochs/iteration_start[0]/Call",
                     "epochs/iteration_start[1]/IterationLooper/end[0]/Call",
                     "epochs/end[0]/If/dig[1]/Call",
                     "dig[2]/Call",
                     "alone",
                     "final[0]/Call",
                 });
}

TEST_CASE("a cycle is a fault wherever it closes, and is found in finite time") {
  ab::Ground ground = keep(ab::Ground());
  ab::IterationLooper a = keep(ab::IterationLooper(1)), b = keep(ab::IterationLooper(1));
  ab::If trigger = keep(ab::If(true));
  SECTION("on itself") {
    ground("dig", a("end", a));
    CHECK(all_faults(ground) ==
          "IterationLooper/end[0]/IterationLooper: a node must not hang below itself, got a cycle; "
          "hang another node here\n");
  }
  SECTION("through others") {
    ground("dig", a.named("a")("end", trigger("dig", b.named("b")("end", a, trigger))));
    CHECK(all_faults(ground) ==
          "a/end[0]/If/dig[0]/b/end[0]/a: a node must not hang below itself, got a cycle; "
          "hang another node here\n"
          "a/end[0]/If/dig[0]/b/end[1]/If: a node must not hang below itself, got a cycle; "
          "hang another node here\n");
  }
  SECTION("to the ground") {
    ground("dig", a("end", ground));
    CHECK(ab::faults(ground).size() == 1);
  }
  SECTION("among triggers alone") {
    ground("dig", trigger("dig", trigger));
    CHECK(ab::faults(ground).size() == 1);
  }
  CHECK_THROWS_AS(ground.dig(), ab::WiringError);
}

TEST_CASE("a node hung in many places is walked once for each caller, however many paths lead to it") {
  // 60 layers of two edges each: 2^60 paths.
  ab::Ground ground;
  ab::IterationLooper above(0);
  ground("dig", above);
  for (int i = 0; i < 60; ++i) {
    ab::If both(true);
    ab::IterationLooper below(0);
    above("iteration_end", both, below);
    both("dig", below);
    above = below;
  }
  int checked = 0;
  struct CountsNode : ab::Node {
    int* checked;
    explicit CountsNode(int* checked) : checked(checked) {}
    ab::Step next(ab::Step) override { return ab::done; }
    void check(ab::Place&) const override { ++*checked; }
  };
  ab::Handle<CountsNode> counts(&checked);
  above("end", counts, ab::If(true)("dig", counts), counts);
  CHECK(ab::faults(ground).empty());
  CHECK(checked == 1);
  ground("dig", counts);
  checked = 0;
  CHECK(ab::faults(ground).empty());
  CHECK(checked == 2);
}

TEST_CASE("nodes come in the order of the first path to them") {
  ab::IterationLooper a(1), b(1), shared(1);
  ab::Ground ground;
  ground("dig", a.named("a")("end", shared.named("shared")), b.named("b")("start", shared)("end", [] {}));
  shared("end", [] {});
  std::string names;
  const ab::Walk walk(*ground);
  for (const ab::Node* node : walk.nodes()) names += std::string(node->name()) + " ";
  CHECK(names == "Ground a shared Call b Call ");
  CHECK(walk.depth() == 4);
  CHECK(walk.contains(*shared));
  CHECK_FALSE(walk.contains(*ab::IterationLooper(1)));
}

TEST_CASE("one node may claim a file in two places, two nodes may not") {
  Writes once("a.csv");
  ab::IterationLooper loop(1);
  ab::Ground ground;
  ground("dig", once, loop("end", once));
  CHECK(all_faults(ground).empty());
  ground("dig", Writes("a.csv"));
  CHECK(all_faults(ground) ==
        "dig[2]/Writes: a file is written by one node, got \"a.csv\", which dig[0]/Writes "
        "writes; give each its own\n");
}

TEST_CASE("a tree whose nodes are in a run that is not over has faults") {
  ab::IterationLooper shared(1);
  ab::Ground first, second;
  shared.named("shared")("end", [&] {
    CHECK(all_faults(second) ==
          "shared: a node is in one run at a time, got one of a run that is not over; dig it after "
          "that\n"
          "shared/end[0]/Call: a node is in one run at a time, got one of a run that is not over; dig "
          "it after that\n");
  });
  first("dig", shared);
  second("dig", shared);
  first.dig();
  CHECK(all_faults(second).empty());
}

TEST_CASE("a check sees the whole tree, also what hangs behind it") {
  struct LooksNode : ab::Node {
    std::vector<std::string>* seen;
    explicit LooksNode(std::vector<std::string>* seen) : seen(seen) {}
    ab::Step next(ab::Step) override { return ab::done; }
    void check(ab::Place& place) const override {
      std::string names;
      for (const ab::Node* node : place.nodes()) names += std::string(node->name()) + " ";
      seen->push_back(place.path() + ": " + names);
    }
  };
  std::vector<std::string> seen;
  ab::Handle<LooksNode> looks(&seen);
  ab::IterationLooper first(1), second(1);
  ab::Ground ground;
  ground("dig", first.named("first")("end", looks.named("looks")),
         second.named("second")("end", looks, [] {}));
  CHECK(ab::faults(ground).empty());
  CHECK(seen == std::vector<std::string>{"first/end[0]/looks: Ground first looks second Call ",
                                         "second/end[0]/looks: Ground first looks second Call "});
}

TEST_CASE("a place tells what it is below, on its own path and through triggers") {
  ab::IterationLooper above(1), beside(1);
  ab::If trigger(true);
  struct BelowNode : ab::Node {
    std::vector<const ab::Node*> asked;
    std::vector<bool>* told;
    BelowNode(std::vector<const ab::Node*> asked, std::vector<bool>* told)
        : asked(std::move(asked)), told(told) {}
    ab::Step next(ab::Step) override { return ab::done; }
    void check(ab::Place& place) const override {
      for (const ab::Node* node : asked) told->push_back(place.below(*node));
      told->push_back(place.below(*this));
    }
  };
  ab::Ground ground;
  std::vector<bool> told;
  const ab::Handle<BelowNode> below(std::vector<const ab::Node*>{&*ground, &*above, &*trigger, &*beside},
                                    &told);
  ground("dig", above("end", trigger("dig", below)), beside("end", [] {}));
  CHECK(ab::faults(ground).empty());
  CHECK(told == std::vector<bool>{true, true, true, false, false});
}

TEST_CASE("a file is claimed under all its names, by one writer that several nodes may share") {
  struct SharesNode : ab::Node {
    std::string file;
    const void* writer;
    SharesNode(std::string file, const void* writer) : file(std::move(file)), writer(writer) {}
    ab::Step next(ab::Step) override { return ab::done; }
    void check(ab::Place& place) const override { place.claim(file, writer); }
  };
  using Shares = ab::Handle<SharesNode>;
  const int one = 1, two = 2;
  ab::Ground ground;
  ground("dig", Shares("a.csv", &one), Shares("./a.csv", &one), Shares("x/../a.csv", &one), Writes("b.csv"));
  CHECK(ab::faults(ground).empty());
  ground("dig", Shares(std::filesystem::absolute("a.csv").string(), &two), Shares("b.csv", &one),
         Writes("x/a.csv"), Writes(""));
  const auto faults = ab::faults(ground);
  REQUIRE(faults.size() == 3);
  CHECK(faults[0].path == "dig[4]/Shares");
  CHECK_THAT(faults[0].message, Catch::Contains("which dig[0]/Shares writes; give each its own"));
  CHECK_THAT(faults[1].message, Catch::Contains("\"b.csv\", which dig[3]/Writes writes"));
  CHECK(faults[2].message == "a file needs a name, got \"\"; pass one");
}

}  // namespace walk_tests
