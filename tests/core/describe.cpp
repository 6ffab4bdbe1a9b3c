#include <abyme/core/describe.hpp>

#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/trigger/if.hpp>
#include <abyme/trigger/periodic_trigger.hpp>
#include <abyme/write/print.hpp>

#include <nlohmann/json.hpp>

#include <catch2/catch.hpp>

#include <sstream>

namespace ab = abyme;

namespace describe_tests {
namespace {

// Says nothing of how it is described.
struct PlainOptions {
  std::int64_t window = 5;
  double scale = 0.5;
  bool fast = true;
  std::string prefix = "a \"quoted\" one";
  std::optional<double> limit = {};
  std::vector<std::string> columns{"x", "y"};
  ab::Input<double> threshold = "loss";
  ab::Duration wait{2};
};
struct PlainNode : ab::Node {
  using Options = PlainOptions;
  static constexpr auto events = ab::events("dig");
  Options options;
  double hidden = 0;
  static constexpr auto fields = ab::fields(ab::field("hidden", &PlainNode::hidden));
  explicit PlainNode(Options options = {}) : options(std::move(options)) {}
  ab::Step next(ab::Step) override { return ab::done; }
};
using Plain = ab::Handle<PlainNode>;

ab::Ground small_tree() {
  static std::vector<int> rows{1, 2};
  ab::IterationLooper epochs(10);
  ab::DataLooper data(rows);
  ab::Stats stats("loss");
  ab::PeriodicTrigger every(100, {.wait_periods = 1});
  epochs.named("epochs");
  every.focus(epochs)("dig", ab::Print("counter \"{}\"", ab::caller("counter")));
  data.named("train_data")(
      "iteration_end", stats, [] {}, every);
  epochs("start", ab::Print("starts"))("iteration_start", data)("iteration_end", every, data)("end",
                                                                                              ab::Break());
  ab::Ground ground;
  return ground("dig", epochs)("final", ab::Print("ends: {}", ground.get("reason")));
}

}  // namespace

TEST_CASE("a tree as text: names, types, options, inputs, focus; a node in two places is written out once") {
  CHECK(ab::describe(small_tree()) == R"(Ground
  dig
    epochs: IterationLooper(count = 10)
      start
        Print(format = "starts", arguments = [])
      iteration_start
        train_data: DataLooper
          iteration_end
            Stats(value = caller.loss)
            Call
            PeriodicTrigger(period = 100, wait_periods = 1) focus epochs
              dig
                Print(format = "counter \"{}\"", arguments = [caller.counter])
      iteration_end
        PeriodicTrigger (above)
        train_data (above)
      end
        Break(target = "the whole run")
  final
    Print(format = "ends: {}", arguments = [Ground.reason])
)");
}

TEST_CASE("the options and inputs of a node of one's own are described without a line of code, defaults are "
          "left out") {
  ab::Ground ground;
  ground("dig", Plain({.window = 7, .threshold = ab::IterationLooper(1).get("counter")}));
  ground("dig", Plain({.scale = 2, .fast = false, .prefix = "one \"more\"", .columns = {"z", "y"}}));
  CHECK(ab::describe(ground) == "Ground\n  dig\n    Plain(window = 7, threshold = (gone).counter)\n"
                                "    Plain(scale = 2, fast = false, prefix = \"one \\\"more\\\"\", "
                                "columns = [\"z\", \"y\"])\n");
}

TEST_CASE("a tree with faults, also with a cycle, is described") {
  static ab::If& trigger = *new ab::If(true);
  trigger("dig", trigger);
  ab::Ground ground;
  ground("dig", trigger, ab::IterationLooper());
  CHECK(ab::describe(ground) == R"(Ground
  dig
    If(condition = true)
      dig
        If (above)
    IterationLooper(count = none)
)");
  CHECK_FALSE(ab::describe_dot(ground).empty());
  CHECK(ab::describe_json(ground)["nodes"].size() == 3);
}

TEST_CASE("lines deeper than 40 tell their depth") {
  ab::If top(true), above = top;
  for (int i = 0; i < 25; ++i) {
    ab::If below(false);
    above("dig", below);
    above = below;
  }
  ab::Ground ground;
  const std::string text = ab::describe(ground("dig", top));
  CHECK(text.find("\n" + std::string(80, ' ') + "If(") != std::string::npos);
  CHECK(text.find("\n" + std::string(80, ' ') + "[41] dig\n") != std::string::npos);
  CHECK(text.find("\n" + std::string(80, ' ') + "[52] If(condition = false)\n") != std::string::npos);
}

TEST_CASE("a tree in the DOT language") {
  CHECK(ab::describe_dot(small_tree()) == R"dot(digraph abyme {
  node [shape=box];
  n0 [label="Ground"];
  n0 -> n1 [label="dig[0]"];
  n0 -> n9 [label="final[0]"];
  n1 [label="epochs: IterationLooper(count = 10)"];
  n1 -> n2 [label="start[0]"];
  n1 -> n3 [label="iteration_start[0]"];
  n1 -> n6 [label="iteration_end[0]"];
  n1 -> n3 [label="iteration_end[1]"];
  n1 -> n8 [label="end[0]"];
  n2 [label="Print(format = \"starts\", arguments = [])"];
  n3 [label="train_data: DataLooper"];
  n3 -> n4 [label="iteration_end[0]"];
  n3 -> n5 [label="iteration_end[1]"];
  n3 -> n6 [label="iteration_end[2]"];
  n4 [label="Stats(value = caller.loss)"];
  n5 [label="Call"];
  n6 [label="PeriodicTrigger(period = 100, wait_periods = 1) focus epochs"];
  n6 -> n7 [label="dig[0]"];
  n6 -> n1 [style=dashed, label="focus"];
  n7 [label="Print(format = \"counter \\\"{}\\\"\", arguments = [caller.counter])"];
  n8 [label="Break(target = \"the whole run\")"];
  n9 [label="Print(format = \"ends: {}\", arguments = [Ground.reason])"];
}
)dot");
}

