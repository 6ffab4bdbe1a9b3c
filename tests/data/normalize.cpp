#include <torch/torch.h>

#include <abyme/data/normalize.hpp>

#include <catch2/catch.hpp>

namespace ab = abyme;

namespace normalize_tests {

TEST_CASE("normalize gives the numbers of torchvision's ToTensor and Normalize") {
  const auto pixels = torch::tensor({0, 1, 127, 128, 255, 64}, torch::kByte).reshape({3, 2});
  const auto images = ab::normalize(pixels, 0.1307, 0.3081);
  REQUIRE(images.scalar_type() == torch::kFloat);
  REQUIRE(images.sizes() == pixels.sizes());
  // numpy: (np.float32(pixel) / np.float32(255) - np.float32(0.1307)) / np.float32(0.3081)
  const std::vector<float> expected{-0x1.b264e2p-2F, -0x1.a55c40p-2F, 0x1.3138c8p+0F, 0x1.347af4p+0F,
                                    0x1.69267ap+1F};
  const auto flat = images.flatten();
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(flat[static_cast<std::int64_t>(i)].item<float>() == expected[i]);
  CHECK(pixels[1][1].item<int>() == 128);  // the data itself is untouched
}

TEST_CASE("mean 0 and std 1 only scale") {
  const auto images = ab::normalize(torch::tensor({0, 51, 255}, torch::kByte), 0, 1);
  CHECK(torch::equal(images, torch::tensor({0.0F, 0.2F, 1.0F})));
  CHECK(ab::normalize(torch::zeros({0, 28, 28}, torch::kByte), 0, 1).sizes() == at::IntArrayRef{0, 28, 28});
}

TEST_CASE("normalize refuses what it would get wrong") {
  CHECK_THROWS_WITH(
      ab::normalize(torch::zeros({2, 2}), 0, 1),
      "normalize: images must be uint8, got Float; for other types write (images - mean) / std");
  CHECK_THROWS_WITH(ab::normalize(torch::zeros({2, 2}, torch::kByte), 0, 0),
                    "normalize: std must be above 0, got 0; pass 1 to keep the scale");
  CHECK_THROWS_AS(ab::normalize(torch::zeros({2, 2}, torch::kByte), 0, std::nan("")), ab::Error);
}

}  // namespace normalize_tests
