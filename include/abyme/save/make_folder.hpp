#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/save/file.hpp>
#include <abyme/save/new_path.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

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
    std::filesystem::path wanted = read(folder);
    if (options.date) wanted += "_" + date_text();
    wanted = free_path(wanted);
    make_folder_of(wanted / "");
    path = wanted.string();
    return done;
  }
};
using MakeFolder = Handle<MakeFolderNode>;

}  // namespace abyme
