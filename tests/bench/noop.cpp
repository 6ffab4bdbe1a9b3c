// An iteration with nothing in it, with 0 and with 10 children that do nothing.

#include <abyme/abyme.hpp>

#include "figure.hpp"

#include <chrono>
#include <cstdint>
#include <vector>

namespace ab = abyme;

int main() {
  constexpr std::int64_t iterations = 100'000;
  constexpr int repetitions = 41;
  for (const int children : {0, 10}) {
    std::chrono::steady_clock::time_point start;
    std::vector<double> seconds;
    ab::IterationLooper loop(iterations), repeat(repetitions);
    loop("start", [&] { start = std::chrono::steady_clock::now(); });
    for (int i = 0; i < children; ++i) loop("iteration_end", [] {});
    loop("end", [&] { seconds.push_back(bench::seconds_since(start)); });
    repeat("iteration_end", loop);
    ab::Ground()("dig", repeat).dig();
    bench::figure(fmt::format("noop_iteration_ns_{}", children), bench::spread(seconds), 1e9 / iterations,
                  "ns");
  }
}
