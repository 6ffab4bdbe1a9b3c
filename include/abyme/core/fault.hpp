#pragma once

#include <abyme/core/error.hpp>

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace abyme {

/// One mistake in the wiring of a tree.
struct Fault {
  std::string path;
  std::string message;
};

/// Thrown before the first batch where a tree has faults; it tells them all.
class WiringError : public Error {
public:
  explicit WiringError(std::vector<Fault> faults) : Error(text(faults)), faults_(std::move(faults)) {}
  const std::vector<Fault>& faults() const { return faults_; }

private:
  static std::string text(const std::vector<Fault>& faults) {
    std::string all = fmt::format("the tree has {} fault{}", faults.size(), faults.size() == 1 ? "" : "s");
    for (const Fault& fault : faults) all += fmt::format("\n  {}: {}", fault.path, fault.message);
    return all;
  }
  std::vector<Fault> faults_;
};

}  // namespace abyme
