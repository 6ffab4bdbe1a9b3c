#include <abyme/write/csv_writer.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/trigger/if.hpp>
#include <abyme/trigger/range_trigger.hpp>
#include <abyme/write/store_aggregator.hpp>
#include <abyme/write/text_file.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"
#include "support/full_disk.hpp"
#include "support/trace.hpp"

#include <stdexcept>

namespace ab = abyme;

namespace csv_writer_tests {

using Catch::Contains;
using tests::content;
using tests::Folder;

namespace {

using Files = std::vector<std::string>;

// A loop with a line an iteration. `fill` hangs in each, between its opening and its end.
template <class... Fill>
ab::Ground table(const ab::CSVWriter& csv, int lines, const Fill&... fill) {
  ab::IterationLooper loop(lines);
  loop("iteration_start", csv.open_line(), fill...)("iteration_end", csv.commit_line(), csv.save());
  return ab::Ground()("dig", loop);
}

// A dictionary whose one value follows the loop.
ab::Call set(ab::Dict& dict, std::string name) {
  return ab::Call([&dict, name](ab::IterationLooper::Node& loop) { dict.set(name, 10 * loop.counter); });
}

std::string error_of(const ab::Ground& ground, ab::DigOptions options = {}) {
  return tests::error_of([&] { ground.dig(options); });
}

}  // namespace

// ---- lines and columns ----

TEST_CASE("a table has a header, then a line for each that was committed, and an id in front") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  table(csv, 3, csv.add_caller_to_line({"counter", "fraction", "total"})).dig();
  CHECK(content(folder / "a.csv") == R"(id,counter,fraction,total
0,0,0,3
1,1,0.3333333333333333,3
2,2,0.6666666666666666,3
)");
  CHECK(folder.files() == Files{"a.csv"});
}

TEST_CASE("without names the table takes all fields of the caller but objects") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  ab::Stats stats([] { return 2; });
  ab::IterationLooper loop(1);
  loop("iteration_start", csv.open_line(), stats("dig", csv.add_caller_to_line()))("end", csv.commit_line(),
                                                                                   csv.save());
  ab::Ground()("dig", loop).dig();
  CHECK(content(folder / "a.csv") == "id,average,std,min,max,last,count,value\n0,2,0,2,2,2,1,2\n");
}

TEST_CASE("a focus tells whose fields go into the line, prefixes tell them apart") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  ab::IterationLooper other(7);
  other("end", [] {});
  table(csv, 2, csv.add_caller_to_line({"counter"}, {.prefix = "epoch."}),
        csv.add_caller_to_line({"count"}, {.prefix = ab::caller("count")}).focus(other),
        csv.add_caller_to_line({"total"}, {.prefix = other.get("count")}))
      .dig();
  CHECK(content(folder / "a.csv") == "id,epoch.counter,7count,7total\n0,0,7,2\n1,1,7,2\n");
}

TEST_CASE("a late prefix is read at each dig") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv", {.unfilled = ab::Unfilled::na});
  table(csv, 2, csv.add_caller_to_line({"total"}, {.prefix = ab::caller("counter")})).dig();
  CHECK(content(folder / "a.csv") == "id,0total,1total\n0,2,na\n1,na,2\n");
}

TEST_CASE("a column that comes late stands behind the others; no line is lost, none repeats") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv", {.unfilled = ab::Unfilled::na});
  std::vector<std::string> seen;
  ab::RangeTrigger late("counter", 2, 3), later("counter", 4, 5);
  late("dig", csv.add_caller_to_line({"total"}));
  later("dig", csv.add_caller_to_line({"fraction"}));
  ab::IterationLooper loop(6);
  loop("iteration_start", csv.open_line(), late, csv.add_caller_to_line({"counter"}), later)(
      "iteration_end", csv.commit_line(), csv.save(), [&] { seen.push_back(content(folder / "a.csv")); });
  ab::Ground()("dig", loop).dig();
  CHECK(seen == Files{
                    "id,counter\n0,0\n",
                    "id,counter\n0,0\n1,1\n",
                    "id,counter,total\n0,0,na\n1,1,na\n2,2,6\n",
                    "id,counter,total\n0,0,na\n1,1,na\n2,2,6\n3,3,na\n",
                    "id,counter,total,fraction\n0,0,na,na\n1,1,na,na\n2,2,6,na\n3,3,na,na\n"
                    "4,4,na,0.6666666666666666\n",
                    "id,counter,total,fraction\n0,0,na,na\n1,1,na,na\n2,2,6,na\n3,3,na,na\n"
                    "4,4,na,0.6666666666666666\n5,5,na,na\n",
                });
  CHECK(folder.files() == Files{"a.csv"});
}

