#pragma once

#include <abyme/core/kept.hpp>
#include <abyme/core/own.hpp>
#include <abyme/core/value.hpp>
#include <abyme/data/batch_size.hpp>

#include <concepts>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

namespace abyme {

/// Something that can be iterated again and again: `begin`, `end`, `*`, `++`, `!=`; less than a standard
/// range asks, so that LibTorch's data loaders are taken too.
template <class R>
concept BatchRange = requires(R& range) {
  std::begin(range) != std::end(range);
  *std::begin(range);
  ++std::declval<decltype(std::begin(range))&>();
};

/// A range of batches with its type erased: what a `DataLooper` draws from.
class Source {
public:
  virtual ~Source() = default;

  /// Starts a new pass over the data.
  virtual void restart() = 0;
  /// The next batch, valid until the next call, or null behind the last.
  virtual const void* next() = 0;
  /// How many batches a pass has, where that is known.
  virtual std::optional<std::int64_t> total() const = 0;
  virtual const TypeId& batch_type() const = 0;
  /// The samples in a batch that `next` gave; 1 where its type does not tell.
  virtual std::int64_t batch_size(const void* batch) const = 0;

  /// What the next pass depends on, such as a generator of its own: for snapshots.
  virtual void save(Kept& kept) const = 0;
  virtual void load(const Kept& kept) = 0;
  /// Whether a batch may depend on the default generator, as those of a sampler or a function do.
  virtual bool may_draw_at_random() const = 0;
  /// How often a range was begun that may draw its order from the default generator, as `torch::data` does.
  virtual std::int64_t orders_drawn() const = 0;
};

template <BatchRange Range>
class RangeSource final : public Source {
  using Iterator = decltype(std::begin(std::declval<Range&>()));
  using Sentinel = decltype(std::end(std::declval<Range&>()));
  using Reference = decltype(*std::declval<Iterator&>());
  using Batch = std::remove_cvref_t<Reference>;

public:
  using BatchType = Batch;

  explicit RangeSource(std::shared_ptr<Range> range) : range_(std::move(range)) {}

  void restart() override {
    // A torch::data loader with workers refuses to start anew before all they are at is drawn.
    if constexpr (requires { range_->options().workers; }) {
      while (at_ && range_->options().workers > 0) draw();
    }
    at_.reset();  // the iterator of the pass before is gone before a new one is made
    end_.reset();
    started_ = false;
  }

  const void* next() override { return draw(); }
  const Batch* draw() {
    if (!started_) {
      started_ = true;
      ++begun_;
      at_.emplace(std::begin(*range_));
      end_.emplace(std::end(*range_));
    } else if (at_) {
      ++*at_;
    }
    if (!at_ || !(*at_ != *end_)) {
      at_.reset();
      return nullptr;
    }
    if constexpr (std::is_lvalue_reference_v<Reference>) {
      return std::addressof(**at_);
    } else {
      drawn_.emplace(**at_);
      return drawn_.operator->();
    }
  }

  std::optional<std::int64_t> total() const override {
    if constexpr (requires { range_->total(); }) return range_->total();
    else if constexpr (requires { std::size(*range_); }) return static_cast<std::int64_t>(std::size(*range_));
    else return std::nullopt;
  }
  const TypeId& batch_type() const override { return type_id<Batch>; }
  std::int64_t batch_size(const void* batch) const override {
    return abyme::batch_size(*static_cast<const Batch*>(batch)).value_or(1);
  }

  // A range of one's own takes part in snapshots with `save` and `load`; where it has nothing to keep, a new
  // pass must give the same batches again.
  void save(Kept& kept) const override {
    if constexpr (reflect::SelfKeeping<Range>) range_->save(kept);
  }
  void load(const Kept& kept) override {
    if constexpr (reflect::SelfKeeping<Range>) range_->load(kept);
  }
  bool may_draw_at_random() const override {
    if constexpr (requires { range_->may_draw_at_random(); }) return range_->may_draw_at_random();
    else return !std::ranges::forward_range<Range>;  // what lies there is there again
  }
  std::int64_t orders_drawn() const override {
    if constexpr (requires { range_->orders_drawn(); }) return range_->orders_drawn();
    else if constexpr (requires { range_->may_draw_at_random(); }) return 0;  // it has a generator of its own
    else return begun_;
  }

private:
  std::shared_ptr<Range> range_;
  std::optional<Iterator> at_;
  std::optional<Sentinel> end_;
  std::optional<Batch> drawn_;  // where the range gives its batches by value
  bool started_ = false;
  std::int64_t begun_ = 0;
};

}  // namespace abyme
