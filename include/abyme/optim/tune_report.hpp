#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace abyme {

/// What `ab::tune` did with the weight of a layer.
struct TunedWeight {
  std::string name;   ///< as in `named_parameters()`; the first one of a weight that has several
  std::string order;  ///< row-major or column-major; of a convolution contiguous or channels-last
  std::string order_before;
  double before = 0;  ///< microseconds that the layer takes in the order before: all its calls
  double after = 0;   ///< and in the order now
};

/// What `ab::tune` found. Prints as a table, with `{}` of fmt and `<<` of streams.
struct TuneReport {
  std::vector<TunedWeight> weights;
  double before = 0;  ///< microseconds of the whole model on the sample batch, with the orders before
  double after = 0;   ///< and with those now
  bool channels_last = false;  ///< the model is faster where the batch is in channels-last order as well

  std::string text() const {
    std::size_t name = 11, order = 12;
    const auto order_of = [](const TunedWeight& weight) {
      return weight.order + (weight.order == weight.order_before ? "" : ", was " + weight.order_before);
    };
    for (const TunedWeight& each : weights) {
      name = std::max(name, each.name.size());
      order = std::max(order, order_of(each).size());
    }
    const auto line = [&](std::string_view first, std::string_view second, const std::string& third,
                          const std::string& last) {
      return fmt::format("{:<{}}  {:<{}}  {:>12}  {:>12}\n", first, name, second, order, third, last);
    };
    const auto time = [](double us) { return fmt::format("{:.1f} us", us); };
    std::string all = line("weight", "memory order", "before", "after");
    for (const TunedWeight& each : weights)
      all += line(each.name, order_of(each), time(each.before), time(each.after));
    all += line("whole model", "", time(before), time(after));
    if (channels_last)
      all += "Faster with a batch in channels-last order: give the pass {.channels_last = true}.\n";
    return all;
  }
};
inline std::ostream& operator<<(std::ostream& out, const TuneReport& report) { return out << report.text(); }

}  // namespace abyme

/// `fmt::print("{}", report)`
template <>
struct fmt::formatter<abyme::TuneReport> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const abyme::TuneReport& report, Context& context) const {
    return fmt::formatter<std::string_view>::format(report.text(), context);
  }
};
