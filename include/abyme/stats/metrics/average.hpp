#pragma once

#include <abyme/core/error.hpp>
#include <abyme/core/value.hpp>

#include <cstdint>
#include <string_view>

namespace abyme::metrics {

/// How one number is made of those of the classes, as in scikit-learn.
enum class Average {
  binary,    ///< of class 1 alone; there are two
  macro,     ///< the mean over the classes that occur, in targets or predictions
  micro,     ///< of the counts of all classes together
  weighted,  ///< the mean over classes, weighted by how often they occur in targets
};
inline const char* toString(Average average) {
  constexpr const char* names[] = {"binary", "macro", "micro", "weighted"};
  return names[static_cast<int>(average)];
}

/// \throws Error where `binary` meets more than two classes
inline void check_average(std::string_view who, Average average, std::int64_t classes) {
  if (average == Average::binary && classes != 2) {
    throw Error(fmt::format("{}: the average binary is for two classes, got {}; choose Average::macro or "
                            "another one",
                            who, classes));
  }
}

}  // namespace abyme::metrics
