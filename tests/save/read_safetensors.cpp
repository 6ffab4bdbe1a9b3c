#include <torch/torch.h>

#include <abyme/save/read_safetensors.hpp>

#include <catch2/catch.hpp>

#include "support/error_of.hpp"
#include "support/folder.hpp"

#include <sys/stat.h>

namespace ab = abyme;

namespace read_safetensors_tests {

using Catch::Contains;
using tests::Folder;

namespace {

void write(const std::string& path, std::vector<ab::NamedTensor> tensors,
           const std::map<std::string, std::string>& metadata = {}) {
  ab::write_atomically(path, [&](ab::File& file) { ab::write_safetensors(file, tensors, metadata); });
}

// A file made by hand: the length, the header, and so many bytes of zeros.
std::string made(const std::string& header, std::size_t bytes) {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header +
         std::string(bytes, '\0');
}

// The message without the file, which it must name.
std::string error_of(const std::string& bytes) {
  const Folder folder;
  const std::string path = folder / "a.safetensors";
  tests::put(path, bytes);
  try {
    ab::read_safetensors(path);
  } catch (const ab::Error& error) {
    std::string text = error.what();
    const auto at = text.find(path);
    REQUIRE(at != text.npos);
    return text.substr(0, at).append("F").append(text, at + path.size());
  }
  return "no error";
}
std::string error_of(const std::string& header, std::size_t bytes) { return error_of(made(header, bytes)); }

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}";
}

}  // namespace

TEST_CASE("what was written is read: every dtype, empty and 0-dimensional tensors, views",
          "[read_safetensors]") {
  torch::manual_seed(2);
  const Folder folder;
  std::vector<ab::NamedTensor> tensors;
  for (const auto& [dtype, name] : ab::safetensors_dtypes) {
    const auto bits = torch::randint(0, 256, {3, 5, std::int64_t(c10::elementSize(dtype))}, torch::kUInt8);
    auto matrix = (dtype == torch::kBool ? bits.bitwise_and(1) : bits).view(dtype).squeeze(-1);
    REQUIRE(matrix.sizes() == torch::IntArrayRef{3, 5});
    tensors.push_back({std::string(name) + ".matrix", matrix});
    tensors.push_back({std::string(name) + ".transposed", matrix.t()});
    tensors.push_back({std::string(name) + ".scalar", matrix[1][2]});
    tensors.push_back({std::string(name) + ".empty", torch::empty({4, 0, 2}, dtype)});
  }
  write(folder / "a", tensors, {{"one", "1"}, {"größe \"\n", ""}});
  const ab::Safetensors back = ab::read_safetensors(folder / "a");
  CHECK(back.metadata == std::map<std::string, std::string>{{"one", "1"}, {"größe \"\n", ""}});
  CHECK(back.tensors.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor* found = back.find(name);
    REQUIRE(found);
    CHECK(found->scalar_type() == tensor.scalar_type());
    CHECK(found->sizes() == tensor.sizes());
    CHECK(found->is_contiguous());
    const auto plain = tensor.contiguous();
    CHECK((tensor.numel() == 0 || std::memcmp(found->data_ptr(), plain.data_ptr(), plain.nbytes()) == 0));
  }
  CHECK(back.find("none") == nullptr);
  write(folder / "b", {});
  CHECK(ab::read_safetensors(folder / "b").tensors.empty());
}

TEST_CASE("tensors stand in the order of their bytes, whatever the header's, and own their memory",
          "[read_safetensors]") {
  const Folder folder;
  std::string file = made(std::string("{") + entry("b", "U8", "[2]", "[1,3]") + "," +
                              entry("a", "U8", "[]", "[0,1]") + R"(, "__metadata__" : {"k":"v"} })" + "    ",
                          0);
  tests::put(folder / "a", file + "\x07\x08\x09");
  ab::Safetensors content = ab::read_safetensors(folder / "a");
  REQUIRE(content.tensors.size() == 2);
  CHECK(content.tensors[0].name == "a");
  CHECK(content.tensors[0].tensor.equal(torch::tensor(7, torch::kUInt8)));
  CHECK(content.tensors[1].tensor.equal(torch::tensor({8, 9}, torch::kUInt8)));
  CHECK(content.metadata.at("k") == "v");
  tests::put(folder / "a", "gone");
  content.tensors[0].tensor.fill_(1);
  CHECK(content.tensors[1].tensor.equal(torch::tensor({8, 9}, torch::kUInt8)));
}

