#pragma once

#include <abyme/save/snapshot.hpp>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace abyme {

/// A run that goes on from the newest good snapshot of a folder, when it is dug.
class Resumption {
public:
  Resumption(std::shared_ptr<GroundNode> ground, std::shared_ptr<SnapshotNode> snapshots,
             ResumeOptions options)
      : ground_(std::move(ground)), snapshots_(std::move(snapshots)), options_(options) {}

  /// As `Ground::dig`, from the start where there is no snapshot. A bad one is named on the standard error
  /// output and passed over. \throws Error where the snapshot is not of this tree, before anything has run
  Outcome dig(DigOptions options = {}) const {
    Run run(ground_);
    const FlushDenormals flush(options.flush_denormals);
    run.restart();
    const auto folder = convert<std::string>(snapshots_->folder.show(*snapshots_));
    if (!folder)
      throw Error(
          fmt::format("{}: the folder must be known when a run goes on, got none from {}; pass a text",
                      snapshots_->name(), snapshots_->folder.text()));
    const auto found = SnapshotFolder(*folder).newest_good(
        [&](const std::string& bad) { fmt::print(stderr, "{}: {}\n", snapshots_->name(), bad); });
    std::function<void(Run&)> begin;
    if (found) {
      begin = [&](Run& started) {
        const auto text = found->content.metadata.find("abyme");
        if (text == found->content.metadata.end())
          throw Error(fmt::format("the file {} must be a snapshot, got plain tensors; load these with "
                                  "ab::load_weights",
                                  found->path.string()));
        apply(started, {found->content.tensors, Record::parse(text->second)}, options_);
        snapshots_->path = found->path.string();
      };
    }
    run.dig(begin, ground_->signals);
    return {ground_->completed, ground_->reason.value_or("")};
  }

private:
  std::shared_ptr<GroundNode> ground_;
  std::shared_ptr<SnapshotNode> snapshots_;
  ResumeOptions options_;
};

template <class Snapshots>
Resumption resume_ground(const std::shared_ptr<GroundNode>& ground, const Snapshots& snapshots,
                         ResumeOptions options) {
  return {ground, snapshots.shared(), options};
}

}  // namespace abyme
