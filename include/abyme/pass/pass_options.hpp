#pragma once

#include <abyme/core/walk.hpp>

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace abyme {

/// What a pass does with a step whose loss or gradients hold NaN or infinity.
enum class NonFinite : std::uint8_t {
  ignore,  ///< doesn't look
  skip,    ///< leaves the step out: parameters and the optimizer's state stay as they are
  stop,    ///< leaves the step out and throws an Error that names the loss and the parameters
};
inline std::string_view toString(NonFinite policy) {
  constexpr std::string_view names[] = {"ignore", "skip", "stop"};
  return names[static_cast<std::size_t>(policy)];
}

/// How a pass computes and updates. All but `channels_last` and `autocast` need an optimizer.
struct PassOptions {
  /// How many batches make a step; the step fires after the last of them, or of the data. Each sample counts
  /// once, in the short window at the end too: losses are taken for means over the samples of their batch.
  std::int64_t accumulate = 1;
  std::optional<double> clip_norm = {};   ///< of all gradients together; PyTorch's clip_grad_norm_
  std::optional<double> clip_value = {};  ///< of each element; comes before `clip_norm`
  /// Keeps an exponential moving average of the parameters, with this decay; see `Averaged`.
  std::optional<double> average = {};
  /// Looks at the loss and all gradients of a step, on the device; the host hears of it one step late.
  NonFinite non_finite = NonFinite::ignore;
  /// Weights and inputs with 4 dimensions are put in the memory order channels-last, with 5 in its twin for
  /// volumes. The batch is an `ab::Batch`, a tensor, a pair of tensors or a `torch::data::Example<>`.
  bool channels_last = false;
  /// The step function computes in this type where LibTorch holds that to be sound: `torch::kBFloat16`, or
  /// `torch::kHalf`, with which the loss is scaled in a training pass.
  std::optional<c10::ScalarType> autocast = {};
  double loss_scale = 65536;  ///< the first; halved by a gradient that overflows, whose step is left out
  std::int64_t loss_scale_interval = 2000;  ///< after so many steps without an overflow it is doubled
  /// Hands the optimizer a function that computes the loss anew, with gradients; LBFGS gets one always.
  bool closure = false;
  /// Updates each parameter as soon as its gradient is there, and frees that: in `backward` the parameters
  /// are updated and gradients are none. Less memory, the same result.
  bool step_in_backward = false;
  bool zero_in_place = false;  ///< gradients are set to 0 where they are, in place of none
};

namespace reflect {

/// The faults of a pass's options.
inline void check(const PassOptions& options, bool updates, bool needs_closure, const Place& place) {
  const bool scales = updates && options.autocast == c10::ScalarType::Half;
  const auto positive = [&](std::string_view name, const std::optional<double>& value) {
    if (value && !(*value > 0))
      place.fault(fmt::format("{} must be greater than 0, got {}; leave it out for none", name, *value));
  };
  positive("clip_norm", options.clip_norm);
  positive("clip_value", options.clip_value);
  positive("loss_scale", options.loss_scale);
  if (options.loss_scale_interval < 1)
    place.fault(fmt::format("loss_scale_interval must be at least 1, got {}; pass 2000",
                            options.loss_scale_interval));
  if (options.accumulate < 1)
    place.fault(fmt::format("accumulate must be at least 1, got {}; pass 1 for a step each batch",
                            options.accumulate));
  if (options.average && !(*options.average >= 0 && *options.average < 1))
    place.fault(
        fmt::format("average must be a decay from 0 to less than 1, got {}; pass 0.999", *options.average));
  if (options.autocast && options.autocast != c10::ScalarType::Half &&
      options.autocast != c10::ScalarType::BFloat16)
    place.fault(fmt::format("autocast must be torch::kBFloat16 or torch::kHalf, got {}; pass one of them",
                            toString(*options.autocast)));

  const struct {
    std::string_view name;
    bool is_on;
  } uses[] = {{"accumulate", options.accumulate > 1},
              {"clip_norm", options.clip_norm.has_value()},
              {"clip_value", options.clip_value.has_value()},
              {"average", options.average.has_value()},
              {"non_finite", options.non_finite != NonFinite::ignore},
              {"closure", options.closure},
              {"step_in_backward", options.step_in_backward},
              {"zero_in_place", options.zero_in_place}};
  for (const auto& [name, is_on] : uses) {
    if (is_on && !updates)
      place.fault(fmt::format("{} is for a training pass, got one without an optimizer; pass that, or leave "
                              "the option out",
                              name));
  }
  const auto apart = [&](std::string_view one, bool is_on, std::string_view other, bool is_other,
                         std::string_view why) {
    if (is_on && is_other)
      place.fault(fmt::format("{} {}, got it with {}; leave one of them out", one, why, other));
  };
  constexpr std::string_view needs_all = "updates a parameter before all gradients are there";
  apart("step_in_backward", options.step_in_backward, "accumulate", options.accumulate > 1, needs_all);
  apart("step_in_backward", options.step_in_backward, "clip_norm", options.clip_norm.has_value(), needs_all);
  apart("step_in_backward", options.step_in_backward, "non_finite", options.non_finite != NonFinite::ignore,
        needs_all);
  apart("step_in_backward", options.step_in_backward, "autocast in float16", scales, needs_all);
  apart("step_in_backward", options.step_in_backward, "a closure", needs_closure, needs_all);
  apart("step_in_backward", options.step_in_backward, "zero_in_place", options.zero_in_place,
        "frees the gradients");
  constexpr std::string_view anew = "computes the loss of its one batch anew";
  apart("a closure", needs_closure, "accumulate", options.accumulate > 1, anew);
  apart("a closure", needs_closure, "autocast in float16", scales, anew);
  apart("autocast in float16", scales, "non_finite", options.non_finite != NonFinite::ignore,
        "leaves out the steps whose gradients are not finite by itself");
}

}  // namespace reflect

}  // namespace abyme
