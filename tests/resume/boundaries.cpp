// The program of an example, EXAMPLE, which goes on from every boundary between two children of its tree, in
// a process each. Each run has a folder of its own below $ABYME_FOLDER as the current one:
//
//     whole      is never stopped
//     taking     the same, and takes a snapshot at every boundary
//     from/...   one for each $ABYME_EVERY-th of these, which goes on from it with the files that `taking`
//     has left
//
// There it leaves what it prints in `printed`, the models, optimizers, fields and generators of its end in
// `end.safetensors`, and its own files. boundaries.py compares these.

#include <torch/torch.h>

#include <abyme/abyme.hpp>

#include "support/copy_files.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;

enum class How { whole, taking, going_on };
How how = How::whole;

void write_state(const fs::path& path, abyme::Run& run) {
  const abyme::SnapshotState state = abyme::capture(run);
  abyme::write_snapshot_file(path, state.tensors, state.metadata());
}

// What the tree of the example hangs on. It asks for the next boundary as soon as it was at one: so it says
// that it can't be gone on in, once behind each.
struct EveryBoundaryNode : abyme::GroundNode, abyme::BoundaryTask {
  mutable bool passes = false;
  int count = 0;

  void at_boundary(abyme::Run& run) override {
    if (fs::exists("end.safetensors")) return;
    write_state(fmt::format("snapshots/{:08}.safetensors", ++count), run);
    ask(run);
  }
  void ask(abyme::Run& run) {
    passes = true;
    run.at_boundary(*this);
  }
  bool can_go_on_in(abyme::Step) const override { return !std::exchange(passes, false); }
};

struct Held {  // a handle of a tree that is known as a node
  std::shared_ptr<abyme::GroundNode> node;
  const std::shared_ptr<abyme::GroundNode>& shared() const { return node; }
};

}  // namespace

namespace abyme {

// `ground.dig()` comes here, since this goes before a template.
Outcome dig_ground(const std::shared_ptr<GroundNode>& ground, DigOptions) {
  Handle<EveryBoundaryNode> root;
  const auto begin = [node = root.operator->()](Run& run) {
    if (how == How::taking) node->ask(run);
  };
  root("dig", begin, Held{ground}).at("final", [](Run& run) { write_state("end.safetensors", run); });
  return root.resume(Snapshot("snapshots")).dig();
}

}  // namespace abyme

#include EXAMPLE

namespace {

// Whether this is the process of the run, which goes on to `main`; in the one that began it, it is over.
bool runs(const fs::path& folder, How it_runs) {
  fs::create_directories(folder / "snapshots");
  if (const pid_t child = ::fork(); child != 0) {
    int status = -1;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
    std::fprintf(stderr, "the run in %s fails with the status %d\n", folder.c_str(), status);
    std::_Exit(EXIT_FAILURE);
  }
  how = it_runs;
  fs::current_path(folder);
  return std::freopen("printed", "w", stdout) != nullptr;
}

// Before `main`, where nothing of LibTorch has run yet: so a fork is as good as a program that starts, and
// takes a tenth of its time.
const bool is_run = [] {
  const fs::path folder = std::getenv("ABYME_FOLDER");
  const auto every = std::stoul(std::getenv("ABYME_EVERY"));
  if (runs(folder / "whole", How::whole) || runs(folder / "taking", How::taking)) return true;
  std::vector<fs::path> snapshots;
  for (const auto& entry : fs::directory_iterator(folder / "taking/snapshots"))
    snapshots.push_back(entry.path());
  std::sort(snapshots.begin(), snapshots.end());
  for (std::size_t i = 0; i < snapshots.size(); i += every) {
    const fs::path there = folder / "from" / snapshots[i].stem();
    fs::create_directories(there / "snapshots");
    fs::create_hard_link(snapshots[i], there / "snapshots" / snapshots[i].filename());
    for (const auto& entry : fs::directory_iterator(folder / "taking")) {
      const std::string name = entry.path().filename().string();
      if (name != "snapshots" && name != "end.safetensors" && name != "printed")
        tests::copy_files(entry.path(), there / name);
    }
    if (runs(there, How::going_on)) return true;
  }
  std::_Exit(EXIT_SUCCESS);
}();

}  // namespace
