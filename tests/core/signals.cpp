#include <abyme/core/signals.hpp>

#include <abyme/core/ground.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/trigger/if.hpp>

#include <catch2/catch.hpp>

#include "support/child.hpp"
#include "support/trace.hpp"

#include <atomic>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <string>

namespace ab = abyme;

namespace signals_tests {

using tests::happened;
using tests::Trace;

namespace {

int caught = 0;

// While it lives SIGUSR1 is counted.
struct Counted {
  Counted() { caught = 0; }
  ~Counted() { ::signal(SIGUSR1, before); }
  void (*before)(int) = ::signal(SIGUSR1, [](int) { ++caught; });
};

// A loop that is sent a signal in its second turn.
ab::Ground sent_one(Trace trace) {
  ab::IterationLooper loop(3);
  loop("iteration_start", trace("start", "counter"))
      .at("iteration_end",
          ab::If([](ab::IterationLooper::Node& node) { return node.counter == 2; })(
              "dig", [] { ::raise(SIGUSR1); }, trace("behind")),
          trace("end", "counter"));
  ab::Ground ground;
  ground("dig", loop)("final", trace("final", "reason", "completed"));
  return ground;
}

}  // namespace

TEST_CASE("a signal asks for attention once, and the handler before is put back", "[signals]") {
  const Counted counted;
  std::atomic<bool> attention = false;
  {
    const ab::Signals watch({SIGUSR1}, attention);
    CHECK(watch.take() == 0);
    ::raise(SIGUSR1);
    CHECK(attention);
    std::atomic<bool> others = false;
    const ab::Signals inner({SIGUSR1}, others);  // a run inside leaves it to the outer one
    CHECK(inner.take() == 0);
    CHECK(watch.take() == SIGUSR1);
    CHECK(watch.take() == 0);
    CHECK_FALSE(others);
  }
  CHECK(caught == 0);
  ::raise(SIGUSR1);
  CHECK(caught == 1);
  std::atomic<bool> again = false;
  const ab::Signals watch({SIGUSR1}, again);  // the signal before is forgotten
  CHECK(watch.take() == 0);
}

TEST_CASE("a signal that nobody took does not come to the run after", "[signals]") {
  const Counted counted;
  std::atomic<bool> attention = false;
  {
    const ab::Signals watch({SIGUSR1}, attention);
    ::raise(SIGUSR1);
  }
  const ab::Signals watch({SIGUSR1}, attention);
  CHECK(watch.take() == 0);
}

TEST_CASE("a signal ends a run behind the child that runs, through final", "[signals]") {
  const Counted counted;
  Trace trace;
  const auto outcome = sent_one(trace).on_signals({SIGUSR1}).dig();
  CHECK_FALSE(outcome.completed);
  CHECK(outcome.reason == "signal SIGUSR1");
  CHECK_THAT(trace, happened(R"(
    start 0
    end 1
    start 1
    final signal SIGUSR1 false
  )"));
  CHECK(caught == 0);
  ::raise(SIGUSR1);
  CHECK(caught == 1);
}

TEST_CASE("a run that was not asked to leaves signals alone", "[signals]") {
  const Counted counted;
  Trace trace;
  CHECK(sent_one(trace).dig().completed);
  CHECK(caught == 1);
}

TEST_CASE("the handlers are put back also where a child throws", "[signals]") {
  const Counted counted;
  ab::Ground ground;
  ground("dig", [] { throw std::runtime_error("broken"); }).on_signals({SIGUSR1});
  CHECK_THROWS(ground.dig());
  ::raise(SIGUSR1);
  CHECK(caught == 1);
}

TEST_CASE("the second signal ends the program at once", "[signals]") {
  tests::Child child([](auto tell) {
    ab::Ground ground;
    ground("dig", [&] {
      ::raise(SIGTERM);
      tell("still there");
      ::raise(SIGTERM);
      tell("not there any more");
    }).on_signals({SIGINT, SIGTERM});
    ground.dig({.flush_denormals = false});  // which asks threads that a fork does not have
  });
  CHECK(child.told() == "still there");
  CHECK(child.told() == "");
  int status = 0;
  REQUIRE(::waitpid(child.process(), &status, 0) == child.process());
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
}

TEST_CASE("signals have names", "[signals]") {
  CHECK(ab::Signals::name(SIGINT) == "SIGINT");
  CHECK(ab::Signals::name(SIGTERM) == "SIGTERM");
  CHECK(ab::Signals::name(SIGALRM) == std::to_string(SIGALRM));
}

}  // namespace signals_tests
