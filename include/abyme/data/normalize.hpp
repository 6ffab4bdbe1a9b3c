#pragma once

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <abyme/core/error.hpp>

namespace abyme {

/// Pixels as a network wants them: uint8 of any shape -> float32 of the same shape and device,
/// (pixel / 255 - mean) / std, in this order and in float32, so that the values are those of torchvision's
/// `ToTensor` and `Normalize` bit for bit. Done once, before the first epoch; `normalize(images, 0, 1)` only
/// scales to [0, 1]. \throws Error if the images are not uint8 or std is not above 0.
inline at::Tensor normalize(const at::Tensor& images, double mean, double std) {
  if (images.scalar_type() != at::kByte)
    throw Error(
        fmt::format("normalize: images must be uint8, got {}; for other types write (images - mean) / std",
                    at::toString(images.scalar_type())));
  if (!(std > 0))
    throw Error(fmt::format("normalize: std must be above 0, got {}; pass 1 to keep the scale", std));
  return images.to(at::kFloat).div_(255).sub_(mean).div_(std);
}

}  // namespace abyme
