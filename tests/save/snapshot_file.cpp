#include <torch/torch.h>

#include <abyme/save/inspect.hpp>
#include <abyme/save/snapshot_file.hpp>

#include <catch2/catch.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"
#include "support/full_disk.hpp"

namespace ab = abyme;

namespace snapshot_file_tests {

using Catch::Contains;
using tests::content;
using tests::Folder;

namespace {

using Metadata = std::map<std::string, std::string>;

std::string error_of(const std::string& path) {
  return tests::error_of([&] { ab::read_snapshot_file(path); });
}
bool is_good(const std::string& path) {
  try {
    return ab::inspect(path).checksum == ab::ChecksumState::holds;
  } catch (const ab::Error&) {
    return false;
  }
}

}  // namespace

TEST_CASE("a snapshot comes back as it was: metadata, tensors, ties", "[snapshot_file]") {
  const Folder folder;
  torch::manual_seed(3);
  const auto weight = torch::rand({300, 400}), large = torch::rand({200'001});
  const Metadata metadata{{"abyme", "1"}, {"frames", "[\"a \\\"quoted\\\" one\"]"}};
  ab::write_snapshot_file(folder / "deep/a",
                          {{"model.weight", weight},
                           {"model.tied", weight},
                           {"large", large},
                           {"turned", weight.t()},
                           {"empty", torch::empty({0, 2}, torch::kLong)},
                           {"step", torch::tensor(7)}},
                          metadata);
  CHECK(folder.files() == std::vector<std::string>{"deep/a"});
  CHECK(is_good(folder / "deep/a"));
  const ab::Safetensors back = ab::read_snapshot_file(folder / "deep/a");
  CHECK(back.metadata == metadata);
  REQUIRE(back.tensors.size() == 6);
  CHECK(back.find("model.weight")->equal(weight));
  CHECK(back.find("model.tied")->is_same(*back.find("model.weight")));
  CHECK(back.find("large")->equal(large));
  CHECK(back.find("turned")->equal(weight.t()));
  CHECK(back.find("empty")->sizes() == torch::IntArrayRef{0, 2});
  CHECK(back.find("step")->item<int>() == 7);
  ab::write_snapshot_file(folder / "b", {}, {});
  CHECK(ab::read_snapshot_file(folder / "b").metadata.empty());
}

TEST_CASE("the checksum is that of the whole file with zeros in its place", "[snapshot_file]") {
  const Folder folder;
  ab::write_snapshot_file(folder / "a", {{"x", torch::ones({3})}}, {{"k", "v"}});
  std::string file = content(folder / "a");
  REQUIRE(file.substr(8, 29) == R"({"__metadata__":{"checksum":")");
  const std::string told = file.substr(37, 16);
  file.replace(37, 16, 16, '0');
  ab::Checksum sum;
  sum.update(file.data(), file.size());
  CHECK(told == fmt::format("{:016x}", sum.value()));
  CHECK(ab::read_safetensors(folder / "a").metadata == Metadata{{"checksum", told}, {"k", "v"}});
}

TEST_CASE("ties that were found before the tensors were copied are kept", "[snapshot_file]") {
  const Folder folder;
  const auto weight = torch::ones({2});
  ab::write_snapshot_file(folder / "a", {{"a", weight}, {"b", weight.clone()}, {"c", weight}},
                          {{"ties", R"([["a","b"]])"}});
  const auto back = ab::read_snapshot_file(folder / "a");
  CHECK(back.find("a")->is_same(*back.find("b")));
  CHECK_FALSE(back.find("a")->is_same(*back.find("c")));
}

TEST_CASE("a snapshot cut at any length, or with any byte changed, is found bad", "[snapshot_file]") {
  const Folder folder;
  ab::write_snapshot_file(
      folder / "a",
      {{"x", torch::arange(5, torch::kFloat)}, {"y", torch::ones({2, 0})}, {"z", torch::tensor(true)}},
      {{"abyme", "1"}, {"frames", "[]"}});
  const std::string whole = content(folder / "a");
  const std::string path = folder / "b";
  const auto check_bad = [&](const std::string& bytes) {
    tests::put(path, bytes);
    const std::string error = error_of(path);
    REQUIRE_THAT(error, Contains("the file " + path + " must "));
    REQUIRE_FALSE(is_good(path));
  };
  for (std::size_t length = 0; length < whole.size(); ++length) check_bad(whole.substr(0, length));
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int bits : {0x01, 0x20, 0x80, 0xff}) {
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ bits);
      check_bad(flipped);
    }
  }
  check_bad(whole + '\0');
  tests::put(path, whole);
  CHECK(error_of(path) == "no error");
}

