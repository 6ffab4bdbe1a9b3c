#include <abyme/core/callable.hpp>

#include <abyme/core/ground.hpp>
#include <abyme/loop/iteration_looper.hpp>

#include <catch2/catch.hpp>

#include <functional>
#include <type_traits>

namespace ab = abyme;

namespace callable_tests {
namespace {

using Looper = ab::IterationLooperNode;

struct Overloaded {
  void operator()(Looper&) const {}
  void operator()(ab::Run&) const {}
};
struct Noexcept {
  void operator()(const Looper&) noexcept {}
};
[[maybe_unused]] void function(Looper&, ab::Run&) noexcept {}

template <class F>
using Asked = ab::reflect::AskedCaller<F>;

// A node of the user's that adds to one of abyme's.
struct SpecialNode : ab::IterationLooperNode {
  using ab::IterationLooperNode::IterationLooperNode;
};
using Special = ab::Handle<SpecialNode>;

}  // namespace

TEST_CASE("a callable asks for the caller that its first parameter names, otherwise for any") {
  auto takes_looper = [](Looper&) {};
  auto takes_constant = [](const Looper&, ab::Run&) mutable {};
  auto generic = [](auto&) {};
  auto run_only = [](ab::Run&) {};
  auto nothing = [] {};
  STATIC_REQUIRE(std::is_same_v<Asked<decltype(takes_looper)>, Looper>);
  STATIC_REQUIRE(std::is_same_v<Asked<decltype(takes_constant)>, Looper>);
  STATIC_REQUIRE(std::is_same_v<Asked<Noexcept>, Looper>);
  STATIC_REQUIRE(std::is_same_v<Asked<decltype(&function)>, Looper>);
  STATIC_REQUIRE(std::is_same_v<Asked<decltype(function)>, Looper>);
  STATIC_REQUIRE(std::is_same_v<Asked<std::function<int(Looper&)>>, Looper>);
  STATIC_REQUIRE(std::is_same_v<Asked<decltype(generic)>, ab::Node>);
  STATIC_REQUIRE(std::is_same_v<Asked<decltype(run_only)>, ab::Node>);
  STATIC_REQUIRE(std::is_same_v<Asked<decltype(nothing)>, ab::Node>);
  STATIC_REQUIRE(std::is_same_v<Asked<Overloaded>, ab::Node>);
}

TEST_CASE("what can be called") {
  auto takes_looper = [](Looper&) {};
  auto by_value = [](int) {};
  auto three = [](Looper&, ab::Run&, int) {};
  STATIC_REQUIRE(ab::CallableWith<decltype(takes_looper), Looper>);
  STATIC_REQUIRE(ab::CallableWith<decltype(takes_looper), SpecialNode>);
  STATIC_REQUIRE(ab::CallableWith<decltype(function), Looper>);
  STATIC_REQUIRE(ab::CallableWith<Overloaded, Looper>);
  STATIC_REQUIRE_FALSE(ab::CallableWith<decltype(takes_looper), ab::GroundNode>);
  STATIC_REQUIRE_FALSE(ab::CallableWith<decltype(by_value), Looper>);
  STATIC_REQUIRE_FALSE(ab::CallableWith<decltype(three), Looper>);
}

TEST_CASE("it accepts the caller that it asks for and what derives from it") {
  const auto asks = ab::Callable<void>::make<Looper>([](Looper&) {});
  const auto any = ab::Callable<void>::make<ab::Node>([](ab::Node&) {});
  const auto none = ab::Callable<void>::make<ab::Node>([] {});
  const auto run = ab::Callable<void>::make<ab::Node>([](ab::Run&) {});
  const ab::IterationLooper looper(1);
  const Special special(1);
  const ab::Ground ground;
  CHECK(asks.accepts(*looper));
  CHECK(asks.accepts(*special));
  CHECK_FALSE(asks.accepts(*ground));
  CHECK(asks.wanted()->name == "abyme::IterationLooperNode");
  CHECK((any.accepts(*ground) && any.wanted() == nullptr));
  CHECK((none.accepts(*ground) && none.ready(nullptr, nullptr)));
  CHECK(asks.ready(&*special, nullptr));
  CHECK_FALSE(asks.ready(&*ground, nullptr));
  CHECK_FALSE(asks.ready(nullptr, nullptr));
  CHECK_FALSE(any.ready(nullptr, nullptr));
  CHECK_FALSE(run.ready(&*ground, nullptr));
}

TEST_CASE("one that takes a class of abyme's may hang on a node that derives from it, also below a trigger") {
  int calls = 0;
  Special special(2);
  const auto take = [&](Looper&) { ++calls; };
  special("start", take)(
      "end", [&](SpecialNode&) { ++calls; }, ab::Call(take), std::vector<ab::Child>{take});
  ab::Ground ground;
  ground("dig", special);
  ground.dig();
  CHECK(calls == 4);
  CHECK(special->name() == "Special");
}

TEST_CASE("values of callables are of the kinds of fields; void is none") {
  const auto give = [](auto function) {
    return ab::Callable<ab::Value>::make<ab::Node>(function)(nullptr, nullptr);
  };
  CHECK(ab::to_text(give([] { return 3; })) == "3");
  CHECK(ab::to_text(give([] { return "text"; })) == "text");
  CHECK(ab::to_text(give([] { return std::optional<int>(); })) == "none");
  const std::vector<int> object;
  CHECK(std::get<ab::Opaque>(give([&]() -> const std::vector<int>& { return object; })).address == &object);
}

}  // namespace callable_tests
