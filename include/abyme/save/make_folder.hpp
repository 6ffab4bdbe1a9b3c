#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/save/file.hpp>
#include <abyme/save/new_path.hpp>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <sys/stat.h>

namespace abyme {

struct MakeFolderOptions {
  bool date = false;  ///< puts the date and time behind the name: `run_2026-11-21_05-30-53`
};

/// Makes a new folder for what a run writes: `runs/mnist`, or, where that is taken, `runs/mnist-2`, ... Other
/// nodes read its path: `ab::CSVWriter csv([=] { return *folder->path + "/results.csv"; })`.
///
/// No events. Fields: `path` (of the folder made, nothing before the dig), `name`, `date`. \throws Error at a
/// dig where it can't be made.
class MakeFolderNode : public Node {
public:
  using Options = MakeFolderOptions;

  Input<std::string> folder;
  Options options;
  std::optional<std::string> path;
  static constexpr auto fields =
      abyme::fields(state("path", &MakeFolderNode::path), field("name", &MakeFolderNode::folder));

  explicit MakeFolderNode(Input<std::string> name, Options options = {})
      : folder(std::move(name)), options(options) {}

  Step next(Step) override {
    const std::string name = read(folder);
    std::filesystem::path wanted = folder_path(name);
    if (wanted.empty()) throw Error(rule(name));
    if (options.date) wanted += "_" + date_text();
    make_folder_of(wanted);
    std::filesystem::path made = wanted;
    for (int number = 2; ::mkdir(made.c_str(), 0777) != 0; ++number) {  // never one that another program made
      if (errno != EEXIST) {
        throw Error(fmt::format("the folder {} must be makeable, got \"{}\"; name another one", made.string(),
                                std::strerror(errno)));
      }
      made = fmt::format("{}-{}", wanted.string(), number);
    }
    path = made.string();
    return done;
  }

  void check(Place& place) const override {
    if (const auto name = folder.constant(); name && folder_path(*name).empty()) place.fault(rule(*name));
  }

private:
  // Without a slash at the end; empty where that names no folder that can be new.
  static std::filesystem::path folder_path(const std::string& name) {
    const auto plain = (std::filesystem::path(name) / "").lexically_normal().parent_path();
    return plain.has_filename() && plain.filename() != "." && plain.filename() != ".."
               ? plain
               : std::filesystem::path();
  }
  static std::string rule(const std::string& name) {
    return fmt::format("name must be that of a new folder, got \"{}\"; pass one, as in \"runs/mnist\"", name);
  }
};
using MakeFolder = Handle<MakeFolderNode>;

}  // namespace abyme
