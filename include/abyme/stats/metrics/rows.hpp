#pragma once

#include <abyme/stats/metrics/sums.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace abyme::metrics {

/// Rows of tensors, one below the other, on the device of the first. The memory doubles where it is full, so
/// that a row costs the same however many there are. A copy has rows of its own.
class Rows {
public:
  Rows() = default;
  Rows(const Rows& other) { *this = other; }
  Rows& operator=(const Rows& other) {
    if (this != &other) set(other.count_ > 0 ? other.tensor() : at::Tensor());
    return *this;
  }
  Rows(Rows&&) = default;
  Rows& operator=(Rows&&) = default;
  ~Rows() = default;

  /// \param rows [n, ...]; all but n, and the dtype, are those of what was appended first
  void append(const at::Tensor& rows) {
    if (rows.size(0) == 0) return;
    const NoGraph guard;
    const std::int64_t needed = count_ + rows.size(0);
    if (!memory_.defined() || needed > memory_.size(0)) {
      std::vector<std::int64_t> shape = rows.sizes().vec();
      shape[0] = std::max(needed, 2 * count_);
      const at::Tensor larger = (memory_.defined() ? memory_ : rows).new_empty(shape);
      if (count_ > 0) larger.slice(0, 0, count_).copy_(tensor());
      memory_ = larger;
    }
    memory_.slice(0, count_, needed).copy_(rows, /*non_blocking=*/true);
    count_ = needed;
  }

  /// [count, ...]; undefined while there are none.
  at::Tensor tensor() const { return memory_.defined() ? memory_.slice(0, 0, count_) : memory_; }
  std::int64_t count() const { return count_; }

  void save(Kept& kept) const { keep(kept, "rows", tensor()); }
  void load(const Kept& kept) {
    at::Tensor rows;
    put_back(kept, "rows", rows);
    set(rows);
  }

private:
  void set(const at::Tensor& rows) {
    memory_.reset();
    count_ = 0;
    if (rows.defined()) append(rows);
  }

  at::Tensor memory_;  // [at least count, ...]
  std::int64_t count_ = 0;
};

}  // namespace abyme::metrics
