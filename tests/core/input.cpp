#include <abyme/core/input.hpp>

#include <abyme/core/ground.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/trigger/if.hpp>

#include <ATen/ops/scalar_tensor.h>

#include "support/trace.hpp"  // behind LibTorch, which has a CHECK of its own

#include <type_traits>

namespace ab = abyme;
using namespace std::chrono_literals;

namespace input_tests {

using tests::happened;
using tests::Trace;

namespace {

struct Batch {
  int rows = 3;
};

// Shows one field of each kind.
struct ShowsNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  bool flag = true;
  std::int64_t whole = 7;
  double real = 2.5;
  std::string text = "text";
  at::Tensor tensor = at::scalar_tensor(0.5);
  ab::Duration time{1.5};
  Batch batch;
  std::optional<double> nothing;
  ab::Value any = std::int64_t{9};
  static constexpr auto fields =
      ab::fields(ab::field("flag", &ShowsNode::flag), ab::field("whole", &ShowsNode::whole),
                 ab::field("real", &ShowsNode::real), ab::field("text", &ShowsNode::text),
                 ab::field("tensor", &ShowsNode::tensor), ab::field("time", &ShowsNode::time),
                 ab::field("batch", &ShowsNode::batch), ab::field("nothing", &ShowsNode::nothing),
                 ab::field("any", &ShowsNode::any));
  ab::Step next(ab::Step finished) override { return finished == ab::entry ? events["dig"] : ab::done; }
};
using Shows = ab::Handle<ShowsNode>;

// Reads an input and keeps what it read as text.
template <class T>
struct ReadsNode : ab::Node {
  ab::Input<T> input;
  std::string got;
  static constexpr auto fields = ab::fields(ab::field("input", &ReadsNode::input));
  explicit ReadsNode(ab::Input<T> input) : input(std::move(input)) {}
  ab::Step next(ab::Step) override {
    const std::optional<T> found = input.find(*this);
    got = found ? ab::to_text(ab::to_value(*found)) : "nothing";
    return ab::done;
  }
};

// Takes objects of two types, as passes do.
struct TakesNode : ab::Node {
  ab::Input<ab::Opaque> input;
  const void* got = nullptr;
  static constexpr auto fields = ab::fields(ab::field("input", &TakesNode::input));
  explicit TakesNode(ab::Input<ab::Opaque> source) : input(std::move(source)) {
    input.take_only({&ab::type_id<Batch>, &ab::type_id<double>});
  }
  ab::Step next(ab::Step) override { return got = read(input).address, ab::done; }
};

struct NeedsNode : ab::Node {
  ab::Input<double> input;
  static constexpr auto fields = ab::fields(ab::field("input", &NeedsNode::input));
  explicit NeedsNode(ab::Input<double> input) : input(std::move(input)) {}
  ab::Step next(ab::Step) override { return read(input), ab::done; }
};

// What an input of this type reads below a Shows, or the fault that the walk finds.
template <class T>
std::string reads(ab::Input<T> input) {
  const Shows shows;
  const ab::Handle<ReadsNode<T>> node(std::move(input));
  ab::Ground ground;
  ground("dig", shows("dig", ab::If(true)("dig", node)));
  const auto faults = ab::faults(ground);
  if (!faults.empty()) return faults[0].message;
  ground.dig();
  return node->got;
}
template <class T>
std::string field(const char* name) {
  return reads<T>(ab::caller(name));
}

// At a node that is gone.
ab::Look gone() { return ab::IterationLooper(3).get("counter"); }

}  // namespace

TEST_CASE("inputs of every type from constants") {
  CHECK(reads<bool>(true) == "true");
  CHECK(reads<std::int64_t>(3) == "3");
  CHECK(reads<std::int64_t>(std::size_t{3}) == "3");
  CHECK(reads<double>(3) == "3");
  CHECK(reads<double>(0.25F) == "0.25");
  CHECK(reads<std::string>("a text") == "a text");
  CHECK(reads<std::string>(std::string("a text")) == "a text");
  CHECK(reads<std::string>(3) == "3");
  CHECK(reads<std::string>(0.5) == "0.5");
  CHECK(reads<at::Tensor>(at::scalar_tensor(2.0)) == "2");
  CHECK(reads<ab::Duration>(90s) == "90 s");
  CHECK(reads<ab::Duration>(1min) == "60 s");
  CHECK(reads<ab::Number>(3) == "3");
  CHECK(reads<ab::Number>(at::scalar_tensor(2.0)) == "2");
  CHECK(reads<ab::Value>(3) == "3");
  CHECK(reads<ab::Value>(true) == "true");
  CHECK(reads<ab::Value>("real") == "real");
  CHECK(reads<ab::Value>(2s) == "2 s");
}

TEST_CASE("a text is a constant where text is wanted, otherwise a field of the caller") {
  CHECK(reads<double>("real") == "2.5");
  CHECK(reads<double>(std::string_view("real")) == "2.5");
  CHECK(reads<ab::Number>("tensor") == "0.5");
  CHECK(reads<at::Tensor>("tensor") == "0.5");
  CHECK(reads<std::string>("real") == "real");
  CHECK(reads<std::string>(ab::caller("real")) == "2.5");
}

