#include <torch/torch.h>

#include <catch2/catch.hpp>

#include <unistd.h>

#include <cstdlib>
#include <fstream>

// What the build tells the example: here a download that fails, as it does without a network.
#undef MNIST_CMAKE_COMMAND
#undef MNIST_DOWNLOAD_SCRIPT
#define MNIST_CMAKE_COMMAND "false"
#define MNIST_DOWNLOAD_SCRIPT ""
#include "../../examples/mnist/data.hpp"

namespace fs = std::filesystem;

namespace {

/// A folder and a state of the environment for the length of a test.
struct Machine {
  fs::path path = fs::temp_directory_path() / fmt::format("abyme_digits_{}", ::getpid());
  Machine() {
    fs::create_directories(path);
    ::setenv("XDG_CACHE_HOME", path.c_str(), 1);
    ::unsetenv("ABYME_MNIST_DIR");
  }
  ~Machine() { fs::remove_all(path); }

  /// Four files, with `n` images for training and one for testing, all of class n.
  fs::path digits(const fs::path& name, unsigned char n) const {
    const fs::path folder = path / name;
    fs::create_directories(folder);
    const auto write = [&](const std::string& file, unsigned char count, bool images) {
      std::string bytes{0, 0, 8, 1, 0, 0, 0, char(count)};
      if (images) bytes[3] = 3, bytes += std::string{0, 0, 0, 28, 0, 0, 0, 28};
      std::ofstream(folder / file, std::ios::binary)
          << bytes << std::string(count * (images ? 784U : 1U), char(n));
    };
    write("train-images-idx3-ubyte", n, true);
    write("train-labels-idx1-ubyte.gz", n, false);
    write("t10k-images-idx3-ubyte", 1, true);
    write("t10k-labels-idx1-ubyte", 1, false);
    return folder;
  }
};

/// FNV-1a.
std::uint64_t checksum(const at::Tensor& tensor) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto* bytes = static_cast<const unsigned char*>(tensor.data_ptr());
  for (std::size_t i = 0; i < tensor.nbytes(); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3;
  return hash;
}

}  // namespace

TEST_CASE("drawn digits have the shape of MNIST's") {
  const auto digits = draw_digits(1'000, 1);
  CHECK(digits.images.sizes() == at::IntArrayRef{1'000, 28, 28});
  CHECK(digits.images.scalar_type() == torch::kByte);
  CHECK(digits.labels.scalar_type() == torch::kLong);
  CHECK(torch::equal(torch::bincount(digits.labels), torch::full({10}, 100)));
  CHECK_FALSE(torch::equal(digits.labels.slice(0, 0, 10), torch::arange(10)));

  // Ink: about as much as in MNIST (mean 0.1307), in every picture some, none worth speaking of at the
  // border.
  const auto pixels = digits.images.to(torch::kFloat) / 255;
  CHECK(pixels.mean().item<double>() == Approx(0.13).margin(0.02));
  CHECK(pixels.amax({1, 2}).min().item<double>() > 0.7);
  CHECK(pixels.select(1, 0).mean().item<double>() < 0.02);
  CHECK(draw_digits(0, 1).images.sizes() == at::IntArrayRef{0, 28, 28});
}

TEST_CASE("a seed gives the same digits on every machine, another seed others") {
  const auto digits = draw_digits(100, 7);
  CHECK(checksum(digits.images) == 0xc520360888c2e33f);
  CHECK(checksum(digits.labels) == 0x1eda959bfb854c45);
  CHECK_FALSE(torch::equal(digits.images, draw_digits(100, 8).images));
}

TEST_CASE("pictures of one class are alike, and none is the same twice") {
  const auto digits = draw_digits(2'000, 3), others = draw_digits(200, 4);
  const auto flat = digits.images.reshape({2'000, 784}).to(torch::kFloat);
  const auto distance = torch::cdist(others.images.reshape({200, 784}).to(torch::kFloat), flat);
  CHECK(distance.min().item<double>() > 100);
  const auto nearest = digits.labels.index_select(0, distance.argmin(1));
  CHECK(nearest.eq(others.labels).to(torch::kFloat).mean().item<double>() > 0.8);  // by chance: 0.1
}

TEST_CASE("digits come from the folder given, the folder named, the cache, in this order") {
  const Machine machine;
  const auto cached = machine.digits("abyme/mnist", 3), named = machine.digits("named", 2),
             given = machine.digits("given", 1);
  CHECK(load_digits({}).source == "3 + 1 real digits from " + cached.string());
  ::setenv("ABYME_MNIST_DIR", named.c_str(), 1);
  CHECK(load_digits({}).source == "2 + 1 real digits from " + named.string());
  const auto digits = load_digits(given);
  CHECK(digits.source == "1 + 1 real digits from " + given.string());
  CHECK(digits.train_images.sizes() == at::IntArrayRef{1, 28, 28});
  CHECK(torch::equal(digits.test_labels, torch::tensor({1})));

  ::setenv("ABYME_MNIST_DIR", "/nowhere", 1);
  CHECK(load_digits({}).source ==
        "no digits in ABYME_MNIST_DIR=/nowhere; 3 + 1 real digits from " + cached.string());
  fs::remove(given / "t10k-labels-idx1-ubyte");
  CHECK_THROWS_WITH(load_digits(given),
                    Catch::Contains("t10k-labels-idx1-ubyte must be a file, got no such file"));
}

TEST_CASE("without files and network it draws its own") {
  const Machine machine;
  const auto digits = load_digits({});
  CHECK(digits.train_images.size(0) == 8'000);
  CHECK(digits.test_images.size(0) == 2'000);
  CHECK(digits.source ==
        "no digits found and no network: drawing 8000 + 2000 digits of my own; give --data DIR for "
        "real ones");
  CHECK_FALSE(torch::equal(digits.train_images.slice(0, 0, 2'000), digits.test_images));
}
