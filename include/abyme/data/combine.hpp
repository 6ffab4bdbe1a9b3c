#pragma once

#include <fmt/format.h>

#include <abyme/core/error.hpp>
#include <abyme/data/pulled.hpp>
#include <abyme/data/source.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

/// Ranges of batches made of other ones: mapped, cut off, repeated, chained, shared out. Each takes any range
/// of batches and is one itself, so that they nest. A range given as an rvalue is owned, a `shared_ptr`
/// shared, an lvalue borrowed.

namespace abyme {

namespace reflect {
template <class Data>
using RangeOf = std::remove_reference_t<decltype(*own_or_borrow(std::declval<Data>()))>;
template <class Range>
using BatchOf = typename RangeSource<Range>::BatchType;

inline std::int64_t at_least(std::int64_t least, std::int64_t given, const char* who, const char* what) {
  if (given < least) throw Error(fmt::format("{}: {} must be at least {}, got {}", who, what, least, given));
  return given;
}

/// What is alike in ranges that draw their batches from one other range, `source_`: their place in the data
/// is the place of that.
template <class Self, class Range, class Batch>
class Drawing : public Pulled<Self, Batch> {
public:
  void save(Kept& kept) const { source_.save(kept); }
  void load(const Kept& kept) { source_.load(kept); }
  bool may_draw_at_random() const { return source_.may_draw_at_random(); }
  std::int64_t orders_drawn() const { return source_.orders_drawn(); }

protected:
  explicit Drawing(std::shared_ptr<Range> range) : source_(std::move(range)) {}
  RangeSource<Range> source_;
};
}  // namespace reflect

/// What `map` makes.
template <class Range, class Function>
class MappedBatches
    : public reflect::Drawing<
          MappedBatches<Range, Function>, Range,
          std::remove_cvref_t<std::invoke_result_t<Function&, const reflect::BatchOf<Range>&>>> {
  using Base = typename MappedBatches::Drawing;
  using Base::source_;

public:
  MappedBatches(std::shared_ptr<Range> range, Function function)
      : Base(std::move(range)), function_(std::move(function)) {}
  void restart() { source_.restart(); }
  auto* pull() {
    mapped_.reset();  // before the next one is there: its buffer may be the one that the source needs
    if (const auto* batch = source_.draw()) mapped_.emplace(std::invoke(function_, *batch));
    return mapped_ ? std::as_const(mapped_).operator->() : nullptr;
  }
  std::optional<std::int64_t> total() const { return source_.total(); }

  bool may_draw_at_random() const { return true; }  // as a function may that changes images

private:
  Function function_;
  std::optional<std::remove_cvref_t<std::invoke_result_t<Function&, const reflect::BatchOf<Range>&>>> mapped_;
};

/// What `take` makes.
template <class Range>
class TakenBatches : public reflect::Drawing<TakenBatches<Range>, Range, reflect::BatchOf<Range>> {
  using Base = typename TakenBatches::Drawing;
  using Base::source_;

public:
  TakenBatches(std::shared_ptr<Range> range, std::int64_t count)
      : Base(std::move(range)), count_(reflect::at_least(0, count, "take", "count")) {}
  void restart() {
    source_.restart();
    taken_ = 0;
  }
  const reflect::BatchOf<Range>* pull() { return taken_++ < count_ ? source_.draw() : nullptr; }
  std::optional<std::int64_t> total() const {
    const auto all = source_.total();
    return all ? std::optional(std::min(*all, count_)) : std::nullopt;
  }

private:
  std::int64_t count_, taken_ = 0;
};

/// What `repeat` makes.
template <class Range>
class RepeatedBatches : public reflect::Drawing<RepeatedBatches<Range>, Range, reflect::BatchOf<Range>> {
  using Base = typename RepeatedBatches::Drawing;
  using Base::source_;

public:
  RepeatedBatches(std::shared_ptr<Range> range, std::int64_t times)
      : Base(std::move(range)), times_(reflect::at_least(0, times, "repeat", "times")) {}
  void restart() {
    started_ = 0;
    empty_ = false;
  }
  const reflect::BatchOf<Range>* pull() {
    for (;;) {
      if (const auto* batch = started_ > 0 ? source_.draw() : nullptr) {
        empty_ = false;
        return batch;
      }
      if (started_ == times_ || empty_) return nullptr;
      ++started_;
      empty_ = true;  // or data without batches would be gone through for ever
      source_.restart();
    }
  }
  std::optional<std::int64_t> total() const {
    const auto once = source_.total();
    if (!once || (*once > 0 && times_ > std::numeric_limits<std::int64_t>::max() / *once))
      return std::nullopt;
    return *once * times_;
  }

private:
  std::int64_t times_, started_ = 0;
  bool empty_ = false;  // whether this time has given no batch so far
};

/// What `chain` makes.
template <class Batch>
class ChainedBatches : public Pulled<ChainedBatches<Batch>, Batch> {
public:
  explicit ChainedBatches(std::vector<std::unique_ptr<Source>> sources) : sources_(std::move(sources)) {}
  void restart() {
    at_ = 0;
    if (!sources_.empty()) sources_[0]->restart();
  }
  const Batch* pull() {
    while (at_ < sources_.size()) {
      if (const void* batch = sources_[at_]->next()) return static_cast<const Batch*>(batch);
      if (++at_ < sources_.size()) sources_[at_]->restart();
    }
    return nullptr;
  }
  std::optional<std::int64_t> total() const {
    std::int64_t sum = 0;
    for (const auto& source : sources_) {
      const auto each = source->total();
      if (!each) return std::nullopt;
      sum += *each;
    }
    return sum;
  }

