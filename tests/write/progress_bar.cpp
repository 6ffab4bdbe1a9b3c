#include <abyme/write/progress_bar.hpp>

#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/save/snapshot_state.hpp>
#include <abyme/trigger/periodic_trigger.hpp>
#include <abyme/write/print.hpp>

#include <ATen/ops/zeros.h>

#include "support/screen.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fcntl.h>
#include <pty.h>
#include <sstream>
#include <thread>

namespace ab = abyme;
using namespace std::chrono_literals;

namespace progress_bar_tests {

using ab::BarStyle;
using tests::Screen;

namespace {

// Time that passes only when it is told to.
struct Clock {
  std::chrono::steady_clock::time_point now{};

  auto passes(double seconds) {
    return [this, seconds] { now += std::chrono::round<std::chrono::nanoseconds>(ab::Duration(seconds)); };
  }
  ab::ProgressBar operator()(const ab::ProgressBar& bar) {
    bar->clock = [this] { return now; };
    return bar;
  }
};

using Batches = std::vector<std::vector<int>>;  // of these many samples
Batches batches(std::size_t count) { return Batches(count, std::vector<int>(10)); }

// Batches that don't tell how many they are.
struct Endless {
  std::size_t count;
  struct Iterator {
    std::vector<int> batch;
    std::size_t at;
    const std::vector<int>& operator*() const { return batch; }
    Iterator& operator++() {
      ++at;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at != other.at; }
  };
  Iterator begin() { return {std::vector<int>(10), 0}; }
  Iterator end() { return {{}, count}; }
};

using Messages = std::vector<std::string>;
Messages faults(std::vector<ab::Child> children) {
  ab::IterationLooper loop(1);
  loop("iteration_end", std::move(children));
  ab::Ground ground;
  ground("dig", loop);
  Messages messages;
  for (const ab::Fault& fault : ab::faults(ground)) messages.push_back(fault.message);
  return messages;
}

}  // namespace

TEST_CASE("without a terminal a bar is a few plain lines, the last one at n of n") {
  Clock clock;
  std::ostringstream out;
  ab::IterationLooper epochs(2);
  ab::DataLooper data(batches(7));
  const auto loss = [&] { return 1.0 / double(data->steps); };
  const auto title = [&] { return fmt::format("epoch {}/2", epochs->counter + 1); };
  data("iteration_end", clock.passes(0.5),
       clock(ab::ProgressBar(out, {"counter", {"loss", loss}}, {.width = 14, .lines = 3, .title = title})));
  epochs("iteration_start", data);
  ab::Ground()("dig", epochs).dig();
  CHECK(out.str() == R"(epoch 1/2
3/7 [=====>........] - ETA: 2s - counter: 3 - loss: 0.3333
5/7 [=========>....] - ETA: 1s - counter: 5 - loss: 0.2000
7/7 [==============] - 4s 500ms/step - counter: 7 - loss: 0.1429
epoch 2/2
3/7 [=====>........] - ETA: 2s - counter: 3 - loss: 0.1000
5/7 [=========>....] - ETA: 1s - counter: 5 - loss: 0.0833
7/7 [==============] - 4s 500ms/step - counter: 7 - loss: 0.0714
)");
}

TEST_CASE("a pass has ten lines or as many as it has steps, in either style") {
  Clock clock;
  const auto lines = [&](std::size_t count, ab::ProgressBarOptions options) {
    std::ostringstream out;
    ab::DataLooper data(batches(count));
    data("iteration_end", clock.passes(1), clock(ab::ProgressBar(out, std::move(options))));
    ab::Ground()("dig", data).dig();
    return out.str();
  };
  const std::string many = lines(1000, {});
  CHECK(std::count(many.begin(), many.end(), '\n') == 10);
  CHECK(lines(3, {.style = BarStyle::tqdm, .width = 6, .title = "test"}) ==
        "test:  33%|##    | 1/3 [00:00<?, ?it/s]\n"
        "test:  67%|####  | 2/3 [00:02<00:01,  1.00it/s]\n"
        "test: 100%|######| 3/3 [00:03<00:00,  1.00it/s]\n");
  CHECK(lines(3, {.lines = 1}) == "3/3 [==============================] - 3s 1s/step\n");
  CHECK(lines(3, {.unit = "batch", .verbose = 2}) == "3/3 [==============================] - 3s 1s/batch\n");
  CHECK(lines(3, {.lines = 0, .title = "test"}) == "");
  CHECK(lines(3, {.verbose = 0}) == "");
  CHECK(lines(1, {}) == "1/1 [==============================]\n");
  CHECK(lines(0, {}) == "");
}

TEST_CASE("hung on start too a bar begins empty, and the first step is timed") {
  Clock clock;
  Screen screen(50);
  ab::IterationLooper epochs(3);
  const auto bar = clock(ab::ProgressBar(screen, {.width = 6}));
  epochs("start", bar).at("iteration_start", clock.passes(60)).at("iteration_end", bar).at("end", bar);
  ab::Ground()("dig", epochs).dig();
  CHECK(screen.frames() == R"(0/3 [......] - ETA: ?
---
1/3 [=>....] - ETA: 2:00
---
2/3 [===>..] - ETA: 1:00
---
3/3 [======] - 180s 60s/step
---
)");
  CHECK(bar->line == "3/3 [======] - 180s 60s/step");
}

TEST_CASE("on a terminal the line is drawn again after an interval, and when all is done") {
  Clock clock;
  Screen screen(60);
  ab::DataLooper data(batches(100));
  data("iteration_end", clock.passes(0.01),
       clock(ab::ProgressBar(screen, {"counter"}, {.interval = 300ms, .title = "train"})));
  ab::Ground()("dig", data).dig();
  CHECK(screen.frames() == R"(train
---
train
  1/100 [...........................] - ETA: ? - counter: 1
---
train
 31/100 [======>..................] - ETA: 0s - counter: 31
---
train
 61/100 [==============>..........] - ETA: 0s - counter: 61
---
train
 91/100 [=====================>...] - ETA: 0s - counter: 91
---
train
100/100 [===================] - 1s 10ms/step - counter: 100
---
)");
}

TEST_CASE("of bars within one another a terminal shows the inner, then the outer again") {
  Clock clock;
  Screen screen(60);
  ab::DataLooper train(batches(2)), test(batches(2));
  test("iteration_end", clock.passes(1), clock(ab::ProgressBar(screen, {.width = 4, .unit = "test"})));
  const auto leaving_nothing = clock(ab::ProgressBar(screen, {.style = BarStyle::tqdm, .width = 4}));
  leaving_nothing->options.leave = false;
  ab::IterationLooper inner(2);
  inner("iteration_end", leaving_nothing);
  train("iteration_end", clock.passes(1), clock(ab::ProgressBar(screen, {.width = 4})), test, inner);
  ab::Ground()("dig", train).dig();
  CHECK(screen.frames() == R"(1/2 [=>..] - ETA: ?
---
2/2 [====] - 2s 1s/test
---
2/2 [====] - 2s 1s/test
1/2 [=>..] - ETA: ?
---
2/2 [====] - 2s 1s/test
 50%|##  | 1/2 [00:00<?, ?it/s]
---
2/2 [====] - 2s 1s/test
---
2/2 [====] - 2s 1s/test
1/2 [=>..] - ETA: ?
---
2/2 [====] - 2s 1s/test
2/2 [====] - 6s 3s/step
---
2/2 [====] - 2s 1s/test
2/2 [====] - 6s 3s/step
1/2 [=>..] - ETA: ?
---
2/2 [====] - 2s 1s/test
2/2 [====] - 6s 3s/step
2/2 [====] - 2s 1s/test
---
2/2 [====] - 2s 1s/test
2/2 [====] - 6s 3s/step
2/2 [====] - 2s 1s/test
 50%|##  | 1/2 [00:00<?, ?it/s]
---
2/2 [====] - 2s 1s/test
2/2 [====] - 6s 3s/step
2/2 [====] - 2s 1s/test
---
)");
}

TEST_CASE("what is printed stands above the bar") {
  Clock clock;
  Screen screen(40);
  std::ostringstream other;
  ab::DataLooper data(batches(3));
  data("iteration_end", clock.passes(1), clock(ab::ProgressBar(screen, {.width = 10})),
       ab::Print(screen, "step {}", ab::caller("counter")), ab::Print(other, "elsewhere"));
  ab::Ground()("dig", data)("final", ab::Print(screen, "{}", ab::caller("reason"))).dig();
  CHECK(screen.frames() == R"(1/3 [==>.......] - ETA: ?
---
step 1
---
step 1
1/3 [==>.......] - ETA: ?
---
step 1
2/3 [=====>....] - ETA: 1s
---
step 1
step 2
---
step 1
step 2
2/3 [=====>....] - ETA: 1s
---
step 1
step 2
3/3 [==========] - 3s 1s/step
---
step 1
step 2
3/3 [==========] - 3s 1s/step
step 3
---
step 1
step 2
3/3 [==========] - 3s 1s/step
step 3
completed
---
)");
  CHECK(other.str() == "elsewhere\nelsewhere\nelsewhere\n");
}

TEST_CASE("a looper that is left early ends its line with what was done, before anything else is printed") {
  Clock clock;
  std::ostringstream plain;
  Screen screen(50);
  ab::IterationLooper epochs(2);
  ab::DataLooper data(batches(10));
  const auto stop = [&](ab::DataLooperNode& node, ab::Run& run) {
    if (node.counter == 4) run.break_to(node, "enough");
  };
  data("iteration_end", clock.passes(1),
       clock(ab::ProgressBar(plain, {"counter"}, {.width = 10, .lines = 3})),
       clock(ab::ProgressBar(screen, {"counter"}, {.width = 10, .interval = 5s})), stop);
  epochs("iteration_start", data)
      .at("iteration_end", ab::Print(plain, "epoch {}", ab::caller("counter")),
          ab::Print(screen, "epoch {}", ab::caller("counter")));
  ab::Ground()("dig", epochs).dig();
  CHECK(plain.str() == R"( 4/10 [===>......] - ETA: 6s - counter: 4
epoch 1
 4/10 [===>......] - ETA: 6s - counter: 4
epoch 2
)");
  CHECK(screen.frames() == R"( 1/10 [>.........] - ETA: ? - counter: 1
---
 4/10 [===>......] - 4s 1s/step - counter: 1
---
 4/10 [===>......] - 4s 1s/step - counter: 1
epoch 1
---
 4/10 [===>......] - 4s 1s/step - counter: 1
epoch 1
 1/10 [>.........] - ETA: ? - counter: 1
---
 4/10 [===>......] - 4s 1s/step - counter: 1
epoch 1
 4/10 [===>......] - 4s 1s/step - counter: 1
---
 4/10 [===>......] - 4s 1s/step - counter: 1
epoch 1
 4/10 [===>......] - 4s 1s/step - counter: 1
epoch 2
---
)");
}

TEST_CASE("a run that ends in the middle ends the line") {
  Clock clock;
  Screen screen(50);
  ab::DataLooper data(batches(10));
  data("iteration_end", clock.passes(1), clock(ab::ProgressBar(screen, {.width = 10})), [&](ab::Run& run) {
    if (data->counter == 2) run.stop("enough");
    if (data->counter == 2) clock.passes(1)();
  });
  ab::Ground()("dig", data).dig();
  screen << "prompt" << std::flush;
  CHECK(screen.text() == " 2/10 [=>........] - 2s 1s/step\nprompt\n");
}

TEST_CASE("without a total a bar counts, and elsewhere has a line every ten seconds") {
  Clock clock;
  std::ostringstream plain;
  Screen screen(60);
  ab::IterationLooper epochs(2);
  ab::DataLooper data(Endless{9});
  data("iteration_end", clock.passes(3), clock(ab::ProgressBar(plain, {"counter"})),
       clock(ab::ProgressBar(screen, {"counter"}, {.style = BarStyle::tqdm, .interval = 9s})));
  epochs("iteration_start", data).at("iteration_end", ab::Print(plain, "epoch {}", ab::caller("counter")));
  ab::Ground()("dig", epochs).dig();
  CHECK(plain.str() == R"(      5/Unknown - 15s 3s/step - counter: 5
      9/Unknown - 27s 3s/step - counter: 9
epoch 1
      5/Unknown - 15s 3s/step - counter: 5
      9/Unknown - 27s 3s/step - counter: 9
epoch 2
)");
  CHECK(screen.frames() == R"(1it [00:00, ?it/s, counter=1]
---
4it [00:12,  3.00s/it, counter=4]
---
7it [00:21,  3.00s/it, counter=7]
---
9it [00:27,  3.00s/it, counter=7]
---
9it [00:27,  3.00s/it, counter=7]
1it [00:00, ?it/s, counter=1]
---
9it [00:27,  3.00s/it, counter=7]
4it [00:12,  3.00s/it, counter=4]
---
9it [00:27,  3.00s/it, counter=7]
7it [00:21,  3.00s/it, counter=7]
---
9it [00:27,  3.00s/it, counter=7]
9it [00:27,  3.00s/it, counter=7]
---
)");
}

TEST_CASE("a total is in samples, or a time, or another number of steps; what is beyond it is not shown") {
  Clock clock;
  const auto twice = [](const std::string& text) { return text + text; };  // for two epochs
  const auto lines = [&](const ab::Period& total, BarStyle style) {
    std::ostringstream out;
    ab::IterationLooper epochs(2);
    ab::DataLooper data(Batches{std::vector<int>(10), std::vector<int>(10), std::vector<int>(3)});
    data("iteration_end", clock.passes(20),
         clock(ab::ProgressBar(out, {.total = total, .style = style, .width = 10})));
    epochs("iteration_start", data);
    ab::Ground()("dig", epochs).dig();
    return out.str();
  };
  CHECK(lines(ab::samples(23), BarStyle::keras) == twice("10/23 [===>......] - ETA: ?\n"
                                                         "20/23 [=======>..] - ETA: 6s\n"
                                                         "23/23 [==========] - 60s 3s/sample\n"));
  CHECK(lines(ab::samples(20), BarStyle::tqdm) ==
        twice(" 50%|#####     | 10/20 [00:00<?, ?sample/s]\n"
              "100%|##########| 20/20 [00:40<00:00,  2.00s/sample]\n"));
  CHECK(lines(30s, BarStyle::keras) == twice("20/30 [=====>....] - ETA: 10s\n"
                                             "30/30 [==========] - 40s 1s/s\n"));
  CHECK(lines(30s || ab::steps(2), BarStyle::keras) == twice("1/2 [====>.....] - ETA: ?\n"
                                                             "2/2 [==========] - 40s 20s/step\n"));
  CHECK(lines(ab::Date(), BarStyle::keras) == twice("0/0 [==========] - 0s\n"));
}

TEST_CASE("samples of a pass are counted from its beginning, also where a bar is dug seldom") {
  Clock clock;
  std::ostringstream out;
  ab::IterationLooper epochs(2);
  ab::DataLooper data(batches(7));
  data("iteration_end", clock.passes(1),
       ab::PeriodicTrigger(5)("dig", clock(ab::ProgressBar(out, {.total = ab::samples(70), .width = 7}))));
  epochs("iteration_start", data);
  ab::Ground()("dig", epochs).dig();
  CHECK(out.str() == R"(10/70 [>......] - ETA: ?
60/70 [=====>.] - ETA: 1s
40/70 [===>...] - ETA: ?
)");
}

TEST_CASE("an empty pass is done at once") {
  Clock clock;
  std::ostringstream out;
  ab::IterationLooper epochs(2);
  ab::DataLooper data(batches(0));
  const auto bar = clock(ab::ProgressBar(out, {.width = 4}));
  data("start", bar).at("iteration_end", bar).at("end", bar);
  epochs("iteration_start", data);
  ab::Ground()("dig", epochs).dig();
  CHECK(out.str() == "0/0 [====] - 0s\n");
}

TEST_CASE("a line is cut to the width of the terminal as it is now") {
  Clock clock;
  Screen screen(60);
  ab::DataLooper data(batches(6));
  data(
      "iteration_end", clock.passes(1),
      [&](ab::DataLooperNode& node) {
        screen.columns = std::array{60, 60, 40, 20, 30, 80, 80}[std::size_t(node.counter)];
      },
      clock(ab::ProgressBar(screen, {{"größe", [] { return std::string("one\ntwo"); }}, "counter"})));
  ab::Ground()("dig", data).dig();
  CHECK(screen.frames() == R"(1/6 [=>............] - ETA: ? - größe: one two - counter: 1
---
2/6 [>....] - ETA: 4s - größe: one two
---
3/6 [=>...] - ETA:
---
4/6 [==>..] - ETA: 2s - größe
---
5/6 [========================>.....] - ETA: 1s - größe: one two - counter: 5
---
6/6 [==============================] - 6s 1s/step - größe: one two - counter: 6
---
)");
}

TEST_CASE("a dictionary gives its entries; means are those of the pass, weighted by what was done") {
  Clock clock;
  std::ostringstream out;
  ab::Dict shown{{"rate", 0.25}, {"phase", "warm"}}, averaged;
  ab::IterationLooper epochs(2);
  ab::DataLooper data(Batches{std::vector<int>(10), std::vector<int>(10), std::vector<int>(20)});
  const auto fill = [&](ab::DataLooperNode& node) {
    averaged.set("loss", double(node.counter * node.steps));
    averaged.set("tensor", at::zeros({}).fill_(double(node.counter)));
    averaged.set("shape", at::zeros({2}));
    averaged.set("name", std::string("text"));
  };
  data("iteration_end", fill, clock.passes(1),
       clock(ab::ProgressBar(out, {{"", [&]() -> const ab::Dict& { return shown; }}},
                             {.total = ab::samples(40),
                              .width = 4,
                              .means = {"counter", [&]() -> const ab::Dict& { return averaged; }}})));
  epochs("iteration_start", data);
  ab::Ground()("dig", epochs).dig();
  CHECK(
      out.str() ==
      R"(10/40 [>...] - ETA: ? - rate: 0.2500 - phase: warm - counter: 1.0000 - loss: 1.0000 - tensor: 1.0000
20/40 [=>..] - ETA: 2s - rate: 0.2500 - phase: warm - counter: 1.5000 - loss: 2.5000 - tensor: 1.5000
40/40 [====] - 3s 75ms/sample - rate: 0.2500 - phase: warm - counter: 2.2500 - loss: 5.7500 - tensor: 2.2500
10/40 [>...] - ETA: ? - rate: 0.2500 - phase: warm - counter: 1.0000 - loss: 4.0000 - tensor: 1.0000
20/40 [=>..] - ETA: 2s - rate: 0.2500 - phase: warm - counter: 1.5000 - loss: 7.0000 - tensor: 1.5000
40/40 [====] - 3s 75ms/sample - rate: 0.2500 - phase: warm - counter: 2.2500 - loss: 12.5000 - tensor: 2.2500
)");
}

TEST_CASE("a run that goes on shows the place where it is, its rate from there, and the means of all") {
  Clock clock;
  ab::SnapshotState snapshot;
  const auto run_on = [&](bool goes_on, std::int64_t total) {
    std::ostringstream out;
    ab::IterationLooper epochs(2);
    ab::DataLooper data(
        Batches{std::vector<int>(10), std::vector<int>(10), std::vector<int>(10), std::vector<int>(3)});
    data("iteration_end", clock.passes(goes_on ? 5 : 1),
         clock(ab::ProgressBar(out, {.total = ab::samples(total), .width = 4, .means = {"counter"}})),
         [&](ab::Run& run) {
           if (data->steps == 6 && !goes_on) snapshot = ab::capture(run);
         });
    epochs("iteration_start", data);
    ab::Ground ground;
    ground("dig", epochs);
    if (!goes_on) {
      ground.dig();
    } else {
      ab::Run run(ground.shared());
      run.dig([&](ab::Run& begun) { ab::apply(begun, snapshot, {}); });
    }
    return out.str();
  };
  CHECK(run_on(false, 33) == R"(10/33 [>...] - ETA: ? - counter: 1.0000
20/33 [=>..] - ETA: 1s - counter: 1.5000
30/33 [==>.] - ETA: 0s - counter: 2.0000
33/33 [====] - 4s 121ms/sample - counter: 2.1818
10/33 [>...] - ETA: ? - counter: 1.0000
20/33 [=>..] - ETA: 1s - counter: 1.5000
30/33 [==>.] - ETA: 0s - counter: 2.0000
33/33 [====] - 4s 121ms/sample - counter: 2.1818
)");
  CHECK(run_on(true, 33) == R"(30/33 [==>.] - ETA: 1s - counter: 2.0000
33/33 [====] - 20s 606ms/sample - counter: 2.1818
)");
  run_on(false, 20);
  CHECK(run_on(true, 20) == "");  // it goes on behind the end of the bar
}

TEST_CASE("a bar is written to the standard error, where that is a terminal as one moving line") {
  int master = 0, slave = 0;
  const winsize size{24, 40, 0, 0};
  REQUIRE(::openpty(&master, &slave, nullptr, nullptr, &size) == 0);
  const int before = ::dup(STDERR_FILENO);
  const char* kind = std::getenv("TERM");
  const std::string old = kind ? kind : "";
  const auto written = [&](int descriptor) {
    Clock clock;
    ab::DataLooper data(batches(2));
    data("iteration_end", clock.passes(1), clock(ab::ProgressBar()));
    ::dup2(descriptor, STDERR_FILENO);
    ab::Ground()("dig", data).dig();
    ::dup2(before, STDERR_FILENO);
  };
  const auto read = [&] {
    char text[1000];
    const auto length = ::read(master, text, sizeof(text));
    return std::string(text, length > 0 ? std::size_t(length) : 0);
  };
  ::setenv("TERM", "xterm", 1);
  written(slave);
  const std::string live = read();
  ::setenv("TERM", "dumb", 1);
  written(slave);
  const std::string dumb = read();
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  ::setenv("TERM", "xterm", 1);
  written(ends[1]);
  std::swap(master, ends[0]);
  const std::string piped = read();
  if (kind) ::setenv("TERM", old.c_str(), 1);
  else ::unsetenv("TERM");
  for (const int descriptor : {master, slave, before, ends[0], ends[1]}) ::close(descriptor);
  CHECK(live ==
        "\x1b[J1/2 [===========>............] - ETA: ?\r\x1b[J2/2 [====================] - 2s 1s/step\r\n");
  CHECK(dumb == "1/2 [==============>...............] - ETA: ?\r\n2/2 [==============================] - 2s "
                "1s/step\r\n");
  CHECK(piped ==
        "1/2 [==============>...............] - ETA: ?\n2/2 [==============================] - 2s 1s/step\n");
}

TEST_CASE("faults of a bar") {
  CHECK(faults({ab::ProgressBar({"loss"})}) ==
        Messages{"values must be a field of IterationLooper, got \"loss\"; it shows count, counter, total, "
                 "fraction, steps"});
  CHECK(faults({ab::ProgressBar(
            {.total = ab::samples(3), .width = 0, .interval = -1s, .lines = -1, .verbose = 3})}) ==
        Messages{"a total in samples needs a looper that counts them, got IterationLooper; give it in steps",
                 "width must be at least 1, got 0; pass 30 for that of Keras",
                 "interval must be at least 0, got -1; pass 0s to draw at every dig",
                 "lines must be at least 0, got -1; pass 0 for none",
                 "verbose must be 0, 1 or 2, got 3; pass 1 for all"});
  const ab::ProgressBar twice;
  ab::DataLooper data(batches(2));
  data("iteration_end", twice);
  CHECK(faults({twice, data}) ==
        Messages{"a bar shows one looper, got IterationLooper and DataLooper; make one for each"});
  ab::Ground ground;
  ground("dig", ab::ProgressBar());
  CHECK(ab::faults(ground).at(0).message == "a bar needs a looper above it, which shows counter and steps, "
                                            "got none; hang it on \"iteration_end\" of one");
}

TEST_CASE("runs in several threads have bars at the same time") {
  const auto lines = [](std::string& text) {
    Clock clock;
    std::ostringstream out;
    ab::DataLooper data(batches(1000));
    data("iteration_end", clock.passes(1), clock(ab::ProgressBar(out, {.width = 4, .lines = 2})));
    for (int i = 0; i < 20; ++i) ab::Ground()("dig", data).dig();
    text = out.str();
  };
  std::string all[2], wanted;
  std::thread other([&] { lines(all[0]); });
  lines(all[1]);
  other.join();
  for (int i = 0; i < 20; ++i) wanted += " 500/1000 [=>..] - ETA: 8:20\n1000/1000 [====] - 1000s 1s/step\n";
  CHECK(all[0] == wanted);
  CHECK(all[1] == wanted);
}

}  // namespace progress_bar_tests
