#include <abyme/write/store_aggregator.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/reset.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/write/pretty_print_store.hpp>

#include "support/trace.hpp"

#include <sstream>

namespace ab = abyme;

namespace store_aggregator_tests {

using tests::happened;
using tests::Trace;

namespace {

std::string text(const ab::Dict& dict) {
  std::string all;
  for (const auto& [name, value] : dict)
    all += fmt::format("{}{}={}", all.empty() ? "" : " ", name, ab::to_text(value));
  return all;
}

}  // namespace

TEST_CASE("a dictionary holds values of all kinds under their names, in the order in which they came") {
  const std::size_t size = 3;
  ab::Dict dict{{"b", 1},
                {"a", "text"},
                {"flag", true},
                {"real", 0.5F},
                {"size", size},
                {"time", std::chrono::milliseconds(1500)},
                {"b", 2},
                {"none", std::optional<double>()},
                {"string", std::string("s")}};
  CHECK(text(dict) == "b=2 a=text flag=true real=0.5 size=3 time=1.5 s none=none string=s");
  dict.set("a", 0.25);
  dict.set("new", std::monostate());
  CHECK(text(dict) == "b=2 a=0.25 flag=true real=0.5 size=3 time=1.5 s none=none string=s new=none");
  CHECK(std::get<double>(*dict.find("a")) == 0.25);
  CHECK(dict.find("c") == nullptr);
  CHECK_FALSE(dict.empty());
  CHECK(ab::Dict().empty());
  CHECK(text({{"a", "b"}}) == "a=b");
  CHECK(text({{"a", "b"}, {"c", "d"}}) == "a=b c=d");
}

TEST_CASE("fields of several nodes come together under prefix and name; children see the aggregator") {
  Trace trace;
  std::ostringstream out;
  ab::IterationLooper loop(2);
  ab::Stats stats("counter");
  ab::StoreAggregator all;
  loop("iteration_end", stats, ab::Aggregate(all, {"counter", "total"}, {.prefix = "loop."}),
       ab::Aggregate(all, {"average"}, {.prefix = loop.get("counter")}).focus(stats),
       all("dig", trace("dug"), ab::PrettyPrintStore(out),
           [&](ab::StoreAggregator::Node& node) { trace.add(text(node.aggregate)); }));
  ab::Ground()("dig", loop).dig();
  CHECK_THAT(trace, happened(R"(
    dug
    loop.counter=1 loop.total=2 1average=1
    dug
    loop.counter=2 loop.total=2 1average=1 2average=1.5
  )"));
  CHECK(out.str() == R"({
  aggregate.loop.counter: 1
  aggregate.loop.total:   2
  aggregate.1average:     1
}
{
  aggregate.loop.counter: 2
  aggregate.loop.total:   2
  aggregate.1average:     1
  aggregate.2average:     1.5
}
)");
}

TEST_CASE("without names all fields come but objects") {
  ab::StoreAggregator all;
  ab::IterationLooper loop(1);
  loop("end", ab::Aggregate(all), ab::Aggregate(all, {.prefix = "p."}));
  ab::Ground()("dig", loop).dig();
  CHECK(
      text(all->aggregate) ==
      "count=1 counter=1 total=1 fraction=1 steps=1 p.count=1 p.counter=1 p.total=1 p.fraction=1 p.steps=1");
}

TEST_CASE("in the tree it is set back with the run, and whenever it is reset") {
  ab::StoreAggregator all;
  ab::IterationLooper loop(1);
  bool fill = true;
  loop(
      "end",
      [&](ab::IterationLooper::Node&) {
        if (fill) all->aggregate.set("x", 1);
      },
      all);
  const auto ground = ab::Ground()("dig", loop);
  ground.dig();
  CHECK(text(all->aggregate) == "x=1");
  fill = false;
  ground.dig({.keep = true});
  CHECK(text(all->aggregate) == "x=1");
  ground.dig();
  CHECK(all->aggregate.empty());
  fill = true;
  loop("end", ab::Reset(all));
  ground.dig();
  CHECK(all->aggregate.empty());
}

TEST_CASE("an aggregator that is gone is a fault; one that goes while the tree runs is kept to the end") {
  ab::Ground ground;
  ground("dig", ab::Aggregate(ab::StoreAggregator(), {"completed"}));
  const auto faults = ab::faults(ground);
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].path == "Aggregate");
  CHECK(faults[0].message ==
        "the aggregator must be alive, but it is gone; keep a handle of it while the tree is used");

  auto all = std::make_unique<ab::StoreAggregator>();
  const std::weak_ptr<ab::StoreAggregatorNode> alive = all->shared();
  std::string seen;
  ab::Ground other;
  other(
      "dig", [&] { all.reset(); }, ab::Aggregate(*all, {"completed"}),
      [&] { seen = text(alive.lock()->aggregate); });
  other.dig();
  CHECK(seen == "completed=false");
  CHECK(alive.expired());
}

TEST_CASE("what an aggregation shows") {
  ab::StoreAggregator all;
  const ab::Aggregate aggregate(all.named("all"), {"average", "std"}, {.prefix = "p."});
  CHECK(aggregate.get("into").as<std::string>() == "all");
  CHECK(aggregate.get("prefix").as<std::string>() == "p.");
}

}  // namespace store_aggregator_tests
