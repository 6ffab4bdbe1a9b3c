#include <abyme/write/print.hpp>

#include <abyme/loop/iteration_looper.hpp>

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <catch2/catch.hpp>

#include <sstream>

namespace ab = abyme;
using namespace std::chrono_literals;

namespace print_tests {
namespace {

// Shows one field of each kind.
struct ShowsNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  bool flag = true;
  std::int64_t whole = 7;
  double real = 2.0 / 3;
  std::string text = "text";
  at::Tensor scalar = at::scalar_tensor(0.1), matrix = at::zeros({2, 3});
  ab::Duration time{1.5};
  std::optional<double> nothing;
  static constexpr auto fields =
      ab::fields(ab::field("flag", &ShowsNode::flag), ab::field("whole", &ShowsNode::whole),
                 ab::field("real", &ShowsNode::real), ab::field("text", &ShowsNode::text),
                 ab::field("scalar", &ShowsNode::scalar), ab::field("matrix", &ShowsNode::matrix),
                 ab::field("time", &ShowsNode::time), ab::field("nothing", &ShowsNode::nothing));
  ab::Step next(ab::Step finished) override { return finished == ab::entry ? events["dig"] : ab::done; }
};
using Shows = ab::Handle<ShowsNode>;

// What is printed below a Shows.
template <class... Arguments>
std::string printed(ab::CheckedFormat<sizeof...(Arguments)> format, Arguments&&... arguments) {
  std::ostringstream out;
  ab::Ground ground;
  ground("dig", Shows()("dig", ab::Print(out, format, std::forward<Arguments>(arguments)...)));
  ground.dig();
  return out.str();
}

std::string fault(const ab::Print& print) {
  ab::Ground ground;
  ground("dig", Shows()("dig", print));
  const auto faults = ab::faults(ground);
  return faults.empty() ? "" : faults[0].message.substr(0, faults[0].message.find(" ("));
}

}  // namespace

TEST_CASE("constants, fields of the caller, fields of other nodes, and callables are printed") {
  ab::IterationLooper loop(3);
  CHECK(printed("a line") == "a line\n");
  CHECK(printed("") == "\n");
  CHECK(printed("{} {} {} {} {}", true, 3, 0.25, "text", 2s) == "true 3 0.25 text 2 s\n");
  CHECK(printed("{}, {}", ab::caller("whole"), loop.get("counter")) == "7, 0\n");
  CHECK(printed("{}", [] { return 42; }) == "42\n");
  CHECK(printed("{}", [](ShowsNode& node) { return node.text; }) == "text\n");
  CHECK(printed("{}", "whole") == "whole\n");
}

TEST_CASE("every kind of value prints, what is not there yet as none") {
  const auto field = [](const char* name) { return ab::caller(name); };
  CHECK(printed("{} {} {} {} {} {} {} {}", field("flag"), field("whole"), field("real"), field("text"),
                field("scalar"), field("matrix"), field("time"),
                field("nothing")) == "true 7 0.6666666666666666 text 0.1 Tensor[2, 3] 1.5 s none\n");
  CHECK(printed("{:d} {:03d} {:.3f} {:>6} {:.2f} {:.2f} {:.1f} {:.3f}", field("flag"), field("whole"),
                field("real"), field("text"), field("scalar"), field("matrix"), field("time"),
                field("nothing")) == "1 007 0.667   text 0.10 Tensor[2, 3] 1.5 none\n");
}

TEST_CASE("braces are escaped, places may be numbered") {
  CHECK(printed("{{}} {{{}}} }}{{", 1) == "{} {1} }{\n");
  CHECK(printed("{1} {0} {1:>3}", "a", 2) == "2 a   2\n");
  CHECK(printed("{0}{0}", 3) == "33\n");
  CHECK(printed("{0:}|{0:5}|", "x") == "x|x    |\n");
  CHECK(printed("{} {} {} {} {} {} {} {} {} {} {}", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10) ==
        "0 1 2 3 4 5 6 7 8 9 10\n");
  CHECK(printed("{10} {0}{1}{2}{3}{4}{5}{6}{7}{8}{9}", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, "last") ==
        "last 0123456789\n");
}