TEST_CASE("fields of the caller become what is wanted where that can be, otherwise a fault") {
  const std::vector<const char*> names{"flag", "whole", "real",    "text", "tensor",
                                       "time", "batch", "nothing", "any"};
  const auto all = [&](auto read) {
    std::string text;
    for (const char* name : names) {
      const std::string got = read(name);
      text += got.find("must be") == std::string::npos ? got + ", " : "fault, ";
    }
    return text;
  };
  //                             flag   whole  real   text   tensor time   batch  nothing  any
  CHECK(all(field<bool>) == "true, true, true, fault, true, fault, fault, nothing, true, ");
  CHECK(all(field<std::int64_t>) == "1, 7, fault, fault, 0, fault, fault, fault, 9, ");
  CHECK(all(field<double>) == "1, 7, 2.5, fault, 0.5, 1.5, fault, nothing, 9, ");
  CHECK(all(field<std::string>) == "true, 7, 2.5, text, 0.5, 1.5 s, fault, nothing, 9, ");
  CHECK(all(field<at::Tensor>) == "fault, fault, fault, fault, 0.5, fault, fault, fault, nothing, ");
  CHECK(all(field<ab::Duration>) == "fault, fault, fault, fault, fault, 1.5 s, fault, fault, nothing, ");
  CHECK(all(field<ab::Number>) == "true, 7, 2.5, fault, 0.5, 1.5 s, fault, nothing, 9, ");
  const std::string batch = fmt::format("<{}>", ab::type_name<Batch>);
  CHECK(all(field<ab::Value>) == "true, 7, 2.5, text, 0.5, 1.5 s, " + batch + ", none, 9, ");
  CHECK(all(field<ab::Opaque>) ==
        "fault, fault, fault, fault, fault, fault, " + batch + ", fault, nothing, ");
  CHECK(field<double>("text") == "input must be a number, got Shows.text, which holds a text");
  CHECK(field<double>("texts") == "input must be a field of Shows, got \"texts\"; it shows flag, whole, "
                                  "real, text, tensor, time, batch, nothing, "
                                  "any");
}

TEST_CASE("fields of other nodes are looked at, not owned") {
  ab::IterationLooper loop(3);
  loop->counter = 2;
  CHECK(reads<std::int64_t>(loop.get("counter")) == "2");
  CHECK(reads<double>(loop.get("counter")) == "2");
  CHECK(reads<std::string>(loop.get("counter")) == "2");
  CHECK(reads<ab::Value>(loop.get("fraction")) == "none");
  CHECK(reads<double>(loop.get("fraction")) == "nothing");
  CHECK(reads<std::int64_t>(loop.get("count")) == "3");
  CHECK(reads<double>(gone()) ==
        "input reads \"counter\" of a node that must be alive, but it is gone; keep a handle of it while the "
        "tree is "
        "used");
  CHECK(reads<double>(loop.get("epoch")) == "input must be a field of IterationLooper, got \"epoch\"; it "
                                            "shows count, counter, total, fraction, steps");
}

TEST_CASE("callables take nothing, the caller's node, the run, or both") {
  const Batch batch;
  CHECK(reads<double>([] { return 3; }) == "3");
  CHECK(reads<double>([](ShowsNode& node) { return 2 * node.real; }) == "5");
  CHECK(reads<std::string>([](ab::Run& run) { return run.path(); }) == "Shows/dig[0]/If/dig[0]/Reads");
  CHECK(reads<std::string>([](ab::Node& node, ab::Run&) { return std::string(node.name()); }) == "Shows");
  CHECK(reads<std::string>([](auto& node) { return node.name(); }) == "Shows");
  CHECK(reads<double>([calls = 0]() mutable { return ++calls; }) == "1");
  CHECK(reads<double>([] { return at::scalar_tensor(1.5); }) == "1.5");
  CHECK(reads<double>([] { return std::optional<double>(); }) == "nothing");
  CHECK(reads<double>([]() -> ab::Value { return std::string("text"); }) == "nothing");
  CHECK(reads<ab::Duration>([] { return 3s; }) == "3 s");
  CHECK(reads<ab::Opaque>([&]() -> const Batch& { return batch; }) ==
        fmt::format("<{}>", ab::type_name<Batch>));
  CHECK(reads<double>([] { return "text"; }) == "input must be a number, got a callable that returns a text");
  CHECK(reads<std::int64_t>([] { return 2.5; }) ==
        "input must be an integer, got a callable that returns a number");
  CHECK(reads<double>([](ab::IterationLooper::Node& node) { return node.counter; }) ==
        "the callable for input is given the caller, it takes IterationLooper, got Shows; change its "
        "parameter, or hang "
        "the node elsewhere");
}

