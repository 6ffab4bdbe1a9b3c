#include <abyme/save/make_folder.hpp>

#include <abyme/loop/iteration_looper.hpp>
#include <abyme/save/new_path.hpp>
#include <abyme/write/csv_stream.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"

#include <catch2/catch.hpp>

#include <ctime>

namespace ab = abyme;

namespace make_folder_tests {

using Catch::Contains;
using tests::Folder;

namespace {

std::string error_of(const ab::MakeFolder& make) {
  return tests::error_of([&] { ab::Ground()("dig", make).dig(); });
}

}  // namespace

TEST_CASE("a new folder is made at each dig, with a number where the name is taken", "[save]") {
  const Folder folder;
  const ab::MakeFolder make(folder / "runs/lr0.1");
  ab::IterationLooper loop(3);
  std::vector<std::string> made;
  loop("iteration_end", make, [&] { made.push_back(make.get("path").as<std::string>()); });
  ab::Ground()("dig", loop).dig();
  CHECK(made ==
        std::vector<std::string>{folder / "runs/lr0.1", folder / "runs/lr0.1-2", folder / "runs/lr0.1-3"});
  for (const std::string& path : made) CHECK(std::filesystem::is_directory(path));
}

TEST_CASE("its path is nothing before it is dug, and again when a new run starts", "[save]") {
  const Folder folder;
  const ab::MakeFolder make(folder / "a");
  CHECK(ab::kind(make.get("path")()) == ab::Kind::nothing);
  ab::Ground ground;
  ground(
      "dig", [&] { CHECK(ab::kind(make.get("path")()) == ab::Kind::nothing); }, make);
  ground.dig();
  CHECK(make.get("path").as<std::string>() == folder / "a");
  CHECK(make.get("name").as<std::string>() == folder / "a");
  ground.dig();
  CHECK(make.get("path").as<std::string>() == folder / "a-2");
}

TEST_CASE("others write into it by a late-bound path", "[save]") {
  const Folder folder;
  const ab::MakeFolder make(folder / "a");
  ab::Ground ground;
  ground("dig", make, ab::CSVStream([&] { return *make->path + "/b.csv"; }, {"completed"}));
  ground.dig();
  ground.dig();
  CHECK(folder.files() == std::vector<std::string>{"a-2/b.csv", "a/b.csv"});
}

TEST_CASE("a file in its place counts as taken, a slash at the end is no name", "[save]") {
  const Folder folder;
  tests::put(folder / "a", "");
  const ab::MakeFolder make(folder / "a/");
  CHECK(error_of(make) == "no error");
  CHECK(*make->path == folder / "a-2");
}

TEST_CASE("the date stands behind the name", "[save]") {
  const Folder folder;
  const ab::MakeFolder make(folder / "a/", {.date = true});
  CHECK(error_of(make) == "no error");
  CHECK_THAT(*make->path, Catch::Matches(".*/a_\\d{4}-\\d\\d-\\d\\d_\\d\\d-\\d\\d-\\d\\d"));
  CHECK(error_of(make) == "no error");  // also in the same second
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 2);
}

TEST_CASE("a late name is read at each dig", "[save]") {
  const Folder folder;
  ab::IterationLooper loop(2);
  const ab::MakeFolder make(
      [&](ab::IterationLooper::Node& node) { return folder / std::to_string(node.counter); });
  loop("iteration_end", make);
  ab::Ground()("dig", loop).dig();
  CHECK(std::filesystem::is_directory(folder / "1"));
  CHECK(std::filesystem::is_directory(folder / "2"));
}

TEST_CASE("what names no folder, or one that can't be made, is told with the path", "[save]") {
  const Folder folder;
  for (const char* name : {"", ".", "..", "/", "a/.."}) {
    CHECK(
        error_of(ab::MakeFolder(name)) ==
        fmt::format("the tree has 1 fault\n  MakeFolder: name must be that of a new folder, got \"{}\"; pass "
                    "one, as in \"runs/mnist\"",
                    name));
    CHECK_THAT(error_of(ab::MakeFolder([name] { return std::string(name); })),
               Catch::StartsWith("MakeFolder: name must be that of a new folder, got"));
  }
  tests::put(folder / "file", "");
  CHECK_THAT(
      error_of(ab::MakeFolder(folder / "file/a")),
      Catch::StartsWith("MakeFolder: the folder " + (folder / "file") + " must be there or made, got"));
  CHECK_THAT(error_of(ab::MakeFolder(folder / std::string(300, 'x'))), Contains("File name too long"));
}

TEST_CASE("dates in names sort by age; a name that is taken gets a number before its ending", "[save]") {
  std::tm time{};
  time.tm_year = 126;
  time.tm_mon = 10;
  time.tm_mday = 1;
  time.tm_hour = 5;
  time.tm_isdst = -1;
  CHECK(ab::date_text(std::mktime(&time)) == "2026-11-01_05-00-00");

  const Folder folder;
  CHECK(ab::free_path(folder / "a.b.txt") == folder / "a.b.txt");
  tests::put(folder / "a.b.txt", "");
  CHECK(ab::free_path(folder / "a.b.txt") == folder / "a.b-2.txt");
  tests::put(folder / "a.b-3.txt", "");
  tests::put(folder / "a.b-2.txt", "");
  CHECK(ab::free_path(folder / "a.b.txt") == folder / "a.b-4.txt");
  tests::put(folder / "a", "");
  CHECK(ab::free_path(folder / "a") == folder / "a-2");
  std::filesystem::create_symlink("nowhere", folder / "a-2");
  CHECK(ab::free_path(folder / "a") == folder / "a-3");
}

}  // namespace make_folder_tests