TEST_CASE("format strings are taken apart the same way when a program compiles and when it runs") {
  const auto parsed = [](std::string_view format) {
    std::string text;
    const auto fault = ab::parse_format(format, [&](ab::FormatPiece piece) {
      text += piece.argument < 0 ? fmt::format("'{}' ", piece.text)
                                 : fmt::format("{}:{} ", piece.argument, piece.text);
    });
    return text + (fault == ab::FormatFault::none    ? ""
                   : fault == ab::FormatFault::brace ? "brace"
                   : fault == ab::FormatFault::mixed ? "mixed"
                                                     : "nested");
  };
  CHECK(parsed("a {} b {:>3}") == "'a ' 0: ' b ' 1:>3 ");
  CHECK(parsed("{1}{0:x}") == "1: 0:x ");
  CHECK(parsed("{{x}}") == "'{' 'x' '}' ");
  CHECK(parsed("{") == "brace");
  CHECK(parsed("}") == "brace");
  CHECK(parsed("a}b") == "'a' brace");
  CHECK(parsed("{}}") == "0: brace");
  CHECK(parsed("{name}") == "brace");
  CHECK(parsed("{0x}") == "brace");
  CHECK(parsed("{} {1}") == "0: ' ' mixed");
  CHECK(parsed("{0} {}") == "0: ' ' mixed");
  CHECK(parsed("{:{}}") == "nested");
}

TEST_CASE("a spec that does not fit is a fault of the walk, where the kind is known; otherwise an error") {
  CHECK(fault(ab::Print("{:.3f}", ab::caller("whole"))) ==
        "a format spec must fit its value, got \"{:.3f}\" for caller.whole, which is an integer");
  CHECK(fault(ab::Print("{:d}", "text")) ==
        "a format spec must fit its value, got \"{:d}\" for \"text\", which is a text");
  CHECK(fault(ab::Print("{:d}", [] { return 0.5; })) ==
        "a format spec must fit its value, got \"{:d}\" for callable, which is a number");
  CHECK(fault(ab::Print("{:d}", ab::caller("scalar"))) == "");
  CHECK_THROWS_WITH(printed("{:d}", ab::caller("scalar")), Catch::StartsWith("Shows/dig[0]/Print: "));
}

TEST_CASE("lines are flushed in the order of the tree, each whole") {
  std::ostringstream out;
  ab::IterationLooper loop(2);
  ab::Ground ground;
  ground("dig",
         loop("start", ab::Print(out, "start"))(
             "iteration_end", ab::Print(out, "epoch {}/{}", ab::caller("counter"), ab::caller("total"))))(
      "final", ab::Print(out, "{}", ab::caller("reason")));
  ground.dig();
  CHECK(out.str() == "start\nepoch 1/2\nepoch 2/2\ncompleted\n");
}

TEST_CASE("without a stream it prints to the standard output") {
  std::ostringstream out;
  auto* const before = std::cout.rdbuf(out.rdbuf());
  ab::Ground ground;
  ground("dig", ab::Print("to {}", "cout"));
  ground.dig();
  std::cout.rdbuf(before);
  CHECK(out.str() == "to cout\n");
}

TEST_CASE("a Print is a handle like any other") {
  std::ostringstream out;
  ab::IterationLooper loop(1);
  loop->counter = 5;
  ab::Print print(out, "{}", ab::caller("counter"));
  const auto focused = print.focus(loop).named("tell");
  CHECK(focused == print);
  const ab::Print copy = print;
  CHECK(copy == print);
  ab::Ground ground;
  ground("dig", copy, std::vector<ab::Child>{print});
  ground.dig();
  CHECK(out.str() == "5\n5\n");
}

}  // namespace print_tests
