#pragma once

#include <fmt/format.h>

#include <abyme/core/error.hpp>
#include <abyme/core/record.hpp>
#include <abyme/save/inspect.hpp>
#include <abyme/save/split_name.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme::snapshots {

/// What a snapshot holds of a node or of a part.
struct Piece {
  std::string name;  ///< the path of the node; of a part as in `model`
  std::string type;  ///< of the node
  Record data;
  std::vector<SafetensorsHeader::Entry> tensors;  ///< under the names that they have within the piece
};

/// What a safetensors file holds, a snapshot or another one. Prints as some lines with `<<` of streams.
struct Summary {
  std::filesystem::path path;
  FileSummary file;
  Record record;                    ///< nothing where the file is no snapshot
  std::vector<Piece> nodes, parts;  ///< where it is no snapshot, one part without a name

  bool is_snapshot() const { return !record.is_nothing(); }
  bool is_damaged() const { return file.checksum == ChecksumState::broken; }

  /// Where the run goes on, from the root down: `Ground/dig[1]` is the child with that number. Empty where a
  /// child was hung while the tree ran.
  std::vector<std::string> position() const;

  /// The counters of the nodes that were running, triggers aside: `epochs 3, train_data 50`.
  std::string progress() const;

  /// What the file is, in a line.
  std::string headline() const;

  std::string text() const;
};
inline std::ostream& operator<<(std::ostream& out, const Summary& summary) { return out << summary.text(); }

namespace reflect {

/// 1.23 MB
inline std::string size_text(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} bytes", bytes);
  double size = double(bytes) / 1000;
  std::size_t unit = 0;
  for (; size >= 999.5 && unit < 4; ++unit) size /= 1000;
  const int digits = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}B", size, digits, "kMGTP"[unit]);
}

/// Names and values of a piece, a line each; names within values are joined by dots.
class Lines {
public:
  explicit Lines(const Piece& piece) : piece_(piece) {
    add("", piece.data);
    for (const auto& each : piece.tensors) {
      std::string shape;
      for (const std::int64_t size : each.shape)
        shape += fmt::format("{}{}", shape.empty() ? "" : ", ", size);
      lines_.emplace_back(each.name, fmt::format("{} [{}], {}", safetensors_dtype(each.dtype), shape,
                                                 size_text(each.last - each.first)));
    }
  }

  std::string text() const {
    std::size_t width = 0;
    for (const auto& [name, value] : lines_) width = std::max(width, name.size());
    std::string all;
    for (const auto& [name, value] : lines_) all += fmt::format("    {:<{}}  {}\n", name, width, value);
    return all;
  }

private:
  void add(const std::string& name, const Record& data) {
    std::string json = data.json();
    if (json.front() == '{') {
      for (const auto& [inner, value] : data.as<Record::Entries>()) {
        if (inner == "value") add(name.empty() ? inner : name, value);  // of what may be nothing
        else add(name.empty() ? inner : name + "." + inner, value);
      }
    } else if (!name.empty() && !is_tensor(name)) {
      if (json.front() == '[' && json.size() > 60)
        json = fmt::format("{} values", data.as<Record::List>().size());
      lines_.emplace_back(name, data.is_nothing() ? "none" : json);
    }
  }
  // Such a record only says that there is one, or some.
  bool is_tensor(const std::string& name) const {
    return std::any_of(piece_.tensors.begin(), piece_.tensors.end(), [&](const auto& each) {
      return each.name == name || each.name.starts_with(name + ".");
    });
  }

  const Piece& piece_;
  std::vector<std::pair<std::string, std::string>> lines_;
};

template <class Visit>
void each_frame(const Record& record, Visit visit) {
  const Record* frames = record.find("frames");
  if (!frames || frames->is_nothing()) return;
  for (const Record& each : frames->as<Record::List>()) visit(each);
}

inline std::vector<Piece> pieces_of(const Record& record, std::string_view group) {
  std::vector<Piece> pieces;
  const Record* all = record.find(group);
  if (!all || all->is_nothing()) return pieces;
  for (const auto& [name, data] : all->as<Record::Entries>()) pieces.push_back({name, {}, data, {}});
  return pieces;
}

