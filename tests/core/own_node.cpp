// The node of docs/own_node.md, word for word: a class outside the library.

#include <abyme/core/describe.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/write/print.hpp>

#include <catch2/catch.hpp>

#include <sstream>

namespace ab = abyme;

namespace own_node_tests {

// clang-format off
struct WarmUpOptions { std::int64_t steps = 100; double from = 0; };

struct WarmUpNode : ab::Node {                       // a factor that rises from `from` to 1
  using Options = WarmUpOptions;
  static constexpr auto events = ab::events("warming", "warm");
  Options options;
  std::int64_t count = 0;
  double factor() const { return options.from + (1 - options.from) * double(count) / double(options.steps); }
  static constexpr auto fields = ab::fields(ab::field("factor", &WarmUpNode::factor),   // shown
                                            ab::state("count", &WarmUpNode::count));    // shown, and kept by snapshots
  explicit WarmUpNode(Options options = {}) : options(options) {}

  ab::Step next(ab::Step finished) override {        // which event now? a small state machine
    if (finished != ab::entry) return ab::done;
    return ++count < options.steps ? events["warming"] : events["warm"];  // consteval: a wrong name does not compile
  }
};
using WarmUp = ab::Handle<WarmUpNode>;               // WarmUp::Node is WarmUpNode
// clang-format on

TEST_CASE("a node of one's own: events, fields, state and options work with nothing but its 15 lines",
          "[node]") {
  std::ostringstream out;
  WarmUp warm_up({.steps = 3});
  warm_up("warming", ab::Print(out, "factor {:.2f} of {} steps", ab::caller("factor"), ab::caller("steps")))
      .at("warm", ab::Print(out, "warm after {}", warm_up.get("count")));
  ab::IterationLooper loop(4);
  loop("iteration_end", warm_up);
  ab::Ground()("dig", loop).dig();
  CHECK(out.str() == "factor 0.33 of 3 steps\nfactor 0.67 of 3 steps\nwarm after 3\nwarm after 4\n");

  SECTION("its state starts anew with the next dig, its options are described") {
    ab::Ground ground;
    ground("dig", loop);
    out.str("");
    ground.dig();
    CHECK(out.str() == "factor 0.33 of 3 steps\nfactor 0.67 of 3 steps\nwarm after 3\nwarm after 4\n");
    CHECK(warm_up->count == 4);
    CHECK(ab::describe(ground).find("WarmUp(steps = 3)\n") != std::string::npos);
  }
  SECTION("made without options it has the defaults") { CHECK(WarmUp()->options.steps == 100); }
}

}  // namespace own_node_tests
