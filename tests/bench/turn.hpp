#pragma once

#include "figure.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>

namespace bench {

/// The turn-taking of a training loop that run.py races with others, each in a process of its own, so that
/// none meets what another has done to the processor's modes or to the heap: for each line that it reads it
/// trains a block of steps, and answers with the seconds of a step.
class Turn {
public:
  explicit Turn(std::int64_t block) : block_(block) { wait(); }

  /// In the loop: a step is done. The first block has the making of all things in it.
  void step() {
    if (++steps_ % block_ != 0) return;
    std::cout << fmt::format("{:.9f}", seconds_since(start_) / double(block_)) << std::endl;
    wait();
  }

  /// Behind the loop: the mean loss of all steps, by which run.py sees that all have done the same work.
  void finish(double loss) const { std::cout << fmt::format("loss {:.9f}", loss) << std::endl; }

private:
  void wait() {
    std::string line;
    std::getline(std::cin, line);
    start_ = std::chrono::steady_clock::now();
  }

  std::int64_t block_, steps_ = 0;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace bench