inline void give_to_its_piece(Summary& summary, const SafetensorsHeader::Entry& tensor) {
  std::vector<Piece*> all;
  for (auto* pieces : {&summary.nodes, &summary.parts}) {
    for (Piece& each : *pieces) all.push_back(&each);
  }
  const auto name =
      split_name(tensor.name, all, [](const Piece* piece) -> std::string_view { return piece->name; });
  if (!name) throw Error("a tensor belongs to nothing: \"" + tensor.name + "\"");
  const auto owner = std::ranges::find(all, name->first, [](const Piece* piece) { return piece->name; });
  auto& tensors = (*owner)->tensors;
  const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
  auto its = tensor;
  its.name = name->second;
  tensors.insert(std::upper_bound(tensors.begin(), tensors.end(), its, by_name), its);
}

}  // namespace reflect

inline std::vector<std::string> Summary::position() const {
  std::vector<std::string> places;
  reflect::each_frame(record, [&](const Record& frame) {
    places.push_back(fmt::format("{}/{}[{}]", frame.at("node").as<std::string>(),
                                 frame.at("event").as<std::string>(), frame.at("next").as<std::int64_t>()));
  });
  return places;
}

inline std::string Summary::progress() const {
  std::string text;
  reflect::each_frame(record, [&](const Record& frame) {
    const std::string& path_of_node = frame.at("node").as<std::string>();
    for (const Piece& each : nodes) {
      const Record* counter = each.name == path_of_node ? each.data.find("counter") : nullptr;
      if (!counter || each.type.ends_with("Trigger")) continue;
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ",
                          path_of_node.substr(path_of_node.rfind('/') + 1), counter->json());
    }
  });
  return text;
}

inline std::string Summary::headline() const {
  return fmt::format("{}: {}, {}, {}", path.string(), is_snapshot() ? "snapshot" : "tensors",
                     reflect::size_text(file.bytes),
                     is_damaged()                            ? "damaged: its checksum differs"
                     : file.checksum == ChecksumState::holds ? "good"
                                                             : "without a checksum");
}

inline std::string Summary::text() const {
  std::string all = headline() + "\n";
  if (is_snapshot()) {
    all += fmt::format("run: {}\ntaken at: {}\n", record.at("run").as<std::string>(),
                       record.at("place").as<std::string>());
    if (const std::string counters = progress(); !counters.empty()) all += "counters: " + counters + "\n";
    const auto places = position();
    all += places.empty() ? "goes on from the start: its tree grew while it ran\n" : "goes on at:\n";
    for (const std::string& each : places) all += "  " + each + "\n";
  }
  for (const auto& [title, pieces] : {std::pair{"nodes", &nodes}, std::pair{"parts", &parts}}) {
    if (is_snapshot()) all += fmt::format("{}:\n", title);
    for (const Piece& each : *pieces) {
      std::uint64_t bytes = 0;
      for (const auto& tensor : each.tensors) bytes += tensor.last - tensor.first;
      all += "  " + (each.name.empty() ? "all" : each.name);
      if (!each.type.empty() && !each.name.ends_with(each.type)) all += " (" + each.type + ")";
      if (!each.tensors.empty())
        all += fmt::format(": {} tensor{}, {}", each.tensors.size(), each.tensors.size() == 1 ? "" : "s",
                           reflect::size_text(bytes));
      all += "\n" + reflect::Lines(each).text();
    }
  }
  return all;
}

/// Sums up a safetensors file: of a snapshot where its run was, the fields of its nodes and its parts, with
/// the shapes and dtypes of all tensors; of another one the tensors. Reads the file once, to try its
/// checksum, and holds no tensor. \throws Error where the file can't be read, or makes no sense
inline Summary inspect(const std::filesystem::path& path) {
  Summary summary{path, abyme::inspect(path), {}, {}, {}};
  const auto& header = summary.file.header;
  const auto text = header.metadata.find("abyme");
  if (text == header.metadata.end()) {
    summary.parts.push_back({"", "", {}, header.entries});
    return summary;
  }
  try {
    summary.record = Record::parse(text->second);
    summary.nodes = reflect::pieces_of(summary.record, "nodes");
    summary.parts = reflect::pieces_of(summary.record, "parts");
    for (const Record& each : summary.record.at("tree").as<Record::List>()) {
      for (Piece& node : summary.nodes) {
        if (node.name == each.at("path").as<std::string>()) node.type = each.at("type").as<std::string>();
      }
    }
    for (const auto& tensor : header.entries) reflect::give_to_its_piece(summary, tensor);
    static_cast<void>(summary.text());  // so that it throws here or nowhere
  } catch (const Error& error) {
    throw Error(fmt::format("the file {} must be a snapshot that abyme wrote, got one where {}",
                            path.string(), error.what()));
  }
  return summary;
}

}  // namespace abyme::snapshots
