// Coroutines: host functions that co_await, and calls that wait for them.   coroutines guest.so
#include "check.hpp"

#include <coroutine>
#include <deque>
#include <memory>
#include <vector>

using i32 = std::int32_t;

// A small event loop: what waits for an event is continued when run() gets to it, in order.
class loop {
 public:
  struct event {
    loop &on;
    int value;
    bool *cancelled = nullptr;
    std::coroutine_handle<> then = {};

    bool await_ready() const { return value < 0; }
    void await_suspend(std::coroutine_handle<> h) {
      then = h;
      on.waiting_.push_back(this);
    }
    int await_resume() {
#if LUCET_EXCEPTIONS
      if (value == 13) throw std::runtime_error("unlucky");
#endif
      return value;
    }
    event(loop &l, int v, bool *c = nullptr) : on(l), value(v), cancelled(c) {}
    event(const event &) = default;
    ~event() {
      auto &all = on.waiting_;
      for (auto at = all.begin(); at != all.end(); ++at) {
        if (*at == this) {
          all.erase(at);
          if (cancelled != nullptr) *cancelled = true;
          break;
        }
      }
    }
  };

  event after(int value, bool *cancelled = nullptr) { return event(*this, value, cancelled); }
  std::size_t waiting() const { return waiting_.size(); }
  // One event; false: there is none.
  bool step() {
    if (waiting_.empty()) return false;
    event *e = waiting_.front();
    waiting_.pop_front();
    e->then.resume();
    return true;
  }
  void run() {
    while (step()) {
    }
  }

 private:
  std::deque<event *> waiting_;
};

// Something with an operator co_await, as many libraries have it.
struct wrapped {
  loop::event inner;
  loop::event operator co_await() const { return inner; }
};

struct server_with_loop {
  loop events;
  shop store;
  lucet::region region = must(lucet::region::create());
  std::function<lucet::host_task<i32>(lucet::context &, i32)> body;
  lucet::module module;

  explicit server_with_loop(const char *artifact) : module(must(load(artifact))) {}
  server_with_loop(const server_with_loop &) = delete;
  lucet::result<lucet::module> load(const char *artifact) {
    lucet::module_config config;
    add_rest(config, store)
        .add("env", "act", [this](lucet::context &ctx, i32 n) { return body(ctx, n); });
    return lucet::module::load_file(artifact, config);
  }
  lucet::instance fresh() const { return must(lucet::instance::create(region, module)); }
};

using ended = lucet::result<lucet::outcome<i32>>;

// What a task came to when the loop has nothing left to do.
template <class T>
static T finished(loop &events, lucet::task<T> work) {
  std::optional<T> out;
  lucet::start(std::move(work), [&](T value) { out.emplace(std::move(value)); });
  events.run();
  CHECK(out.has_value());
  return *std::move(out);
}

static void guests_wait(server_with_loop &s) {
  auto i = s.fresh();
  int steps = 0;
  s.body = [&](lucet::context &ctx, i32 n) -> lucet::host_task<i32> {
    lucet::guest_text text = must(ctx.memory().span<const char>(16, 5));
    CHECK(text.str() == "hello");
    counted one;
    steps++;
    int a = co_await s.events.after(n);
    CHECK(!text.alive() && must(ctx.memory().text(16, 5)) == "hello");
    CHECK(must(ctx.call<i32(i32, i32)>("add", 1, 2)).returned());
    int b = co_await wrapped{s.events.after(a * 2)};
    auto again = s.events.after(5);
    int c = co_await again;
    co_return b + c;
  };
  auto twice = must(i.get<i32(i32)>("twice"));
  CHECK(*must(finished(s.events, twice.async(10))) == 50 && steps == 2);
  // What is ready does not suspend anything.
  auto o = must(must(i.get<i32()>("count"))());
  s.body = [&](lucet::context &, i32) -> lucet::host_task<i32> {
    co_return co_await s.events.after(-3);
  };
  CHECK(*must(twice(0)) == -6 && s.events.waiting() == 0 && *o == 8);
  // Eight requests at the same time.
  s.body = [&](lucet::context &, i32 n) -> lucet::host_task<i32> {
    int a = co_await s.events.after(n);
    co_return a + co_await s.events.after(n);
  };
  std::vector<lucet::instance> instances;
  int sum = 0;
  for (i32 n = 0; n < 8; n++) {
    instances.push_back(s.fresh());
    lucet::start(must(instances.back().get<i32(i32)>("act")).async(n + 20),
                 [&](ended e) { sum += *must(std::move(e)); });
  }
  CHECK(s.events.waiting() == 8 && sum == 0);
  s.events.run();
  CHECK(sum == 2 * (8 * 20 + 28) && counted::alive == 1);
}

