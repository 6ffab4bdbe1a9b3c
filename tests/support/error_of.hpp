#pragma once

#include <abyme/core/error.hpp>

#include <string>

namespace tests {

/// What the Error says that `act` throws, or "no error".
template <class Act>
std::string error_of(Act&& act) {
  try {
    act();
  } catch (const abyme::Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace tests
