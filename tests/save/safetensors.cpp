#include <torch/torch.h>

#include <abyme/save/safetensors.hpp>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "support/folder.hpp"
#include "support/full_disk.hpp"

#include <cstring>

namespace ab = abyme;

namespace safetensors_tests {

using Catch::Contains;
using tests::content;
using tests::Folder;

namespace {

void write(const std::string& path, std::vector<ab::NamedTensor> tensors,
           const std::map<std::string, std::string>& metadata = {}) {
  ab::write_atomically(path,
                       [&](ab::File& file) { ab::write_safetensors(file, std::move(tensors), metadata); });
}

// A file taken apart by the rules of the format, and not by abyme's code.
struct Parsed {
  nlohmann::json header;
  std::string data;

  explicit Parsed(const std::string& path) {
    const std::string file = content(path);
    std::uint64_t length = 0;
    REQUIRE(file.size() >= 8);
    std::memcpy(&length, file.data(), 8);
    REQUIRE(length <= file.size() - 8);
    REQUIRE(length % 8 == 0);
    REQUIRE(file[8] == '{');
    header = nlohmann::json::parse(file.substr(8, length));
    data = file.substr(8 + length);
  }
  /// The tensor of that name, made of the bytes in the file.
  torch::Tensor tensor(const std::string& name, at::ScalarType dtype) const {
    const auto& entry = header.at(name);
    const auto first = entry["data_offsets"][0].get<std::size_t>();
    const auto last = entry["data_offsets"][1].get<std::size_t>();
    torch::Tensor made = torch::empty(entry["shape"].get<std::vector<std::int64_t>>(), dtype);
    REQUIRE(made.nbytes() == last - first);
    if (last > first) std::memcpy(made.data_ptr(), data.data() + first, last - first);
    return made;
  }
  /// Checks that the tensors lie one behind the other, without holes, to the end of the file, each where
  /// numbers of its width may lie.
  void check_layout() const {
    std::vector<std::pair<std::size_t, std::size_t>> spans;
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      CHECK(entry.size() == 3);
      const auto first = entry["data_offsets"][0].get<std::size_t>();
      const auto last = entry["data_offsets"][1].get<std::size_t>();
      std::size_t count = 1;
      for (const auto& size : entry["shape"]) count *= size.get<std::size_t>();
      if (count > 0) CHECK(first % ((last - first) / count) == 0);
      spans.emplace_back(first, last);
    }
    std::sort(spans.begin(), spans.end());
    std::size_t at = 0;
    for (const auto& [first, last] : spans) {
      CHECK(first == at);
      at = last;
    }
    CHECK(at == data.size());
  }
};

std::string error_of(std::vector<ab::NamedTensor> tensors) {
  const Folder folder;
  try {
    write(folder / "a.safetensors", std::move(tensors));
  } catch (const ab::Error& error) {
    CHECK(folder.files().empty());
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("every dtype of the format comes back bit for bit, whatever the shape", "[safetensors]") {
  torch::manual_seed(1);
  const Folder folder;
  const std::vector<std::pair<at::ScalarType, std::string>> dtypes{
      {torch::kBool, "BOOL"},         {torch::kUInt8, "U8"},         {torch::kInt8, "I8"},
      {torch::kInt16, "I16"},         {torch::kInt32, "I32"},        {torch::kInt64, "I64"},
      {torch::kFloat16, "F16"},       {torch::kBFloat16, "BF16"},    {torch::kFloat32, "F32"},
      {torch::kFloat64, "F64"},       {torch::kComplexFloat, "C64"}, {at::kUInt16, "U16"},
      {at::kUInt32, "U32"},           {at::kUInt64, "U64"},          {at::kFloat8_e5m2, "F8_E5M2"},
      {at::kFloat8_e4m3fn, "F8_E4M3"}};
  std::vector<ab::NamedTensor> tensors;
  for (const auto& [dtype, name] : dtypes) {
    const auto numbers = dtype == torch::kBool ? torch::rand({3, 5}) < 0.5 : 100 * torch::rand({3, 5});
    tensors.push_back({name + ".matrix", numbers.to(dtype)});
    tensors.push_back({name + ".row", numbers.flatten().slice(0, 0, 3).to(dtype)});
    tensors.push_back({name + ".scalar", numbers[0][0].to(dtype)});
    tensors.push_back({name + ".empty", torch::empty({4, 0, 2}, dtype)});
  }
  write(folder / "a.safetensors", tensors);
  const Parsed parsed(folder / "a.safetensors");
  parsed.check_layout();
  CHECK(parsed.header.size() == 4 * dtypes.size());
  for (const auto& [dtype, name] : dtypes) {
    CHECK(parsed.header[name + ".matrix"]["dtype"] == name);
    CHECK(parsed.header[name + ".matrix"]["shape"] == std::vector{3, 5});
    CHECK(parsed.header[name + ".scalar"]["shape"] == nlohmann::json::array());
    CHECK(parsed.header[name + ".empty"]["shape"] == std::vector{4, 0, 2});
  }
  for (const auto& [name, tensor] : tensors) {
    const auto back = parsed.tensor(name, tensor.scalar_type());
    CHECK(back.sizes() == tensor.sizes());
    CHECK((tensor.numel() == 0 || std::memcmp(back.data_ptr(), tensor.data_ptr(), tensor.nbytes()) == 0));
  }
}

TEST_CASE("the header says what the format says, in the order of Python's package: wide elements first",
          "[safetensors]") {
  const Folder folder;
  write(folder / "a.safetensors",
        {{"b", torch::tensor({1.0F, 2.0F})},
         {"flag", torch::tensor(true)},
         {"a", torch::tensor({3.0F})},
         {"whole", torch::tensor({{7}}, torch::kInt64)}},
        {{"format", "pt"}, {"said \"so\"", "two\nlines \\ \x01"}});
  const std::string file = content(folder / "a.safetensors");
  std::string header = R"({"__metadata__":{"format":"pt","said \"so\"":"two\u000alines \\ \u0001"},)"
                       R"("whole":{"dtype":"I64","shape":[1,1],"data_offsets":[0,8]},)"
                       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
                       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},)"
                       R"("flag":{"dtype":"BOOL","shape":[],"data_offsets":[20,21]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  CHECK(file.substr(8, header.size()) == header);
  CHECK(file.size() == 8 + header.size() + 21);
  const Parsed parsed(folder / "a.safetensors");
  CHECK(parsed.header["__metadata__"]["said \"so\""] == "two\nlines \\ \x01");
}

