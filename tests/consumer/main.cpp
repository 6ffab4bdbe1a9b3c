#include <abyme/abyme.hpp>

#include <ATen/ATen.h>

#include <iostream>

namespace ab = abyme;

ab::IterationLooper counting_to(std::int64_t count);  // in two.cpp

int main() {
  ab::IterationLooper loop = counting_to(3);
  ab::Stats stats("counter");
  loop("iteration_end", stats);
  ab::Ground ground;
  ground("dig", loop)("final", ab::Print("{}: {} steps, average {}", ab::caller("reason"), stats.get("count"),
                                         stats.get("average")));
  ground.dig();
  return at::ones({2, 2}).sum().item<double>() == 4 ? 0 : 1;
}
