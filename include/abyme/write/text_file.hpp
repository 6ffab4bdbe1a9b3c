#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/save/file.hpp>
#include <abyme/write/live_line.hpp>

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace abyme {

/// A text file that nodes of one tree write together, line by line: `ab::TextFile log("run.log")`, then
/// `ab::Print(log, "...")`. Copies are the same file.
///
/// Its path is read at the first write of a run; folders are made. A file that is there then, of another
/// run, is kept as NAME.bck; only `dig({.keep = true})` writes on behind it. Each line is handed to the
/// system at once and whole, so that a crash of the program loses none and a full disk cuts none.
class TextFile {
public:
  explicit TextFile(Input<std::string> path) : state_(std::make_shared<State>(State{std::move(path)})) {}

  const Input<std::string>& path() const { return state_->path; }

  /// \param reader a node that has `path` among its fields
  void write(const Node& reader, const Input<std::string>& path, std::string_view text) const {
    if (!state_->file) {
      const std::string name = path.read(reader);
      make_folder_of(name);
      const std::string run = reader.run() ? reader.run()->id : "";
      if (std::exchange(state_->begun, name) != name) keep_as_backup(name, run);
      state_->file.emplace(name, File::Open::append);
      set_owner(name, run);
    }
    state_->file->write_whole(text);
  }
  /// Ends what is written now.
  void close() const { state_->file.reset(); }
  /// The next write begins the file anew.
  void restart() const {
    close();
    state_->begun.reset();
  }
  const void* identity() const { return state_.get(); }

  /// For snapshots: the file and its length, which it gets back when a run goes on.
  void save(Kept& kept) const {
    if (state_->file) state_->file->sync();
    keep(kept, "file", state_->begun);
    std::error_code none;
    kept.data["bytes"] = state_->begun ? std::filesystem::file_size(*state_->begun, none) : 0;
  }
  void load(const Kept& kept) const {
    close();
    put_back(kept, "file", state_->begun);
    if (state_->begun)
      cut_file(*state_->begun, static_cast<std::uint64_t>(kept.data.at("bytes").as<std::int64_t>()));
  }

private:
  struct State {
    Input<std::string> path;
    std::optional<File> file = {};
    std::optional<std::string> begun = {};  // the file of this run
  };
  std::shared_ptr<State> state_;
};

/// A leaf that prints text: to the standard output, to a stream, which it borrows, or to a text file. Fields,
/// first in the table of a class derived from it: `file`, the path of the text file where there is one.
class PrintingNode : public Node {
public:
  std::optional<Input<std::string>> file;
  static constexpr auto fields = abyme::fields(field("file", &PrintingNode::file));

  std::span<const Field> shown() const override { return type().fields.subspan(file ? 0 : 1); }

  void restart() override {
    Node::restart();
    if (const TextFile* text = std::get_if<TextFile>(&to_)) text->restart();
  }
  void run_ended() override {
    if (const TextFile* text = std::get_if<TextFile>(&to_)) text->close();
  }
  void hold(Holdings& holdings) override {
    if (const TextFile* text = std::get_if<TextFile>(&to_)) {
      holdings.add_own(
          "file", {[text](Kept& kept) { text->save(kept); }, [text](const Kept& kept) { text->load(kept); }},
          text->identity());
    }
  }
  void check(Place& place) const override {
    const TextFile* text = std::get_if<TextFile>(&to_);
    if (const auto path = text ? file->constant() : std::nullopt) place.claim(*path, text->identity());
  }

protected:
  PrintingNode() : to_(&std::cout) {}
  explicit PrintingNode(std::ostream& out) : to_(&out) {}
  explicit PrintingNode(TextFile text) : file(text.path()), to_(std::move(text)) {}

  void print(std::string_view text) {
    if (const TextFile* written = std::get_if<TextFile>(&to_)) written->write(*this, *file, text);
    else LiveLine::print_above(*std::get<std::ostream*>(to_), text);
  }

private:
  std::variant<std::ostream*, TextFile> to_;
};

}  // namespace abyme
