#pragma once

#include <cstddef>
#include <iterator>

namespace abyme {

/// Makes a range of batches out of a class that gives one after the other.
/// \tparam Self has `void restart()`, which starts a new pass, and `const Batch* pull()`: the next batch,
/// valid until the next call, or null behind the last.
template <class Self, class Batch>
class Pulled {
public:
  /// An input iterator: all iterators of a range share its one position.
  class Iterator {
  public:
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(Pulled& range) : range_(&range) {}
    const Batch& operator*() const { return *range_->batch_; }
    const Batch* operator->() const { return range_->batch_; }
    Iterator& operator++() {
      range_->batch_ = static_cast<Self&>(*range_).pull();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return range_->batch_ == nullptr; }

  private:
    Pulled* range_;
  };

  /// Starts a new pass, also in the middle of one.
  Iterator begin() {
    batch_ = nullptr;
    static_cast<Self&>(*this).restart();
    return ++Iterator(*this);
  }
  std::default_sentinel_t end() const { return {}; }

private:
  const Batch* batch_ = nullptr;
};

}  // namespace abyme
