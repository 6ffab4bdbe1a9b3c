#include <abyme/write/logs.hpp>

#include "support/error_of.hpp"

#include <ATen/ops/ones.h>
#include <catch2/catch.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace ab = abyme;

namespace logs_tests {

using tests::error_of;

namespace {

// All that logs hold, in their order: "metrics.loss=0.5", with the kind where the text does not tell it.
std::vector<std::string> lines_of(const ab::Logs& logs) {
  std::vector<std::string> lines;
  for (const auto& [collection, entries] : logs) {
    for (const auto& [name, value] : entries)
      lines.push_back(
          fmt::format("{}.{}={} ({})", collection, name, ab::to_text(value), ab::kind_name(ab::kind(value))));
  }
  return lines;
}
using Lines = std::vector<std::string>;

at::Tensor with_graph(double value) { return at::ones({}).requires_grad_().mul(value); }

}  // namespace

TEST_CASE("logs are ordered collections of ordered names, filled in a chain") {  // rows 25 and 26
  ab::Logs logs;
  CHECK(logs.empty());
  logs.add("own", "b", 1).add("metrics", "a", 0.5).add("own", "a", "text");
  logs.add("own", {{"c", true}, {"b", std::chrono::milliseconds(1500)}}).add("none", ab::Dict());
  CHECK(lines_of(logs) == Lines{"own.b=1.5 s (a duration)", "own.a=text (a text)", "own.c=true (a bool)",
                                "metrics.a=0.5 (a number)"});
  CHECK_FALSE(logs.empty());
  CHECK(logs.collection("none") == nullptr);
  CHECK(ab::to_text(*logs.collection("own")->find("a")) == "text");
}

TEST_CASE("logs can be written down at once, and are copied as values") {  // row 25
  ab::Logs logs{{"metrics", {{"loss", 0.5F}, {"none", std::optional<double>()}}}, {"own", {{"count", 3U}}}};
  const ab::Logs before = logs;
  logs.add_metric("loss", 2);
  CHECK(lines_of(before) ==
        Lines{"metrics.loss=0.5 (a number)", "metrics.none=none (nothing)", "own.count=3 (an integer)"});
  CHECK(lines_of(logs)[0] == "metrics.loss=2 (an integer)");
}

TEST_CASE("metrics, stateful metrics, losses and outputs have collections of their own") {  // rows 27 and 28
  ab::Logs logs;
  logs.add_metric("a", 1).add_stateful_metric("b", 2).add_loss("c", 3).add_output("d", 4);
  logs.add_metrics({{"e", 5}, {"f", 6}}).add_stateful_metrics({{"g", 7}});
  logs.add_losses({{"h", 8}, {"i", 9}}).add_outputs({{"j", 10}});
  logs.add_loss("k", 11, {.metric = true}).add_losses({{"l", 12}}, {.metric = true});
  CHECK(lines_of(logs) ==
        Lines{"metrics.a=1 (an integer)", "metrics.e=5 (an integer)", "metrics.f=6 (an integer)",
              "metrics.k=11 (an integer)", "metrics.l=12 (an integer)", "stateful_metrics.b=2 (an integer)",
              "stateful_metrics.g=7 (an integer)", "losses.c=3 (an integer)", "losses.h=8 (an integer)",
              "losses.i=9 (an integer)", "losses.k=11 (an integer)", "losses.l=12 (an integer)",
              "outputs.d=4 (an integer)", "outputs.j=10 (an integer)"});
}

TEST_CASE("losses keep their graph, all else is detached; nothing is copied") {
  const at::Tensor loss = with_graph(2), plain = at::ones({3});
  ab::Logs logs;
  logs.add_loss("loss", loss, {.metric = true}).add_output("out", loss).add("own", "x", loss);
  logs.add_stateful_metric("s", loss).add_metric("plain", plain).add_metric("undefined", at::Tensor());
  const auto has_graph = [](const ab::Logs& read, const char* key) {
    return read.get<at::Tensor>(key).requires_grad();
  };
  CHECK(has_graph(logs, "losses.loss"));
  for (const char* key : {"metrics.loss", "outputs.out", "own.x", "s"}) CHECK_FALSE(has_graph(logs, key));
  CHECK(logs.get<at::Tensor>("losses.loss").is_same(loss));
  CHECK(logs.get<at::Tensor>("metrics.loss").is_alias_of(loss));
  CHECK(logs.get<at::Tensor>("plain").is_same(plain));
  CHECK(ab::kind(logs.at("undefined")) == ab::Kind::nothing);

  const ab::Logs without = logs.detach();
  CHECK_FALSE(has_graph(without, "losses.loss"));
  CHECK(has_graph(logs, "losses.loss"));
  CHECK(lines_of(without) == lines_of(logs));
}

TEST_CASE("merging adds and replaces, new collections are copied, also with itself") {  // row 29
  ab::Logs logs{{"metrics", {{"a", 1}, {"b", 2}}}};
  const ab::Logs other{{"own", {{"c", 3}}}, {"metrics", {{"d", 4}, {"a", 5}}}};
  const Lines both{"metrics.a=5 (an integer)", "metrics.b=2 (an integer)", "metrics.d=4 (an integer)",
                   "own.c=3 (an integer)"};
  CHECK(lines_of(logs.merge(other)) == both);
  CHECK(lines_of(logs.merge(logs)) == both);
  logs.add("own", "c", 6);
  CHECK(lines_of(other)[0] == "own.c=3 (an integer)");
  logs.merge({{"own", {{"c", 7}}}});
  CHECK(logs.get<int>("c") == 7);
}

TEST_CASE("a value is found by its name, or by collection and name") {  // row 31
  const ab::Logs logs{{"metrics", {{"loss", 0.5}, {"accuracy", 1}}}, {"losses", {{"loss", 2}}}};
  CHECK(ab::to_text(*logs.find("accuracy")) == "1");
  CHECK(ab::to_text(*logs.find("losses.loss")) == "2");
  CHECK(logs.find("other") == nullptr);
  CHECK(logs.find("metrics.other") == nullptr);
  CHECK(logs.find("other.loss") == nullptr);
  CHECK(error_of([&] { (void)logs.find("loss"); }) ==
        "Logs: a name without its collection is in one collection, got \"loss\", which is in metrics and in "
        "losses; write \"metrics.loss\" or \"losses.loss\"");
  CHECK(error_of([&] { (void)logs.find("a.b.c"); }) ==
        "Logs: a key is \"name\" or \"collection.name\", got \"a.b.c\"; leave a dot out");
  CHECK(std::get<double>(logs.at("metrics.loss")) == 0.5);
  CHECK(
      error_of([&] { (void)logs.at("other"); }) ==
      "Logs: a key names what is logged (metrics.loss, metrics.accuracy, losses.loss), got \"other\"; log it "
      "before it is read");
  CHECK(error_of([&] { (void)ab::Logs().at("other"); }) ==
        "Logs: a key names what is logged (nothing), got \"other\"; log it before it is read");
}

TEST_CASE("a value is got as what is wanted") {
  const ab::Logs logs{{"own", {{"number", 2.0}, {"text", "x"}, {"tensor", at::ones({1})}}}};
  CHECK(logs.get<int>("number") == 2);
  CHECK(logs.get<std::string>("number") == "2");
  CHECK(logs.get<float>("own.tensor") == 1);
  CHECK(logs.get<at::Tensor>("tensor").dim() == 1);
  CHECK(error_of([&] { (void)logs.get<double>("text"); }) ==
        "Logs: \"text\" must hold double to be got as one, got a text; get it as what it is");
}

TEST_CASE("what logs can't hold is told") {
  CHECK(error_of([] { ab::Logs().add_metric("a.b", 1); }) ==
        "Logs: a name has no dot, which stands between a collection and a name, got \"a.b\"; write an "
        "underscore");
  CHECK(error_of([] { ab::Logs().add("a.b", "c", 1); }) ==
        "Logs: a name has no dot, which stands between a collection and a name, got \"a.b\"; write an "
        "underscore");
  const int object = 0;
  CHECK(error_of([&] {
          ab::Logs().add("own", "c", ab::Value(ab::Opaque{&ab::type_id<int>, &object}));
        }) ==
        "Logs: a value is a bool, a number, a text, a tensor or a duration, got <int> for \"c\"; log what it "
        "holds");
}

TEST_CASE("snapshots hold logs") {
  const ab::Logs logs{{"own", {{"number", 0.1}, {"whole", 3}, {"text", "x"}, {"yes", true}}},
                      {"metrics", {{"time", ab::Duration(0.25)}, {"tensor", at::ones({2})}}}};
  ab::Kept kept;
  logs.save(kept);
  ab::Logs back{{"old", {{"a", 1}}}};
  back.load(kept);
  CHECK(lines_of(back) == lines_of(logs));
  CHECK(back.get<at::Tensor>("tensor").equal(at::ones({2})));
}

TEST_CASE("what is found in logs that are gone is a copy") {
  const auto made = [] {
    return ab::Logs{{"metrics", {{"text", "long enough to lie elsewhere in memory"}}}};
  };
  const auto found = made().find("text");
  const auto& at = made().at("text");
  const auto entries = made().collection("metrics");
  for (const ab::Value& value : {*found, at, *entries->find("text")})
    CHECK(ab::to_text(value) == "long enough to lie elsewhere in memory");
  CHECK_FALSE(made().find("other"));
  CHECK_FALSE(made().collection("other"));
}

}  // namespace logs_tests
