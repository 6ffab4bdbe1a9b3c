#pragma once

#include <ATen/autocast_mode.h>

#include <optional>

namespace abyme {

/// While it lives, LibTorch computes in `dtype` what it holds to be sound in that, on one kind of device and
/// this thread; without a dtype it changes nothing. What was set before is put back.
class Autocast {
public:
  Autocast(std::optional<at::ScalarType> dtype, at::DeviceType device) : is_on_(dtype.has_value()) {
    if (!is_on_) return;
    device_ = device;
    was_enabled_ = at::autocast::is_autocast_enabled(device);
    dtype_before_ = at::autocast::get_autocast_dtype(device);
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::set_autocast_dtype(device, *dtype);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (!is_on_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, was_enabled_);
    at::autocast::set_autocast_dtype(device_, dtype_before_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

private:
  bool is_on_, was_enabled_ = false;
  at::DeviceType device_ = at::kCPU;
  at::ScalarType dtype_before_ = at::kFloat;
};

}  // namespace abyme
