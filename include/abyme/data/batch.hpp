#pragma once

#include <ATen/core/Tensor.h>

namespace abyme {

/// What a labelled source gives and a supervised pass takes: `inputs` [batch, ...] and `targets`
/// [batch, ...] of any dtype, row i of one belonging to row i of the other. The tensors are counted
/// references: a copy of a `Batch` copies no data.
struct Batch {
  at::Tensor inputs;
  at::Tensor targets;
};

}  // namespace abyme
