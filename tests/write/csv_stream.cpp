#include <abyme/write/csv_stream.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/write/csv_writer.hpp>
#include <abyme/write/print.hpp>
#include <abyme/write/store_aggregator.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"
#include "support/full_disk.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

namespace ab = abyme;

namespace csv_stream_tests {

using Catch::Contains;
using tests::content;
using tests::Folder;

namespace {

using Files = std::vector<std::string>;

ab::Ground rows(int count, const ab::CSVStream& stream) {
  ab::IterationLooper loop(count);
  return ab::Ground()("dig", loop("iteration_end", stream));
}

std::string error_of(const ab::Ground& ground, ab::DigOptions options = {}) {
  return tests::error_of([&] { ground.dig(options); });
}

}  // namespace

TEST_CASE("each dig writes a row: the header once, the number of the row last") {
  const Folder folder;
  const ab::CSVStream stream(folder / "deep/a.csv", {"fraction", "counter"});
  rows(3, stream).dig();
  CHECK(content(folder / "deep/a.csv") ==
        "fraction,counter,id\n0.3333333333333333,1,0\n0.6666666666666666,2,1\n1,3,2\n");
  CHECK(stream.get("rows").as<int>() == 3);
}

TEST_CASE("without names all fields of the caller but objects, with a focus those of that node") {
  const Folder folder;
  ab::IterationLooper loop(1);
  ab::Stats stats("counter");
  ab::CSVStream watch(folder / "b.csv", {.prefix = "s."});
  loop("iteration_end", stats, ab::CSVStream(folder / "a.csv"), watch.focus(stats));
  ab::Ground()("dig", loop).dig();
  CHECK(content(folder / "a.csv") == "count,counter,total,fraction,steps,id\n1,1,1,1,1,0\n");
  CHECK(content(folder / "b.csv") ==
        "s.average,s.std,s.min,s.max,s.last,s.count,s.value,id\n1,0,1,1,1,1,1,0\n");
}

TEST_CASE("names and values go through transforms, from left to right; the prefix comes after that") {
  const Folder folder;
  const auto upper = [](std::string name) {
    for (char& c : name) c = static_cast<char>(std::toupper(c));
    return name;
  };
  const auto mark = [](std::string name) { return "<" + name + ">"; };
  const auto number_text = [](ab::Value value) -> ab::Value { return ab::to_text(value) + "!"; };
  const auto twice = [](ab::Value value) -> ab::Value { return ab::to_text(value) + ab::to_text(value); };
  rows(1, ab::CSVStream(folder / "a.csv", {"counter"},
                        {.prefix = "p.",
                         .name_transforms = {upper, mark, upper},
                         .value_transforms = {number_text, twice},
                         .add_id = false}))
      .dig();
  CHECK(content(folder / "a.csv") == "p.<COUNTER>\n1!1!\n");
}

TEST_CASE("header, id, na and separators are chosen; cells are quoted where they must be") {
  const Folder folder;
  rows(2, ab::CSVStream(folder / "a.csv", {"counter", "total"},
                        {.value_transforms = {[](ab::Value value) -> ab::Value {
                           return ab::to_text(value) == "1" ? ab::Value() : ab::Value("a;\"b\"");
                         }},
                         .header = false,
                         .add_id = false,
                         .na = "-",
                         .separator = ";",
                         .line_separator = "\r\n"}))
      .dig();
  CHECK(content(folder / "a.csv") == "-;\"a;\"\"b\"\"\"\r\n\"a;\"\"b\"\"\";\"a;\"\"b\"\"\"\r\n");
}

TEST_CASE("each row is in the file when the next child runs, also where an exception ends the run") {
  const Folder folder;
  ab::IterationLooper loop(3);
  std::vector<std::string> seen;
  loop("iteration_end", ab::CSVStream(folder / "a.csv", {"counter"}), [&] {
    seen.push_back(content(folder / "a.csv"));
    if (seen.size() == 2) throw std::runtime_error("stop here");
  });
  CHECK_THAT(error_of(ab::Ground()("dig", loop)), Contains("stop here"));
  CHECK(seen == Files{"counter,id\n1,0\n", "counter,id\n1,0\n2,1\n"});
  CHECK(content(folder / "a.csv") == seen.back());
}

TEST_CASE("a second run starts a new file and keeps the one before it; one that keeps writes on") {
  const Folder folder;
  tests::put(folder / "a.csv", "earlier");
  const auto ground = rows(1, ab::CSVStream(folder / "a.csv", {"counter"}));
  CHECK(content(folder / "a.csv") == "earlier");
  ground.dig();
  CHECK(content(folder / "a.csv.bck") == "earlier");
  ground.dig({.keep = true});
  CHECK(content(folder / "a.csv") == "counter,id\n1,0\n1,1\n");
  ground.dig();
  CHECK(content(folder / "a.csv") == "counter,id\n1,0\n");
  CHECK(content(folder / "a.csv.bck") == "counter,id\n1,0\n1,1\n");
}

TEST_CASE("a late-bound file name is read at the first row of a run") {
  const Folder folder;
  int reads = 0;
  const auto ground =
      rows(2, ab::CSVStream([&] { return folder / fmt::format("{}.csv", ++reads); }, {"counter"}));
  CHECK(reads == 0);
  ground.dig();
  ground.dig();
  CHECK(folder.files() == Files{"1.csv", "2.csv"});
}

TEST_CASE("columns that change are an error with the path; what was written stays") {
  const Folder folder;
  ab::StoreAggregator all;
  ab::IterationLooper loop(2);
  SECTION("a column that comes late") {
    loop("iteration_end", ab::Aggregate(all, {"total"}, {.prefix = loop.get("counter")}),
         all("dig", ab::CSVStream(folder / "a.csv", {"aggregate"})));
    CHECK(error_of(ab::Ground()("dig", loop)) ==
          "IterationLooper/iteration_end[1]/StoreAggregator/dig[0]/CSVStream: the columns of a stream stay "
          "what "
          "they were in its first row, aggregate.1total,id, got aggregate.1total,aggregate.2total,id; take a "
          "CSVWriter for columns that come late");
    CHECK(content(folder / "a.csv") == "aggregate.1total,id\n2,0\n");
  }
  SECTION("a prefix that changes") {
    loop("iteration_end", ab::CSVStream(folder / "a.csv", {"total"}, {.prefix = ab::caller("counter")}));
    CHECK_THAT(error_of(ab::Ground()("dig", loop)), Contains("in its first row, 1total,id, got 2total,id"));
    CHECK(content(folder / "a.csv") == "1total,id\n2,0\n");
  }
}

TEST_CASE("a disk that is full takes no part of a row, and the error has the path") {
  const Folder folder;
  CHECK_THAT(
      error_of(rows(1, ab::CSVStream("/dev/full", {"counter"}))),
      Catch::StartsWith("IterationLooper/iteration_end[0]/CSVStream: the file /dev/full must be writable, "
                        "got \"No space left on device\""));
  const auto ground = rows(3, ab::CSVStream(folder / "a.csv", {"counter"}));
  const auto dig_with = [&](rlim_t bytes) {
    const tests::FullDisk full(bytes);
    return error_of(ground, {.keep = true});
  };
  SECTION("of the first one neither the header; it comes when there is room") {
    CHECK_THAT(dig_with(12), Contains("File too large"));
    CHECK(content(folder / "a.csv").empty());
    ground.dig({.keep = true});
    CHECK(content(folder / "a.csv") == "counter,id\n1,0\n2,1\n3,2\n");
  }
  SECTION("of a later one") {
    CHECK_THAT(dig_with(17), Contains("File too large"));
    CHECK(content(folder / "a.csv") == "counter,id\n1,0\n");
    ground.dig({.keep = true});
    CHECK(content(folder / "a.csv") == "counter,id\n1,0\n1,1\n2,2\n3,3\n");
  }
}

TEST_CASE("two writers on one file are a fault with the path, whatever their types") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  ab::Ground ground;
  const ab::CSVStream stream(folder / "a.csv", {"completed"});
  ground("dig", stream, stream);
  CHECK(ab::faults(ground).empty());
  ground("dig", ab::CSVStream(folder / "a.csv", {"completed"}),
         ab::Print(ab::TextFile(folder / "a.csv"), "x"), csv.open_line(), csv.commit_line(), csv.save());
  const auto faults = ab::faults(ground);
  REQUIRE(faults.size() == 3);
  CHECK(faults[0].path == "dig[2]/CSVStream");
  CHECK(faults[1].path == "Print");
  CHECK(faults[2].path == "CSVSave");
  for (const auto& fault : faults)
    CHECK(fault.message == "a file is written by one node, got \"" + (folder / "a.csv") +
                               "\", which dig[0]/CSVStream writes; give each its own");
}

TEST_CASE("fields that are not there and separators that can't be are faults") {
  const auto faults = ab::faults(rows(1, ab::CSVStream("a.csv", {"loss"}, {.separator = ""})));
  REQUIRE(faults.size() == 2);
  CHECK_THAT(faults[0].message, Contains("fields must be a field of IterationLooper, got \"loss\""));
  CHECK_THAT(faults[1].message, Contains("separator must be a text without quotes, got \"\""));
}

TEST_CASE("what a stream shows") {
  const ab::CSVStream stream("a.csv", {"counter", "total"}, {.separator = ";"});
  CHECK(stream.get("filename").as<std::string>() == "a.csv");
  CHECK(stream.get("separator").as<std::string>() == ";");
  CHECK(stream.get("rows").as<int>() == 0);
}

}  // namespace csv_stream_tests
