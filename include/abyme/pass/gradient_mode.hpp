#pragma once

#include <c10/core/AutogradState.h>

namespace abyme {

/// While it lives, LibTorch notes what gradients need, or does not, on this thread; what was set before is
/// put back. As `at::AutoGradMode`, but it looks the thread's state up once, in place of three times.
class GradientMode {
public:
  explicit GradientMode(bool on)
      : state_(c10::AutogradState::get_tls_state()), before_(state_.get_grad_mode()) {
    state_.set_grad_mode(on);
  }
  ~GradientMode() { state_.set_grad_mode(before_); }
  GradientMode(const GradientMode&) = delete;
  GradientMode& operator=(const GradientMode&) = delete;

private:
  c10::AutogradState& state_;
  bool before_;
};

}  // namespace abyme