static lucet::task<i32> outer(const server_with_loop &s, i32 n) {
  auto i = s.fresh();
  auto run = must(i.get<i32(i32)>("act"));
  auto e = co_await run.async(n);
  co_return *must(std::move(e));
}

static void tasks_compose(server_with_loop &s) {
  s.body = [&](lucet::context &, i32 n) -> lucet::host_task<i32> {
    co_return co_await s.events.after(n);
  };
  auto both = [&]() -> lucet::task<i32> { co_return co_await outer(s, 1) + co_await outer(s, 2); };
  CHECK(finished(s.events, both()) == 3);
  bool over = false;
  auto none = [&]() -> lucet::task<void> { co_await outer(s, 1); };
  lucet::start(none(), [&] { over = true; });
  s.events.run();
  CHECK(over);
}

// Runs and resumes by hand: a guest that is resumed too early waits on.
static void without_a_task(server_with_loop &s) {
  auto i = s.fresh();
  auto run = must(i.get<i32(i32)>("act"));
  CHECK(must(run(33)).get_if<lucet::yielded>()->value == 0 && s.events.waiting() == 1);
  CHECK(must(run.resume()).resumable() && must(run.resume()).resumable());
  s.events.run();
  CHECK(*must(run.resume()) == 33);
}

static void yields_preemption_and_fuel(server_with_loop &s, const char *fuel, const char *plain) {
  server other(plain);
  auto i = other.fresh();
  act = [](lucet::context &, i32 n) -> lucet::answer<i32> {
    return lucet::suspend(static_cast<std::uint64_t>(n));
  };
  auto run = must(i.get<i32(i32)>("twice"));
  // A yield of the guest's own comes back, or is answered.
  CHECK(must(finished(s.events, run.async(3))).get_if<lucet::yielded>()->value == 3);
  must(i.reset());
  auto number = [](const lucet::ending &e) { return e.get_if<lucet::yielded>()->value + 1; };
  CHECK(*must(finished(s.events, run.async_with(number, 3))) == 8);
  auto later = [&](const lucet::ending &e) -> lucet::task<std::uint64_t> {
    auto v = static_cast<int>(e.get_if<lucet::yielded>()->value);
    co_return static_cast<std::uint64_t>(co_await s.events.after(v));
  };
  CHECK(*must(finished(s.events, run.async_with(later, 3))) == 6);

  shop store;
  lucet::module_config config;
  auto module = must(lucet::module::load_file(fuel, add_all(config, store).fuel(0)));
  auto j = must(lucet::instance::create(s.region, module));
  act = [](lucet::context &, i32 n) -> lucet::answer<i32> { return n; };
  int rounds = 0;
  auto more = [&](const lucet::ending &e) -> std::uint64_t {
    CHECK(e.get_if<lucet::out_of_fuel>());
    rounds++;
    must(j.add_fuel(50));
    return 0;
  };
  CHECK(*must(finished(s.events, must(j.get<i32(i32)>("deep")).async_with(more, 100))) == 100);
  CHECK(rounds > 2);
}

