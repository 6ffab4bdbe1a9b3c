#include <abyme/core/holdings.hpp>

#include <abyme/core/ground.hpp>

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace ab = abyme;

namespace holdings_tests {

using Lines = std::vector<std::string>;

namespace {

struct HoldingNode : ab::Node {
  const void* model;
  const void* shared;
  HoldingNode(const void* model, const void* shared) : model(model), shared(shared) {}
  ab::Step next(ab::Step) override { return ab::done; }
  void hold(ab::Holdings& holdings) override {
    if (model) holdings.add("model", model, {});
    holdings.add_own("place", {});
    holdings.add_own("file", {}, shared);
  }
};
using Holding = ab::Handle<HoldingNode>;

struct Told {
  Lines names, faults;
};
Told told(const ab::Ground& ground) {
  const ab::Walk walk(*ground);
  const ab::Holdings holdings(walk);
  Told told{{}, holdings.faults()};
  for (const auto& each : holdings.all()) told.names.push_back(each.name);
  return told;
}

}  // namespace

TEST_CASE("of a thing that several nodes share the first tells; one of a kind is named after it",
          "[holdings]") {
  const int model = 0, file = 0, other_file = 0;
  ab::Ground ground;
  ground("dig", Holding(&model, &file), Holding(&model, &file).named("second"),
         Holding(nullptr, &other_file));
  const Told all = told(ground);
  CHECK(all.names == Lines{"model", "dig[0]/Holding.place", "dig[0]/Holding.file", "second.place",
                           "dig[2]/Holding.place", "dig[2]/Holding.file"});
  CHECK(all.faults.empty());
}

TEST_CASE("several of a kind are named after their nodes, which must have names", "[holdings]") {
  const int one = 0, two = 0, file = 0;
  ab::Ground ground;
  ground("dig", Holding(&one, &file).named("first"), Holding(&two, &file));
  const Told all = told(ground);
  CHECK(all.names[0] == "first.model");
  CHECK(all.faults ==
        Lines{"a snapshot of several things of the kind model names them after their nodes, got a Holding "
              "without a name; call .named(\"...\") on it"});
}

TEST_CASE("a name that is taken, also by LibTorch's generators, is a fault", "[holdings]") {
  const int model = 0, file = 0;
  ab::Ground ground;
  ground("dig", Holding(&model, &file).named("node"));
  for (const char* name : {"model", "node.place", "generator", "free"})
    ground->told.emplace_back(name, ab::Part{});
  const auto fault = [](const std::string& name) {
    return fmt::format(
        "what a snapshot holds has names of its own, got \"{}\" twice; name one of them otherwise", name);
  };
  CHECK(told(ground).faults == Lines{fault("generator"), fault("model"), fault("node.place")});
}

}  // namespace holdings_tests
