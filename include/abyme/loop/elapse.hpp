#pragma once

#include <abyme/core/own.hpp>
#include <abyme/data/source.hpp>
#include <abyme/time/period.hpp>

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace abyme {

struct ElapseOptions {
  Elapsed initial = {};             ///< what was done before
  std::optional<Period> stop = {};  ///< ends behind the batch that reaches it
};

/// One batch of `elapse`, and what was finished before it.
template <class Batch>
struct ElapsedBatch {
  Elapsed elapsed;
  const Batch& batch;  ///< valid until the next one
};

namespace reflect {
struct SamplesIn {
  template <class Batch>
  std::int64_t operator()(const Batch& batch) const {
    return abyme::batch_size(batch).value_or(1);
  }
};
}  // namespace reflect

/// What `elapse` returns: a range that is passed once.
template <class Range, class BatchSize>
class ElapsedBatches {
  using Source = RangeSource<Range>;
  using Batch = typename Source::BatchType;

public:
  ElapsedBatches(std::shared_ptr<Range> range, ElapseOptions options, BatchSize batch_size)
      : source_(std::move(range)), options_(std::move(options)), batch_size_(std::move(batch_size)) {}

  class Iterator {
  public:
    explicit Iterator(ElapsedBatches& batches) : batches_(&batches) {}
    ElapsedBatch<Batch> operator*() const { return {batches_->elapsed_, *batches_->batch_}; }
    Iterator& operator++() {
      batches_->advance();
      return *this;
    }
    bool operator!=(std::default_sentinel_t) const { return batches_->batch_ != nullptr; }
    bool operator==(std::default_sentinel_t) const { return batches_->batch_ == nullptr; }

  private:
    ElapsedBatches* batches_;
  };

  Iterator begin() {
    elapsed_ = options_.initial;
    source_.restart();
    batch_ = source_.draw();
    return Iterator(*this);
  }
  std::default_sentinel_t end() const { return {}; }

private:
  void advance() {
    elapsed_ = elapsed_.update(static_cast<std::int64_t>(batch_size_(*batch_)));
    batch_ = options_.stop && options_.stop->reached(elapsed_) ? nullptr : source_.draw();
  }

  Source source_;
  ElapseOptions options_;
  BatchSize batch_size_;
  Elapsed elapsed_;
  const Batch* batch_ = nullptr;
};

/// The batches of any range, each with what was finished before it, for loops by hand:
///
///     for (const auto& [elapsed, batch] : ab::elapse(data, {.stop = ab::steps(1000)})) ...
///
/// The first has `initial`. Behind each batch steps grow by one, samples by the batch's, then the stop is
/// asked; where it is reached no further batch is drawn: a stop that has passed before still gives one.
/// \param data as in `DataLooper`; \param batch_size the samples in a batch, `ab::batch_size` unless given
template <class Data, class BatchSize = reflect::SamplesIn>
  requires BatchRange<std::remove_reference_t<decltype(*own_or_borrow(std::declval<Data>()))>>
auto elapse(Data&& data, ElapseOptions options = {}, BatchSize batch_size = {}) {
  auto range = own_or_borrow(std::forward<Data>(data));
  using Range = std::remove_reference_t<decltype(*range)>;
  return ElapsedBatches<Range, BatchSize>(std::move(range), std::move(options), std::move(batch_size));
}

}  // namespace abyme