static void cancelling_is_destroying(server_with_loop &s) {
  int before = counted::alive;
  bool cancelled = false;
  s.body = [&](lucet::context &, i32 n) -> lucet::host_task<i32> {
    counted one;
    co_return co_await s.events.after(n, &cancelled);
  };
  {
    auto i = s.fresh();
    auto run = must(i.get<i32(i32)>("act"));
    CHECK(must(run(1)).resumable() && counted::alive == before + 1 && s.events.waiting() == 1);
  }
  CHECK(cancelled && counted::alive == before && s.events.waiting() == 0);
  cancelled = false;
  auto i = s.fresh();
  auto run = must(i.get<i32(i32)>("act"));
  {
    // A task that waits no more leaves the guest as it is.
    auto work = run.async(4);
    static_cast<void>(work.await_suspend(std::noop_coroutine()).resume());
    CHECK(s.events.waiting() == 1);
  }
  s.events.run();
  CHECK(!cancelled && *must(run.resume()) == 4 && counted::alive == before);
  { auto never_begun = run.async(4); }
  // In a nested run nothing can wait.
  s.body = [&](lucet::context &ctx, i32 n) -> lucet::host_task<i32> {
    if (n == 1) co_return co_await s.events.after(5, &cancelled);
    auto o = must(ctx.call<i32(i32)>("act", 1));
    co_return static_cast<i32>(o.get_if<lucet::host_error>()->code);
  };
  auto o = must(finished(s.events, run.async(0)));
  CHECK(o.get_if<lucet::host_error>()->code == LUCET_STATUS_NESTED_YIELD && cancelled);
}

// What is awaited completes on another thread, perhaps before the guest is suspended.
static void completions_come_from_anywhere(server_with_loop &s) {
  struct elsewhere {
    std::vector<std::thread> &threads;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> h) { threads.emplace_back([h] { h.resume(); }); }
    int await_resume() const { return 1; }
  };
  for (int k = 0; k < 200; k++) {
    std::vector<std::thread> threads;
    threads.reserve(1);
    s.body = [&](lucet::context &, i32) -> lucet::host_task<i32> {
      co_return co_await elsewhere{threads};
    };
    auto i = s.fresh();
    std::atomic<int> out{0};
    lucet::start(must(i.get<i32(i32)>("act")).async(0),
                 [&](ended e) { out = *must(std::move(e)); });
    threads[0].join();
    CHECK(out == 1);
  }
}

#if LUCET_EXCEPTIONS
static void exceptions_come_out_of_awaits(server_with_loop &s) {
  s.body = [&](lucet::context &, i32 n) -> lucet::host_task<i32> {
    if (n == 0) throw std::runtime_error("at once");
    co_return co_await s.events.after(n);
  };
  std::string what;
  auto tried = [&](i32 n) -> lucet::task<i32> {
    auto i = s.fresh();
    auto run = must(i.get<i32(i32)>("act"));
    try {
      auto e = co_await run.async(n);
      co_return *must(std::move(e));
    } catch (const std::runtime_error &e) {
      what = e.what();
      co_return -1;
    }
  };
  CHECK(finished(s.events, tried(2)) == 2 && what.empty());
  CHECK(finished(s.events, tried(13)) == -1 && what == "unlucky");
  CHECK(finished(s.events, tried(0)) == -1 && what == "at once");
  // A host coroutine may catch what it awaits.
  s.body = [&](lucet::context &, i32 n) -> lucet::host_task<i32> {
    try {
      co_await s.events.after(n);
    } catch (const std::runtime_error &) {
      co_return 99;
    }
    co_return 0;
  };
  CHECK(finished(s.events, tried(13)) == 99);
  // Where nobody awaits, start() takes them.
  s.body = [&](lucet::context &, i32) -> lucet::host_task<i32> { throw 4; co_return 0; };
  auto i = s.fresh();
  int got = 0;
  auto run = must(i.get<i32(i32)>("act"));
  lucet::start(run.async(0), lucet::overloaded{[&](ended) { got = 1; },
                                               [&](std::exception_ptr) { got = 2; }});
  CHECK(got == 2);
}
#endif

int main(int, char **argv) {
  {
    server_with_loop s(argv[1]);
    guests_wait(s);
    tasks_compose(s);
    without_a_task(s);
    yields_preemption_and_fuel(s, argv[2], argv[1]);
    cancelling_is_destroying(s);
    completions_come_from_anywhere(s);
#if LUCET_EXCEPTIONS
    exceptions_come_out_of_awaits(s);
#endif
  }
  CHECK(counted::alive == 0);
  return failures != 0;
}
