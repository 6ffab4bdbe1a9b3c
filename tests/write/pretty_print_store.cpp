#include <abyme/write/pretty_print_store.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/write/store_aggregator.hpp>

#include <catch2/catch.hpp>

#include <sstream>

namespace ab = abyme;

namespace pretty_print_store_tests {
namespace {

struct ShowsNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  std::int64_t whole = 12345678;
  double average = 2.0 / 3;
  std::string text = "some text";
  bool flag = true;
  ab::Duration time{1.5};
  std::optional<double> nothing;
  ab::Dict dict{{"a", 1}, {"long_name", 0.5}};
  std::vector<int> object;
  static constexpr auto fields =
      ab::fields(ab::field("whole", &ShowsNode::whole), ab::field("average", &ShowsNode::average),
                 ab::field("text", &ShowsNode::text), ab::field("flag", &ShowsNode::flag),
                 ab::field("time", &ShowsNode::time), ab::field("nothing", &ShowsNode::nothing),
                 ab::field("dict", &ShowsNode::dict), ab::field("object", &ShowsNode::object));
  ab::Step next(ab::Step finished) override { return finished == ab::entry ? events["dig"] : ab::done; }
};
using Shows = ab::Handle<ShowsNode>;

struct NothingNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  ab::Step next(ab::Step finished) override { return finished == ab::entry ? events["dig"] : ab::done; }
};

std::string printed(std::ostringstream& out, const ab::PrettyPrintStore& print) {
  ab::Ground()("dig", Shows()("dig", print)).dig();
  return out.str();
}

}  // namespace

TEST_CASE("chosen fields are printed as an aligned block, in the order of the names") {
  std::ostringstream out;
  CHECK(printed(out, ab::PrettyPrintStore(out, {"time", "average", "nothing"})) == R"({
  time:    1.5 s
  average: 0.666667
  nothing: none
}
)");
}

TEST_CASE("without names all fields are printed but objects; a dictionary by its entries") {
  std::ostringstream out;
  CHECK(printed(out, ab::PrettyPrintStore(out)) == R"({
  whole:          12345678
  average:        0.666667
  text:           some text
  flag:           true
  time:           1.5 s
  nothing:        none
  dict.a:         1
  dict.long_name: 0.5
}
)");
}

TEST_CASE("a prefix stands before each name, the number of digits is chosen") {
  std::ostringstream out;
  CHECK(printed(out, ab::PrettyPrintStore(out, {"average", "whole"}, {.digits = 3, .prefix = "train."})) ==
        R"({
  train.average: 0.667
  train.whole:   12345678
}
)");
  std::ostringstream all;
  CHECK(printed(all, ab::PrettyPrintStore(all, {"average", "object"},
                                          {.digits = 17, .prefix = ab::caller("flag")})) ==
        "{\n  trueaverage: 0.66666666666666663\n  trueobject:  <std::vector<int>>\n}\n");
}

TEST_CASE("a late prefix is read at each dig, and a focus tells whose fields are meant") {
  std::ostringstream out;
  ab::IterationLooper loop(2), other(9);
  other("end", [] {});
  loop("iteration_end", ab::PrettyPrintStore(out, {"counter"}, {.prefix = ab::caller("counter")}),
       ab::PrettyPrintStore(out, {"count"}, {.prefix = loop.get("counter")}).focus(other));
  ab::Ground()("dig", loop).dig();
  CHECK(out.str() == "{\n  1counter: 1\n}\n{\n  1count: 9\n}\n{\n  2counter: 2\n}\n{\n  2count: 9\n}\n");
}

TEST_CASE("a caller without fields gives an empty block") {
  std::ostringstream out;
  ab::Ground()("dig", ab::Handle<NothingNode>()("dig", ab::PrettyPrintStore(out))).dig();
  CHECK(out.str() == "{\n}\n");
}

TEST_CASE("without a stream a block goes to the standard output") {
  std::ostringstream out;
  auto* const before = std::cout.rdbuf(out.rdbuf());
  ab::Ground ground;
  ground("dig", ab::PrettyPrintStore({"completed"}), ab::PrettyPrintStore({"completed"}, {.prefix = "p."}),
         ab::PrettyPrintStore(), ab::PrettyPrintStore({.prefix = "q."}));
  ground.dig();
  std::cout.rdbuf(before);
  CHECK(out.str() ==
        "{\n  completed: false\n}\n{\n  p.completed: false\n}\n{\n  reason:    none\n  completed: false\n}\n"
        "{\n  q.reason:    none\n  q.completed: false\n}\n");
}

TEST_CASE("fields that are not there and digits that can't be are faults") {
  ab::Ground ground;
  ground("dig", ab::PrettyPrintStore({"average"}), ab::PrettyPrintStore({"reason"}, {.digits = 0}));
  const auto faults = ab::faults(ground);
  REQUIRE(faults.size() == 2);
  CHECK(faults[0].message == "fields must be a field of Ground, got \"average\"; it shows reason, completed");
  CHECK(faults[1].message == "digits must be at least 1, got 0; pass 17 for all");
}

}  // namespace pretty_print_store_tests
