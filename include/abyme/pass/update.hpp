#pragma once

#include <abyme/core/error.hpp>
#include <abyme/optim/each_parameter.hpp>
#include <abyme/optim/fused.hpp>
#include <abyme/optim/gradients.hpp>
#include <abyme/optim/late_flags.hpp>
#include <abyme/optim/loss_scale.hpp>
#include <abyme/optim/weight_average.hpp>
#include <abyme/pass/pass_options.hpp>

#include <ATen/ops/full_like.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/nn/module.h>
#include <torch/optim/lbfgs.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

/// What a training pass does from the loss to the new weights, as its options say.
class Update {
public:
  Update(std::shared_ptr<torch::nn::Module> model, std::shared_ptr<torch::optim::Optimizer> optimizer,
         const PassOptions& options)
      : model_(std::move(model)), optimizer_(std::move(optimizer)), options_(options) {
    can_skip_ = dynamic_cast<optim::CanSkip*>(optimizer_.get());
    needs_closure_ = options.closure || dynamic_cast<torch::optim::LBFGS*>(optimizer_.get());
    if (options.average) average_.emplace(*options.average);
    if (options.autocast == at::kHalf) scale_.emplace(options.loss_scale, options.loss_scale_interval);
  }

  void run_started() {
    window_ = {};
    late_.forget();
  }

  /// Before a batch: gradients are none, or 0, where a window opens.
  void begin() {
    if (window_.batches == 0) optimizer_->zero_grad(/*set_to_none=*/!options_.zero_in_place);
  }

  /// Computes the gradients. \param samples in the batch, nothing where that is not known
  void back(const at::Tensor& loss, std::optional<std::int64_t> samples) {
    const auto count = static_cast<double>(samples.value_or(1));
    if (window_.batches++ == 0) window_.unit = count;
    const double weight = window_.unit > 0 ? count / window_.unit : 1;  // 1 for all but a short last batch
    window_.weight += weight;
    const StepInBackward stepping(*this);
    const at::Tensor from = scale_ ? scale_->scaled(loss) : loss;
    from.backward(weight == 1 ? at::Tensor() : at::full_like(from, weight));
  }

  /// Whether the window is full, or over. \param is_last whether this was the data's last batch
  bool is_due(bool is_last) const { return window_.batches >= options_.accumulate || is_last; }

  /// Updates the parameters. \param loss of the last batch, without graph; \param loss_anew computes it
  /// again, with a graph. \return how many steps it has found out to be left out \throws Error for such a
  /// step where the options say `stop`
  std::int64_t step(const at::Tensor& loss, const std::function<at::Tensor()>& loss_anew) {
    const double share = window_.weight > 0 ? 1 / window_.weight : 1;
    window_ = {};
    const std::int64_t skipped = hear();
    bool is_skipped = false;
    if (!options_.step_in_backward) {
      const at::NoGradGuard no_grad;
      is_skipped = !prepare(loss, share);
      if (is_skipped) report(&loss);
      else if (needs_closure_) step_with_closure(loss, loss_anew);
      else optimizer_->step();
      gradients_.release();
    }
    if (average_ && !is_skipped) average_->update(*optimizer_);
    return skipped + is_skipped;
  }

  /// Reads what the device has found in the step before. \return 1 where that was left out, otherwise 0
  std::int64_t hear() {
    flags_ = late_.take();
    if (!flags_.defined() || !flags_.any().item().toBool()) return 0;
    can_skip_->step_was_skipped();
    if (gradients_.count() == 0) gradients_.gather(*optimizer_);  // a run went on with this step
    report(nullptr);
    return 1;
  }

  /// What a snapshot holds beside the model and the optimizer: the averages, the scale, what the device has
  /// found in the last step, and the gradients of a step whose batches are not all there.
  void save(Kept& kept) {
    kept.data["batches"] = window_.batches;
    kept.data["unit"] = window_.unit;
    kept.data["weight"] = window_.weight;
    if (window_.batches > 0)
      optim::each_parameter(*optimizer_, [&, i = 0](const at::Tensor& parameter) mutable {
        kept.add(fmt::format("gradient.{}", i++), parameter.grad());
      });
    kept.add("norm", norm_);
    late_.save(kept);
    if (scale_) kept.save_part("scale", *scale_);
    if (average_) kept.save_part("average", *average_);
  }
  void load(const Kept& kept) {
    window_.batches = kept.data.at("batches").as<std::int64_t>();
    window_.unit = kept.data.at("unit").number();
    window_.weight = kept.data.at("weight").number();
    at::Device device = at::kCPU;
    optim::each_parameter(*optimizer_, [&, i = 0](const at::Tensor& parameter) mutable {
      device = parameter.device();
      const at::Tensor gradient = kept.tensor(fmt::format("gradient.{}", i++));
      parameter.mutable_grad() =
          gradient.defined() ? optim::in_order_of(parameter, gradient.to(device)) : gradient;
    });
    norm_ = kept.tensor("norm");
    if (norm_.defined()) norm_ = norm_.to(device);
    late_.load(kept);
    if (scale_ && kept.data.find("scale")) scale_->load(kept.part("scale"), device);
    if (average_ && kept.data.find("average")) average_->load(kept.part("average"), *optimizer_);
  }

  bool needs_closure() const { return needs_closure_; }
  const std::shared_ptr<torch::optim::Optimizer>& optimizer() const { return optimizer_; }
  std::optional<optim::WeightAverage>& average() { return average_; }
  /// Of all gradients before they were clipped; undefined without `clip_norm`, and before the first step.
  const at::Tensor& norm() const { return norm_; }
  at::Tensor scale() const { return scale_ ? scale_->scale() : at::Tensor(); }

private:
  struct Window {  // of batches that make a step
    std::int64_t batches = 0;
    double unit = 1;    // samples in its first batch
    double weight = 0;  // samples so far, in units
  };