  void save(Kept& kept) const {
    for (std::size_t i = 0; i < sources_.size(); ++i) kept.save_part(std::to_string(i), *sources_[i]);
  }
  void load(const Kept& kept) {
    for (std::size_t i = 0; i < sources_.size(); ++i) sources_[i]->load(kept.part(std::to_string(i)));
  }
  bool may_draw_at_random() const {
    return std::ranges::any_of(sources_, [](const auto& source) { return source->may_draw_at_random(); });
  }
  std::int64_t orders_drawn() const {
    std::int64_t sum = 0;
    for (const auto& source : sources_) sum += source->orders_drawn();
    return sum;
  }

private:
  std::vector<std::unique_ptr<Source>> sources_;
  std::size_t at_ = 0;
};

/// What `split` makes.
template <class Range>
class SplitBatches : public reflect::Drawing<SplitBatches<Range>, Range, reflect::BatchOf<Range>> {
  using Base = typename SplitBatches::Drawing;
  using Base::source_;

public:
  SplitBatches(std::shared_ptr<Range> range, std::int64_t rank, std::int64_t world_size)
      : Base(std::move(range)),
        rank_(rank),
        world_size_(reflect::at_least(1, world_size, "split", "world_size")) {
    if (rank < 0 || rank >= world_size)
      throw Error(
          fmt::format("split: rank must be from 0 to world_size - 1 = {}, got {}", world_size - 1, rank));
  }
  void restart() {
    source_.restart();
    skip_ = rank_;
  }
  const reflect::BatchOf<Range>* pull() {
    for (; skip_ > 0; --skip_) {
      if (!source_.draw()) return nullptr;
    }
    skip_ = world_size_ - 1;
    return source_.draw();
  }
  std::optional<std::int64_t> total() const {
    const auto all = source_.total();
    return all ? std::optional((*all - rank_ + world_size_ - 1) / world_size_) : std::nullopt;
  }

private:
  std::int64_t rank_, world_size_, skip_ = 0;
};

/// `function(batch)` for each batch; what it returns is the new batch, of any type.
template <class Data, class Function>
auto map(Data&& data, Function function) {
  return MappedBatches<reflect::RangeOf<Data>, Function>(own_or_borrow(std::forward<Data>(data)),
                                                         std::move(function));
}
/// The first `count` batches of each pass. \throws Error where count is below 0.
template <class Data>
auto take(Data&& data, std::int64_t count) {
  return TakenBatches<reflect::RangeOf<Data>>(own_or_borrow(std::forward<Data>(data)), count);
}
/// `times` passes over the data in one: each shuffled anew where the data is. \throws Error where times is
/// below 0.
template <class Data>
auto repeat(Data&& data, std::int64_t times) {
  return RepeatedBatches<reflect::RangeOf<Data>>(own_or_borrow(std::forward<Data>(data)), times);
}
/// One range behind the other; all have batches of one type.
template <class First, class... Others>
auto chain(First&& first, Others&&... others) {
  using Batch = reflect::BatchOf<reflect::RangeOf<First>>;
  static_assert((std::same_as<Batch, reflect::BatchOf<reflect::RangeOf<Others>>> && ...),
                "the ranges that are chained must have batches of one type: map some of them");
  std::vector<std::unique_ptr<Source>> sources;
  const auto add = [&]<class Range>(std::shared_ptr<Range> range) {
    sources.push_back(std::make_unique<RangeSource<Range>>(std::move(range)));
  };
  add(own_or_borrow(std::forward<First>(first)));
  (add(own_or_borrow(std::forward<Others>(others))), ...);
  return ChainedBatches<Batch>(std::move(sources));
}
/// Every `world_size`-th batch, from number `rank` on: the share of one of several workers, which draw from
/// sources with one seed. Shares differ by one batch at most. \throws Error where rank is not from 0 to
/// world_size - 1.
template <class Data>
auto split(Data&& data, std::int64_t rank, std::int64_t world_size) {
  return SplitBatches<reflect::RangeOf<Data>>(own_or_borrow(std::forward<Data>(data)), rank, world_size);
}

}  // namespace abyme
