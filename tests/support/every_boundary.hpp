#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/save/snapshot.hpp>
#include <abyme/trigger/if.hpp>

#include <catch2/catch.hpp>

#include "support/copy_files.hpp"
#include "support/folder.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace tests {

/// A program that is resumed at every place where it asks `here()` for a snapshot. It writes into the folder
/// `files` of the current one. What it draws at random before it runs is another for the run that goes on.
class Resumable {
public:
  Resumable(bool takes, std::uint64_t seed) : takes_(takes) { torch::manual_seed(seed); }
  virtual ~Resumable() = default;

  abyme::If here() {
    return abyme::If([this] {
      ++asked_;
      return takes_;
    })("dig", snapshots);
  }
  std::int64_t asked() const { return asked_; }

  /// All that a run leaves behind, a line each: what a snapshot at the end would hold, and all files. Call it
  /// when the tree is built.
  void look_at_the_end() {
    ground("final", [this](abyme::Run& run) { end_ = lines_of(abyme::capture(run)); });
  }
  std::vector<std::string> outcome() const {
    std::vector<std::string> lines = end_;
    for (const auto& entry : std::filesystem::recursive_directory_iterator("files")) {
      const std::string name = entry.path().string();
      if (entry.path().extension() == ".bck" && !remembers_owners(".")) continue;
      lines.push_back(name);
      if (entry.is_directory()) continue;
      std::istringstream text(content_without_run(entry.path()));
      std::string line;
      for (int number = 1; std::getline(text, line); ++number)
        lines.push_back(fmt::format("{}:{}: {}{}", name, number, line, text.eof() ? "(cut)" : ""));
    }
    lines.push_back(fmt::format("the next random number: {}", torch::rand({1}).item<float>()));
    std::sort(lines.begin(), lines.end());
    return lines;
  }

  abyme::Snapshot snapshots{"snapshots", {.keep = 1'000'000}};
  abyme::Ground ground;

private:
  // A model in a folder holds the id of its run, which is another in each.
  static std::string content_without_run(const std::filesystem::path& path) {
    std::string text = content(path);
    const std::string key = "\"abyme.run\":\"";
    if (const auto at = text.find(key); at != text.npos)
      text.erase(at + key.size(), text.find('"', at + key.size()) - at - key.size());
    if (path.extension() == ".pt")
      return fmt::format("{} bytes", text.size());  // an archive: its weights are elsewhere
    return text;
  }
  static std::vector<std::string> lines_of(const abyme::SnapshotState& state) {
    std::vector<std::string> lines;
    for (const auto& [name, tensor] : state.tensors) {
      if (name == "generator.cpu") continue;  // a random number tells of it
      const auto flat = tensor.detach().cpu().contiguous();
      const std::string_view bytes(static_cast<const char*>(flat.const_data_ptr()), flat.nbytes());
      lines.push_back(fmt::format("{}: {} {} {:x}", name, toString(tensor.scalar_type()),
                                  fmt::join(tensor.sizes(), "x"), std::hash<std::string_view>()(bytes)));
    }
    for (const char* group : {"tree", "frames"}) flatten(group, state.record.at(group), lines);
    for (const char* group : {"nodes", "parts"}) {
      for (const abyme::Record::Entry& each : state.record.at(group).as<abyme::Record::Entries>()) {
        const std::string_view name = each.name;  // times differ, and only one of the runs takes snapshots
        if (name.find("Timer") == name.npos && !name.ends_with("Snapshot"))
          flatten(each.name, each.value, lines);
      }
    }
    return lines;
  }
  static void flatten(const std::string& name, const abyme::Record& record, std::vector<std::string>& lines) {
    if (record.json().starts_with('{')) {
      for (const auto& each : record.as<abyme::Record::Entries>())
        flatten(name + "." + each.name, each.value, lines);
    } else {
      lines.push_back(name + ": " + record.json());
    }
  }

  bool takes_;
  std::int64_t asked_ = 0;
  std::vector<std::string> end_;
};

/// Lines of which only one of the two has one: `-` is missing, `+` is too much. The first 20.
inline std::string difference(const std::vector<std::string>& wanted, const std::vector<std::string>& got) {
  std::vector<std::string> lines;
  const auto add = [&lines](const char* sign, const auto& a, const auto& b) {
    std::vector<std::string> only;
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only));
    for (const std::string& line : only) lines.push_back(sign + line.substr(0, 200));
  };
  add("- ", wanted, got);
  add("+ ", got, wanted);
  if (lines.size() > 20) lines.resize(20);
  return fmt::format("{}", fmt::join(lines, "\n"));
}

/// Runs the program as it is, then with a snapshot at every place; then goes on from each of these, with the
/// files that the whole run has left, and compares what the runs leave behind.
template <class Program>
void check_every_boundary(std::size_t least) {
  struct Place {  // the current folder is put back
    explicit Place(const std::filesystem::path& path) {
      std::filesystem::create_directories(path / "files");
      std::filesystem::current_path(path);
    }
    ~Place() { std::filesystem::current_path(before); }
    std::filesystem::path before = std::filesystem::current_path();
  };
  const Folder folder;
  std::vector<std::string> expected;
  {
    const Place place(folder / "whole");
    Program program(false, 1);
    CHECK(program.ground.dig().completed);
    expected = program.outcome();
  }
  {
    const Place place(folder / "taking");
    Program program(true, 1);
    CHECK(program.ground.dig().completed);
    CHECK(program.snapshots->error.value_or("") == "");
    REQUIRE(difference(expected, program.outcome()) == "");
  }
  std::vector<std::filesystem::path> all;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "taking/snapshots")) {
    if (entry.path().extension() == ".safetensors") all.push_back(entry.path());
  }
  std::sort(all.begin(), all.end());
  CHECK(all.size() >= least);
  for (const auto& snapshot : all) {
    INFO(
        "from "
        << snapshot.filename() << ", "
        << abyme::Record::parse(abyme::read_snapshot_file(snapshot).metadata.at("abyme")).at("place").json());
    const Place place(folder / "resumed");
    copy_files(folder / "taking/files", "files");
    std::filesystem::create_directory("snapshots");
    std::filesystem::create_hard_link(snapshot, std::filesystem::path("snapshots") / snapshot.filename());
    {
      Program program(false, 99);
      CHECK(program.ground.resume(program.snapshots).dig().completed);
      REQUIRE(difference(expected, program.outcome()) == "");
    }
    std::filesystem::remove_all(folder / "resumed");
  }
}

}  // namespace tests
