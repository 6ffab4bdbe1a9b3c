#pragma once

#include <abyme/abyme.hpp>

#include "figure.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

/// Where the time of a step goes: looks at the clock (30 ns) at each event of a data looper and its pass.
class Parts {
  auto look(std::size_t part) {
    return [this, part] {
      const auto now = std::chrono::steady_clock::now();
      if (!first_) seconds_[part].push_back(std::chrono::duration<double>(now - last_).count());
      last_ = now;
    };
  }

public:
  /// Hangs its looks on the looper and the pass; then come the pass and its statistics, then `hang_behind`.
  void hang_before(abyme::DataLooper& data, abyme::SupervisedPass& pass) {
    data("iteration_start", look(0));  // what comes before is the draw of the batch
    pass("start", look(1)).at("forward", look(2)).at("backward", look(3)).at("step", look(4));
  }
  void hang_behind(abyme::DataLooper& data) {
    data("iteration_end", look(5), [this] { first_ = false; });
  }

  void print(std::string_view prefix) {
    for (std::size_t i = 0; i < names.size(); ++i)
      figure(fmt::format("{}_{}", prefix, names[i]), spread(seconds_[i]), 1e6, "us");
  }

private:
  static constexpr std::array<std::string_view, 6> names{"draw",     "zero_grad", "forward",
                                                         "backward", "optimizer", "statistics"};

  bool first_ = true;
  std::chrono::steady_clock::time_point last_;
  std::array<std::vector<double>, names.size()> seconds_;
};

}  // namespace bench