TEST_CASE("an object from a callable is the user's own object; its type is checked by the walk") {
  const Batch batch;
  ab::Handle<TakesNode> takes([&]() -> const Batch& { return batch; });
  ab::Ground ground;
  ground("dig", takes);
  ground.dig();
  CHECK(takes->got == &batch);
  const std::vector<int> other;
  takes->input = ab::Input<ab::Opaque>([&]() -> const std::vector<int>& { return other; });
  takes->input.take_only({&ab::type_id<Batch>, &ab::type_id<double>});
  CHECK(ab::faults(ground).at(0).message ==
        fmt::format(
            "input must be of type {} or double, got a callable, which is {}; take that type, or map the "
            "source to yours",
            ab::type_name<Batch>, ab::type_name<std::vector<int>>));
}

TEST_CASE("what does not convert does not compile") {
  STATIC_REQUIRE_FALSE(std::is_constructible_v<ab::Input<std::int64_t>, double>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<ab::Input<bool>, int>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<ab::Input<at::Tensor>, double>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<ab::Input<ab::Duration>, double>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<ab::Input<ab::Opaque>, double>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<ab::Input<double>, std::vector<double>>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<ab::Input<double>, void (*)(int)>);
}

TEST_CASE("an input tells where its value comes from") {
  ab::IterationLooper loop(3);
  CHECK(ab::Input<double>(0.5).text() == "0.5");
  CHECK(ab::Input<std::string>("prefix").text() == "\"prefix\"");
  CHECK(ab::Input<double>("loss").text() == "caller.loss");
  CHECK(ab::Input<double>(loop.get("counter")).text() == "IterationLooper.counter");
  CHECK(ab::Input<double>(loop.named("epochs").get("counter")).text() == "epochs.counter");
  CHECK(ab::Input<double>(gone()).text() == "(gone).counter");
  CHECK(ab::Input<double>([] { return 1; }).text() == "callable");
  CHECK(ab::Input<double>(0.5).constant() == 0.5);
  CHECK_FALSE(ab::Input<double>("loss").constant());
}

TEST_CASE("an input that holds nothing when it must says so with the path") {
  ab::IterationLooper idle(1);
  const auto message = [&](ab::Input<double> input) -> std::string {
    ab::Ground ground;
    ground("dig", Shows()("dig", ab::Handle<NeedsNode>(std::move(input))));
    try {
      ground.dig();
    } catch (const ab::Error& error) {
      return error.what();
    }
    return "";
  };
  CHECK(message(ab::caller("nothing")) ==
        "Shows/dig[0]/Needs: caller.nothing must hold a number when it is read, got nothing");
  CHECK(message(idle.named("idle").get("fraction")) ==
        "Shows/dig[0]/Needs: idle.fraction must hold a number when it is read, got nothing");
  CHECK(message([]() -> ab::Value { return std::string("text"); }) ==
        "Shows/dig[0]/Needs: callable must hold a number when it is read, got a text");
  CHECK(message([]() -> double { throw std::runtime_error("no number"); }) ==
        "Shows/dig[0]/Needs: no number");
}

TEST_CASE("a trigger hung below two callers reads each one's field") {
  Trace trace;
  Shows first, second;
  first->flag = true;
  second->flag = false;
  ab::If trigger("flag");
  trigger("dig", [&](ab::Node& node) { trace.add(fmt::format("{} holds", node.name())); });
  trigger("otherwise", [&](ab::Node& node) { trace.add(fmt::format("{} does not", node.name())); });
  ab::Ground ground;
  ground("dig", first.named("first")("dig", trigger),
         second.named("second")("dig", trigger, ab::If(true)("dig", trigger)));
  ground.dig();
  CHECK_THAT(trace, happened("first holds\n second does not\n second does not"));
}

TEST_CASE("an input read outside a run looks its source up; nothing of the last run is used") {
  auto shows = std::make_unique<Shows>();
  const ab::Handle<ReadsNode<double>> reader(shows->get("real"));
  {
    ab::Ground ground;
    ground("dig", (*shows)("dig", reader));
    ground.dig();
    CHECK(reader->got == "2.5");
  }
  (*shows)->real = 3;
  CHECK(reader->input.read(*reader) == 3);
  CHECK(reader.get("input").as<double>() == 3);
  shows.reset();
  CHECK_FALSE(reader->input.find(*reader));
  CHECK(ab::to_text(reader.get("input")()) == "none");
}

TEST_CASE("an input can be given anew between runs and while one runs") {
  Trace trace;
  ab::IterationLooper loop(3), other(3);
  other->counter = 42;
  const ab::Handle<ReadsNode<std::int64_t>> reader(ab::caller("counter"));
  loop(
      "iteration_end", reader, [&] { trace.add(reader->got); },
      [&](ab::IterationLooper::Node& node) {
        if (node.counter == 2) reader->input = other.get("counter");
      });
  ab::Ground ground;
  ground("dig", loop);
  ground.dig();
  CHECK_THAT(trace, happened("1\n 2\n 42"));
}

}  // namespace input_tests

// Another type of the name that one in value.cpp has.
namespace value_tests {

namespace {
struct Batch {};
}  // namespace
const ab::TypeId& batch_of_input_test() { return ab::type_id<Batch>; }

}  // namespace value_tests
