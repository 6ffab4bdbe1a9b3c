// The safetensors file that read_back.py, beside this file, reads.

#include <torch/torch.h>

#include <abyme/save/safetensors.hpp>

#include <catch2/catch.hpp>

#include "support/folder.hpp"

#include <cstdlib>
#include <limits>

namespace ab = abyme;

TEST_CASE("tensors of all kinds, for another program to read", "[.read_back]") {
  const tests::Folder fresh;
  const char* given = std::getenv("ABYME_READ_BACK");  // where read_back.py wants it
  const std::string path = (given ? std::filesystem::path(given) : fresh.path()) / "tensors.safetensors";
  const auto counted = [](at::ScalarType dtype) { return torch::arange(-3, 9, dtype); };
  const auto tied = torch::arange(5, torch::kFloat64) / 3;
  const std::vector<ab::NamedTensor> tensors{
      {"bool", torch::arange(7) % 3 == 1},
      {"u8", torch::arange(200, 212, torch::kUInt8)},
      {"i8", counted(torch::kInt8)},
      {"i16", counted(torch::kInt16)},
      {"i32", counted(torch::kInt32)},
      {"i64", torch::tensor({std::numeric_limits<std::int64_t>::min(), std::int64_t{-1},
                             std::numeric_limits<std::int64_t>::max()})},
      {"f16", counted(torch::kFloat16) / 4},
      {"bf16", counted(torch::kBFloat16) / 4},
      {"f32", torch::arange(12, torch::kFloat32).view({2, 3, 2}) / 7},
      {"f64", tied},
      {"tied", tied},
      {"transposed", torch::arange(6, torch::kFloat32).view({2, 3}).t()},
      {"every second", torch::arange(8, torch::kInt32).slice(0, 1, 8, 2)},
      {"scalar", torch::tensor(0.1, torch::kFloat64)},
      {"empty", torch::empty({0, 3})},
      {"a \"quoted\\name\"\n", torch::tensor(1.0F)},
      {"größe.重み", torch::tensor(2.0F)},
  };
  ab::write_atomically(path, [&](ab::File& file) {
    ab::write_safetensors(file, tensors, {{"format", "pt"}, {"note", "a \"quoted\" one\n"}});
  });
  CHECK(std::filesystem::exists(path));
}
