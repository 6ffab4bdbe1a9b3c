#include <torch/torch.h>

#include <abyme/data/idx.hpp>

#include <catch2/catch.hpp>

#include <unistd.h>

#include <cstdlib>

namespace ab = abyme;

namespace idx_tests {

namespace fs = std::filesystem;
using Catch::Equals, Catch::EndsWith, Catch::StartsWith;
using Bytes = std::vector<unsigned char>;

namespace {

/// A folder for the length of a test.
struct Folder {
  fs::path path = fs::temp_directory_path() / fmt::format("abyme_idx_{}", ::getpid());
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }

  fs::path write(const std::string& name, const Bytes& bytes) const {
    std::ofstream(path / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
    return path / name;
  }
};

Bytes join(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Bytes big_endian(std::initializer_list<std::uint32_t> numbers) {
  Bytes all;
  for (const auto n : numbers)
    for (const int shift : {24, 16, 8, 0}) all.push_back(static_cast<unsigned char>(n >> shift));
  return all;
}

const Bytes matrix = join({{0, 0, 8, 2}, big_endian({2, 3}), {1, 2, 3, 250, 5, 6}});

// Python: gzip.compress(matrix, mtime=0)
const Bytes packed_matrix{0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x63, 0x60,
                          0xe0, 0x60, 0x62, 0x60, 0x60, 0x00, 0x61, 0x66, 0x46, 0x26, 0xe6, 0x5f,
                          0xac, 0x6c, 0x00, 0x92, 0xca, 0x64, 0x5a, 0x12, 0x00, 0x00, 0x00};

const auto matrix_tensor = [] { return torch::tensor({1, 2, 3, 250, 5, 6}, torch::kByte).reshape({2, 3}); };

}  // namespace

TEST_CASE("every dtype of the format is read, from big-endian numbers") {
  const Folder folder;
  const auto read = [&](int dtype, const Bytes& data) {
    return ab::read_idx(
        folder.write("x", join({{0, 0, static_cast<unsigned char>(dtype), 1}, big_endian({2}), data})));
  };
  // The bytes are those of Python's struct.pack(">hh", -2, 258) and so on.
  CHECK(torch::equal(read(0x08, {0, 255}), torch::tensor({0, 255}, torch::kByte)));
  CHECK(torch::equal(read(0x09, {127, 128}), torch::tensor({127, -128}, torch::kChar)));
  CHECK(torch::equal(read(0x0B, {0xff, 0xfe, 0x01, 0x02}), torch::tensor({-2, 258}, torch::kShort)));
  CHECK(torch::equal(read(0x0C, {0xff, 0xfe, 0xee, 0x90, 0, 0, 1, 0}),
                     torch::tensor({-70000, 256}, torch::kInt)));
  CHECK(torch::equal(read(0x0D, {0x3f, 0xc0, 0, 0, 0x40, 0x49, 0x0f, 0xdb}),
                     torch::tensor({1.5F, 3.14159274F}, torch::kFloat)));
  CHECK(torch::equal(read(0x0E, {0xc0, 2, 0, 0, 0, 0, 0, 0, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0}),
                     torch::tensor({-2.25, 1.0}, torch::kDouble)));
}

TEST_CASE("any number of dimensions is read") {
  const Folder folder;
  CHECK(torch::equal(ab::read_idx(folder.write("x", matrix)), matrix_tensor()));
  CHECK(torch::equal(ab::read_idx(folder.write("x", {0, 0, 8, 0, 42})), torch::tensor(42, torch::kByte)));
  const auto deep =
      ab::read_idx(folder.write("x", join({{0, 0, 8, 5}, big_endian({1, 2, 1, 1, 1}), {7, 9}})));
  CHECK(torch::equal(deep, torch::tensor({7, 9}, torch::kByte).reshape({1, 2, 1, 1, 1})));
  const auto empty = ab::read_idx(folder.write("x", join({{0, 0, 8, 3}, big_endian({0, 28, 28})})));
  CHECK(empty.sizes() == at::IntArrayRef{0, 28, 28});
}

TEST_CASE("where there is no file of the name, one with .gz is taken") {
  const Folder folder;
  folder.write("digits.gz", matrix);  // raw in spite of its name
  CHECK(torch::equal(ab::read_idx(folder.path / "digits"), matrix_tensor()));
  CHECK(torch::equal(ab::read_idx(folder.path / "digits.gz"), matrix_tensor()));
  folder.write("digits", {0, 0, 8, 0, 1});
  CHECK(ab::read_idx(folder.path / "digits").dim() == 0);
}

#ifdef ABYME_HAS_ZLIB
TEST_CASE("gzip is told by its content, whatever the name") {
  const Folder folder;
  CHECK(torch::equal(ab::read_idx(folder.write("x", packed_matrix)), matrix_tensor()));
  CHECK(torch::equal(ab::read_idx(folder.write("y.gz", packed_matrix)), matrix_tensor()));
  CHECK(torch::equal(ab::read_idx(folder.path / "y"), matrix_tensor()));
}

TEST_CASE("a gzip file cut anywhere, or changed anywhere in its data, is refused") {
  const Folder folder;
  for (std::size_t size = 2; size < packed_matrix.size(); ++size) {
    const auto path =
        folder.write("x", {packed_matrix.begin(), packed_matrix.begin() + std::ptrdiff_t(size)});
    CAPTURE(size);
    CHECK_THROWS_WITH(ab::read_idx(path),
                      Equals("read_idx: " + path.string() +
                             " must be a whole gzip file, got a truncated one; fetch it again"));
  }
  auto broken = packed_matrix;
  broken[29] ^= 1;  // in the checksum
  CHECK_THROWS_WITH(ab::read_idx(folder.write("x", broken)),
                    EndsWith("must be an intact gzip file, got a broken one; fetch it again"));
}
#else
TEST_CASE("without zlib a gzip file is refused with the way on") {
  const Folder folder;
  const auto path = folder.write("x", packed_matrix);
  CHECK_THROWS_WITH(ab::read_idx(path),
                    "read_idx: " + path.string() +
                        " must be unpacked, because abyme is built without zlib, got gzip; run "
                        "gunzip on it");
}
#endif

TEST_CASE("a broken file is refused in one sentence that names it") {
  const Folder folder;
  const auto refused = [&](const Bytes& bytes, const std::string& why) {
    const auto path = folder.write("x", bytes);
    CHECK_THROWS_WITH(ab::read_idx(path), Equals("read_idx: " + path.string() + " " + why));
  };
  const std::string magic =
                        "must begin with IDX's magic number 0000, dtype 08 to 0e, number of dimensions, got ",
                    right_file = "; check that it is the right file";
  refused({0x89, 'P', 'N', 'G', 0x0d}, magic + "89504e47" + right_file);
  refused({0, 0, 0x0A, 1, 0, 0, 0, 0}, magic + "00000a01" + right_file);
  refused({0, 1, 0x08, 1, 0, 0, 0, 0}, magic + "00010801" + right_file);
  const std::string header = "must have a whole header, got a truncated file; fetch it again";
  refused({}, header);
  refused({0, 0, 8}, header);
  refused({matrix.begin(), matrix.begin() + 11}, header);
  const std::string hold = "must hold the 6 bytes of 2 x 3 x Byte, got ";
  refused({matrix.begin(), matrix.end() - 1}, hold + "a truncated file; fetch it again");
  refused({matrix.begin(), matrix.begin() + 12}, hold + "a truncated file; fetch it again");
  refused(join({matrix, {0}}), hold + "trailing bytes; fetch it again");

  const auto missing = folder.path / "none";
  CHECK_THROWS_WITH(ab::read_idx(missing),
                    "read_idx: " + missing.string() + " must be a file, got no such file; check the path");
  CHECK_THROWS_WITH(ab::read_idx(folder.path), "read_idx: " + folder.path.string() +
                                                   " must be a file, got a folder or device; check the path");
  CHECK_THROWS_AS(ab::read_idx(missing), ab::Error);
}

TEST_CASE("dimensions are not believed: nothing is allocated for them before the file's size is seen") {
  const Folder folder;
  const std::uint32_t most = 0xffffffff;
  const auto read = [&](std::initializer_list<std::uint32_t> sizes, int dtype = 8) {
    const auto count = static_cast<unsigned char>(sizes.size());
    return ab::read_idx(folder.write(
        "x", join({{0, 0, static_cast<unsigned char>(dtype), count}, big_endian(sizes), Bytes(100)})));
  };
  CHECK_THROWS_WITH(read({most}),
                    EndsWith("must hold the 4294967295 bytes of 4294967295 x Byte, got a truncated "
                             "file; fetch it again"));
  CHECK_THROWS_WITH(read({most, 0x7fffffff}),
                    EndsWith("got a truncated file; fetch it again"));  // 9e18 bytes
  const std::string overflow = "must have dimensions whose product fits into 63 bits, got ";
  CHECK_THROWS_WITH(read({most, most}), EndsWith(overflow + "4294967295 x 4294967295; fetch it again"));
  CHECK_THROWS_WITH(read({0x80000000, 0x20000000}, 0x0E),
                    EndsWith(overflow + "2147483648 x 536870912; fetch it again"));
  CHECK_THROWS_WITH(read({0, most, most, most}), Catch::Contains(overflow));
  CHECK_THROWS_WITH(read({1U << 16, 1U << 16, 1U << 16, 1U << 16}),
                    Catch::Contains(overflow));  // 2^64 wraps to 0
}

TEST_CASE("images and labels are read as a pair") {
  const Folder folder;
  const auto images = folder.write("images", matrix),
             labels = folder.write("labels.gz", {0, 0, 8, 1, 0, 0, 0, 2, 7, 200});
  const auto digits = ab::read_labelled_idx(images, folder.path / "labels");
  CHECK(torch::equal(digits.images, matrix_tensor()));
  CHECK(torch::equal(digits.labels, torch::tensor({7, 200}, torch::kLong)));
  CHECK(digits.labels.scalar_type() == torch::kLong);
}

TEST_CASE("a pair that does not fit together is refused") {
  const Folder folder;
  const auto images = folder.write("images", matrix),
             three = folder.write("three", {0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3}),
             scalar = folder.write("scalar", {0, 0, 8, 0, 1}),
             floats = folder.write("floats", join({{0, 0, 0x0D, 1}, big_endian({2}), Bytes(8)}));
  CHECK_THROWS_WITH(ab::read_labelled_idx(images, three),
                    "read_labelled_idx: there must be one label for each image, got 2 images in " +
                        images.string() + " and 3 labels in " + three.string() + "; take both from one set");
  CHECK_THROWS_WITH(
      ab::read_labelled_idx(three, images),
      "read_labelled_idx: " + images.string() +
          " must hold labels [n] of an integer type, got Byte of 2 dimensions; check that images come "
          "first, labels second");
  CHECK_THROWS_WITH(ab::read_labelled_idx(images, floats), Catch::Contains("got Float of 1 dimensions"));
  CHECK_THROWS_WITH(
      ab::read_labelled_idx(scalar, three),
      "read_labelled_idx: " + scalar.string() +
          " must hold images [n, ...], got a file without dimensions; check that it is the right file");
}

TEST_CASE("real digits, where ABYME_MNIST_DIR names their folder") {
  const char* folder = std::getenv("ABYME_MNIST_DIR");
  if (!folder) return;
  const auto digits = ab::read_labelled_idx(fs::path(folder) / "t10k-images-idx3-ubyte",
                                            fs::path(folder) / "t10k-labels-idx1-ubyte");
  CHECK(digits.images.sizes().slice(1) == at::IntArrayRef{28, 28});
  CHECK(digits.images.scalar_type() == torch::kByte);
  CHECK(digits.labels.min().item<int>() == 0);
  CHECK(digits.labels.max().item<int>() == 9);
  CHECK(digits.images.to(torch::kFloat).mean().item<double>() / 255 == Approx(0.13).margin(0.02));
}

}  // namespace idx_tests
