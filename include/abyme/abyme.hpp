#pragma once

/// Everything that a CPU or CUDA user needs.

#include <abyme/core/error.hpp>
