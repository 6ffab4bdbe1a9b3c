#include <abyme/write/text_file.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/write/pretty_print_store.hpp>
#include <abyme/write/print.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"
#include "support/full_disk.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

namespace ab = abyme;

namespace text_file_tests {

using tests::content;
using tests::Folder;

namespace {

using Files = std::vector<std::string>;

ab::Ground loop(int iterations, const ab::Print& print) {
  ab::IterationLooper looper(iterations);
  return ab::Ground()("dig", looper("iteration_end", print));
}

std::string error_of(const ab::Ground& ground) {
  return tests::error_of([&] { ground.dig(); });
}

}  // namespace

TEST_CASE("lines go to a file, whose folder is made, in the order of the tree") {
  const Folder folder;
  const ab::TextFile log(folder / "logs/today/run.log");
  ab::IterationLooper looper(2);
  looper("start", ab::Print(log, "start"))("iteration_end", ab::Print(log, "{}", ab::caller("counter")),
                                           ab::PrettyPrintStore(log, {"total"}));
  ab::Ground ground;
  ground("dig", looper)("final", ab::Print(log, "{}", ab::caller("reason")));
  CHECK(ab::faults(ground).empty());
  CHECK(folder.files().empty());
  ground.dig();
  CHECK(content(folder / "logs/today/run.log") ==
        "start\n1\n{\n  total: 2\n}\n2\n{\n  total: 2\n}\ncompleted\n");
}

TEST_CASE("each line is in the file when the next child runs, also where an exception ends the run") {
  const Folder folder;
  const ab::TextFile log(folder / "run.log");
  ab::IterationLooper looper(2);
  std::vector<std::string> seen;
  looper("iteration_end", ab::Print(log, "{}", ab::caller("counter")), [&] {
    seen.push_back(content(folder / "run.log"));
    if (seen.size() == 2) throw std::runtime_error("stop here");
  });
  CHECK(error_of(ab::Ground()("dig", looper)) == "IterationLooper/iteration_end[1]/Call: stop here");
  CHECK(seen == Files{"1\n", "1\n2\n"});
  CHECK(content(folder / "run.log") == "1\n2\n");
}

TEST_CASE("the file of an earlier run is kept as .bck, unless the run keeps on") {
  const Folder folder;
  tests::put(folder / "run.log", "earlier\n");
  const ab::TextFile log(folder / "run.log");
  const auto ground = loop(1, ab::Print(log, "a line"));
  ground.dig();
  CHECK(content(folder / "run.log") == "a line\n");
  CHECK(content(folder / "run.log.bck") == "earlier\n");
  ground.dig({.keep = true});
  CHECK(content(folder / "run.log") == "a line\na line\n");
  ground.dig();
  CHECK(content(folder / "run.log") == "a line\n");
  CHECK(content(folder / "run.log.bck") == "a line\na line\n");
}

TEST_CASE("a run that prints nothing leaves the file of an earlier one alone") {
  const Folder folder;
  tests::put(folder / "run.log", "earlier\n");
  loop(0, ab::Print(ab::TextFile(folder / "run.log"), "never")).dig();
  CHECK(content(folder / "run.log") == "earlier\n");
  CHECK(folder.files() == Files{"run.log"});
}

TEST_CASE("a late-bound path is read at the first line of a run; a run that keeps on elsewhere keeps what is "
          "there") {
  const Folder folder;
  int reads = 0;
  const ab::TextFile log([&] { return folder / fmt::format("{}.log", ++reads); });
  const auto ground = loop(2, ab::Print(log, "{}", ab::caller("counter")));
  ground.dig();
  ground.dig();
  CHECK(folder.files() == Files{"1.log", "2.log"});
  tests::put(folder / "3.log", "somebody else's");
  ground.dig({.keep = true});
  CHECK(content(folder / "3.log") == "1\n2\n");
  CHECK(content(folder / "3.log.bck") == "somebody else's");
}

TEST_CASE("copies are the same file; another one of that path is a fault, an empty path too") {
  const Folder folder;
  const ab::TextFile log(folder / "run.log");
  const ab::TextFile copy = log;
  ab::Ground ground;
  ground("dig", ab::Print(log, "a"), ab::Print(copy, "b"));
  CHECK(ab::faults(ground).empty());
  ground.dig();
  CHECK(content(folder / "run.log") == "a\nb\n");
  ground("dig", ab::Print(ab::TextFile(folder / "run.log"), "c"), ab::Print(ab::TextFile(""), "d"));
  const auto faults = ab::faults(ground);
  REQUIRE(faults.size() == 2);
  CHECK(faults[0].path == "dig[2]/Print");
  CHECK(faults[0].message == "a file is written by one node, got \"" + (folder / "run.log") +
                                 "\", which dig[0]/Print writes; give each its own");
  CHECK(faults[1].message == "a file needs a name, got \"\"; pass one");
}

TEST_CASE("a disk that is full is told with the path of the node; no line is cut") {
  const Folder folder;
  CHECK_THAT(
      error_of(loop(1, ab::Print(ab::TextFile("/dev/full"), "a line"))),
      Catch::StartsWith("IterationLooper/iteration_end[0]/Print: the file /dev/full must be writable, got "
                        "\"No space left on device\"; make room or name another file"));
  std::string error;
  {
    const tests::FullDisk full(10);
    error = error_of(loop(9, ab::Print(ab::TextFile(folder / "run.log"), "line {}", ab::caller("counter"))));
  }
  CHECK_THAT(error, Catch::StartsWith("IterationLooper/iteration_end[0]/Print: the file " +
                                      (folder / "run.log") + " must be writable, got \"File too large\""));
  CHECK(content(folder / "run.log") == "line 1\n");
}

TEST_CASE("a folder that can't be made is told") {
  const Folder folder;
  tests::put(folder / "file", "");
  CHECK_THAT(error_of(loop(1, ab::Print(ab::TextFile(folder / "file/run.log"), "a line"))),
             Catch::Contains("Print: the folder " + (folder / "file") + " must be there or made, got "));
}

TEST_CASE("a device takes lines and is nobody's earlier run") {
  ab::Ground ground = loop(2, ab::Print(ab::TextFile("/dev/null"), "a line"));
  ground.dig();
  ground.dig();
  CHECK_FALSE(std::filesystem::exists("/dev/null.bck"));
}

TEST_CASE("a printer shows its file where it has one") {
  CHECK(ab::Print(ab::TextFile("run.log"), "x")->find_field("file") != nullptr);
  CHECK(ab::Print("x")->find_field("file") == nullptr);
  CHECK(ab::Print(ab::TextFile("run.log"), "x").get("file").as<std::string>() == "run.log");
}

}  // namespace text_file_tests
