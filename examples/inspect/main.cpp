// Shows what snapshots and other safetensors files hold: where the run was, the fields of its nodes, its
// parts with every tensor, and whether the file is as it was written.

#include <abyme/save/inspect_snapshot.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

namespace ab = abyme;

// All of one file. Returns whether it is good.
bool show_file(const std::filesystem::path& path) {
  const ab::snapshots::Summary summary = ab::snapshots::inspect(path);
  std::cout << summary << std::flush;
  return !summary.is_damaged();
}

// A line for each file, the newest first. Returns whether a run can go on from one of them.
bool show_folder(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::sort(files.rbegin(), files.rend());  // the numbers in the names have one width
  bool has_snapshot = false;
  for (const auto& path : files) {
    try {
      const ab::snapshots::Summary summary = ab::snapshots::inspect(path);
      const std::string progress = summary.progress();
      std::cout << summary.headline() << (progress.empty() ? "" : "; ") << progress << '\n';
      has_snapshot = has_snapshot || (summary.is_snapshot() && !summary.is_damaged());
    } catch (const ab::Error& error) {
      std::cout << path.string() << ": damaged: " << error.what() << '\n';
    }
  }
  if (!has_snapshot)
    std::cerr << "inspect: the folder " << folder.string() << " holds no good snapshot" << std::endl;
  return has_snapshot;
}

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> paths;
  CLI::App app("Shows what snapshots and other safetensors files hold.");
  app.add_option("paths", paths, "files, or folders of them")->required();
  CLI11_PARSE(app, argc, argv);
  bool is_all_good = true;
  for (const auto& path : paths) {
    try {
      is_all_good &= std::filesystem::is_directory(path) ? show_folder(path) : show_file(path);
    } catch (const std::exception& error) {
      std::cerr << "inspect: " << error.what() << std::endl;
      is_all_good = false;
    }
  }
  return is_all_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