TEST_CASE("a tree as JSON: a flat list; options with their types, inputs by their source") {
  const auto json = ab::describe_json(small_tree());
  REQUIRE(json["nodes"].size() == 10);
  CHECK(json["nodes"][1] == nlohmann::json::parse(R"({
    "id": 1, "type": "IterationLooper", "name": "epochs", "options": {"count": 10},
    "events": {"start": [2], "iteration_start": [3], "iteration_end": [6, 3], "end": [8]}
  })"));
  CHECK(json["nodes"][6] == nlohmann::json::parse(R"({
    "id": 6, "type": "PeriodicTrigger", "name": "PeriodicTrigger", "focus": 1,
    "options": {"period": 100, "wait_periods": 1}, "events": {"dig": [7]}
  })"));
  CHECK(json["nodes"][4]["options"] ==
        nlohmann::json::parse(R"({"value": "caller.loss", "weight": "none", "sample": false})"));

  ab::Ground ground;
  ground("dig", Plain());
  CHECK(ab::describe_json(ground)["nodes"][1]["options"] == nlohmann::json::parse(R"({
    "window": 5, "scale": 0.5, "fast": true, "prefix": "a \"quoted\" one", "limit": "none",
    "columns": "[\"x\", \"y\"]", "threshold": "caller.loss", "wait": "2 s"
  })"));
  const auto ordered = ab::describe_json<nlohmann::ordered_json>(ground);
  CHECK(ordered["nodes"][1]["options"].begin().key() == "window");
}

TEST_CASE("a chain of 100,000 nodes is described as JSON") {
  ab::If top(true), above = top;
  for (int i = 1; i < 100'000; ++i) {
    ab::If below(true);
    above("dig", below);
    above = below;
  }
  ab::Ground ground;
  CHECK(ab::describe_json(ground("dig", top))["nodes"].size() == 100'001);
}

// ---- one handle ----

TEST_CASE("a handle prints as its node, with options, inputs, focus and events") {
  const auto text = [](const auto& handle) {
    std::ostringstream out;
    out << handle;
    CHECK(fmt::format("{}", handle) == out.str());
    return out.str();
  };
  ab::IterationLooper epochs(10);
  CHECK(text(epochs) == "IterationLooper(count = 10) [start, iteration_start, iteration_end, end]");
  CHECK(text(ab::IterationLooper().named("later")) ==
        "later: IterationLooper(count = none) [start, iteration_start, iteration_end, end]");
  CHECK(text(ab::Stats("loss").named("train_loss").focus(epochs.named("epochs"))) ==
        "train_loss: Stats(value = caller.loss) focus epochs [dig]");
  CHECK(text(ab::Ground()) == "Ground [dig, final]");
  CHECK(text(ab::Call([] {})) == "Call []");
  CHECK(text(ab::Print("{}", epochs.get("counter"))) ==
        "Print(format = \"{}\", arguments = [epochs.counter]) []");
  CHECK(text(ab::Break(ab::Ground())) == "Break(target = \"Ground\") []");
  CHECK(fmt::format("{:>22}|{:<22}|", ab::Ground(), ab::Ground()) ==
        "   Ground [dig, final]|Ground [dig, final]   |");
}

}  // namespace describe_tests