TEST_CASE("lines are the same however often they are saved, several times a line or once at the end") {
  const Folder folder;
  const auto write = [&](const std::string& name, int saves_a_line) {
    const ab::CSVWriter csv(folder / name);
    ab::If odd([](ab::IterationLooper::Node& loop) { return loop.counter % 2 == 1; });
    ab::IterationLooper loop(5);
    loop("iteration_start", csv.open_line(), odd("dig", csv.add_caller_to_line({"total"})),
         csv.add_caller_to_line({"counter"}))("iteration_end", csv.commit_line());
    for (int i = 0; i < saves_a_line; ++i) loop("iteration_start", csv.save())("iteration_end", csv.save());
    ab::Ground()("dig", loop("end", csv.save())).dig();
    return content(folder / name);
  };
  const std::string once = write("once.csv", 0);
  CHECK(once == "id,counter,total\n0,0,na\n1,1,5\n2,2,5\n3,3,5\n4,4,5\n");
  CHECK(write("twice.csv", 1) == once);
  CHECK(write("often.csv", 3) == once);
}

TEST_CASE("what is saved without any line is the header; without any column there is no file") {
  const Folder folder;
  SECTION("with an id") {
    const ab::CSVWriter csv(folder / "a.csv");
    table(csv, 0).dig();
    CHECK(folder.files().empty());  // nothing was saved
    ab::IterationLooper loop(1);
    loop("start", csv.save(), csv.open_line(), csv.save(), csv.commit_line());
    ab::Ground()("dig", loop).dig();
    CHECK(content(folder / "a.csv") == "id\n0\n");
  }
  SECTION("with a legend") {
    const ab::CSVWriter csv(folder / "a.csv", {.add_id = false, .legend = {"a", "b"}});
    ab::Ground ground;
    ground("dig", csv.save(), csv.save(), ab::If(false)("dig", csv.open_line(), csv.commit_line()));
    ground.dig();
    CHECK(content(folder / "a.csv") == "a,b\n");
  }
  SECTION("without columns; lines wait for the first one") {
    const ab::CSVWriter csv(folder / "a.csv", {.add_id = false});
    ab::RangeTrigger late("counter", 2, 9);
    late("dig", csv.add_caller_to_line({"counter"}));
    std::vector<Files> seen;
    ab::Ground ground = table(csv, 3, late);
    ground("final", [&] { seen.push_back(folder.files()); });
    late("dig", [&] { seen.push_back(folder.files()); });
    ground.dig();
    CHECK(seen == std::vector<Files>{{}, {"a.csv"}});
    CHECK(content(folder / "a.csv") == "counter\nna\nna\n2\n");
  }
}

TEST_CASE("a cell that nobody fills holds what it held in the line before, or na") {
  const Folder folder;
  ab::RangeTrigger second("counter", 1, 2);
  SECTION("by default what it held before") {
    const ab::CSVWriter csv(folder / "a.csv", {.legend = {"never"}});
    second("dig", csv.add_caller_to_line({"counter"}));
    table(csv, 4, second).dig();
    CHECK(content(folder / "a.csv") == "id,never,counter\n0,na,na\n1,na,1\n2,na,1\n3,na,1\n");
  }
  SECTION("na, in words of one's own") {
    const ab::CSVWriter csv(folder / "a.csv",
                            {.unfilled = ab::Unfilled::na, .na = "not, there", .legend = {"never"}});
    second("dig", csv.add_caller_to_line({"counter"}));
    table(csv, 3, second).dig();
    CHECK(content(folder / "a.csv") ==
          "id,never,counter\n0,\"not, there\",\"not, there\"\n1,\"not, there\",1\n2,\"not, there\",\"not, "
          "there\"\n");
  }
  SECTION("what was not committed is no line before") {
    const ab::CSVWriter csv(folder / "a.csv");
    table(csv, 2, csv.add_caller_to_line({"counter"}), csv.open_line()).dig();
    CHECK(content(folder / "a.csv") == "id,counter\n0,na\n1,na\n");
  }
}

TEST_CASE("the same column filled again in one line takes the later value") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  table(csv, 1, csv.add_dict_to_line({{"x", 1}, {"y", 2}}), csv.add_dict_to_line({{"y", 3}, {"z", 4}})).dig();
  CHECK(content(folder / "a.csv") == "id,x,y,z\n0,1,3,4\n");
}

