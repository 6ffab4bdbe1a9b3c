#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <abyme/core/kept.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace abyme {

/// Gathers values that may lie on a device: there one copy a value goes into a slot made before, and the
/// slots are folded into what is gathered when they are full or when somebody reads.
/// \tparam Gathered has `add(double value, double weight)`: `Moments`, or a window of values.
template <class Gathered>
class Accumulator {
public:
  static constexpr std::size_t capacity = 256;

  Accumulator() = default;
  Accumulator(const Accumulator& other) : gathered_(other.gathered()) {}
  Accumulator& operator=(const Accumulator& other) {
    gathered_ = other.gathered();
    weights_.clear();  // what waits here is replaced too
    return *this;
  }

  void add(double value, double weight) {
    fold();
    gathered_.add(value, weight);
  }

  /// \param value one element, of any dtype, on any device
  void defer(const at::Tensor& value, double weight) {
    const at::NoGradGuard no_grad;
    if (weights_.size() == capacity || slots_.empty() || slots_[0].device() != value.device()) {
      fold();
      if (slots_.empty() || slots_[0].device() != value.device()) make_slots(value.device());
    }
    slots_[weights_.size()].copy_(value.dim() == 0 ? value : value.view(at::IntArrayRef()),
                                  /*non_blocking=*/true);
    weights_.push_back(weight);
  }

  const Gathered& gathered() const {
    fold();
    return gathered_;
  }
  Gathered& gathered() {
    fold();
    return gathered_;
  }

  void save(Kept& kept) const { keep(kept, "gathered", gathered()); }
  void load(const Kept& kept) {
    weights_.clear();
    put_back(kept, "gathered", gathered_);
  }

private:
  void fold() const {
    if (!weights_.empty()) fold_slots();
  }
  void fold_slots() const {
    const at::Tensor host = all_slots_.slice(0, 0, static_cast<std::int64_t>(weights_.size())).cpu();
    const double* values = host.const_data_ptr<double>();
    for (std::size_t i = 0; i < weights_.size(); ++i) gathered_.add(values[i], weights_[i]);
    weights_.clear();
  }
  void make_slots(at::Device device) {
    all_slots_ =
        at::empty({static_cast<std::int64_t>(capacity)}, at::TensorOptions(at::kDouble).device(device));
    slots_ = all_slots_.unbind();
    weights_.reserve(capacity);
  }

  mutable Gathered gathered_;            // readers fold what waits
  mutable std::vector<double> weights_;  // of the values that wait
  at::Tensor all_slots_;                 // [capacity]
  std::vector<at::Tensor> slots_;        // its elements
};

}  // namespace abyme
