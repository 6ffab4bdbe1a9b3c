#pragma once

#include <abyme/core/ground.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// Shows one value after the other: event and field `value`, nothing for an empty one; and a field `text`.
class ValuesNode : public abyme::Node {
public:
  static constexpr auto events = abyme::events("value");
  std::vector<std::optional<double>> values;
  std::optional<double> value;
  std::string text = "some";
  static constexpr auto fields =
      abyme::fields(abyme::field("value", &ValuesNode::value), abyme::field("text", &ValuesNode::text));

  explicit ValuesNode(std::vector<std::optional<double>> values) : values(std::move(values)) {}

  abyme::Step next(abyme::Step finished) override {
    if (finished == abyme::entry) at_ = 0;
    if (at_ == values.size()) return abyme::done;
    value = values[at_++];
    return events["value"];
  }

private:
  std::size_t at_ = 0;
};
using Values = abyme::Handle<ValuesNode>;

/// The values at which a trigger dug its children; it fails where one dug without a value.
template <class Trigger>
std::vector<double> fired(const Trigger& trigger, std::vector<std::optional<double>> values) {
  const auto seen = std::make_shared<std::vector<double>>();
  const auto over = std::make_shared<bool>(false);  // the child stays on the trigger
  trigger("dig", [seen, over](ValuesNode& shown) {
    if (!*over) seen->push_back(shown.value.value());
  });
  abyme::Ground()("dig", Values(std::move(values))("value", trigger)).dig();
  *over = true;
  return *seen;
}