TEST_CASE("what is wrong with a snapshot is told", "[snapshot_file]") {
  const Folder folder;
  ab::write_snapshot_file(folder / "a", {{"x", torch::ones({3})}}, {});
  std::string file = content(folder / "a");
  file.back() = 'x';
  tests::put(folder / "a", file);
  CHECK(error_of(folder / "a") == "the file " + (folder / "a") +
                                      " must be as it was written, got another checksum; take another one, "
                                      "this one is damaged");
  ab::write_atomically(folder / "b", [](ab::File& out) {
    ab::write_safetensors(out, {{"x", torch::ones({30})}}, Metadata{{"format", "pt"}});
  });
  CHECK(error_of(folder / "b") ==
        "the file " + (folder / "b") + " must be a snapshot with a checksum, got none; take another one");
  CHECK_THROWS_WITH(ab::write_snapshot_file(folder / "c", {}, {{"checksum", "mine"}}),
                    "the metadata of a snapshot must leave the name \"checksum\" to the file, got it; take "
                    "another");
}

TEST_CASE("where the disk is full the old snapshot stays", "[snapshot_file]") {
  const Folder folder;
  ab::write_snapshot_file(folder / "a", {{"x", torch::ones({3})}}, {{"k", "old"}});
  {
    const tests::FullDisk full(100'000);
    CHECK_THROWS_WITH(ab::write_snapshot_file(folder / "a", {{"x", torch::ones({100'000})}}, {{"k", "new"}}),
                      Contains("must be writable, got \"File too large\"; make room or name another file"));
  }
  CHECK(folder.files() == std::vector<std::string>{"a"});
  CHECK(ab::read_snapshot_file(folder / "a").metadata == Metadata{{"k", "old"}});
}

TEST_CASE("a file is inspected without loading it: metadata, names, shapes, checksum", "[snapshot_file]") {
  const Folder folder;
  const auto tied = torch::ones({2, 3});
  ab::write_snapshot_file(folder / "a", {{"x", tied}, {"step", torch::tensor(7)}, {"y", tied}},
                          {{"abyme", "1"}});
  const auto summary = ab::inspect(folder / "a");
  CHECK(summary.checksum == ab::ChecksumState::holds);
  CHECK(summary.bytes == content(folder / "a").size());
  CHECK(summary.header.metadata == Metadata{{"abyme", "1"}, {"ties", R"([["x","y"]])"}});
  REQUIRE(summary.header.entries.size() == 3);
  CHECK(summary.header.entries[0].name == "step");
  CHECK(summary.header.entries[0].dtype == torch::kLong);
  CHECK(summary.header.entries[0].shape.empty());
  CHECK(summary.header.entries[1].name == "x");
  CHECK(summary.header.entries[1].shape == std::vector<std::int64_t>{2, 3});
  CHECK(summary.header.entries[1].last - summary.header.entries[1].first == 24);
  std::string file = content(folder / "a");
  file.back() = 'x';
  tests::put(folder / "a", file);
  CHECK(ab::inspect(folder / "a").checksum == ab::ChecksumState::broken);
  ab::write_atomically(folder / "b", [](ab::File& out) { ab::write_safetensors(out, {}); });
  CHECK(ab::inspect(folder / "b").checksum == ab::ChecksumState::none);
  CHECK_THROWS_WITH(ab::inspect(folder / "c"), Contains("must be readable"));
}

}  // namespace snapshot_file_tests
