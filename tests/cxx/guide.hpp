// What the fragments in docs/cxx.md stand in: a server with a guest.
#include "check.hpp"

#include <chrono>
#include <coroutine>
#include <iostream>
#include <memory>

// An event loop as small as can be: events are what coroutines wait for, in order.
struct event_loop {
  struct timer {
    event_loop &loop;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> h) { loop.waiting.push_back(h); }
    std::string await_resume() const { return "a page"; }
  };
  std::vector<std::coroutine_handle<>> waiting;
  void run() {
    while (!waiting.empty()) {
      auto next = waiting.front();
      waiting.erase(waiting.begin());
      next.resume();
    }
  }
};

struct guide {
  const char *artifact;
  shop store;
  lucet::region region;
  lucet::module module;
  lucet::instance instance;

  explicit guide(const char *file)
      : artifact(file),
        region(must(lucet::region::create())),
        module(must(server::load(file, store))),
        instance(must(lucet::instance::create(region, module))) {}
  guide(const guide &) = delete;
  static void run(const char *file, void (*fragment)(guide &)) {
    guide g(file);
    act = [](lucet::context &, std::int32_t n) { return n; };
    fragment(g);
  }
};

// Offers `f` as env.act, besides all the rest, and makes an instance of that.
template <class F>
lucet::instance with_act(guide &g, F f) {
  lucet::module_config config;
  add_rest(config, g.store).add("env", "act", std::move(f));
  auto module = must(lucet::module::load_file(g.artifact, config));
  return must(lucet::instance::create(g.region, module));
}

#define USE(g)                                                                \
  [[maybe_unused]] auto &region = (g).region;                                 \
  [[maybe_unused]] auto &module = (g).module;                                 \
  [[maybe_unused]] auto &instance = (g).instance;                             \
  [[maybe_unused]] auto &the_shop = (g).store;                                \
  [[maybe_unused]] const char *plugin = (g).artifact