  // While it lives, each parameter is updated when its gradient is there, where the options say so.
  class StepInBackward {
  public:
    explicit StepInBackward(Update& update) : update_(update.options_.step_in_backward ? &update : nullptr) {
      exchange([&] { return std::make_unique<Hook>(update); });
    }
    ~StepInBackward() {
      exchange([] { return nullptr; });
    }
    StepInBackward(const StepInBackward&) = delete;
    StepInBackward& operator=(const StepInBackward&) = delete;

  private:
    struct Hook final : torch::autograd::PostAccumulateGradHook {
      explicit Hook(Update& update) : update(update) {}
      void operator()(const at::Tensor& parameter) override {
        if (const auto& most = update.options_.clip_value) {
          const at::NoGradGuard no_grad;
          parameter.mutable_grad().clamp_(-*most, *most);
        }
        update.optimizer_->step();  // of all others the gradient is none
        parameter.mutable_grad().reset();
      }
      Update& update;
    };
    template <class MakeHook>
    void exchange(MakeHook make) {
      if (!update_) return;
      optim::each_parameter(*update_->optimizer_, [&](const at::Tensor& parameter) {
        torch::autograd::impl::set_post_acc_grad_hooks(parameter, make());
      });
    }
    Update* update_;
  };

  // Makes the gradients those of the step. False where it must be left out, as far as is known now.
  bool prepare(const at::Tensor& loss, double share) {
    const bool looks = options_.non_finite != NonFinite::ignore;
    if (!scale_ && share == 1 && !looks && !options_.clip_norm && !options_.clip_value) return true;
    gradients_.gather(*optimizer_);
    at::Tensor found;  // [1], not 0 where the step must be left out
    if (scale_) {
      found = scale_->unscale(gradients_, share);
      scale_->update(found);
      flags_.reset();
    } else {
      if (share != 1) gradients_.scale(share);
      if (looks) {
        flags_ = not_finite(loss);
        found = flags_.any().to(at::kFloat).view({1});
      }
    }
    clip();
    if (!found.defined()) return true;
    if (found.is_cpu() || !can_skip_) return number(found) == 0;
    can_skip_->skip_where(found);
    late_.put(flags_.defined() ? flags_ : found.to(at::kBool));
    return true;
  }

  void clip() {
    if (options_.clip_value) gradients_.clip_value(*options_.clip_value);
    if (options_.clip_norm) norm_ = gradients_.clip_norm(*options_.clip_norm);
  }

  // [1 + gradients], bool: of the loss, then of each gradient.
  at::Tensor not_finite(const at::Tensor& loss) const {
    std::vector<at::Tensor> largest = gradients_.largest();
    largest.insert(largest.begin(), loss.reshape({}));
    for (at::Tensor& each : largest) each = each.to(largest.back().options());
    return at::_ops::stack::call(largest, 0).isfinite().logical_not();
  }

  // \param loss of the step, null where that is gone
  void report(const at::Tensor* loss) const {
    if (options_.non_finite != NonFinite::stop) return;
    const at::Tensor flags = flags_.cpu();
    std::string names;
    std::int64_t count = 0;
    for (std::int64_t i = 1; i < flags.size(0); ++i) {
      if (!flags[i].item().toBool()) continue;
      if (++count <= 3 && std::size_t(i) <= gradients_.count())
        names.append(names.empty() ? "" : ", ")
            .append(parameter_name(gradients_.parameter(std::size_t(i - 1))));
    }
    if (count > 3) names += fmt::format(" and {} more", count - 3);
    const std::string loss_text = loss ? fmt::format("a loss of {}", number(*loss))
                                       : fmt::format("in the step before a loss that is {}finite",
                                                     flags[0].item().toBool() ? "not " : "");
    throw Error(fmt::format("the loss and all gradients must be finite, got {}{}; lower the learning rate, "
                            "pass .clip_norm, or leave such steps out with .non_finite = ab::NonFinite::skip",
                            loss_text, count > 0 ? " and NaN or infinity in the gradient of " + names : ""));
  }
  std::string parameter_name(const at::Tensor& parameter) const {
    for (const auto& named : model_->named_parameters()) {
      if (named.value().is_same(parameter)) return named.key();
    }
    return "a parameter that is not the model's";
  }

  void step_with_closure(const at::Tensor& loss, const std::function<at::Tensor()>& loss_anew) {
    bool is_first = true;
    optimizer_->step([&] {
      if (std::exchange(is_first, false)) return loss;
      const at::AutoGradMode gradients(true);
      optimizer_->zero_grad(/*set_to_none=*/!options_.zero_in_place);
      at::Tensor anew = loss_anew();
      anew.backward();
      if (options_.clip_norm || options_.clip_value) {
        const at::NoGradGuard no_grad;
        gradients_.gather(*optimizer_);
        clip();
      }
      return anew;
    });
  }

  std::shared_ptr<torch::nn::Module> model_;
  std::shared_ptr<torch::optim::Optimizer> optimizer_;
  const PassOptions& options_;  // of the pass
  optim::CanSkip* can_skip_ = nullptr;
  bool needs_closure_ = false;
  Window window_;
  optim::Gradients gradients_;
  optim::LateFlags late_;
  at::Tensor flags_;  // what was not finite in the last step that was looked at
  at::Tensor norm_;
  std::optional<optim::LossScale> scale_;
  std::optional<optim::WeightAverage> average_;
};

}  // namespace abyme
