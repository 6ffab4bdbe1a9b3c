#pragma once

#include <ATen/ThreadLocalState.h>

#include <abyme/core/flush_denormals.hpp>
#include <abyme/data/combine.hpp>
#include <abyme/data/to_device.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace abyme {

struct PrefetchOptions {
  std::int64_t depth = 2;  ///< how many batches wait ready at most; at least 1
};

struct PrefetchToDeviceOptions {
  std::int64_t depth = 2;  ///< as in `PrefetchOptions`; the batches that wait are on the device
  at::Device device;       ///< where the tensors of a batch go: `torch::kCUDA` is the current CUDA device
};

/// What `prefetch` makes. The batches are copied out of the source, so that they are handles of tensors.
template <class Range>
class PrefetchedBatches : public Pulled<PrefetchedBatches<Range>, reflect::BatchOf<Range>> {
  using Batch = reflect::BatchOf<Range>;

public:
  PrefetchedBatches(std::shared_ptr<Range> range, PrefetchOptions options)
      : work_(std::make_unique<Work>(std::move(range), static_cast<std::size_t>(reflect::at_least(
                                                           1, options.depth, "prefetch", "depth")))) {}
  PrefetchedBatches(PrefetchedBatches&&) = default;
  PrefetchedBatches& operator=(PrefetchedBatches&&) = default;

  void restart() {
    batch_.reset();
    work_->restart();
  }
  const Batch* pull() {
    batch_.reset();  // before the next one is there: its buffer may be the one that the source needs
    batch_ = work_->take();
    return batch_ ? batch_.operator->() : nullptr;
  }
  std::optional<std::int64_t> total() const { return work_->total; }

  void save(Kept& kept) const { work_->idle_source().save(kept); }
  void load(const Kept& kept) { work_->idle_source().load(kept); }
  bool may_draw_at_random() const { return work_->may_draw_at_random(); }

private:
  // Shared by two threads, so it has one address.
  class Work {
  public:
    Work(std::shared_ptr<Range> range, std::size_t depth)
        : total(RangeSource<Range>(range).total()), source_(std::move(range)), depth_(depth) {}
    ~Work() { stop(); }

    void restart() {
      stop();
      source_.restart();
      ready_.clear();
      over_ = false;
      stopped_ = false;
      error_ = nullptr;
      // What holds in the thread that asks holds where the work is done: gradients off, denormals flushed.
      thread_ = std::thread([this, state = at::ThreadLocalState(), flush = FlushDenormals::is_on()] {
        const at::ThreadLocalStateGuard as_there(state);
        const FlushDenormals flushed(flush);
        draw_all();
      });
    }

    std::optional<Batch> take() {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !ready_.empty() || over_; });
      if (ready_.empty()) {
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
        return std::nullopt;
      }
      std::optional<Batch> batch(std::move(ready_.front()));
      ready_.pop_front();
      lock.unlock();
      changed_.notify_all();
      return batch;
    }

    /// Whoever asks for it between two passes ends the one before.
    RangeSource<Range>& idle_source() {
      stop();
      return source_;
    }
    bool may_draw_at_random() const { return source_.may_draw_at_random(); }

    const std::optional<std::int64_t> total;

  private:
    void draw_all() {
      try {
        while (const Batch* batch = source_.draw()) {
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [this] { return ready_.size() < depth_ || stopped_; });
          if (stopped_) return;
          ready_.push_back(*batch);
          lock.unlock();
          changed_.notify_all();
        }
      } catch (...) {
        const std::lock_guard lock(mutex_);
        error_ = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex_);
        over_ = true;
      }
      changed_.notify_all();
    }
    void stop() {
      if (!thread_.joinable()) return;
      {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
      }
      changed_.notify_all();
      thread_.join();
    }

    RangeSource<Range> source_;
    std::size_t depth_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Batch> ready_;
    std::exception_ptr error_;
    bool over_ = false, stopped_ = false;
    std::thread thread_;
  };

  std::unique_ptr<Work> work_;
  std::optional<Batch> batch_;
};

/// The same batches in the same order, drawn by a thread of their own while others are computed with. For
/// sources that take their time: files, `map` with costly functions; a `TensorBatches` alone is faster
/// without. An exception of the source comes out where its batch would have come; a pass that is left in the
/// middle, or started anew, stops the thread. \throws Error where depth is less than 1.
template <class Data>
auto prefetch(Data&& data, PrefetchOptions options = {}) {
  return PrefetchedBatches<reflect::RangeOf<Data>>(own_or_borrow(std::forward<Data>(data)), options);
}

/// The same, with the tensors of each batch copied to a device ahead, `torch::kCPU` too. On CUDA the thread
/// pins them and copies on a stream of its own, while the device computes; the stream that is the current one
/// where the batch is drawn waits for the copy, the host does not.
///
///     ab::DataLooper data(ab::prefetch(ab::TensorBatches(images, labels), {.device = torch::kCUDA}));
///
/// A batch is a tensor, a pair, tuple, range or optional of such, a `torch::data::Example`, or an aggregate
/// like `ab::Batch`; what else is in it stays as it is. \throws Error where depth is less than 1, or LibTorch
/// does not see the device.
template <class Data>
auto prefetch(Data&& data, PrefetchToDeviceOptions options) {
  using Batch = reflect::BatchOf<reflect::RangeOf<Data>>;
  static_assert(reflect::HoldsTensors<Batch>,
                "the batches that go to a device must hold tensors: map them, or leave out the device");
  const DeviceSender sender(options.device, "prefetch");
  auto sent =
      abyme::map(std::forward<Data>(data), [sender](const Batch& batch) { return sender.send(batch); });
  return abyme::map(abyme::prefetch(std::move(sent), PrefetchOptions{.depth = options.depth}),
                    [sender](const SentBatch<Batch>& batch) { return sender.receive(batch); });
}

}  // namespace abyme
