#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/randperm_ops.h>
#include <fmt/format.h>

#include <abyme/core/error.hpp>
#include <abyme/core/kept.hpp>
#include <abyme/data/batch.hpp>
#include <abyme/data/generator_state.hpp>
#include <abyme/data/row_buffers.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>

namespace abyme {

struct TensorBatchesOptions {
  std::int64_t batch_size = 64;
  bool shuffle = true;     ///< a new order in each epoch; otherwise the order of the data
  std::uint64_t seed = 0;  ///< of the source's own generator; `torch::manual_seed` does not touch it
  bool drop_last = false;  ///< leave out a last batch that is not full
};

/// Batches out of tensors in memory, as a range: `for (const ab::Batch& batch : source)` is one epoch.
///
///     ab::TensorBatches train(images, labels, {.batch_size = 64, .seed = 1});
///
/// `inputs` [samples, ...] and `targets` [samples, ...] are of any dtype and shape behind the first
/// dimension, on one device; the batches are on it too (move the data first: `images.to(device)`). The
/// tensors are shared, not copied. A shuffled batch is one indexed read of each tensor, into a buffer that is
/// used again once nobody holds a tensor of it any more: neither a graph, nor a field, nor the user. Without
/// shuffle it is a *view* of the data, so don't write into it.
///
/// `begin()` starts a new epoch, also in the middle of one. Epoch k has the k-th order that Python's
/// `torch.randperm(samples, generator=torch.Generator().manual_seed(seed))` draws. A batch is valid until the
/// next draw; its tensors can be kept. No samples: no batches. \throws Error from the constructor.
class TensorBatches {
public:
  using Options = TensorBatchesOptions;

  /// An input iterator: all iterators of a source share its one position.
  class Iterator {
  public:
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(TensorBatches& source) : source_(&source) {}
    const Batch& operator*() const { return source_->batch_; }
    const Batch* operator->() const { return &source_->batch_; }
    Iterator& operator++() {
      source_->first_ += source_->options_.batch_size;
      source_->draw();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return source_->first_ >= source_->end_; }

  private:
    TensorBatches* source_;
  };

  TensorBatches(at::Tensor inputs, at::Tensor targets, Options options = {})
      : samples_(checked(inputs, targets)),
        options_(options),
        device_(inputs.device()),
        inputs_(std::move(inputs)),
        targets_(std::move(targets)) {
    if (options_.batch_size < 1)
      throw Error(fmt::format(
          "TensorBatches: batch_size must be at least 1, got {}; pass inputs.size(0) for one batch an epoch",
          options_.batch_size));
    end_ = options_.drop_last ? samples() - samples() % options_.batch_size : samples();
  }
  // Moved, not copied: two sources on one generator would disturb each other.
  TensorBatches(TensorBatches&&) = default;
  TensorBatches& operator=(TensorBatches&&) = default;

  /// Starts an epoch: draws its order and its first batch.
  Iterator begin() {
    if (options_.shuffle)  // at::randperm; its public header would cost every file 2.4 s
      order_ = at::_ops::randperm_generator::call(samples(), generator_, at::kLong, {}, {}, {}).to(device_);
    first_ = 0;
    draw();
    return Iterator(*this);
  }
  std::default_sentinel_t end() const { return {}; }

  /// Batches in an epoch.
  std::int64_t size() const { return end_ / options_.batch_size + (end_ % options_.batch_size != 0); }
  /// Samples in the data.
  std::int64_t samples() const { return samples_; }
  const Options& options() const { return options_; }

  /// What its next epoch depends on: the state of its generator.
  void save(Kept& kept) const {
    kept.add("generator", generator_state(generator_));
    kept.data["samples"] = samples();
    kept.data["batch_size"] = options_.batch_size;
  }
  /// \throws Error where the data is other data
  void load(const Kept& kept) {
    for (const auto& [name, here] : {std::pair{"samples", samples()}, {"batch_size", options_.batch_size}}) {
      if (const auto there = kept.data.at(name).as<std::int64_t>(); there != here)
        throw Error(
            fmt::format("TensorBatches: {} must be {} as in the snapshot, got {}; give it what it had, or "
                        "start anew",
                        name, there, here));
    }
    set_generator_state(generator_, kept.tensor("generator"));
  }
  bool may_draw_at_random() const { return false; }

private:
  void draw() {
    if (first_ >= end_) return;  // the last batch stays valid behind the end of the epoch
    const auto length = std::min(options_.batch_size, end_ - first_);
    batch_ = {};  // its buffers may be the ones that are free
    if (options_.shuffle) {
      batch_ = {inputs_.gather(order_, first_, length), targets_.gather(order_, first_, length)};
    } else {
      batch_ = {inputs_.view(first_, length), targets_.view(first_, length)};
    }
  }

  static std::int64_t checked(const at::Tensor& inputs, const at::Tensor& targets) {
    for (const auto& [name, tensor] : {std::pair{"inputs", &inputs}, std::pair{"targets", &targets}}) {
      if (!tensor->defined() || tensor->dim() == 0)
        throw Error(fmt::format("TensorBatches: {} must be [samples, ...], got {}; unsqueeze a single sample",
                                name,
                                tensor->defined() ? "a tensor without dimensions" : "an undefined tensor"));
      if (tensor->layout() != at::kStrided)
        throw Error(fmt::format("TensorBatches: {} must be dense, got {}; make them so with .to_dense()",
                                name, c10::str(tensor->layout())));
    }
    if (inputs.size(0) != targets.size(0))
      throw Error(
          fmt::format("TensorBatches: inputs and targets must hold the same number of samples, got {} and "
                      "{}; give one target for each input",
                      inputs.size(0), targets.size(0)));
    if (inputs.device() != targets.device())
      throw Error(
          fmt::format("TensorBatches: inputs and targets must be on one device, got {} and {}; move one with "
                      ".to(device)",
                      inputs.device().str(), targets.device().str()));
    return inputs.size(0);
  }

  std::int64_t samples_;
  Options options_;
  at::Device device_;
  RowBuffers inputs_, targets_;
  at::Generator generator_ = at::detail::createCPUGenerator(options_.seed);
  at::Tensor order_;        // of this epoch, [samples] int64 on the data's device
  std::int64_t first_ = 0;  // the place in the order where the current batch begins
  std::int64_t end_ = 0;    // the place where the epoch ends
  Batch batch_;
};

}  // namespace abyme