TEST_CASE("a legend sets the order of columns before anything is filled") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv", {.legend = {"z", "counter", "z", "id"}});
  table(csv, 1, csv.add_caller_to_line({"total", "counter"})).dig();
  CHECK(content(folder / "a.csv") == "id,z,counter,total\n0,na,0,1\n");
}

TEST_CASE("dictionaries: written where the tree is, of an aggregator, or returned by a callable") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv", {.add_id = false});
  ab::Dict live;
  ab::StoreAggregator all;
  table(csv, 2, set(live, "counter"), ab::Aggregate(all, {"total"}), all,
        csv.add_dict_to_line({{"text", "some"}, {"none", std::monostate()}, {"real", 0.25}, {"flag", true}}),
        csv.add_dict_to_line([&]() -> const ab::Dict& { return live; }, {.prefix = "live."}),
        csv.add_dict_to_line(all.get("aggregate"), {.prefix = "all."}))
      .dig();
  CHECK(content(folder / "a.csv") ==
        "text,none,real,flag,live.counter,all.total\nsome,na,0.25,true,0,2\nsome,na,0.25,true,10,2\n");
}

TEST_CASE("a dictionary among the chosen fields gives a column for each entry") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv", {.add_id = false});
  ab::StoreAggregator all;
  table(csv, 1, ab::Aggregate(all, {"total", "counter"}),
        all("dig", csv.add_caller_to_line({"aggregate"}, {.prefix = "p."})))
      .dig();
  CHECK(content(folder / "a.csv") == "p.aggregate.total,p.aggregate.counter\n1,0\n");
}

// ---- cells ----

TEST_CASE("cells with separators, quotes or line breaks are quoted, in the header too") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv", {.add_id = false});
  table(csv, 1, csv.add_dict_to_line({{"a,b", "x,y"}, {"q\"", "say \"hi\""}, {"n", "two\nlines"}})).dig();
  CHECK(content(folder / "a.csv") == "\"a,b\",\"q\"\"\",n\n\"x,y\",\"say \"\"hi\"\"\",\"two\nlines\"\n");
}

TEST_CASE("other separators; what they make ambiguous is quoted") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv", {.separator = ";", .line_separator = "\r\n"});
  table(csv, 2, csv.add_dict_to_line({{"a", "x,y"}, {"b", "x;y"}, {"c", "x\ry"}})).dig();
  CHECK(content(folder / "a.csv") == "id;a;b;c\r\n0;x,y;\"x;y\";\"x\ry\"\r\n1;x,y;\"x;y\";\"x\ry\"\r\n");
}

TEST_CASE("when a late column rewrites the file, quoted cells stay whole") {
  const Folder folder;
  const std::string line_separator = GENERATE("\n", "\r\n");
  const ab::CSVWriter csv(folder / "a.csv", {.unfilled = ab::Unfilled::na, .line_separator = line_separator});
  ab::RangeTrigger first("counter", 0, 1), late("counter", 1, 2);
  first("dig", csv.add_dict_to_line({{"two\nlines", "a\nb \"c\"\nd"}, {"x", "\"\n\""}, {"y", "\r\n"}}));
  late("dig", csv.add_caller_to_line({"counter"}));
  table(csv, 2, first, late).dig();
  const std::string& end = line_separator;
  CHECK(content(folder / "a.csv") == "id,\"two\nlines\",x,y,counter" + end +
                                         "0,\"a\nb \"\"c\"\"\nd\",\"\"\"\n\"\"\",\"\r\n\",na" + end +
                                         "1,na,na,na,1" + end);
}

// ---- the file ----

TEST_CASE("the file is touched first by the first save of a run") {
  const Folder folder;
  tests::put(folder / "a.csv", "earlier");
  const ab::CSVWriter csv(folder / "a.csv");
  const auto ground = table(csv, 1);
  ground("final", [] {});
  CHECK(ab::faults(ground).empty());
  CHECK(folder.files() == Files{"a.csv"});
  CHECK(content(folder / "a.csv") == "earlier");
  ground.dig();
  CHECK(content(folder / "a.csv") == "id\n0\n");
}

