#include <abyme/write/history.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"
#include "support/history_text.hpp"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch.hpp>

#include <array>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

namespace ab = abyme;

namespace history_files_tests {

using tests::content;
using tests::error_of;
using tests::Folder;
using tests::lines_of;

namespace {

using Lines = std::vector<std::string>;
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

const std::array<double, 14> numbers{0.1,
                                     1e-300,
                                     1.0 / 3,
                                     -0.0,
                                     1.7976931348623157e308,
                                     2.2250738585072014e-308,
                                     5e-324,
                                     1e16 / 3,
                                     -123456789.123456789,
                                     1e23,
                                     2,
                                     inf,
                                     -inf,
                                     not_a_number};
const std::array<std::int64_t, 4> integers{std::numeric_limits<std::int64_t>::max(),
                                           std::numeric_limits<std::int64_t>::min(), 9007199254740993, 0};
const std::array<std::string, 14> texts{"plain", "say \"hi\"", "a,b;c\td", "two\nlines", "win\r\ndows",
                                        "\r",    "\"",         "",         " blanks ",   "größe 重み",
                                        "12",    "nan",        "true",     "[1,2]"};

ab::Date date(std::int64_t microseconds) { return ab::Date(std::chrono::microseconds(microseconds)); }

// Rows of all kinds of numbers and texts; what history_read_back.py expects.
ab::History all_kinds() {
  ab::History history;
  for (std::size_t row = 0; row < 28; ++row) {
    const auto i = static_cast<std::int64_t>(row);
    ab::Logs logs{
        {"metrics",
         {{"number", numbers[row % numbers.size()]}, {"integer", integers[row % integers.size()]}}}};
    if (row % 3 == 1)
      logs.add("own", "text, \"long\"", texts[row % texts.size()]).add("own", "flag", row % 2 == 0);
    if (row % 5 == 2) logs.add_loss("tensor", at::scalar_tensor(0.1 * double(row), at::kFloat));
    if (row % 7 == 3) logs.add_metric("number", 1);  // another kind in this row
    history.commit({i, 64 * i, ab::Duration(0.1 * double(row)), date(1'795'266'942'244'271 + 1'000'000 * i)},
                   logs);
  }
  return history;
}

}  // namespace

TEST_CASE("a history becomes a table, a column for each collection and name, and comes back") {
  const Folder folder;
  ab::History history;
  history.commit(
      {1, 64, ab::Duration(0.5), date(1'000'250'000)},
      {{"metrics", {{"loss", 0.5}, {"best", true}, {"none", ab::Value()}}}, {"own", {{"text", "a \"b\""}}}});
  history.commit(
      {2, 128, ab::Duration(1), date(1'001'000'000)},
      {{"losses", {{"loss", at::scalar_tensor(0.25, at::kFloat)}}}, {"metrics", {{"loss", not_a_number}}}});
  history.commit({3, 192, ab::Duration(1.25), date(2'000'000)},
                 {{"metrics", {{"loss", -inf}, {"one", at::full({1}, 7)}}}});
  history.to_csv(folder / "deep/a.csv");
  const std::string text = "elapsed.steps,elapsed.samples,elapsed.time,elapsed.date,metrics.loss,metrics."
                           "best,metrics.none,own.text,"
                           "losses.loss,metrics.one\n"
                           "1,64,0.5,1000.25,0.5,true,,\"a \"\"b\"\"\",,\n"
                           "2,128,1.0,1001.0,NaN,,,,0.25,\n"
                           "3,192,1.25,2.0,-Infinity,,,,,7\n";
  CHECK(content(folder / "deep/a.csv") == text);
  const ab::History back = ab::History::from_csv(folder / "deep/a.csv");
  CHECK(lines_of(back) ==
        Lines{"1 64 0.5 1000.25: metrics.loss=0.5 metrics.best=true own.text=\"a \\\"b\\\"\"",
              "2 128 1 1001: metrics.loss=NaN losses.loss=0.25",
              "3 192 1.25 2: metrics.loss=-Infinity metrics.one=7"});
  CHECK(back[0].elapsed == history[0].elapsed);
}

TEST_CASE("a history becomes JSON Lines, an object of collections a row, and comes back") {
  const Folder folder;
  ab::History history;
  history.commit(
      {1, 64, ab::Duration(0.5), date(1'000'250'000)},
      {{"metrics", {{"loss", 0.5}, {"best", true}, {"none", ab::Value()}}}, {"own", {{"text", "a \"b\""}}}});
  history.commit({}, {});
  history.commit({2, 128, ab::Duration(1), date(1'001'000'000)},
                 {{"metrics", {{"loss", inf}, {"scalar", at::scalar_tensor(7, at::kInt)}}},
                  {"outputs", {{"out", at::arange(4, at::kFloat).view({2, 2})}}}});
  history.to_jsonl(folder / "a.jsonl");
  const std::string text = content(folder / "a.jsonl");
  const std::string middle = text.substr(text.find('\n') + 1, text.rfind("\n{") - text.find('\n'));
  CHECK(middle.starts_with("{\"elapsed\":{\"steps\":0,\"samples\":0,\"time\":0.0,\"date\":"));
  CHECK(text ==
        "{\"elapsed\":{\"steps\":1,\"samples\":64,\"time\":0.5,\"date\":1000.25},\"metrics\":{\"loss\":0.5,"
        "\"best\":true,\"none\":null},\"own\":{\"text\":\"a \\\"b\\\"\"}}\n" +
            middle +
            "{\"elapsed\":{\"steps\":2,\"samples\":128,\"time\":1.0,\"date\":1001.0},\"metrics\":{\"loss\":"
            "Infinity,\"scalar\":7},\"outputs\":{\"out\":[[0.0,1.0],[2.0,3.0]]}}\n");
  const Lines back = lines_of(ab::History::from_jsonl(folder / "a.jsonl"));
  CHECK(back.size() == 3);
  CHECK(back[0] ==
        "1 64 0.5 1000.25: metrics.loss=0.5 metrics.best=true metrics.none=null own.text=\"a \\\"b\\\"\"");
  CHECK(back[2] ==
        "2 128 1 1001: metrics.loss=Infinity metrics.scalar=7 outputs.out=Double[2, 2][[0.0,1.0],[2.0,3.0]]");
}

TEST_CASE("all numbers and texts come back as they were, from both kinds of files") {
  const Folder folder;
  const ab::History history = all_kinds();
  history.to_csv(folder / "a.csv");
  history.to_jsonl(folder / "a.jsonl");
  const ab::History csv = ab::History::from_csv(folder / "a.csv"),
                    jsonl = ab::History::from_jsonl(folder / "a.jsonl");
  Lines expected = lines_of(history);  // tensors without dimensions become numbers
  for (std::string& line : expected) {
    const std::size_t at = line.find("Float[]");
    if (at != line.npos) line.erase(at, 7);
  }
  CHECK(lines_of(jsonl) == expected);
  jsonl.to_csv(folder / "b.csv");
  CHECK(content(folder / "b.csv") == content(folder / "a.csv"));
  for (std::size_t row = 0; row < history.size(); ++row) {  // columns have one order in all rows of a table
    INFO("row " << row);
    const ab::Logs read_logs = csv[row].logs;
    for (const auto& [collection, entries] : jsonl[row].logs) {
      REQUIRE(read_logs.collection(collection));
      for (const auto& [name, value] : entries) {
        const ab::Value* read = read_logs.collection(collection)->find(name);
        REQUIRE(read);
        CHECK(ab::kind(*read) == ab::kind(value));
        CHECK(ab::to_record(*read).json() == ab::to_record(value).json());
      }
    }
  }
  if (const char* wanted = std::getenv("ABYME_READ_BACK")) {  // by history_read_back.py
    history.to_csv(std::string(wanted) + "/history.csv");
    history.to_jsonl(std::string(wanted) + "/history.jsonl");
  }
}

TEST_CASE("larger tensors are JSON in a table, and tensors again from JSON Lines") {
  const Folder folder;
  ab::History history;
  history.commit({}, {{"outputs",
                       {{"bools", at::ones({2, 1}, at::kBool)},
                        {"wholes", at::arange(4, at::kShort).view({2, 2}).t()},
                        {"none", at::zeros({2, 0})},
                        {"cube", at::zeros({1, 1, 2})}}}});
  history.to_csv(folder / "a.csv");
  history.to_jsonl(folder / "a.jsonl");
  CHECK(tests::text_of(ab::History::from_csv(folder / "a.csv")[0].logs) ==
        "outputs.bools=\"[[true],[true]]\" outputs.wholes=\"[[0,2],[1,3]]\" outputs.none=\"[[],[]]\" "
        "outputs.cube=\"[[[0.0,0.0]]]\"");
  CHECK(tests::text_of(ab::History::from_jsonl(folder / "a.jsonl")[0].logs) ==
        "outputs.bools=Bool[2, 1][[true],[true]] outputs.wholes=Long[2, 2][[0,2],[1,3]] "
        "outputs.none=Double[2, 0][[],[]] outputs.cube=Double[1, 1, 2][[[0.0,0.0]]]");
}

TEST_CASE("tables of other programs are read where their columns have such names") {
  const Folder folder;
  tests::put(folder / "a.csv",
             "metrics.a,elapsed.steps,metrics.b,own.c\r\n1e-05,3,True,plain\r\n\r\n-inf,4.0,,+1\r\n");
  const ab::History history = ab::History::from_csv(folder / "a.csv");
  CHECK(lines_of(history) == Lines{"3 0 0 0: metrics.a=1e-05 metrics.b=true own.c=\"plain\"",
                                   "4 0 0 0: metrics.a=-Infinity own.c=\"+1\""});
}

TEST_CASE("an empty history makes empty files, which are read") {
  const Folder folder;
  ab::History().to_csv(folder / "a.csv");
  ab::History().to_jsonl(folder / "a.jsonl");
  CHECK(content(folder / "a.csv") + content(folder / "a.jsonl") == "");
  CHECK(ab::History::from_csv(folder / "a.csv").empty());
  CHECK(ab::History::from_jsonl(folder / "a.jsonl").empty());
}

TEST_CASE("files that hold no history are refused, with their place") {
  const Folder folder;
  const std::string path = folder / "a";
  const auto csv = [&](const std::string& text) {
    tests::put(path, text);
    return error_of([&] { ab::History::from_csv(path); });
  };
  const auto jsonl = [&](const std::string& text) {
    tests::put(path, text);
    return error_of([&] { ab::History::from_jsonl(path); });
  };
  CHECK(csv("a.b,loss\n1,2\n") ==
        path + ", the header: a column must be named collection.name, got \"loss\"; read a "
               "file that to_csv has written");
  CHECK(csv("a.b,c.d\n1,2\n1\n") ==
        path + ", row 2: a row must have a cell for each of the 2 columns, got 1; complete it");
  CHECK(csv("a.b.c\n1\n") ==
        path + ", row 1: Logs: a name has no dot, which stands between a collection and a name, "
               "got \"b.c\"; write an underscore");
  CHECK(csv("elapsed.steps\nx\n") ==
        path + ", row 1: elapsed.steps must be a number, got a text; read a file that a history has written");
  const std::string damaged = ", line 2: JSON must be well formed, got no ";
  CHECK(jsonl("{}\n{\"a\":{\"b\":1}\n") == path + damaged + "'}' at byte 12; the text is damaged");
  CHECK(jsonl("{}\n{\"a\":{\"b\":[1,[2]]}}\n") ==
        path + damaged + "list before this whose items have one shape at byte 14; the text is damaged");
  for (const char* list : {"[[1],2]", "[[],1]", "[[],[1]]", "[[1,2],[3]]", "[[[1]],[2]]", "[[1],[[2]]]",
                           "[[],[[]]]", "[\"a\"]", "[null]", "[1,{}]", "[1", "[1,]"})
    CHECK_THAT(jsonl(fmt::format("{{}}\n{{\"a\":{{\"b\":{}}}}}", list)), Catch::StartsWith(path + damaged));
  CHECK_THAT(jsonl("{\"a\":{\"b\":" + std::string(100'000, '[')), Catch::Contains("too deep for a tensor"));
  CHECK(jsonl("{\"steps\":1}") ==
        path + ", line 1: a row must hold collections of values, got a value as \"steps\"; "
               "read a file that to_jsonl has written");
  CHECK_THAT(error_of([&] { ab::History::from_csv(folder / "none"); }),
             Catch::Contains("none must be readable"));
  ab::History complex;
  complex.commit({}, {{"a", {{"b", at::ones({2}, at::kComplexFloat)}}}});
  CHECK(error_of([&] { complex.to_jsonl(path); }) ==
        "a tensor that is written as JSON must be real, got a complex one; log torch::view_as_real of it");
}

}  // namespace history_files_tests
