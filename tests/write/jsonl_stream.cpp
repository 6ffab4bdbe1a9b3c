#include <abyme/write/jsonl_stream.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/trigger/if.hpp>
#include <abyme/write/store_aggregator.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace ab = abyme;

namespace jsonl_stream_tests {

using tests::content;
using tests::Folder;

namespace {

using Files = std::vector<std::string>;

ab::Ground rows(int count, const ab::JSONLStream& stream) {
  ab::IterationLooper loop(count);
  return ab::Ground()("dig", loop("iteration_end", stream));
}

std::string error_of(const ab::Ground& ground) {
  return tests::error_of([&] { ground.dig(); });
}

}  // namespace

TEST_CASE("each dig writes an object of fields as a line") {
  const Folder folder;
  const ab::JSONLStream stream(folder / "deep/a.jsonl", {"fraction", "counter"});
  rows(3, stream).dig();
  CHECK(content(folder / "deep/a.jsonl") == "{\"fraction\":0.3333333333333333,\"counter\":1}\n"
                                            "{\"fraction\":0.6666666666666666,\"counter\":2}\n"
                                            "{\"fraction\":1.0,\"counter\":3}\n");
  CHECK(stream.get("rows").as<int>() == 3);
}

TEST_CASE("without names a line has all fields of the caller but objects, with a focus those of that node") {
  const Folder folder;
  ab::IterationLooper loop(1);
  ab::Stats stats("counter");
  loop("iteration_start", ab::JSONLStream(folder / "a.jsonl", {.prefix = "s."}).focus(stats));
  ab::Ground()("dig", loop).dig();
  CHECK(content(folder / "a.jsonl") == "{\"s.average\":null,\"s.std\":null,\"s.min\":null,\"s.max\":null,"
                                       "\"s.last\":null,\"s.count\":0,\"s.value\":null}\n");
}

TEST_CASE("fields that come late, and dictionaries that grow, are no problem") {
  const Folder folder;
  ab::IterationLooper loop(2);
  ab::StoreAggregator all;
  all("dig", ab::JSONLStream(folder / "a.jsonl"));
  loop("iteration_end", ab::If([](ab::IterationLooper::Node& node) {
         return node.counter > 1;
       })("dig", ab::Aggregate(all, {"counter"})),
       all);
  ab::Ground()("dig", loop).dig();
  CHECK(content(folder / "a.jsonl") == "{}\n{\"aggregate.counter\":2}\n");
}

TEST_CASE(
    "names and values of a line go through transforms, from left to right; the prefix comes after that") {
  const Folder folder;
  const auto mark = [](std::string name) { return "<" + name + ">"; };
  const auto twice = [](std::string name) { return name + name; };
  const auto text = [](ab::Value value) -> ab::Value { return ab::to_text(value) + "!"; };
  rows(1,
       ab::JSONLStream(folder / "a.jsonl", {"counter"},
                       {.prefix = "p.", .name_transforms = {mark, twice}, .value_transforms = {text, text}}))
      .dig();
  CHECK(content(folder / "a.jsonl") == "{\"p.<counter><counter>\":\"1!!\"}\n");
}

TEST_CASE("each object is in the file when the next child runs, also where an exception ends the run") {
  const Folder folder;
  ab::IterationLooper loop(3);
  std::vector<std::string> seen;
  loop("iteration_end", ab::JSONLStream(folder / "a.jsonl", {"counter"}), [&] {
    seen.push_back(content(folder / "a.jsonl"));
    if (seen.size() == 2) throw std::runtime_error("stop here");
  });
  CHECK_THAT(error_of(ab::Ground()("dig", loop)), Catch::Contains("stop here"));
  CHECK(seen == Files{"{\"counter\":1}\n", "{\"counter\":1}\n{\"counter\":2}\n"});
  CHECK(content(folder / "a.jsonl") == seen.back());
}

TEST_CASE("a second run starts a new file of lines and keeps the one before; one that keeps writes on") {
  const Folder folder;
  tests::put(folder / "a.jsonl", "earlier");
  const auto ground = rows(1, ab::JSONLStream(folder / "a.jsonl", {"counter"}));
  CHECK(content(folder / "a.jsonl") == "earlier");
  ground.dig();
  CHECK(content(folder / "a.jsonl.bck") == "earlier");
  ground.dig({.keep = true});
  CHECK(content(folder / "a.jsonl") == "{\"counter\":1}\n{\"counter\":1}\n");
  ground.dig();
  CHECK(content(folder / "a.jsonl") == "{\"counter\":1}\n");
  CHECK(content(folder / "a.jsonl.bck") == "{\"counter\":1}\n{\"counter\":1}\n");
}

TEST_CASE("several streams write into one text file; into one name they are a fault") {
  const Folder folder;
  const ab::TextFile log(folder / "a.jsonl");
  ab::IterationLooper loop(1);
  loop("start", ab::JSONLStream(log, {"counter"}))("end", ab::JSONLStream(log, {"total"}, {.prefix = "in_"}));
  ab::Ground()("dig", loop).dig();
  CHECK(content(folder / "a.jsonl") == "{\"counter\":0}\n{\"in_total\":1}\n");
  loop("end", ab::JSONLStream(folder / "a.jsonl", {"counter"}));
  CHECK(ab::faults(ab::Ground()("dig", loop)).size() == 1);
}

}  // namespace jsonl_stream_tests