TEST_CASE("an earlier run's file is kept as .bck, in place of one before it") {
  const Folder folder;
  tests::put(folder / "a.csv", "earlier");
  tests::put(folder / "a.csv.bck", "before that");
  const ab::CSVWriter csv(folder / "a.csv");
  const auto ground = table(csv, 1, csv.add_caller_to_line({"counter"}));
  ground.dig();
  CHECK(content(folder / "a.csv.bck") == "earlier");
  CHECK(content(folder / "a.csv") == "id,counter\n0,0\n");
  tests::put(folder / "a.csv", "changed");
  ground.dig();
  CHECK(content(folder / "a.csv.bck") == "changed");
  CHECK(content(folder / "a.csv") == "id,counter\n0,0\n");
  CHECK(folder.files() == Files{"a.csv", "a.csv.bck"});
}

TEST_CASE("a second run starts the table anew, one that keeps writes on") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv", {.unfilled = ab::Unfilled::na});
  bool with_total = false;
  ab::If total([&] { return with_total; });
  total("dig", csv.add_caller_to_line({"total"}));
  const auto ground = table(csv, 2, csv.add_caller_to_line({"counter"}), total);
  ground.dig();
  ground.dig({.keep = true});
  CHECK(content(folder / "a.csv") == "id,counter\n0,0\n1,1\n2,0\n3,1\n");
  with_total = true;
  ground.dig({.keep = true});
  CHECK(content(folder / "a.csv") == "id,counter,total\n0,0,na\n1,1,na\n2,0,na\n3,1,na\n4,0,2\n5,1,2\n");
  CHECK(folder.files() == Files{"a.csv"});
  ground.dig();
  CHECK(content(folder / "a.csv") == "id,counter,total\n0,0,2\n1,1,2\n");
  CHECK(folder.files() == Files{"a.csv", "a.csv.bck"});
}

TEST_CASE("a first run that keeps nothing of its own keeps the file that is there") {
  const Folder folder;
  tests::put(folder / "a.csv", "earlier");
  const ab::CSVWriter csv(folder / "a.csv");
  table(csv, 1).dig({.keep = true});
  CHECK(content(folder / "a.csv.bck") == "earlier");
  CHECK(content(folder / "a.csv") == "id\n0\n");
}

TEST_CASE("a late-bound file name is read at the first save of a run, once for all its nodes") {
  const Folder folder;
  int reads = 0;
  const ab::CSVWriter csv([&] { return folder / fmt::format("deep/er/{}.csv", ++reads); });
  const auto ground = table(csv, 2, csv.save(), csv.add_caller_to_line({"counter"}), csv.save());
  CHECK(reads == 0);
  ground.dig();
  CHECK(reads == 1);
  CHECK(folder.files() == Files{"deep/er/1.csv"});
  ground.dig();
  CHECK(folder.files() == Files{"deep/er/1.csv", "deep/er/2.csv"});
  CHECK(content(folder / "deep/er/1.csv") == content(folder / "deep/er/2.csv"));
}

TEST_CASE("committed lines are written at the end of the run, however it ended") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  ab::IterationLooper loop(10);
  ab::Ground ground;
  ground("dig", loop("iteration_start", csv.open_line(), csv.add_caller_to_line({"counter"}))(
                    "iteration_end", csv.commit_line())("end", csv.save()));
  SECTION("by an exception") {
    loop("iteration_end", [](ab::IterationLooper::Node& node) {
      if (node.counter == 3) throw std::runtime_error("stop here");
    });
    CHECK(error_of(ground) == "IterationLooper/iteration_end[1]/Call: stop here");
  }
  SECTION("by a break") {
    loop("iteration_end", ab::If([](ab::IterationLooper::Node& node) { return node.counter == 3; })(
                              "dig", ab::Break({.reason = "enough"})));
    CHECK(ground.dig().reason == "enough");
  }
  CHECK(content(folder / "a.csv") == "id,counter\n0,0\n1,1\n2,2\n");
}

TEST_CASE("a run that ends before anything was committed or saved leaves no file") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  const auto ground =
      table(csv, 2, csv.add_caller_to_line({"counter"}), [] { throw std::runtime_error("x"); });
  CHECK_THAT(error_of(ground), Contains("x"));
  CHECK(folder.files().empty());
}