TEST_CASE("the arithmetic of headers holds beyond 2 and 4 GiB", "[read_safetensors]") {
  const auto meta = [](std::vector<std::int64_t> shape, at::ScalarType dtype) {
    return torch::empty(shape, torch::TensorOptions(dtype).device(torch::kMeta));
  };
  std::vector<ab::NamedTensor> tensors{{"small", meta({3}, torch::kUInt8)},
                                       {"large", meta({3, std::int64_t(1) << 31}, torch::kFloat)},
                                       {"next", meta({(std::int64_t(1) << 32) + 1}, torch::kFloat)}};
  const std::string head = ab::safetensors_head(tensors, std::map<std::string, std::string>());
  const std::uint64_t large = 3ULL << 33, next = (4ULL << 32) + 4;
  const auto header = ab::SafetensorsHeaderReader("F", head.substr(8), large + next + 3).read();
  REQUIRE(header.entries.size() == 3);
  CHECK(header.entries[0].name == "large");
  CHECK(header.entries[0].shape == std::vector{std::int64_t(3), std::int64_t(1) << 31});
  CHECK(header.entries[0].last == large);
  CHECK(header.entries[1].name == "next");
  CHECK(header.entries[1].first == large);
  CHECK(header.entries[1].last == large + next);
  CHECK(header.entries[2].last == large + next + 3);
}

