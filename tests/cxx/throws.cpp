// Exceptions: what a host function throws comes out of whatever ran the guest; nothing unwinds
// through the guest, destructors run, and nothing leaks.   throws guest.so starts.so
#include "check.hpp"

#include <stdexcept>

using i32 = std::int32_t;
using lucet::status;

// An exception with something to lose.
struct oops : std::runtime_error {
  explicit oops(int code) : std::runtime_error("oops"), n(code) {}
  int n;
  counted one;
};

// The code of the exception that `f` throws; -1: none, -2: another one.
template <class F>
static int code_of(F &&f) {
  try {
    static_cast<void>(f());
  } catch (const oops &e) {
    return e.n;
  } catch (...) {
    return -2;
  }
  return -1;
}

static int around; // destructors of host functions that threw
struct guard {
  ~guard() { around++; }
};

static void from_one_level_down(const server &s) {
  auto i = s.fresh();
  auto run = must(i.get<i32(i32)>("act"));
  act = [](lucet::context &, i32 n) -> lucet::answer<i32> {
    guard g;
    if (n > 0) throw oops(n);
    return 7;
  };
  CHECK(code_of([&] { return run(4); }) == 4 && around == 1);
  // The guest has ended, as after any failure of the host.
  CHECK(fails(run(0), status::wrong_state));
  must(i.reset());
  CHECK(code_of([&] { return run.or_throw(5); }) == 5 && around == 2);
  must(i.reset());
  CHECK(code_of([&] { return i.run("act", {6}, 1); }) == 6 && around == 3);
  must(i.reset());
  CHECK(run.or_throw(0) == 7);
  // Deep in the guest, whose frames are just gone.
  act = [](lucet::context &, i32) -> lucet::answer<i32> { throw 5; };
  try {
    static_cast<void>(must(i.get<i32(i32)>("deep"))(100));
    CHECK(false);
  } catch (int n) {
    CHECK(n == 5);
  }
  must(i.reset());
  act = [](lucet::context &, i32 n) { return n; };
  CHECK(run.or_throw(3) == 3);
  // In C, it is a failure of the host.
  lucet_val arg = lucet::value(1).raw(), out;
  lucet_outcome o;
  act = [](lucet::context &, i32) -> lucet::answer<i32> { throw oops(1); };
  CHECK(lucet_instance_run(i.raw(), "act", &arg, 1, &out, 1, &o) == LUCET_STATUS_OK);
  CHECK(o.kind == LUCET_OUTCOME_HOST_ERROR && o.value == lucet::host_function_threw);
  must(i.reset());
  // With a frame around it, it is there.
  CHECK(code_of([&] {
    lucet::run_frame frame;
    lucet_status r = lucet_instance_run(i.raw(), "act", &arg, 1, &out, 1, &o);
    frame.rethrow();
    return r;
  }) == 1);
}

static void from_nested_runs(const server &s) {
  auto i = s.fresh();
  auto run = must(i.get<i32(i32)>("act"));
  // Three levels, none of which catches.
  act = [](lucet::context &ctx, i32 n) -> lucet::answer<i32> {
    guard g;
    if (n == 0) throw oops(42);
    auto o = must(ctx.call<i32(i32)>("act", n - 1));
    CHECK(false);
    return *o;
  };
  around = 0;
  CHECK(code_of([&] { return run(2); }) == 42 && around == 3);
  must(i.reset());
  // The middle one catches, and throws another: the run ends as the nested one did, with that.
  act = [](lucet::context &ctx, i32 n) -> lucet::answer<i32> {
    if (n == 0) throw oops(1);
    try {
      static_cast<void>(ctx.call<i32(i32)>("act", n - 1));
    } catch (const oops &e) {
      throw oops(e.n + 1);
    }
    return 0;
  };
  CHECK(code_of([&] { return run(3); }) == 4);
  must(i.reset());
  // It catches and is done: the guest has ended all the same, but nothing is thrown.
  act = [](lucet::context &ctx, i32 n) -> lucet::answer<i32> {
    if (n == 0) throw oops(1);
    CHECK(code_of([&] { return ctx.call<i32(i32)>("act", 0); }) == 1);
    return 5;
  };
  auto o = must(run(1));
  CHECK(o.get_if<lucet::host_error>()->code == lucet::host_function_threw);
  must(i.reset());
  // The nested run traps, and or_throw makes an exception of that; the run has trapped, too, but
  // the exception says more.
  act = [](lucet::context &ctx, i32) -> lucet::answer<i32> {
    return must(ctx.call<i32(i32, i32)>("div", 1, 0)).or_throw();
  };
  try {
    static_cast<void>(run(0));
    CHECK(false);
  } catch (const lucet::guest_ended &e) {
    CHECK(e.ending().get_if<lucet::trapped>());
  }
  must(i.reset());
  // Another instance, from inside: it has the exception, this one goes on.
  auto j = s.fresh();
  act = [&](lucet::context &, i32 n) -> lucet::answer<i32> {
    if (n == 0) throw oops(9);
    CHECK(code_of([&] { return must(j.get<i32(i32)>("act"))(0); }) == 9);
    return 6;
  };
  CHECK(run.or_throw(1) == 6);
}

