#pragma once

#include <abyme/write/entries.hpp>
#include <abyme/write/json_value.hpp>
#include <abyme/write/text_file.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

struct JSONLStreamOptions {
  Input<std::string> prefix = "";  ///< put before each transformed name; read at each dig
  std::vector<std::function<std::string(std::string)>> name_transforms = {};  ///< applied left to right
  std::vector<std::function<Value(Value)>> value_transforms = {};             ///< applied left to right
};

/// Writes one line of JSON, an object of its caller's fields, to a file at each dig: `train_pass("end",
/// ab::JSONLStream("steps.jsonl", {"loss", "batch_size"}))` writes `{"loss":0.25,"batch_size":64}`. Without
/// names all fields but objects and options. Each line is handed to the system at once, so that a crash of
/// the program loses none. Lines need not have the same names. Numbers have all their digits, and NaN,
/// Infinity and -Infinity stand as Python's json has them; durations are in seconds, nothing is null, tensors
/// are numbers or nested lists. An `ab::TextFile` in place of the file's name may be shared by several of
/// them.
///
/// No events. Fields: `file` (its path, read at the first line of a run), `fields`, `rows` (so far), its
/// options.
class JSONLStreamNode : public PrintingNode {
public:
  using Options = JSONLStreamOptions;

  std::vector<Input<Value>> chosen;
  Options options;
  std::int64_t rows = 0;
  static constexpr auto fields = abyme::fields(
      PrintingNode::fields, field("fields", &JSONLStreamNode::chosen), state("rows", &JSONLStreamNode::rows));

  explicit JSONLStreamNode(TextFile file, Options options = {})
      : JSONLStreamNode(std::move(file), {}, std::move(options)) {}
  JSONLStreamNode(TextFile file, const std::vector<std::string>& names, Options options = {})
      : PrintingNode(std::move(file)), chosen(inputs_of(names)), options(std::move(options)) {}
  explicit JSONLStreamNode(Input<std::string> path, Options options = {})
      : JSONLStreamNode(TextFile(std::move(path)), {}, std::move(options)) {}
  JSONLStreamNode(Input<std::string> path, const std::vector<std::string>& names, Options options = {})
      : JSONLStreamNode(TextFile(std::move(path)), names, std::move(options)) {}

  Step next(Step) override {
    Record line;
    each_transformed(*this, chosen, options,
                     [&](const std::string& name, const Value& value) { line[name] = to_record(value); });
    print((line.is_nothing() ? "{}" : line.json()) + '\n');
    ++rows;
    return done;
  }
};
using JSONLStream = Handle<JSONLStreamNode>;

}  // namespace abyme
