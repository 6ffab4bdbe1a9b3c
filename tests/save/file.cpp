#include <abyme/save/file.hpp>

#include "support/copy_files.hpp"
#include "support/error_of.hpp"
#include "support/folder.hpp"
#include "support/full_disk.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

namespace ab = abyme;

namespace file_tests {

using Catch::Contains;
using tests::content;
using tests::Folder;

namespace {

using Files = std::vector<std::string>;

using tests::error_of;

}  // namespace

TEST_CASE("a file is begun empty, or written on behind what it holds", "[save]") {
  const Folder folder;
  for (const char* text : {"one", "two"}) ab::File(folder / "a", ab::File::Open::append).write(text);
  CHECK(content(folder / "a") == "onetwo");
  ab::File file(folder / "a", ab::File::Open::create);
  CHECK(file.size() == 0);
  file.write("three");
  CHECK(content(folder / "a") == "three");  // without a buffer of its own
  CHECK(file.size() == 5);
  file.sync();
  ab::File moved = std::move(file);
  moved.write(" four");
  CHECK(content(folder / "a") == "three four");
  CHECK(moved.path() == folder / "a");
}

TEST_CASE("bytes that were written are replaced, and writing goes on at the end", "[save]") {
  const Folder folder;
  ab::File file(folder / "a", ab::File::Open::create);
  file.write("one two");
  file.overwrite(4, "TWO");
  file.write(" three");
  CHECK(content(folder / "a") == "one TWO three");
}

TEST_CASE("what can't be opened or written is told with the file and the reason", "[save]") {
  const Folder folder;
  CHECK(error_of([&] { ab::File(folder / "none/a", ab::File::Open::create); }) ==
        "the file " + (folder / "none/a") +
            " must be writable, got \"No such file or directory\"; make room or name another file");
  CHECK(
      error_of([] { ab::File("/dev/full", ab::File::Open::append).write("x"); }) ==
      "the file /dev/full must be writable, got \"No space left on device\"; make room or name another file");
}

TEST_CASE("write_whole leaves nothing behind where the disk is full, write what found room", "[save]") {
  const Folder folder;
  tests::put(folder / "a", "before ");
  {
    const tests::FullDisk full(10);
    ab::File file(folder / "a", ab::File::Open::append);
    CHECK_THAT(error_of([&] { file.write_whole("too long a text"); }), Contains("File too large"));
    CHECK(content(folder / "a") == "before ");
    file.write_whole("abc");
    CHECK(content(folder / "a") == "before abc");
  }
  {
    const tests::FullDisk full(12);
    ab::File file(folder / "a", ab::File::Open::append);
    CHECK_THAT(error_of([&] { file.write("defg"); }), Contains("File too large"));
    CHECK(content(folder / "a") == "before abcde");
  }
}

TEST_CASE("written atomically, a file is the old one until the new one is whole", "[save]") {
  const Folder folder;
  ab::write_atomically(folder / "deep/er/a", [&](ab::File& file) {
    file.write("first");
    CHECK_FALSE(std::filesystem::exists(folder / "deep/er/a"));
  });
  CHECK(content(folder / "deep/er/a") == "first");
  ab::write_atomically(folder / "deep/er/a", [&](ab::File& file) {
    file.write("sec");
    CHECK(content(folder / "deep/er/a") == "first");
    file.write("ond");
  });
  CHECK(content(folder / "deep/er/a") == "second");
  CHECK(folder.files() == Files{"deep/er/a"});
}

TEST_CASE("an atomic write that fails leaves the old file, and none that was begun", "[save]") {
  const Folder folder;
  tests::put(folder / "a", "old");
  const auto fails = [&](const std::string& name) {
    ab::write_atomically(folder / name, [](ab::File& file) {
      file.write("half");
      throw std::out_of_range("of the user's own");
    });
  };
  CHECK_THROWS_AS(fails("a"), std::out_of_range);
  CHECK_THROWS_AS(fails("b"), std::out_of_range);
  CHECK(content(folder / "a") == "old");
  CHECK(folder.files() == Files{"a"});
  {
    const tests::FullDisk full(100);
    CHECK_THAT(error_of([&] {
                 ab::write_atomically(folder / "a",
                                      [](ab::File& file) { file.write(std::string(101, 'x')); });
               }),
               Contains("File too large"));
  }
  CHECK(content(folder / "a") == "old");
  CHECK(folder.files() == Files{"a"});
}

TEST_CASE("told to keep what is there, an atomic write takes no name that somebody has, or takes meanwhile",
          "[save]") {
  const Folder folder;
  const auto write = [](ab::File& file) { file.write("new"); };
  CHECK(ab::write_atomically(folder / "a", write, ab::Existing::keep));
  CHECK(content(folder / "a") == "new");
  tests::put(folder / "b", "old");
  CHECK_FALSE(ab::write_atomically(folder / "b", write, ab::Existing::keep));
  CHECK_FALSE(ab::write_atomically(
      folder / "c", [&](ab::File&) { tests::put(folder / "c", "somebody else's"); }, ab::Existing::keep));
  CHECK(content(folder / "b") == "old");
  CHECK(content(folder / "c") == "somebody else's");
  CHECK(folder.files() == Files{"a", "b", "c"});
}

TEST_CASE("only a file is replaced: no folder, no device", "[save]") {
  const Folder folder;
  std::filesystem::create_directories(folder / "a/b");
  const auto replace = [](const std::string& path) {
    return error_of([&] { ab::write_atomically(path, [](ab::File& file) { file.write("x"); }); });
  };
  CHECK(replace(folder / "a") == "what is replaced must be a plain file, got " + (folder / "a") +
                                     ", which is a folder or a device; name another file");
  CHECK_THAT(replace("/dev/null"), Contains("got /dev/null, which is a folder or a device"));
  CHECK(folder.files().empty());
  tests::put(folder / "file", "");
  CHECK_THAT(replace(folder / "file/a"),
             Contains("the folder " + (folder / "file") + " must be there or made"));
}

TEST_CASE("a relative name without a folder is written where the program runs", "[save]") {
  const Folder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  ab::write_atomically("a", [](ab::File& file) { file.write("x"); });
  ab::keep_as_backup("a");
  std::filesystem::current_path(before);
  CHECK(folder.files() == Files{"a.bck"});
}

TEST_CASE("a backup takes the place of the one before it; where there is nothing to keep nothing happens",
          "[save]") {
  const Folder folder;
  ab::keep_as_backup(folder / "a");
  CHECK(folder.files().empty());
  tests::put(folder / "a", "1");
  ab::keep_as_backup(folder / "a");
  tests::put(folder / "a", "2");
  ab::keep_as_backup(folder / "a");
  CHECK(folder.files() == Files{"a.bck"});
  CHECK(content(folder / "a.bck") == "2");
  std::filesystem::create_directory(folder / "b");
  ab::keep_as_backup(folder / "b");
  CHECK(std::filesystem::is_directory(folder / "b"));
  tests::put(folder / "c", "3");
  std::filesystem::create_directory(folder / "c.bck");
  CHECK_THAT(error_of([&] { ab::keep_as_backup(folder / "c"); }),
             Contains("the file " + (folder / "c") + " must be movable to " + (folder / "c.bck")));
  CHECK(content(folder / "c") == "3");
}

TEST_CASE("a file that this run wrote gets no backup: it went on from before", "[save]") {
  const Folder folder;
  if (!tests::remembers_owners(folder.path())) return;
  tests::put(folder / "a", "mine");
  ab::set_owner(folder / "a", "run 1");
  CHECK(ab::owner_of(folder / "a") == "run 1");
  CHECK(ab::owner_of(folder / "none").empty());
  SECTION("the run itself") {
    ab::keep_as_backup(folder / "a", "run 1");
    CHECK(folder.files().empty());
  }
  SECTION("another one") {
    ab::keep_as_backup(folder / "a", "run 2");
    CHECK(folder.files() == Files{"a.bck"});
  }
  SECTION("one without an id") {
    ab::keep_as_backup(folder / "a");
    CHECK(folder.files() == Files{"a.bck"});
  }
  SECTION("a file of nobody") {
    tests::put(folder / "b", "");
    ab::keep_as_backup(folder / "b", "");
    CHECK(folder.files() == Files{"a", "b.bck"});
  }
}

TEST_CASE("what processes that are no more have left half written goes when the file is written", "[save]") {
  const Folder folder;
  const std::string gone = "4194304", alive = std::to_string(::getppid());  // above the highest number
  for (const std::string& name : Files{"a." + gone + ".tmp", "a." + alive + ".tmp", "b." + gone + ".tmp",
                                       "a.0.tmp", "a.tmp", "a.1x.tmp", "a." + gone})
    tests::put(folder / name, "half");
  Files left = folder.files();
  left.erase(std::find(left.begin(), left.end(), "a." + gone + ".tmp"));
  left.insert(left.begin(), "a");
  ab::write_atomically(folder / "a", [](ab::File& file) { file.write("whole"); });
  CHECK(folder.files() == left);
  CHECK(content(folder / "a") == "whole");
}

}  // namespace file_tests