TEST_CASE("without tensors there is a header all the same", "[safetensors]") {
  const Folder folder;
  write(folder / "a.safetensors", {});
  CHECK(content(folder / "a.safetensors") == std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  write(folder / "a.safetensors", {}, {{"a", ""}});
  CHECK(Parsed(folder / "a.safetensors").header == nlohmann::json::parse(R"({"__metadata__": {"a": ""}})"));
}

TEST_CASE("views are written as what they show: transposed, strided, expanded, conjugate, negative",
          "[safetensors]") {
  const Folder folder;
  const auto matrix = torch::arange(12, torch::kFloat).view({3, 4});
  const auto complex = torch::complex(matrix, matrix + 1);
  const std::vector<ab::NamedTensor> views{
      {"transposed", matrix.t()},
      {"strided", matrix.slice(1, 0, 4, 2)},
      {"offset", matrix[2]},
      {"expanded", matrix[0][1].expand({2, 3})},
      {"channels_last",
       torch::arange(24, torch::kFloat).view({1, 2, 3, 4}).contiguous(torch::MemoryFormat::ChannelsLast)},
      {"conjugate", complex.conj()},
      {"negative", torch::imag(complex.conj())},
      {"graph", (matrix.clone().requires_grad_() * 2)}};
  REQUIRE(views[5].tensor.is_conj());
  REQUIRE(views[6].tensor.is_neg());
  write(folder / "a.safetensors", views);
  const Parsed parsed(folder / "a.safetensors");
  parsed.check_layout();
  for (const auto& [name, view] : views) CHECK(parsed.tensor(name, view.scalar_type()).equal(view));
}

TEST_CASE("tied tensors are written under each of their names", "[safetensors]") {
  const Folder folder;
  const auto tied = torch::arange(6, torch::kFloat);
  write(folder / "a.safetensors", {{"encoder.weight", tied}, {"decoder.weight", tied}, {"part", tied[1]}});
  const Parsed parsed(folder / "a.safetensors");
  parsed.check_layout();
  CHECK(parsed.data.size() == (6 + 6 + 1) * 4);
  CHECK(parsed.tensor("encoder.weight", torch::kFloat).equal(tied));
  CHECK(parsed.tensor("decoder.weight", torch::kFloat).equal(tied));
  CHECK(parsed.tensor("part", torch::kFloat).equal(tied[1]));
}

TEST_CASE("names may hold whatever JSON can say", "[safetensors]") {
  const Folder folder;
  const std::vector<std::string> names{
      "with \"quotes\"", "back\\slash", "tab\t", "line\nbreak", "größe.重み", "", "{a}"};
  std::vector<ab::NamedTensor> tensors;
  for (std::size_t i = 0; i < names.size(); ++i)
    tensors.push_back({names[i], torch::tensor(double(i), torch::kFloat64)});
  write(folder / "a.safetensors", tensors);
  const Parsed parsed(folder / "a.safetensors");
  parsed.check_layout();
  CHECK(parsed.header.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i)
    CHECK(parsed.tensor(names[i], torch::kFloat64).item<double>() == double(i));
}

TEST_CASE("what the format can't hold is told, before anything is written", "[safetensors]") {
  CHECK(error_of({{"good", torch::ones({1})}, {"x", torch::zeros({1}, torch::kComplexDouble)}}) ==
        "a tensor must have a dtype of the safetensors format, got ComplexDouble in \"x\"; convert it with "
        ".to(...)");
  CHECK_THAT(error_of({{"x", torch::Tensor()}}), Contains("got none in \"x\""));
  CHECK(error_of({{"x", torch::ones({1})}, {"y", torch::ones({1})}, {"x", torch::ones({1}, torch::kLong)}}) ==
        "a tensor must have a name of its own, got \"x\" twice; name it otherwise");
  CHECK(error_of({{"__metadata__", torch::ones({1})}}) ==
        "a tensor must have a name of its own, got \"__metadata__\"; name it otherwise");
  std::vector<ab::NamedTensor> none;
  const std::vector<std::pair<std::string, std::string>> metadata{{"k", std::string(100'000'000, 'x')}};
  CHECK_THROWS_WITH(ab::safetensors_head(none, metadata),
                    "the header of a safetensors file must have at most 100000000 bytes, got 100000032; keep "
                    "long texts as tensors");
  const tests::FullDisk full(64);
  CHECK_THAT(error_of({{"x", torch::ones({100})}}), Contains("File too large"));
}

}  // namespace safetensors_tests
