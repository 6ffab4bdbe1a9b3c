#pragma once

#include <stdexcept>

namespace abyme {

/// The one error of abyme. Its message has one form: `who: rule, got value; remedy`, after the path of
/// the node where there is one. An exception thrown by the user's own code while a tree runs is nested
/// inside (`std::rethrow_if_nested`).
class Error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

}  // namespace abyme
