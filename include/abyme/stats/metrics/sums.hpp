#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <abyme/core/kept.hpp>

namespace abyme::metrics {

/// While it lives, tensors are made without a graph, and can be written to later, also where LibTorch's
/// inference mode holds.
struct NoGraph {
  c10::InferenceMode no_inference_mode{false};
  at::NoGradGuard no_grad{};  // behind the line above, which allows gradients
};

/// Sums in float64 on the device of what is added. They grow in place; a copy has numbers of its own.
class Sums {
public:
  Sums() = default;
  Sums(const Sums& other) : sums_(copy_of(other.sums_)) {}
  Sums& operator=(const Sums& other) {
    if (this != &other) sums_ = copy_of(other.sums_);
    return *this;
  }
  Sums(Sums&&) = default;
  Sums& operator=(Sums&&) = default;
  ~Sums() = default;

  /// \param more of any dtype; its shape is that of what was added first
  void add(const at::Tensor& more) {
    const NoGraph guard;
    if (!sums_.defined()) sums_ = more.to(more.options().dtype(at::kDouble), false, /*copy=*/true).detach();
    else sums_.add_(more.device() == sums_.device() ? more : more.to(sums_.device()));
  }
  void add(const Sums& other) {
    if (other.sums_.defined()) add(other.sums_);
  }

  /// Undefined before anything was added. Whoever writes to it adds to the sums.
  const at::Tensor& tensor() const { return sums_; }

  /// The one sum that there is; 0 before anything was added. Waits for the device.
  double number() const { return sums_.defined() ? sums_.item().toDouble() : 0; }

  void save(Kept& kept) const { keep(kept, "sums", sums_); }
  void load(const Kept& kept) {
    at::Tensor sums;
    put_back(kept, "sums", sums);
    sums_ = copy_of(sums);
  }

private:
  static at::Tensor copy_of(const at::Tensor& tensor) {
    const NoGraph guard;
    return tensor.defined() ? tensor.clone() : tensor;
  }

  at::Tensor sums_;
};

}  // namespace abyme::metrics