TEST_CASE("a file name that is not there when a broken run ends is told, and asks no callable too much") {
  const Folder folder;
  std::string name;
  const auto commit_and_throw = [&](const ab::CSVWriter& csv) {
    ab::IterationLooper loop(1);
    loop("start", csv.open_line(), csv.commit_line(), [] { throw std::runtime_error("first"); })("end",
                                                                                                 csv.save());
    return error_of(ab::Ground()("dig", loop));
  };
  CHECK(
      commit_and_throw(ab::CSVWriter(
          [](ab::IterationLooper::Node& loop) { return fmt::format("{}.csv", loop.counter); })) ==
      "IterationLooper/start[2]/Call: first\n  then, while the run ended: CSVSave: committed lines must have "
      "a file when the run ends, got none from callable; hang csv.save() where it is reached before");
  CHECK_THAT(commit_and_throw(ab::CSVWriter(ab::caller("counter"))),
             Contains("got none from caller.counter"));
  CHECK(commit_and_throw(ab::CSVWriter([&] { return folder / "a.csv"; })) ==
        "IterationLooper/start[2]/Call: first");
  CHECK(content(folder / "a.csv") == "id\n0\n");
}

TEST_CASE("a disk that is full takes nothing of a line and nothing away, and the error has the path") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv", {.unfilled = ab::Unfilled::na});
  std::string wide(100, 'x');
  bool late = false;
  const auto ground = table(csv, 2, csv.add_dict_to_line({{"wide", wide}}),
                            ab::If([&] { return late; })("dig", csv.add_dict_to_line({{"late", wide}})));
  ground.dig();
  const std::string before = content(folder / "a.csv");
  REQUIRE(before.size() == 8 + 2 * 103);
  SECTION("when lines are appended") {
    std::string error;
    {
      const tests::FullDisk full(before.size() + 50);
      error = error_of(ground, {.keep = true});
    }
    CHECK_THAT(error,
               Catch::StartsWith("IterationLooper/iteration_end[1]/CSVSave: the file " + (folder / "a.csv") +
                                 " must be writable, got \"File too large\"; make room"));
    CHECK(content(folder / "a.csv") == before);
  }
  SECTION("when the file is rewritten") {
    late = true;
    std::string error;
    {
      const tests::FullDisk full(before.size() + 50);
      error = error_of(ground, {.keep = true});
    }
    CHECK_THAT(error, Catch::StartsWith("IterationLooper/iteration_end[1]/CSVSave: the file "));
    CHECK_THAT(error, Contains("File too large"));
    CHECK(content(folder / "a.csv") == before);
  }
  CHECK(folder.files() == Files{"a.csv"});
  // With room again the line that waited is written too, once.
  late = false;
  ground.dig({.keep = true});
  const std::string after = content(folder / "a.csv");
  for (const char* line : {"\n0,", "\n1,", "\n2,", "\n3,", "\n4,"}) {
    CHECK_THAT(after, Contains(line));
    CHECK(after.find(line) == after.rfind(line));
  }
  CHECK_THAT(after, !Contains("\n5,"));
}

TEST_CASE("a file that was taken away while the run writes it is told") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  const bool late_column = GENERATE(false, true);
  ab::If late([&](ab::IterationLooper::Node& loop) { return late_column && loop.counter == 1; });
  const auto ground = table(csv, 2, late("dig", csv.add_caller_to_line({"counter"})), [&] {
    if (std::filesystem::exists(folder / "a.csv"))
      std::filesystem::rename(folder / "a.csv", folder / "b.csv");
  });
  CHECK_THAT(error_of(ground), Contains("CSVSave: the file " + (folder / "a.csv") +
                                        " must stay where it is while the run writes it, but it is gone"));
  CHECK(folder.files() == Files{"b.csv"});
}

TEST_CASE("a folder or a device is no place for a table") {
  const Folder folder;
  std::filesystem::create_directory(folder / "a.csv");
  const ab::CSVWriter csv(folder / "a.csv"), full("/dev/full");
  CHECK_THAT(error_of(table(csv, 1)),
             Contains("what is replaced must be a plain file, got " + (folder / "a.csv")));
  CHECK_THAT(error_of(table(full, 1)), Contains("what is replaced must be a plain file, got /dev/full"));
  CHECK_FALSE(std::filesystem::is_regular_file("/dev/full"));
}

// ---- mistakes ----

TEST_CASE("filling and committing without an open line are errors with the path") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  ab::IterationLooper loop(1);
  loop("iteration_start", csv.commit_line(), csv.save(), csv.open_line());
  CHECK(
      error_of(ab::Ground()("dig", loop)) ==
      "IterationLooper/iteration_start[0]/CSVCommitLine: a line must be open when it is committed, got none; "
      "hang csv.open_line() before");
  ab::IterationLooper other(1);
  other("start", csv.add_caller_to_line({"counter"}))("end", csv.open_line(), csv.commit_line(), csv.save());
  CHECK(error_of(ab::Ground()("dig", other)) ==
        "IterationLooper/start[0]/CSVAddCaller: a line must be open when it is filled, got none; hang "
        "csv.open_line() before");
  ab::IterationLooper twice(1);
  twice("start", csv.open_line(), csv.commit_line(), csv.commit_line(), csv.save());
  CHECK_THAT(error_of(ab::Ground()("dig", twice)), Contains("start[2]/CSVCommitLine: a line must be open"));
}