static void after_yields(const server &s) {
  auto i = s.fresh();
  auto run = must(i.get<i32(i32)>("twice"));
  int before = counted::alive;
  act = [](lucet::context &, i32) -> lucet::answer<i32> {
    return lucet::suspend(1, [one = counted()](lucet::context &, std::uint64_t v) {
      guard g;
      if (v > 0) throw oops(static_cast<int>(v));
      return 1;
    });
  };
  around = 0;
  CHECK(must(run(0)).resumable() && must(run.resume(0)).resumable() && around == 1);
  // On another thread: it comes out there.
  std::thread([&] { CHECK(code_of([&] { return run.resume(8); }) == 8); }).join();
  CHECK(around == 2 && counted::alive == before);
  must(i.reset());
  // After two suspensions of one call.
  act = [](lucet::context &, i32) -> lucet::answer<i32> {
    return lucet::suspend(1, [](lucet::context &, std::uint64_t) -> lucet::answer<i32> {
      return lucet::suspend(2, [](lucet::context &, std::uint64_t) -> lucet::answer<i32> {
        throw oops(77);
      });
    });
  };
  CHECK(must(run(0)).resumable() && must(run.resume()).resumable());
  CHECK(code_of([&] { return run.resume(); }) == 77);
  // A nested run after a resume.
  must(i.reset());
  act = [](lucet::context &, i32 n) -> lucet::answer<i32> {
    if (n == 0) throw oops(3);
    return lucet::suspend(1, [](lucet::context &ctx, std::uint64_t) {
      return must(ctx.call<i32(i32)>("act", 0)).or_throw();
    });
  };
  CHECK(must(run(1)).resumable() && code_of([&] { return run.resume(); }) == 3);
  CHECK(counted::alive == before);
}

static void from_start_functions(const char *artifact) {
  static bool throws = true;
  lucet::module_config config;
  config.allow_unsigned(true).add("env", "started", [](i32 n) {
    guard g;
    if (throws) throw oops(n);
  });
  auto module = must(lucet::module::load_file(artifact, config));
  auto region = must(lucet::region::create(lucet::region_config().slots(1)));
  around = 0;
  for (int k = 0; k < 3; k++) {
    CHECK(code_of([&] { return lucet::instance::create(region, module); }) == 5);
  }
  CHECK(around == 3 && must(region.stats()).live == 0);
  auto ref = must(lucet::module_ref::create());
  must(ref.publish(module));
  CHECK(code_of([&] { return ref.instantiate(region); }) == 5);
  auto group = must(lucet::group::create(region));
  CHECK(code_of([&] { return group.instantiate("a", module); }) == 5);
  CHECK(group.free());
  throws = false;
  auto i = must(lucet::instance::create(region, module));
  throws = true;
  CHECK(code_of([&] { return i.reset(); }) == 5);
  throws = false;
  CHECK(i.reset() && must(i.get<i32()>("n")).or_throw() == 1);
  throws = true;
  CHECK(fails(lucet::snapshot_in_child(module, lucet::region_config(), lucet::snapshot_config()),
              status::start_failed));
}

static void what_or_throw_throws(const server &s) {
  auto i = s.fresh();
  try {
    i.get<i32(i32)>("none").or_throw();
    CHECK(false);
  } catch (const lucet::failure &e) {
    CHECK(e.error().code() == status::no_such_export);
    CHECK(std::string(e.what()).find("LUCET_STATUS_NO_SUCH_EXPORT: ") == 0);
  }
  try {
    i.set_global("counter", 1.5).or_throw();
    CHECK(false);
  } catch (const std::exception &) {
  }
  auto div = i.get<i32(i32, i32)>("div").or_throw();
  CHECK(div.or_throw(8, 2) == 4 && div(9, 3).or_throw().or_throw() == 3);
  const auto kept = div(8, 4);
  CHECK(kept.or_throw().or_throw() == 2);
  auto f = s.module.find<i32(i32, i32)>("div").or_throw();
  CHECK(f.or_throw(i, 6, 2) == 3 && f.resume(i).error().code() == status::wrong_state);
  try {
    div.or_throw(1, 0);
    CHECK(false);
  } catch (const lucet::guest_ended &e) {
    CHECK(std::string(e.what()).find("zero") != std::string::npos);
  }
  i.reset().or_throw();
  i.get<void(i32, i32)>("log").or_throw().or_throw(16, 5);
  CHECK(logged == "hello");
}

// Each thread has exceptions of its own.
static void on_many_threads(const server &s) {
  act = [](lucet::context &, i32 n) -> lucet::answer<i32> { throw oops(n); };
  std::vector<std::thread> threads;
  for (i32 t = 1; t <= 4; t++) {
    threads.emplace_back([&s, t] {
      for (int k = 0; k < 200; k++) {
        auto i = s.fresh();
        CHECK(code_of([&] { return must(i.get<i32(i32)>("act"))(t); }) == t);
      }
    });
  }
  for (auto &t : threads) t.join();
}

int main(int, char **argv) {
  {
    server s(argv[1]);
    from_one_level_down(s);
    from_nested_runs(s);
    after_yields(s);
    what_or_throw_throws(s);
    from_start_functions(argv[2]);
    on_many_threads(s);
  }
  CHECK(counted::alive == 0);
  return failures != 0;
}
