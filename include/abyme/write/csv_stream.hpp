#pragma once

#include <abyme/write/csv_text.hpp>
#include <abyme/write/entries.hpp>
#include <abyme/write/text_file.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

struct CSVStreamOptions {
  Input<std::string> prefix = "";  ///< put before each transformed name; read at each dig
  std::vector<std::function<std::string(std::string)>> name_transforms = {};  ///< applied left to right
  std::vector<std::function<Value(Value)>> value_transforms = {};             ///< applied left to right
  bool header = true;
  bool add_id = true;  ///< a last column `id`: the number of the row, from 0
  std::string na = "na";
  std::string separator = ",";
  std::string line_separator = "\n";
};

/// Writes one row of its caller's fields to a file at each dig: `train_pass("end", ab::CSVStream("steps.csv",
/// {"loss", "batch_size"}))`; without names all fields but objects and options. Each row is handed to the
/// system at once, so that a crash of the program loses none. The header is written once, before the first
/// row. Format of cells, and the file of an earlier run, as with `CSVWriter`.
///
/// No events. Fields: `filename` (read at the first row of a run), `fields`, `rows` (so far), its options.
/// \throws Error at a dig where the columns are not those of the first row.
class CSVStreamNode : public Node {
public:
  using Options = CSVStreamOptions;

  Input<std::string> filename;
  std::vector<Input<Value>> chosen;
  Options options;
  std::int64_t rows = 0;
  static constexpr auto fields =
      abyme::fields(field("filename", &CSVStreamNode::filename), field("fields", &CSVStreamNode::chosen),
                    state("rows", &CSVStreamNode::rows));

  explicit CSVStreamNode(Input<std::string> filename, Options options = {})
      : CSVStreamNode(std::move(filename), {}, std::move(options)) {}
  CSVStreamNode(Input<std::string> path, const std::vector<std::string>& names, Options options = {})
      : filename(std::move(path)), chosen(inputs_of(names)), options(std::move(options)), file_(filename) {}

  void restart() override {
    Node::restart();
    file_.restart();
    names_.clear();
  }

  Step next(Step) override {
    std::vector<std::string> names, cells;
    const CSVFormat format{options.separator, options.line_separator};
    each_transformed(*this, chosen, options, [&](std::string name, const Value& value) {
      names.push_back(std::move(name));
      cells.push_back(csv_text(value, options.na));
    });
    if (options.add_id) {
      names.emplace_back("id");
      cells.push_back(fmt::format("{}", rows));
    }
    const bool is_first = names_.empty();
    if (!is_first && names != names_) {
      throw Error(
          fmt::format("the columns of a stream stay what they were in its first row, {}, got {}; take "
                      "a CSVWriter for columns that come late",
                      format.row(names_), format.row(names)));
    }
    file_.write(*this, filename, (is_first && options.header ? format.line(names) : "") + format.line(cells));
    names_ = std::move(names);
    ++rows;
    return done;
  }

  void run_ended() override { file_.close(); }
  void hold(Holdings& holdings) override {
    holdings.add_own("file", {[this](Kept& kept) {
                                file_.save(kept);
                                keep(kept, "columns", names_);
                              },
                              [this](const Kept& kept) {
                                file_.load(kept);
                                put_back(kept, "columns", names_);
                              }});
  }

  void check(Place& place) const override {
    const std::string fault = CSVFormat{options.separator, options.line_separator}.fault();
    if (!fault.empty()) place.fault(fault);
    if (const auto path = filename.constant()) place.claim(*path);
  }

private:
  TextFile file_;
  std::vector<std::string> names_;  // the columns of the file
};
using CSVStream = Handle<CSVStreamNode>;

}  // namespace abyme