TEST_CASE("a table of which a part hangs nowhere is a fault, told once") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  ab::Ground ground;
  ground("dig", csv.add_dict_to_line({{"x", 1}}), csv.commit_line(), csv.commit_line());
  const auto faults = ab::faults(ground);
  REQUIRE(faults.size() == 2);
  CHECK(faults[0].path == "CSVAddDict");
  CHECK(faults[0].message == "a table needs open_line, commit_line and save in the tree, got no open_line; "
                             "hang csv.open_line() where "
                             "it belongs");
  CHECK_THAT(faults[1].message, Contains("got no save; hang csv.save()"));
  ground("dig", csv.open_line())("final", csv.save());
  CHECK(ab::faults(ground).empty());
}

TEST_CASE("two tables, or a table and a printer, on one file are a fault") {
  const Folder folder;
  const ab::CSVWriter first(folder / "a.csv"), second(folder / "./x/../a.csv");
  ab::Ground ground = table(first, 1);
  ground("dig", second.open_line(), second.commit_line(), second.save().named("again"));
  const auto faults = ab::faults(ground);
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].path == "again");
  CHECK_THAT(faults[0].message,
             Catch::StartsWith("a file is written by one node, got \"" + (folder / "./x/../a.csv") +
                               "\", which IterationLooper/iteration_end[1]/CSVSave writes"));
}

TEST_CASE("one table saved in two places is none") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  const auto ground = table(csv, 1, csv.save());
  CHECK(ab::faults(ground("final", csv.save())).empty());
}

TEST_CASE("separators, names and fields that can't be are faults") {
  const auto fault = [](const ab::CSVWriter& csv, std::vector<std::string> names = {}) {
    const auto faults = ab::faults(table(csv, 1, csv.add_caller_to_line(names)));
    return faults.size() == 1 ? faults[0].message : fmt::format("{} faults", faults.size());
  };
  CHECK(fault(ab::CSVWriter("a.csv", {.separator = ""})) ==
        "separator must be a text without quotes, got \"\"; pass \",\" and \"\\n\" for a common table");
  CHECK_THAT(fault(ab::CSVWriter("a.csv", {.line_separator = "\""})),
             Contains("line_separator must be a text without quotes, got \"\\\"\""));
  CHECK_THAT(fault(ab::CSVWriter("a.csv", {.separator = "\n"})),
             Contains("neither separator nor line_separator"));
  CHECK_THAT(fault(ab::CSVWriter("a.csv", {.separator = "\n", .line_separator = "\r\n"})),
             Contains("may hold the other"));
  CHECK(fault(ab::CSVWriter("a.csv"), {"loss"}) == "fields must be a field of IterationLooper, got \"loss\"; "
                                                   "it shows count, counter, total, fraction, steps");
  CHECK(fault(ab::CSVWriter("")) == "a file needs a name, got \"\"; pass one");
}

TEST_CASE("a dictionary that is none is a fault") {
  const ab::CSVWriter csv("a.csv");
  ab::Ground ground = table(csv, 1, csv.add_dict_to_line(ab::caller("counter")));
  const auto faults = ab::faults(ground);
  REQUIRE(faults.size() == 1);
  CHECK(faults[0].message ==
        "dictionary must be an object, got IterationLooper.counter, which holds an integer");
}

TEST_CASE("what the nodes of a table show") {
  const Folder folder;
  const ab::CSVWriter csv(folder / "a.csv");
  const auto open = csv.open_line();
  const auto save = csv.save();
  ab::IterationLooper loop(2);
  loop("iteration_start", open)("iteration_end", csv.commit_line())("end", [&] {
    CHECK(open.get("committed").as<int>() == 2);
    CHECK(save.get("written").as<int>() == 0);
  });
  ab::Ground()("dig", loop, save).dig();
  CHECK(save.get("written").as<int>() == 2);
  CHECK(save.get("filename").as<std::string>() == folder / "a.csv");
}

}  // namespace csv_writer_tests
