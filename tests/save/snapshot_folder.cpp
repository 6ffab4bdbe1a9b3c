#include <torch/torch.h>

#include <abyme/save/snapshot_folder.hpp>

#include <catch2/catch.hpp>

#include "support/child.hpp"
#include "support/error_of.hpp"
#include "support/folder.hpp"
#include "support/full_disk.hpp"

#include <memory>

namespace ab = abyme;

namespace snapshot_folder_tests {

using Catch::Contains;
using tests::Child;
using tests::content;
using tests::Folder;

namespace {

using Files = std::vector<std::string>;

std::string write(ab::SnapshotFolder& snapshots, std::int64_t value) {
  return snapshots.write({{"x", torch::full({3}, value, torch::kLong)}}, {{"value", std::to_string(value)}})
      .filename()
      .string();
}

struct Found {
  std::string file, value;
  Files warnings;
};
Found newest(ab::SnapshotFolder& snapshots) {
  Found found;
  const auto good = snapshots.newest_good([&](const std::string& text) { found.warnings.push_back(text); });
  if (!good) return found;
  found.file = good->path.filename().string();
  found.value = good->content.metadata.at("value");
  return found;
}
Found newest(const std::string& path) {
  ab::SnapshotFolder snapshots(path);
  return newest(snapshots);
}

using tests::error_of;

// Changes a byte in the middle of a tensor.
void damage(const std::string& path) {
  std::string bytes = content(path);
  bytes[bytes.size() - 5] ^= 1;
  tests::put(path, bytes);
}

std::string damaged(const std::string& path) {
  return "the file " + path +
         " must be as it was written, got another checksum; take another one, this one is damaged";
}

}  // namespace

TEST_CASE("snapshots are numbered, the newest stay, and the best one apart", "[snapshot_folder]") {
  const Folder folder;
  ab::SnapshotFolder snapshots(folder / "deep/run", {.keep = 2});
  CHECK(newest(snapshots).file.empty());
  CHECK(folder.files().empty());
  CHECK(write(snapshots, 10) == "00000001.safetensors");
  CHECK(folder.files() == Files{"deep/run/.lock", "deep/run/00000001.safetensors"});
  CHECK(write(snapshots, 20) == "00000002.safetensors");
  CHECK(snapshots.write_best({}, {{"value", "20"}}) == folder / "deep/run/best.safetensors");
  CHECK(write(snapshots, 30) == "00000003.safetensors");
  snapshots.write_best({}, {{"value", "30"}});
  CHECK(folder.files() == Files{"deep/run/.lock", "deep/run/00000002.safetensors",
                                "deep/run/00000003.safetensors", "deep/run/best.safetensors"});
  CHECK(ab::read_snapshot_file(folder / "deep/run/best.safetensors").metadata.at("value") == "30");
  const auto found = snapshots.newest_good([](const std::string&) { FAIL(); });
  REQUIRE(found);
  CHECK(found->path == folder / "deep/run/00000003.safetensors");
  CHECK(found->content.find("x")->equal(torch::full({3}, 30, torch::kLong)));
}

TEST_CASE("one who goes on counts on, and keeps as many with those that are there", "[snapshot_folder]") {
  const Folder folder;
  for (int run = 0; run < 3; ++run) {
    ab::SnapshotFolder snapshots(folder.path());
    for (int i = 0; i < 2; ++i) write(snapshots, 10 * run + i);
  }
  CHECK(folder.files() ==
        Files{".lock", "00000004.safetensors", "00000005.safetensors", "00000006.safetensors"});
  std::filesystem::rename(folder / "00000006.safetensors", folder / "99999999.safetensors");
  ab::SnapshotFolder snapshots(folder.path(), {.keep = 1});
  CHECK(write(snapshots, 50) == "100000000.safetensors");
  CHECK(newest(snapshots).file == "100000000.safetensors");
  CHECK(folder.files() == Files{".lock", "100000000.safetensors"});
}

TEST_CASE("files that are not its own are left alone", "[snapshot_folder]") {
  const Folder folder;
  const Files others{"0000001.safetensors",   "00000001.safetensors.bck",         "00000001.txt",
                     "000000002.safetensors", "00000003.safetensors.12.34.tmp",   "00000003.safetensors.tmp",
                     "00000003.tmp",          "99999999999999999999.safetensors", "a0000001.safetensors",
                     "model.safetensors",     "model.safetensors.1.tmp",          "notes.4194304.tmp"};
  for (const auto& name : others) tests::put(folder / name, "somebody else's");
  std::filesystem::create_directory(folder / "00000009.safetensors.d");
  {
    ab::SnapshotFolder snapshots(folder.path(), {.keep = 1});
    for (int i = 0; i < 3; ++i) write(snapshots, i);
    CHECK(newest(snapshots).file == "00000003.safetensors");
  }
  Files all = others;
  all.insert(all.end(), {".lock", "00000003.safetensors"});
  std::sort(all.begin(), all.end());
  CHECK(folder.files() == all);
  for (const auto& name : others) CHECK(content(folder / name) == "somebody else's");
}

TEST_CASE("the newest good snapshot wins; damaged ones are told, stay, and do not count",
          "[snapshot_folder]") {
  const Folder folder;
  {
    ab::SnapshotFolder snapshots(folder.path());
    for (int i = 1; i <= 3; ++i) write(snapshots, i);
  }
  damage(folder / "00000003.safetensors");
  tests::put(folder / "00000007.safetensors", "cut");
  const Found found = newest(folder.path().string());
  CHECK(found.file == "00000002.safetensors");
  CHECK(found.value == "2");
  CHECK(found.warnings == Files{"the file " + (folder / "00000007.safetensors") +
                                    " must be a safetensors file, got 3 bytes; write or fetch it again",
                                damaged(folder / "00000003.safetensors")});
  ab::SnapshotFolder snapshots(folder.path(), {.keep = 2});
  CHECK(write(snapshots, 8) == "00000008.safetensors");
  const Files after{".lock", "00000002.safetensors", "00000003.safetensors", "00000007.safetensors",
                    "00000008.safetensors"};
  CHECK(folder.files() == after);
  damage(folder / "00000008.safetensors");
  CHECK(newest(snapshots).file == "00000002.safetensors");
  CHECK(write(snapshots, 9) == "00000009.safetensors");
  CHECK(newest(snapshots).file == "00000009.safetensors");
  CHECK(folder.files().size() ==
        after.size() + 1);  // the damaged 8 stays, and 2 is the older of two good ones
  damage(folder / "00000002.safetensors");
  damage(folder / "00000009.safetensors");
  const Found none = newest(folder.path().string());
  CHECK(none.file.empty());
  CHECK(none.warnings.size() == 5);
}

TEST_CASE("while another writes, what it removes is no damage", "[snapshot_folder]") {
  const Folder folder;
  ab::SnapshotFolder writer(folder.path(), {.keep = 1});
  write(writer, 1);
  tests::put(folder / "00000002.safetensors", "cut");
  ab::SnapshotFolder reader(folder.path());
  Files warnings;
  const auto found = reader.newest_good([&](const std::string& text) {
    warnings.push_back(text);
    CHECK(write(writer, 3) == "00000003.safetensors");  // which removes the first
  });
  CHECK(folder.files() == Files{".lock", "00000002.safetensors", "00000003.safetensors"});
  REQUIRE(found);
  CHECK(found->content.metadata.at("value") == "3");
  CHECK(warnings.size() == 1);
}

TEST_CASE("a folder has one writer, of this process or of another", "[snapshot_folder]") {
  const Folder folder;
  const std::string beside =
      "the folder " + folder.path().string() + " must have one writer, got a second beside ";
  const std::string remedy = "; end that one or name another folder";
  const std::string me = std::to_string(::getpid());
  auto first = std::make_unique<ab::SnapshotFolder>(folder.path());
  ab::SnapshotFolder second(folder.path());
  second.lock();  // who is there has nothing until it writes
  CHECK(error_of([&] { first->lock(); }) == beside + "another one of this process, " + me + remedy);
  CHECK(error_of([&] { write(*first, 1); }) == beside + "another one of this process, " + me + remedy);
  CHECK(error_of([&] { first->write_best({}, {}); }) ==
        beside + "another one of this process, " + me + remedy);
  CHECK(write(second, 1) == "00000001.safetensors");
  CHECK(newest(*first).value == "1");

  Child other([&](auto tell) {
    ab::SnapshotFolder third(folder.path());
    tell(error_of([&] { third.lock(); }));
    tell(newest(third).value);
    tell(error_of([&] { second.lock(); }));  // what a fork takes along is not its own
  });
  CHECK(other.told() == beside + "that of process " + me + remedy);
  CHECK(other.told() == "1");
  CHECK(other.told() == beside + "that of process " + me + ", which forked this one" + remedy);
  other.told();
  CHECK(write(second, 2) == "00000002.safetensors");
}

TEST_CASE("a lock ends with its object, and with its process", "[snapshot_folder]") {
  const Folder folder;
  { ab::SnapshotFolder(folder.path()).lock(); }
  Child other([&](auto tell) {
    ab::SnapshotFolder snapshots(folder.path());
    snapshots.lock();
    tell("locked");
    for (;;) ::pause();
  });
  CHECK(other.told() == "locked");
  ab::SnapshotFolder snapshots(folder.path());
  CHECK_THAT(error_of([&] { snapshots.lock(); }),
             Contains("a second beside that of process " + std::to_string(other.process()) + ";"));
  other.kill();
  CHECK(error_of([&] { snapshots.lock(); }) == "no error");
  CHECK(error_of([&] { snapshots.lock(); }) == "no error");
}

TEST_CASE("what dead runs have left half done is removed, what others write is not", "[snapshot_folder]") {
  const Folder folder;
  Child dead([](auto) {});
  const std::string gone = std::to_string(dead.process()), me = std::to_string(::getpid());
  Child alive([](auto) {
    for (;;) ::pause();
  });
  const std::string other = std::to_string(alive.process());
  dead.kill();
  for (const std::string& process : {gone, me, other})
    for (const std::string name : {"00000001", "best"})
      tests::put(folder / (name + ".safetensors." + process + ".tmp"), "half");
  ab::SnapshotFolder snapshots(folder.path());
  newest(snapshots);
  CHECK(folder.files().size() == 6);
  snapshots.lock();
  CHECK(folder.files() ==
        Files{".lock", "00000001.safetensors." + other + ".tmp", "best.safetensors." + other + ".tmp"});
}

TEST_CASE("full disks and folders that are gone are told; the last good snapshot stays",
          "[snapshot_folder]") {
  const Folder folder;
  const std::string path = folder / "run";
  ab::SnapshotFolder snapshots(path, {.keep = 1});
  write(snapshots, 1);
  {
    const tests::FullDisk full(1000);
    for (int i = 0; i < 3; ++i) {
      CHECK_THAT(error_of([&] {
                   snapshots.write({{"x", torch::ones({1000})}}, {{"value", "no"}});
                 }),
                 Contains("must be writable, got \"File too large\""));
    }
  }
  CHECK(folder.files() == Files{"run/.lock", "run/00000001.safetensors"});
  CHECK(write(snapshots, 2) == "00000002.safetensors");

  std::filesystem::rename(path, folder / "moved");
  for (int i = 0; i < 2; ++i) {
    CHECK(error_of([&] { write(snapshots, 3); }) ==
          "the folder " + path +
              " must stay while a run writes to it, got none of that name; put it back or make it again");
  }
  CHECK(folder.files() == Files{"moved/.lock", "moved/00000002.safetensors"});
  CHECK(newest(folder / "moved").value == "2");
  std::filesystem::rename(folder / "moved", path);
  CHECK(write(snapshots, 3) == "00000003.safetensors");
  std::filesystem::remove_all(path);
  std::filesystem::create_directory(path);
  CHECK(write(snapshots, 4) == "00000004.safetensors");
  CHECK(folder.files() == Files{"run/.lock", "run/00000004.safetensors"});
  ab::SnapshotFolder second(path);
  CHECK_THAT(error_of([&] { second.lock(); }), Contains("must have one writer"));
}

TEST_CASE("what can't be a folder of snapshots is told", "[snapshot_folder]") {
  const Folder folder;
  CHECK(error_of([&] { ab::SnapshotFolder(folder.path(), {.keep = 0}); }) ==
        "SnapshotFolder: keep must be at least 1, got 0; leave it out to keep 3");
  CHECK(error_of([&] { ab::SnapshotFolder(""); }) ==
        "SnapshotFolder: path must name a folder, got none; pass one, as in \"runs/mnist\"");
  tests::put(folder / "file", "");
  CHECK_THAT(error_of([&] { ab::SnapshotFolder(folder / "file").lock(); }),
             Contains("the folder " + (folder / "file")));
  CHECK_THAT(error_of([&] { newest(folder / "file"); }),
             Contains("the folder " + (folder / "file") + " must be readable, got \"Not a directory\""));
  std::filesystem::create_directory(folder / ".lock");
  CHECK_THAT(error_of([&] { ab::SnapshotFolder(folder.path()).lock(); }),
             Contains("must be writable, got \"Is a directory\"; name another one"));
}

TEST_CASE("killed at any moment, a run loses nothing that it had written", "[snapshot_folder]") {
  const Folder folder;
  torch::manual_seed(4);
  std::string last_file;
  for (int kill = 0; kill < 20; ++kill) {
    Child run([&](auto tell) {
      ab::SnapshotFolder snapshots(folder.path(), {.keep = 2});
      const Found found = newest(snapshots);
      std::int64_t value = found.value.empty() ? 0 : std::stoll(found.value);
      for (tell("begun");; tell(std::to_string(value))) {
        ++value;
        snapshots.write({{"x", torch::full({20'000}, value, torch::kLong)}},
                        {{"value", std::to_string(value)}});
      }
    });
    std::string told = run.told();
    REQUIRE(told == "begun");
    if (kill == 0) told = run.told();
    ::usleep(static_cast<useconds_t>(torch::randint(0, 20'000, {1}).item<std::int64_t>()));
    run.kill();
    for (std::string more = run.told(); !more.empty(); more = run.told()) told = more;
    ab::SnapshotFolder snapshots(folder.path());
    const auto good = snapshots.newest_good([](const std::string& text) { FAIL_CHECK(text); });
    REQUIRE(good);
    const std::string value = good->content.metadata.at("value");
    CHECK(good->content.find("x")->equal(torch::full({20'000}, std::stoll(value), torch::kLong)));
    if (told != "begun") CHECK(std::stoll(value) >= std::stoll(told));  // what was told is there
    CHECK(good->path.filename().string() == fmt::format("{:08}.safetensors", std::stoll(value)));
    CHECK(good->path.filename().string() >= last_file);
    last_file = good->path.filename().string();
  }
  ab::SnapshotFolder snapshots(folder.path(), {.keep = 1});
  write(snapshots, 0);
  CHECK(folder.files().size() == 2);  // the lock and the last: nothing half done
}

}  // namespace snapshot_folder_tests
