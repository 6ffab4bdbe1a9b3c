#pragma once

#include <abyme/core/node_type.hpp>
#include <abyme/stats/metrics/metric.hpp>
#include <abyme/stats/metrics/sums.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace abyme::metrics {

/// A metric with its type erased. A copy shares nothing with it, whatever a copy of the metric would share.
class AnyMetric {
public:
  const bool takes_predictions, takes_weights, takes_number, has_matrix;

  template <class M>
    requires(!std::same_as<M, AnyMetric>) && Metric<M>
  explicit AnyMetric(M metric)
      : takes_predictions(TakesPredictions<M>),
        takes_weights(TakesWeights<M>),
        takes_number(TakesNumber<M>),
        has_matrix(requires { metric.matrix(); }),
        held_(std::make_unique<Held<M>>(std::move(metric))) {}
  AnyMetric(const AnyMetric& other)
      : takes_predictions(other.takes_predictions),
        takes_weights(other.takes_weights),
        takes_number(other.takes_number),
        has_matrix(other.has_matrix),
        held_(other.held_->copy()) {}
  AnyMetric& operator=(const AnyMetric& other) {  // of the same type
    held_ = other.held_->copy();
    value_.reset();
    return *this;
  }

  /// Weights, one for each sample, count where the metric takes some. \throws Error where it takes no outputs
  /// and targets, here, or no number, below
  void update(const at::Tensor& outputs, const at::Tensor& targets, const at::Tensor& weights = {}) {
    value_.reset();
    held_->update(outputs, targets, weights);
  }
  void update(double value, double weight = 1) {
    value_.reset();
    held_->update(value, weight);
  }
  void update(const at::Tensor& value, double weight = 1) {
    value_.reset();
    held_->update(value, weight);
  }
  /// Adds what `other` has gathered. \throws Error where it is of another type, or that has no `merge`
  void merge(const AnyMetric& other) {
    value_.reset();
    held_->merge(*other.held_);
  }
  /// Computed once after an update, however often it is read.
  std::optional<double> value() const {
    if (!value_) value_.emplace(held_->value());
    return *value_;
  }
  /// Undefined where the metric has none.
  at::Tensor matrix() const { return held_->matrix(); }
  /// Its type, with the options that are not at their defaults: `F1(average = "macro")`.
  std::string text() const { return held_->text(); }
  /// The metric itself. \throws Error where it is of another type
  template <Metric M>
  const M& as() const {
    if (const auto* held = dynamic_cast<const Held<M>*>(held_.get())) return held->metric;
    throw Error(fmt::format("a metric must be read as what it is, got {} for a {}; name that type",
                            reflect::node_name(type_name<M>), text()));
  }

  void save(Kept& kept) const { held_->save(kept); }
  void load(const Kept& kept) {
    value_.reset();
    held_->load(kept);
  }

private:
  struct Base {
    virtual ~Base() = default;
    virtual std::unique_ptr<Base> copy() const = 0;
    virtual void update(const at::Tensor& outputs, const at::Tensor& targets, const at::Tensor& weights) = 0;
    virtual void update(double value, double weight) = 0;
    virtual void update(const at::Tensor& value, double weight) = 0;
    virtual void merge(const Base& other) = 0;
    virtual std::optional<double> value() const = 0;
    virtual at::Tensor matrix() const = 0;
    virtual std::string text() const = 0;
    virtual void save(Kept& kept) const = 0;
    virtual void load(const Kept& kept) = 0;
  };

  template <class M>
  struct Held final : Base {
    M metric;
    explicit Held(M metric) : metric(std::move(metric)) {}

    std::unique_ptr<Base> copy() const override {
      auto made = std::make_unique<Held>(metric);
      Kept shared, own;
      save(shared);
      own.data = shared.data;
      const NoGraph guard;
      for (const auto& [name, tensor] : shared.tensors()) own.add(name, tensor.clone());
      made->load(own);
      return made;
    }
    void update([[maybe_unused]] const at::Tensor& outputs, [[maybe_unused]] const at::Tensor& targets,
                [[maybe_unused]] const at::Tensor& weights) override {
      if constexpr (TakesWeights<M>) {
        if (weights.defined()) return metric.update(outputs, targets, weights);
      }
      if constexpr (TakesPredictions<M>) metric.update(outputs, targets);
      else throw Error(wrong("a number and its weight", "outputs and targets"));
    }
    void update([[maybe_unused]] double value, [[maybe_unused]] double weight) override {
      if constexpr (TakesNumber<M>) metric.update(value, weight);
      else throw Error(wrong("outputs and targets", "a number"));
    }
    void update([[maybe_unused]] const at::Tensor& value, [[maybe_unused]] double weight) override {
      if constexpr (TakesTensor<M>) metric.update(value, weight);
      else update(number(value), weight);
    }
    std::string wrong(std::string_view takes, std::string_view got) const {
      return fmt::format("{}: it must be updated with {}, got {}; pass {}", text(), takes, got, takes);
    }
    void merge(const Base& other) override {
      const auto* same = dynamic_cast<const Held*>(&other);
      if (!same) {
        throw Error(fmt::format("metrics of one type can be merged, got {} and {}; merge it with its like",
                                text(), other.text()));
      }
      if constexpr (requires { metric.merge(metric); }) metric.merge(same->metric);
      else
        throw Error(fmt::format("a metric is merged by merge(const {0}&), got {0} without; give it one",
                                reflect::node_name(type_name<M>)));
    }
    std::optional<double> value() const override { return metric.value(); }
    at::Tensor matrix() const override {
      if constexpr (requires { metric.matrix(); }) return metric.matrix();
      else return {};
    }
    std::string text() const override {
      std::string inside;
      if constexpr (requires { metric.options; }) {
        using Options = std::remove_cvref_t<decltype(metric.options)>;
        const Options fresh{};
        [&]<std::size_t... I>(std::index_sequence<I...>) {
          const auto add = [&inside](std::string_view name, std::string now, const std::string& at_first) {
            if (now != at_first) inside += fmt::format("{}{} = {}", inside.empty() ? "" : ", ", name, now);
          };
          (add(member_name<Options, I>, reflect::member_text(std::get<I>(members(metric.options))),
               reflect::member_text(std::get<I>(members(fresh)))),
           ...);
        }(std::make_index_sequence<member_count<Options>>{});
      }
      const std::string name(reflect::node_name(type_name<M>));
      return inside.empty() ? name : fmt::format("{}({})", name, inside);
    }
    void save(Kept& kept) const override { keep(kept, "metric", metric); }
    void load(const Kept& kept) override { put_back(kept, "metric", metric); }
  };

  std::unique_ptr<Base> held_;
  mutable std::optional<std::optional<double>> value_;
};

}  // namespace abyme::metrics