TEST_CASE("a header that lies is told, and nothing is allocated for it", "[read_safetensors]") {
  const std::string again = "; write or fetch it again";
  CHECK(error_of("") == "the file F must be a safetensors file, got 0 bytes" + again);
  CHECK(error_of("1234567") == "the file F must be a safetensors file, got 7 bytes" + again);
  CHECK(error_of(std::string(16, '\xff')) ==
        "the file F must be a safetensors file, got a header of 18446744073709551615 bytes" + again);
  CHECK(error_of(std::string("\x05\0\0\0\0\0\0\0{}  ", 12)) ==
        "the file F must be a safetensors file, got a header of 5 bytes" + again);
  CHECK(error_of("", 0) ==
        "the header of the file F must be well formed, got no '{' at byte 0; the text is damaged");
  CHECK_THAT(error_of("{}}", 0), Contains("got no end at byte 2"));
  CHECK_THAT(error_of("[]", 0), Contains("got no '{' at byte 0"));
  CHECK_THAT(error_of(R"({"a":1})", 0), Contains("got no '{' at byte 5"));
  CHECK_THAT(error_of(R"({"__metadata__":{"a":1}})", 0), Contains("got no '\"' at byte 21"));
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets,
                      std::size_t bytes) {
    return error_of(std::string("{") + entry("a", dtype, shape, offsets) + "}", bytes);
  };
  CHECK(one("F32", "[2]", "[0,8]", 8) == "no error");
  CHECK(one("F4", "[2]", "[0,1]", 1) == "the file F must have dtypes that abyme can read, got F4 of \"a\"; "
                                        "write it with another dtype");
  CHECK_THAT(one("F6_E2M3", "[4]", "[0,3]", 3), Contains("got F6_E2M3 of \"a\""));
  CHECK_THAT(one("float", "[]", "[0,4]", 4), Contains("got float of \"a\""));
  CHECK(one("F32", "[3]", "[0,8]", 8) ==
        "the file F must have as many bytes of a tensor as shape and dtype need, got data_offsets 0 and 8 of "
        "\"a\", which needs 12" +
            again);
  CHECK_THAT(one("F32", "[2]", "[8,0]", 8), Contains("data_offsets 8 and 0"));
  CHECK(one("F32", "[2]", "[0,8]", 9) ==
        "the file F must have as many bytes of tensors as its header says, got 9, not 8" + again);
  CHECK_THAT(one("F32", "[2]", "[0,8]", 7), Contains("got 7, not 8"));
  CHECK(one("F32", "[2]", "[4,12]", 12) ==
        "the file F must have its tensors one behind the other, got a hole before \"a\"" + again);
  CHECK(one("F32", "[-2]", "[0,8]", 8) ==
        "the file F must have sizes and offsets of at least 0, got -2 for \"a\"" + again);
  CHECK_THAT(one("F32", "[2.0]", "[0,8]", 8), Contains("got 2.0 for \"a\""));
  CHECK_THAT(one("F32", "[2]", "[0,8,9]", 8), Contains("dtype, shape and two data_offsets, once"));
  CHECK_THAT(one("F32", "[2]", "[]", 8), Contains("dtype, shape and two data_offsets, once"));
  CHECK(one("U8", "[4294967296,4294967296]", "[0,0]", 0) ==
        "the file F must have tensors of less than 2^63 bytes, got a larger one, \"a\"" + again);
  CHECK_THAT(one("U8", "[0,4294967296,4294967296]", "[0,0]", 0), Contains("less than 2^63 bytes"));
  CHECK_THAT(one("F64", "[1152921504606846976]", "[0,0]", 0), Contains("less than 2^63 bytes"));
  CHECK_THAT(one("U8", "[18446744073709551616]", "[0,0]", 0), Contains("got no number that fits"));
  CHECK_THAT(one("U8", "[1000000000000000]", "[0,1000000000000000]", 5),
             Contains("got 5, not 1000000000000000"));
  const auto two = [](const std::string& second, std::size_t bytes) {
    return error_of(std::string("{") + entry("a", "U8", "[4]", "[0,4]") + "," + second + "}", bytes);
  };
  CHECK(two(entry("b", "U8", "[0]", "[4,4]"), 4) == "no error");
  CHECK_THAT(two(entry("b", "U8", "[4]", "[2,6]"), 6), Contains("an overlap before \"b\""));
  CHECK_THAT(two(entry("b", "U8", "[0]", "[2,2]"), 4), Contains("an overlap before \"b\""));
  CHECK_THAT(two(entry("b", "U8", "[1]", "[5,6]"), 6), Contains("a hole before \"b\""));
  CHECK_THAT(two(entry("a", "U8", "[1]", "[4,5]"), 5), Contains("each name once, got \"a\" twice"));
  CHECK_THAT(two(R"("b":{"dtype":"U8","shape":[1]})", 5), Contains("got more or less of \"b\""));
  CHECK_THAT(two(R"("b":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[4,5]})", 5),
             Contains("got more or less of \"b\""));
  CHECK_THAT(two(R"("b":{"dtype":"U8","shape":[1],"data_offsets":[4,5],"x":1})", 5),
             Contains("got x of \"b\""));
  CHECK_THAT(two(R"("__metadata__":{"x":"","x":""})", 4), Contains("got \"x\" twice in __metadata__"));
  CHECK_THAT(two(R"("__metadata__":{},"__metadata__":{})", 4), Contains("got __metadata__ twice"));
}

TEST_CASE("a file cut at any length is told, and a header with any byte flipped brings no crash",
          "[read_safetensors]") {
  const Folder folder;
  write(folder / "a", {{"x", torch::arange(4, torch::kFloat)}, {"y", torch::ones({2, 0})}}, {{"k", "v"}});
  const std::string whole = tests::content(folder / "a");
  CHECK(error_of(whole) == "no error");
  CHECK(error_of(whole + "x") != "no error");
  for (std::size_t length = 0; length < whole.size(); ++length)
    REQUIRE(error_of(whole.substr(0, length)) != "no error");
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int bits : {0x01, 0x20, 0x80, 0xff}) {
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ bits);
      error_of(flipped);
    }
  }
}

TEST_CASE("what is no file is told", "[read_safetensors]") {
  const Folder folder;
  const auto error = [](const std::string& path) {
    return tests::error_of([&] { ab::read_safetensors(path); });
  };
  CHECK(error(folder / "none") == "the file " + (folder / "none") +
                                      " must be readable, got \"No such file or directory\"; check the path");
  CHECK(error(folder.path().string()) ==
        "the file " + folder.path().string() +
            " must be a plain file, got a folder or a device; check the path");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THAT(error(folder / "pipe"), Contains("must be a plain file"));
}

}  // namespace read_safetensors_tests
