#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/save/holds.hpp>
#include <abyme/save/snapshot_folder.hpp>
#include <abyme/save/snapshot_state.hpp>
#include <abyme/save/ties.hpp>

#include <ATen/ops/empty.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace abyme {

struct SnapshotOptions {
  std::int64_t keep = 3;  ///< how many of the newest stay
  /// Keeps the best one too, as `best.safetensors`: a value that is compared at each dig, the lowest is best.
  std::optional<Input<double>> best = {};
  bool high_is_better = false;
  bool stop_on_error =
      false;  ///< where it can't be written the run ends with the error, in place of going on
};

/// Writes down the run, so that it can go on from there, bit for bit: where each node is, all state fields,
/// models, optimizers, places in the data, random generators, tables.
///
///     ab::Snapshot snapshots("runs/mnist", {.keep = 3});
///     train_data("iteration_end", train_pass, ab::PeriodicTrigger(50)("dig", snapshots));
///     ground.resume(snapshots).dig();   // from the newest good one, or from the start where there is none
///
/// One file each in its folder, `00000001.safetensors`, `...2...`; written whole or not at all. Where a node
/// above can't be entered again, as a pass with its graph, it is written at the next place where all can. A
/// tree has one. Where it can't be written, the error goes to the standard error output and into the field
/// `error`, and the run goes on. The run waits for the copy of the tensors only; a thread writes them, the
/// next snapshot and the end of the run wait for it.
///
/// No events. Fields: `path` (of the newest that is written, nothing before the first), `error` (of the last
/// attempt that is over, nothing where it was written), `number` (of snapshots so far), `best_value`,
/// `folder`, its options. \throws Error where another run writes to the folder.
class SnapshotNode : public Node, public BoundaryTask {
public:
  using Options = SnapshotOptions;

  Input<std::string> folder;
  Options options;
  std::optional<std::string> path, error;
  std::int64_t number = 0;
  std::optional<double> best_value;
  static constexpr auto fields =
      abyme::fields(state("path", &SnapshotNode::path), field("error", &SnapshotNode::error),
                    state("number", &SnapshotNode::number), state("best_value", &SnapshotNode::best_value),
                    field("folder", &SnapshotNode::folder));

  explicit SnapshotNode(Input<std::string> folder, Options options = {})
      : folder(std::move(folder)), options(std::move(options)) {}

  Step next(Step) override {
    run()->at_boundary(*this);
    return done;
  }

  inline void at_boundary(Run& run) override;  // inline here already: see ~Node
  inline ~SnapshotNode() override {
    if (writer_.joinable()) writer_.join();
  }

  // Two runs are told apart before the first batch, where the folder is known by then.
  void run_started() override {
    if (!folder.constant()) return;
    try {
      files();
    } catch (const FolderTaken&) {
      throw;
    } catch (const Error&) {  // told where a snapshot is to be written
    }
  }
  void run_ended() override {
    try {
      finish();
    } catch (...) {
      files_.reset();
      throw;
    }
    files_.reset();
  }  // another run may write there

  void check(Place& place) const override {
    if (options.keep < 1) place.fault(fmt::format("keep must be at least 1, got {}; pass 3", options.keep));
    for (const Node* node : place.nodes()) {
      if (node != this && dynamic_cast<const SnapshotNode*>(node)) {
        place.fault("a tree has one Snapshot, got two; hang the same one wherever one is to be taken");
        break;
      }
    }
    const Holdings holdings(place.walk());
    for (const std::string& fault : holdings.faults()) place.fault(fault);
    for (const Node* node : place.nodes()) {
      for (const Field& row : node->type().fields) {
        if (row.state && !row.save)
          place.fault(
              fmt::format("a snapshot must be able to hold every state, got {} of {}, whose type has no save "
                          "and load; give it these, or make it a field",
                          row.name, node->name()));
      }
    }
  }

  /// The folder, which is locked from now on. \throws FolderTaken, Error
  SnapshotFolder& files() {
    if (!files_) files_.emplace(read(folder), SnapshotFolderOptions{.keep = options.keep});
    files_->lock();
    return *files_;
  }

private:
  /// Waits until the snapshot before is written. \throws Error as the options say
  inline void finish();
  inline void fail(std::string text);
  inline void copy_to_host(const std::vector<NamedTensor>& tensors);

  std::optional<SnapshotFolder> files_;
  std::int64_t number_before_ = 0;  // before the one that is written
  std::optional<double> best_before_;

  // What the thread that writes has, until it is joined:
  std::thread writer_;
  std::vector<NamedTensor> host_;
  std::string written_;
  std::optional<std::string> failure_;
};

using Snapshot = Handle<SnapshotNode>;

inline void SnapshotNode::at_boundary(Run& running) {
  finish();
  number_before_ = number;
  best_before_ = best_value;
  std::optional<double> value;
  if (options.best) value = options.best->find(*this);  // a mistake here is the program's, not the disk's
  const bool is_best =
      value && !std::isnan(*value) &&
      (!best_value || (options.high_is_better ? *value > *best_value : *value < *best_value));
  try {
    SnapshotFolder& written = files();
    ++number;  // as the run has it that goes on
    if (is_best) best_value = value;
    const SnapshotState state = capture(running);
    auto metadata = state.metadata();
    if (auto ties = ties_text(state.tensors); !ties.empty()) metadata["ties"] = std::move(ties);
    copy_to_host(state.tensors);
    failure_.reset();
    writer_ = std::thread([this, &written, is_best, metadata = std::move(metadata)] {
      try {
        // The best one first: a snapshot that tells of it must find it there.
        if (is_best) written.write_best(host_, metadata);
        written_ = written.write(host_, metadata).string();
      } catch (const std::exception& caught) {
        failure_ = caught.what();
      }
    });
  } catch (const FolderTaken&) {
    throw;
  } catch (const std::exception& caught) {
    fail(caught.what());
  }
}

inline void SnapshotNode::finish() {
  if (!writer_.joinable()) return;
  writer_.join();
  if (failure_) return fail(*std::exchange(failure_, std::nullopt));
  path = written_;
  error.reset();
}

inline void SnapshotNode::fail(std::string text) {
  number = number_before_;
  best_value = best_before_;
  error = std::move(text);
  if (options.stop_on_error) throw Error(*error);
  fmt::print(stderr, "{}: no snapshot was written: {}\n", name(), *error);
}

// Into the memory of the one before, where it fits: new memory costs as much as the copy.
inline void SnapshotNode::copy_to_host(const std::vector<NamedTensor>& tensors) {
  const at::NoGradGuard no_grad;
  std::vector<NamedTensor> copies;
  for (const auto& [tensor_name, tensor] : tensors) {
    const std::size_t place = copies.size();
    at::Tensor* old = place < host_.size() ? &host_[place].tensor : nullptr;
    if (old && old->sizes() == tensor.sizes() && old->scalar_type() == tensor.scalar_type())
      copies.push_back({tensor_name, old->copy_(tensor)});
    else
      copies.push_back(
          {tensor_name, at::empty(tensor.sizes(), tensor.options().device(at::kCPU)).copy_(tensor)});
  }
  host_ = std::move(copies);
}

}  // namespace abyme

#include <abyme/save/resume.hpp>
