// What the C++ interface does, without a single exception: also compiled with -fno-exceptions
// -fno-rtti.   works guest.so starts.so store.so plugin.so fuel.so
#include "check.hpp"

#include <atomic>
#include <fcntl.h>
#include <memory>
#include <unistd.h>
#include <vector>

using lucet::outcome_kind;
using lucet::status;
using lucet::trap_code;
using i32 = std::int32_t;
using i64 = std::int64_t;
using u32 = std::uint32_t;

static std::vector<unsigned char> contents(const char *path) {
  std::vector<unsigned char> all(1 << 20);
  int fd = open(path, O_RDONLY);
  ssize_t n = read(fd, all.data(), all.size());
  CHECK(fd >= 0 && n > 0);
  close(fd);
  all.resize(static_cast<std::size_t>(n));
  return all;
}

// What a call must have returned.
template <class R>
static R got(lucet::result<lucet::outcome<R>> r) {
  auto o = must(std::move(r));
  if (!o.returned()) {
    std::printf("did not return: %s\n", o.what().c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<R>) return *std::move(o);
}

static void results_are_values_or_errors() {
  lucet::result<int> five = 5;
  lucet::result<int> none = lucet::error(status::busy, "not now");
  CHECK(five && five.has_value() && *five == 5 && !none);
  CHECK(none.error().code() == status::busy && none.error().message() == "not now");
  CHECK(std::string(none.error().name()) == "LUCET_STATUS_BUSY");
  CHECK(none.error().what() == "LUCET_STATUS_BUSY: not now");
  CHECK(lucet::result<int>(none).value_or(9) == 9 && lucet::result<int>(five).value_or(9) == 5);
  auto half = [](int n) -> lucet::result<double> { return n / 2.0; };
  CHECK(*lucet::result<int>(five).and_then(half) == 2.5);
  CHECK(fails(lucet::result<int>(none).and_then(half), status::busy));
  CHECK(*lucet::result<int>(five).transform([](int n) { return n + 1; }) == 6);
  CHECK(lucet::result<int>(five).transform([](int) {}).has_value());
  CHECK(*lucet::result<int>(none).or_else([](const lucet::error &) {
    return lucet::result<int>(1);
  }) == 1);
  lucet::result<void> done, not_done = none.error();
  CHECK(done && !not_done && fails(not_done, status::busy));
  CHECK(*lucet::result<void>(done).and_then([] { return lucet::result<int>(3); }) == 3);
  lucet::result<std::string> text = std::string("abc");
  CHECK(text->size() == 3);
#if defined(__cpp_lib_expected)
  CHECK(*lucet::result<int>(five).expected() == 5);
  CHECK(lucet::result<int>(none).expected().error().code() == status::busy);
  CHECK(lucet::result<void>(done).expected().has_value());
#endif
  CHECK(lucet::failure(none.error()).error().code() == status::busy);
}

static void values_know_their_types() {
  lucet::value v = 7, w = 2.5f;
  CHECK(v.type() == lucet::value_type::i32 && v.as<i32>() == 7 && !v.as<i64>());
  CHECK(w.as<float>() == 2.5f && lucet::value(w.raw()).as<float>() == 2.5f);
  CHECK(lucet::value(lucet::funcref{1}).type() == lucet::value_type::funcref);
  CHECK(lucet::value(lucet::exnref{}).type() == lucet::value_type::exnref);
  CHECK(std::string(lucet::signature_text<void()>::value) == "() -> ()");
  CHECK(std::string(lucet::signature_text<float(i32, i64)>::value) == "(i32, i64) -> f32");
  using many = std::tuple<u32, lucet::v128>(lucet::externref, double, lucet::tainted<long long>);
  CHECK(std::string(lucet::signature_text<many>::value) ==
        "(externref, f64, i64) -> (i32, v128)");
}

static void what_is_tainted_comes_through_checks() {
  const lucet::tainted<u32> n(50);
  CHECK(n.at_most(50) == 50u && !n.at_most(49) && n.between(50, 60) == 50u && !n.between(51, 60));
  CHECK(n.one_of({1, 50}) == 50u && !n.one_of({1, 2}) && n.clamped(0, 10) == 10);
  CHECK(n.clamped(60, 70) == 60 && n.clamped(0, 99) == 50 && n.unchecked() == 50);
  CHECK(n.checked([](u32 v) { return v % 2 == 0; }) && !n.checked([](u32) { return false; }));
  CHECK(!lucet::tainted<i32>(-1).at_most(5));
  struct header {
    u32 length;
    float weight;
  };
  lucet::tainted<header> h(header{3, 1.5f});
  CHECK(h.field(&header::length).at_most(4) == 3u && !h.field(&header::length).at_most(2));
}

static void exports_have_types(const server &s) {
  auto i = s.fresh();
  CHECK(got(must(i.get<i32(i32, i32)>("add"))(2, 3)) == 5);
  CHECK(got(must(i.get<u32(u32, u32)>("add"))(0xffffffff, 2)) == 1);
  CHECK(got(must(i.get<i64(i64, i64)>("add64"))(1LL << 40, 1)) == (1LL << 40) + 1);
  CHECK(got(must(i.get<lucet::tainted<i32>(i32, i32)>("add"))(2, 3)).at_most(9) == 5);
  CHECK(got(must(i.get<double(i32, i64, float, double)>("note"))(1, 2, 0.5f, 0.25)) == 3.75);
  CHECK(got(must(i.get<std::tuple<u32, i64>(u32)>("pair"))(4)) ==
        std::tuple<u32, i64>(5, 4000000000000));
  CHECK((got(must(i.get<std::pair<u32, i64>(u32)>("pair"))(4)).second == 4000000000000));
  auto v = lucet::v128::of<u32>(1, 2, 3, 0xffffffff);
  CHECK(got(must(i.get<lucet::v128(lucet::v128)>("vec"))(v)) ==
        lucet::v128::of<u32>(2, 3, 4, 0));
  CHECK(got(must(i.get<lucet::externref(lucet::externref)>("pass"))({41})).word == 42);
  CHECK(got(must(i.get<float(float)>("half"))(3.0f)) == 1.5f);
  CHECK(got(must(i.get<double(i32)>("price"))(4)) == 10.0);
  CHECK(got(must(i.get<i64(i32)>("stock"))(4)) == 4 && s.store.sold > 0);
  CHECK(got(must(i.get<i64(i32)>("stock"))(40)) == 1000);
  CHECK(fails(i.get<i32(i32)>("add"), status::export_type_mismatch, "(i32, i32) -> i32"));
  CHECK(fails(i.get<i32(i32)>("none"), status::no_such_export));

  lucet::func<i32(i32, i32)> add = must(s.module.find<i32(i32, i32)>("add"));
  CHECK(got(add(i, 20, 22)) == 42);
  auto j = s.fresh();
  CHECK(got(add(j, 1, 1)) == 2);
  CHECK(fails(s.module.find<void()>("add"), status::export_type_mismatch));
  lucet::bound_func<i32(i32, i32)> bound = must(i.get<i32(i32, i32)>("add"));
  CHECK(got(bound.unbound()(j, 3, 4)) == 7 && bound.in().raw() == i.raw());

  auto list = got(i.run("add", {lucet::value(2), 5}, 1));
  CHECK(list.size() == 1 && list[0].as<i32>() == 7);
  CHECK(fails(i.run("add", {2.5, 5}, 1), status::export_type_mismatch));
  CHECK(must(i.run("div", {1, 0}, 1)).get_if<lucet::trapped>());
}

static void handles_move_and_go(server &s) {
  auto i = s.fresh();
  auto count = must(i.get<i32()>("count"));
  lucet::instance moved = std::move(i);
  CHECK(i.raw() == nullptr && got(count()) == 8);  // NOLINT: what is left of it
  i = s.fresh();
  moved = std::move(i);
  CHECK(fails(count(), status::invalid_handle));
  CHECK(must(s.region.stats()).live == 1);
  CHECK(moved.free() && moved.raw() == nullptr);
  CHECK(fails(moved.free(), status::null_argument));
  auto k = s.fresh();
  CHECK(fails(s.region.free(), status::busy));
  lucet_instance *raw = k.release();
  CHECK(k.raw() == nullptr);
  auto again = lucet::instance::adopt(raw);
  CHECK(again.raw() == raw && must(s.region.stats()).live == 1);
  auto r = must(lucet::region::create());
  CHECK(r.free());
}

static void outcomes_say_what_happened(const server &s) {
  auto i = s.fresh();
  auto div = must(i.get<i32(i32, i32)>("div"));
  auto o = must(div(1, 0));
  auto trap = o.get_if<lucet::trapped>();
  CHECK(trap && trap->code == trap_code::integer_division_by_zero && trap->wasm_offset);
  CHECK(std::string(trap->reason()).find("zero") != std::string::npos && trap->pc > 0);
  CHECK(o.kind() == outcome_kind::trapped && !o.returned() && !o.resumable());
  CHECK(o.what().find("LUCET_OUTCOME_TRAPPED: ") == 0 && std::string(o.name()) != "unknown");
  CHECK(lucet::guest_ended(o).ending().kind() == outcome_kind::trapped);
  CHECK(fails(div(1, 1), status::wrong_state));
  CHECK(i.reset() && got(div(9, 3)) == 3);
  CHECK(must(i.function_name(trap->function.value_or(0))).size() < 100);

  auto kind = [](const lucet::outcome<i32> &of) {
    return of.visit(lucet::overloaded{
        [](lucet::returned<i32> r) { return "returned " + std::to_string(r.value); },
        [](lucet::yielded y) { return "yielded " + std::to_string(y.value); },
        [](lucet::trapped t) { return std::string("trapped: ") + t.reason(); },
        [](lucet::exited e) { return "exited " + std::to_string(e.code); },
        [](lucet::host_error e) { return "failed " + std::to_string(e.code); },
        [](lucet::terminated) { return std::string("terminated"); },
        [](const auto &) { return std::string("something else"); },
    });
  };
  auto run = must(i.get<i32(i32)>("act"));
  const lucet::stop stops[] = {lucet::stop::trap(trap_code::stack_overflow),
                               lucet::stop::fail(404), lucet::stop::exit(3),
                               lucet::stop::terminate()};
  act = [&](lucet::context &, i32 n) -> lucet::answer<i32> {
    if (n < 4) return stops[n];
    lucet::suspension<std::nullptr_t> waits = lucet::suspend(99);
    if (n == 4) return waits;
    return n * 2;
  };
  const char *expected[] = {"trapped: call stack exhausted", "failed 404", "exited 3", "terminated",
                            "yielded 99", "returned 10"};
  for (i32 n = 0; n < 6; n++) {
    std::string is = kind(must(run(n)));
    CHECK(is == expected[n]);
    if (is != expected[n]) std::printf("%s\n", is.c_str());
    must(i.reset());
  }
  lucet_outcome later = {};
  later.kind = static_cast<lucet_outcome_kind>(99);
  CHECK(lucet::ending(later).get_if<lucet::trapped>());
  CHECK(kind(lucet::outcome<i32>(later, 0)).find("trapped") == 0);

  must(i.set_time_limit(std::chrono::milliseconds(2)));
  auto spin = must(i.get<void()>("spin"));
  CHECK(must(spin()).get_if<lucet::timed_out>());
  must(i.reset());
  must(i.set_time_limit(std::chrono::nanoseconds(0)));
  must(i.set_time_slice(std::chrono::microseconds(300)));
  auto slice = must(spin());
  CHECK(slice.get_if<lucet::preempted>() && slice.resumable());
  CHECK(must(spin.resume()).get_if<lucet::preempted>());
  must(i.terminate());
  must(i.reset());
  must(i.set_time_slice(std::chrono::nanoseconds(0)));
  must(i.set_cpu_limit(std::chrono::milliseconds(2)));
  CHECK(must(spin()).get_if<lucet::timed_out>());

  auto j = s.fresh();
  auto thrown = must(must(j.get<void(i32)>("throw"))(6));
  CHECK(thrown.get_if<lucet::threw>() && thrown.kind() == outcome_kind::exception);
  auto e = must(j.exception());
  CHECK(e.tag == "error" && e.values.size() == 2 && e.values[0].as<i32>() == 6 &&
        e.values[1].as<double>() == 2.5);
  CHECK(fails(i.exception(), status::wrong_state));
}

static void memory_is_checked(const server &s) {
  auto i = s.fresh();
  lucet::guest_memory m = i.memory();
  CHECK(must(m.size()) == 65536 && must(i.memory("memory").size()) == 65536);
  CHECK(must(m.text(16, 5)) == "hello" && must(i.memory("memory").text(16, 5)) == "hello");
  CHECK(fails(m.text(65530, 7), status::out_of_bounds));
  CHECK(fails(m.text(0, ~std::uint64_t{0}), status::out_of_bounds));
  CHECK(fails(m.span<std::uint64_t>(8, ~std::uint64_t{0} / 4), status::out_of_bounds));
  CHECK(fails(m.load<u32>(65533), status::out_of_bounds));
  CHECK(fails(m.load<u32>(lucet::tainted<i32>(-1)), status::out_of_bounds));
  CHECK(fails(i.memory("none").size(), status::no_such_export));
  CHECK(m.store<u32>(100, 0xabcdef) && must(m.load<u32>(100)).unchecked() == 0xabcdef);
  CHECK(m.write(200, "text") && i.memory("memory").write(204, "more"));
  char read[8] = {};
  CHECK(m.read(200, read, 8) && std::string(read, 8) == "textmore");
  CHECK(i.memory("memory").read(lucet::tainted<u32>(200), read, 8) && read[7] == 'e');
#if defined(__cpp_lib_span)
  std::byte bytes[2] = {std::byte{1}, std::byte{2}};
  CHECK(m.write(300, std::span<const std::byte>(bytes)) && m.read(301, std::span(bytes, 1)) &&
        bytes[0] == std::byte{2});
#endif
  lucet::guest_span<u32> words = must(m.span<u32>(100, 3));
  CHECK(words.size() == 3 && words.size_bytes() == 12 && words.offset() == 100 && !words.empty());
  CHECK(words.set(2, 77) && must(words.at(2)).at_most(80) == 77u && words.copy()[0] == 0xabcdef);
  CHECK(fails(words.at(3), status::out_of_bounds) && fails(words.set(3, 1), status::out_of_bounds));
  u32 two[2] = {5, 6};
  CHECK(words.copy_from(two, 2) && words.copy_to(two, 1) == 1 && two[0] == 5);
  CHECK(fails(words.copy_from(two, 4), status::out_of_bounds));
  auto part = must(words.subspan(1, 2));
  CHECK(part.offset() == 104 && must(part.at(1)).unchecked() == 77);
  CHECK(fails(words.subspan(1, 3), status::out_of_bounds));
  CHECK(fails(words.subspan(4, 0), status::out_of_bounds));
  auto text = must(m.span<char>(16, 5));
  CHECK(text.str() == "hello" && text.copy_from("HE") && text.unchecked()[1] == 'E');
  CHECK(fails(text.copy_from("too long"), status::out_of_bounds));
  CHECK(must(m.span<char>(65536, 0)).empty() && lucet::guest_text().str().empty());

  // Spans die when anything runs on this thread, or the instance goes.
  CHECK(text.alive());
  got(must(i.get<i32()>("count"))());
  CHECK(!text.alive() && !words.alive());
  auto last = must(m.span<char>(0, 1));
  must(i.reset());
  CHECK(!last.alive());
  last = must(m.span<char>(0, 1));
  std::thread([&] { CHECK(!last.alive()); }).join();
  { auto other = s.fresh(); }
  CHECK(!last.alive());

  CHECK(must(i.global<i32>("counter")) == 7 && i.set_global("counter", 40));
  CHECK(must(i.global<i32>("counter")) == 40);
  CHECK(fails(i.global<float>("counter"), status::export_type_mismatch, "f32"));
  CHECK(fails(i.set_global("counter", 1.5f), status::invalid_argument));
}

static void host_functions_get_what_is_checked(const server &s) {
  auto i = s.fresh();
  got(must(i.get<void(i32, i32)>("log"))(16, 11));
  CHECK(logged == "hello, host");
  auto log = must(i.get<void(u32, u32)>("log"));
  auto trap = must(log(65530, 7)).get_if<lucet::trapped>();
  CHECK(trap && trap->code == trap_code::memory_out_of_bounds && logged == "hello, host");
  must(i.reset());
  CHECK(must(log(0xffffffff, 0xffffffff)).get_if<lucet::trapped>());
  must(i.reset());
  must(i.memory().store<u32>(400, 5));
  got(must(i.get<void(i32)>("bump"))(400));
  CHECK(must(i.memory().load<u32>(400)).unchecked() == 6);
  CHECK(must(must(i.get<void(i32)>("bump"))(65533)).get_if<lucet::trapped>());
  must(i.reset());
  CHECK(got(must(i.get<i32(i32, i32)>("fill"))(500, 3)) == 1);
  CHECK(must(i.memory().load<u32>(500)).unchecked() == 0x070707);

  // From inside: memory, user data, nested runs, spans that die.
  int request = 1;
  must(i.set_user_data(&request));
  auto add = must(s.module.find<i32(i32, i32)>("add"));
  static lucet::guest_text kept;
  act = [&](lucet::context &ctx, i32 n) -> lucet::answer<i32> {
    CHECK(ctx.user_data<int>() == &request && ctx.instance() == i.raw() && ctx.raw() != nullptr);
    auto text = must(ctx.memory().span<const char>(16, 5));
    kept = text;
    CHECK(text.alive() && text.str() == "hello" && must(ctx.memory().size()) == 65536);
    CHECK(ctx.memory().write(16, "j") && must(ctx.memory().text(16, 5)) == "jello");
    char one;
    CHECK(ctx.memory().read(16, &one, 1) && one == 'j');
    CHECK(got(ctx.call(add, n, 1)) == n + 1 && !text.alive());
    CHECK(got(ctx.call<i32(i32)>("grow", 1)) == 1 && must(ctx.memory().size()) == 131072);
    CHECK(fails(ctx.call<i32(i32)>("none", 1), status::no_such_export));
    CHECK(fails(ctx.call<i32(i32)>("add", 1), status::export_type_mismatch));
    CHECK(fails(i.get<i32(i32, i32)>("add"), status::busy) && fails(i.free(), status::busy));
    CHECK(ctx.mark_impure() && fails(ctx.charge_fuel(1), status::unsupported));
    // In a nested run nobody could resume.
    return got(ctx.call<i32(i32, i32)>("add", n, 2));
  };
  CHECK(got(must(i.get<i32(i32)>("act"))(3)) == 5 && !kept.alive());
  act = [](lucet::context &ctx, i32 n) -> lucet::answer<i32> {
    if (n == 0) return lucet::suspend(1);
    auto o = must(ctx.call<i32(i32)>("act", 0));
    CHECK(o.get_if<lucet::host_error>()->code == LUCET_STATUS_NESTED_YIELD);
    return 0;
  };
  auto o = must(must(i.get<i32(i32)>("act"))(1));
  CHECK(o.get_if<lucet::host_error>()->code == LUCET_STATUS_NESTED_YIELD);
  must(i.reset());
  act = [](lucet::context &ctx, i32 n) -> lucet::answer<i32> {
    CHECK(n == 0 ? ctx.trap(trap_code::unreachable) : n == 1 ? ctx.fail(9) : n == 2 ? ctx.exit(8)
                                                                           : ctx.terminate());
    CHECK(fails(ctx.fail(1), status::wrong_state));
    return n;
  };
  const outcome_kind kinds[] = {outcome_kind::trapped, outcome_kind::host_error,
                                outcome_kind::exited, outcome_kind::terminated};
  for (i32 n = 0; n < 4; n++) {
    CHECK(must(must(i.get<i32(i32)>("act"))(n)).kind() == kinds[n]);
    must(i.reset());
  }
}

static void guests_are_suspended(const server &s) {
  auto i = s.fresh();
  auto twice = must(i.get<i32(i32)>("twice"));
  int before = counted::alive;
  // Two steps: the first resume suspends again.
  act = [](lucet::context &, i32 n) -> lucet::answer<i32> {
    return lucet::suspend(1, [n, one = counted()](lucet::context &, std::uint64_t v) {
      auto more = [n, v, two = counted()](lucet::context &ctx, std::uint64_t w) {
        CHECK(must(ctx.memory().text(16, 5)) == "hello");
        return n + static_cast<i32>(v + w);
      };
      return lucet::answer<i32>(lucet::suspend(2, more));
    });
  };
  auto o = must(twice(100));
  CHECK(o.get_if<lucet::yielded>()->value == 1 && counted::alive == before + 1);
  CHECK(must(twice.resume(10)).get_if<lucet::yielded>()->value == 2);
  CHECK(counted::alive == before + 1);
  CHECK(must(twice.resume(1)).get_if<lucet::yielded>()->value == 1);
  CHECK(must(i.resume<i32>(20)).resumable());
  std::thread([&] { CHECK(got(i.resume<i32>(2)) == 233); }).join();
  CHECK(counted::alive == before);
  CHECK(fails(twice.resume(), status::wrong_state));

  // What a suspension holds goes with a run that is abandoned, in each way.
  auto run = must(i.get<i32(i32)>("act"));
  act = [](lucet::context &, i32) -> lucet::answer<i32> {
    return lucet::suspend(7, [one = counted()](lucet::context &, std::uint64_t) { return 1; });
  };
  CHECK(must(run(0)).resumable() && counted::alive == before + 1);
  CHECK(i.reset() && counted::alive == before);
  CHECK(must(run(0)).resumable() && i.terminate() && counted::alive == before);
  must(i.reset());
  CHECK(must(run(0)).resumable() && i.free() && counted::alive == before);
  {
    auto j = s.fresh();
    CHECK(must(must(j.get<i32(i32)>("act"))(0)).resumable() && counted::alive == before + 1);
  }
  CHECK(counted::alive == before);
  // Another thread ends the run while the host function runs that suspends.
  auto k = s.fresh();
  act = [&](lucet::context &, i32) -> lucet::answer<i32> {
    std::thread([&] { must(k.terminate()); }).join();
    return lucet::suspend(7, [one = counted()](lucet::context &, std::uint64_t) { return 1; });
  };
  CHECK(must(must(k.get<i32(i32)>("act"))(0)).get_if<lucet::terminated>());
  CHECK(counted::alive == before);

  // Without a function, the value is the result; floats as their bits, voids none.
  auto j = s.fresh();
  act = [](lucet::context &, i32) -> lucet::answer<i32> { return lucet::suspend(5); };
  CHECK(must(must(j.get<i32(i32)>("act"))(0)).resumable());
  CHECK(got(j.resume<i32>(123)) == 123);
  CHECK(must(must(j.get<i32(i32)>("act"))(0)).resumable());
  CHECK(fails(j.resume<std::tuple<i32, i32>>(1), status::export_type_mismatch));
  CHECK(fails(j.resume<float>(1), status::export_type_mismatch, "other types"));
}

// Several results and none, late; also of members and const references.
static void answers_of_all_shapes(const char *artifact) {
  lucet::module_config config;
  std::string log;
  using both = std::tuple<u32, i64>;
  config.allow_unsigned(true)
      .add("env", "pair",
           [](const u32 &n) -> lucet::answer<both> {
             if (n == 0) return both(1, 2);
             return lucet::suspend(n, [n](lucet::context &, std::uint64_t v) {
               return both(n, static_cast<i64>(v));
             });
           })
      .add("env", "vec",
           [](lucet::v128 v) -> lucet::answer<lucet::v128> {
             return lucet::suspend(0, [v](lucet::context &, std::uint64_t) { return add_one(v); });
           })
      .add("env", "log",
           [&log](lucet::guest_text t) -> lucet::answer<void> {
             if (t.empty()) return {};
             return lucet::suspend(1, [&log](lucet::context &, std::uint64_t v) {
               log += std::to_string(v);
             });
           })
      .add("env", "half", [](float) -> lucet::answer<float> { return lucet::suspend(0); })
      .add("env", "note",
           [](lucet::context &, i32, i64, float, double d) -> lucet::answer<double> {
             return lucet::suspend(0, [d](lucet::context &, std::uint64_t) { return d + 1; });
           })
      .add("env", "bump", [](lucet::guest_ptr<const u32> p) -> lucet::answer<void> {
        if (p.load().at_most(100) && p.offset() == 8 && p.alive()) return {};
        return lucet::suspend(0);
      });
  config.add("env", "act", [](i32 n) { return n; })
      .add("env", "fill", [](u32, u32) { return 0; })
      .add("env", "pass", [](lucet::externref r) { return std::tuple(r); })
      .add<&shop::price>("shop", "price", std::make_shared<const shop>())
      .add<&shop::stock>("shop", "stock", std::make_shared<shop>())
      .mark_impure("shop", "stock");
  auto region = must(lucet::region::create());
  auto module = must(lucet::module::load_file(artifact, config));
  auto i = must(lucet::instance::create(region, module));

  auto pair = must(i.get<both(u32)>("pair"));
  CHECK(got(pair(0)) == both(1, 2) && must(pair(9)).get_if<lucet::yielded>()->value == 9);
  CHECK(got(pair.resume(77)) == both(9, 77));
  auto vec = must(i.get<lucet::v128(lucet::v128)>("vec"));
  CHECK(must(vec(lucet::v128::of<u32>(1, 1, 1, 1))).resumable());
  CHECK(got(vec.resume()) == lucet::v128::of<u32>(2, 2, 2, 2));
  auto line = must(i.get<void(i32, i32)>("log"));
  CHECK(must(line(0, 0)).returned() && must(line(0, 1)).resumable());
  CHECK(must(line.resume(55)).returned() && log == "55");
  auto halve = must(i.get<float(float)>("half"));
  std::uint32_t bits;
  float f = 0.75f;
  std::memcpy(&bits, &f, 4);
  CHECK(must(halve(1.0f)).resumable() && got(halve.resume(bits)) == 0.75f);
  auto note = must(i.get<double(i32, i64, float, double)>("note"));
  CHECK(must(note(0, 0, 0, 2.5)).resumable() && got(note.resume()) == 3.5);
  auto bump = must(i.get<void(i32)>("bump"));
  CHECK(must(bump(8)).returned() && must(bump(4)).resumable() && must(bump.resume()).returned());
  CHECK(got(must(i.get<lucet::externref(lucet::externref)>("pass"))({3})).word == 3);
  CHECK(got(must(i.get<double(i32)>("price"))(2)) == 5.0);
}

static void host_functions_live_as_long_as_needed(const char *artifact) {
  int before = counted::alive;
  shop store;
  std::optional<lucet::region> region = must(lucet::region::create());
  std::optional<lucet::instance> i;
  {
    lucet::module_config config;
    auto module = must(lucet::module::load_file(artifact, add_all(config, store)));
    CHECK(counted::alive == before + 1);
    i = must(lucet::instance::create(*region, module));
  }
  // Configuration and module are gone, their functions are not.
  CHECK(counted::alive == before + 1);
  CHECK(got(must(i->get<double(i32, i64, float, double)>("note"))(1, 2, 3, 4)) == 10.0);
  std::optional<lucet::module> snapshot = must(i->snapshot());
  CHECK(i->free() && counted::alive == before + 1);
  snapshot.reset();
  CHECK(counted::alive == before);
  {
    lucet::module_config unused;
    add_all(unused, store);
    CHECK(counted::alive == before + 1);
    unused.add("env", "act", [one = counted()] { return 1; });
    CHECK(fails(unused.check(), status::invalid_argument, "added before"));
    CHECK(fails(lucet::module::load_file(artifact, unused), status::invalid_argument));
    CHECK(counted::alive == before + 2);
  }
  CHECK(counted::alive == before);
}

static void modules_and_their_settings(const char *artifact) {
  shop store;
  auto bytes = contents(artifact);
  int fd = open(artifact, O_RDONLY);
  lucet::module_config config;
  add_all(config, store).linkable(false).development(false).max_memory(1 << 20);
  config.max_table_elements(100).deny_feature("all").allow_feature("all").min_compiler("0.0.1");
  CHECK(config.check() && config.raw() != nullptr);
  auto a = must(lucet::module::load_bytes(bytes.data(), bytes.size(), config));
  auto b = must(lucet::module::load_fd(fd, config));
  close(fd);
  CHECK(a.raw() != b.raw() && fails(a.label("none"), status::invalid_argument));
  CHECK(fails(a.write_gdb_script("x.gdb"), status::wrong_state));
  std::string copy = std::string(artifact) + ".copy";
  CHECK(a.save(copy));
  int out = open(copy.c_str(), O_RDWR | O_TRUNC);
  CHECK(b.save(out) && lseek(out, 0, SEEK_CUR) == static_cast<off_t>(bytes.size()));
  close(out);
  CHECK(contents(copy.c_str()) == bytes && unlink(copy.c_str()) == 0);

  CHECK(fails(lucet::module::from_static(lucet_static_module{}, config),
              status::invalid_argument));
  const lucet::module_config nothing;
  CHECK(fails(lucet::module::load_file(artifact, nothing), status::untrusted_artifact));
  lucet::module_config bad;
  CHECK(fails(bad.add_key("nonsense").check(), status::invalid_argument));
  CHECK(fails(lucet::module_config().add_hash("0").check(), status::invalid_argument));
  lucet::module_config labeled;
  add_all(labeled, store).require_label("tenant", "blue");
  CHECK(fails(lucet::module::load_file(artifact, labeled), status::contract_refused, "tenant"));
  lucet::module_config fueled;
  add_all(fueled, store).fuel(100);
  CHECK(fails(lucet::module::load_file(artifact, fueled), status::unsupported));
  lucet::module_config c;
  c.add_c("env", "x", "(i32) -> ()", reinterpret_cast<lucet_host_fn>(&half), nullptr);
  CHECK(c.check());
}

static void regions_and_their_settings(const server &s) {
  std::atomic<int> asked{0};
  struct refusing {
    std::atomic<int> *asked;
    counted one = {};
    bool operator()(const lucet::growth &g) const noexcept {
      ++*asked;
      return g.kind == lucet::growth_kind::memory && g.to <= 131072 && g.from == 65536 &&
             g.instance != nullptr;
    }
  };
  int before = counted::alive;
  {
    lucet::region_config config;
    config.slots(2).stack_bytes(1 << 18).max_memory(1 << 20).max_instance_data(1 << 16);
    config.compact(false).stacks(4).first_touch(true).max_table_elements(64);
    config.time_limit(std::chrono::seconds(10)).resident_bytes(1 << 20, 1 << 24);
    config.latency_histograms(true).backtrace(true).on_growth(refusing{&asked});
    auto region = must(lucet::region::create(config));
    auto i = must(lucet::instance::create(region, s.module));
    auto j = must(lucet::instance::create(region, s.module));
    CHECK(fails(lucet::instance::create(region, s.module), status::region_full));
    auto grow = must(i.get<i32(i32)>("grow"));
    CHECK(got(grow(2)) == -1 && got(grow(1)) == 1 && asked == 2);
    must(j.set_memory_limit(65536));
    must(j.set_table_limit(1));
    CHECK(got(must(j.get<i32(i32)>("grow"))(1)) == -1 && asked == 2);

    act = [](lucet::context &, i32) { return lucet::stop::trap(trap_code::unreachable); };
    CHECK(!must(must(i.get<i32(i32)>("deep"))(3)).returned());
    auto frames = must(i.backtrace());
    CHECK(frames.size() == 5 && frames[0].kind == LUCET_FRAME_IMPORT);
    CHECK(must(i.backtrace_text()).find("import env.act") != std::string::npos);
    must(i.reset());
    must(i.set_backtrace(false));
    CHECK(!must(must(i.get<i32(i32)>("deep"))(3)).returned());
    CHECK(fails(i.backtrace(), status::wrong_state));
    must(j.set_stack_limit(16384));
    act = [](lucet::context &, i32) { return 0; };
    auto deep = must(must(j.get<i32(i32)>("deep"))(100000)).get_if<lucet::trapped>();
    CHECK(deep && deep->code == trap_code::stack_overflow);
    lucet::region_stats stats = must(region.stats());
    CHECK(stats.live == 2 && stats.created == 2 && stats.traps[LUCET_TRAP_UNREACHABLE] == 2);
  }
  CHECK(counted::alive == before);
  CHECK(fails(lucet::region::create(lucet::region_config().slots(0)), status::invalid_argument));
}

static void fuel_runs_out(const char *artifact) {
  shop store;
  lucet::module_config config;
  auto module = must(lucet::module::load_file(artifact, add_all(config, store).fuel(1000000)));
  auto region = must(lucet::region::create());
  auto i = must(lucet::instance::create(region, module));
  auto spin = must(i.get<void()>("spin"));
  CHECK(must(i.fuel()) == 1000000 && i.set_fuel(500) && must(i.fuel()) == 500);
  auto o = must(spin());
  CHECK(o.get_if<lucet::out_of_fuel>() && o.resumable() && must(i.fuel()) <= 0);
  must(i.add_fuel(100));
  CHECK(must(spin.resume()).get_if<lucet::out_of_fuel>());
  must(i.reset());
  act = [](lucet::context &ctx, i32 n) -> lucet::answer<i32> {
    must(ctx.charge_fuel(5000));
    return n;
  };
  auto left = must(i.fuel());
  CHECK(got(must(i.get<i32(i32)>("act"))(1)) == 1 && must(i.fuel()) < left - 5000);
}

static void snapshots_are_modules(const server &s) {
  auto i = s.fresh();
  got(must(i.get<i32()>("count"))());
  lucet::snapshot_config config;
  config.allow_frozen_randomness(true).time_limit(std::chrono::seconds(10));
  auto snapshot = must(i.snapshot(config));
  auto j = must(lucet::instance::create(s.region, snapshot));
  CHECK(got(must(j.get<i32()>("count"))()) == 9);
  // What was looked up in the module is good for its snapshots.
  CHECK(got(must(s.module.find<i32()>("count"))(j)) == 10);
  CHECK(fails(i.snapshot(lucet::snapshot_config().reseed("none")), status::no_such_export));
  auto child = must(lucet::snapshot_in_child(
      s.module, lucet::region_config(), lucet::snapshot_config().function("count0").function(
                                            nullptr)));
  auto k = must(lucet::instance::create(s.region, child));
  CHECK(got(must(k.get<i32()>("count"))()) == 8);
}

static void modules_are_replaced(const server &s, const char *artifact) {
  auto ref = must(lucet::module_ref::create());
  must(ref.require<i32()>("count"));
  must(ref.require<i32(i32, i32)>("add"));
  CHECK(ref.raw() != nullptr && fails(ref.instantiate(s.region), status::wrong_state));
  must(ref.publish(s.module));
  auto made = must(ref.instantiate(s.region));
  CHECK(made.version == 1 && got(made.get<i32()>(0)()) == 8);
  CHECK(got(made.get<i32(i32, i32)>(1)(4, 5)) == 9);
  shop store;
  lucet::module_config config;
  must(ref.load_file(artifact, add_all(config, store)));
  lucet::module_ref::published now = must(ref.current());
  CHECK(now.version == 2 && now.module && must(ref.instantiate(s.region)).version == 2);
  CHECK(fails(ref.load_file("none.so", config), status::io));
  must(ref.withdraw());
  CHECK(!must(ref.current()).module);
}

static void groups_link(const char *store, const char *plugin) {
  lucet::module_config config;
  int before = counted::alive;
  config.allow_unsigned(true).linkable(true).add(
      "env", "ask", [](i32 n) -> lucet::answer<i32> {
        if (n != 13) return n + 1;
        return lucet::suspend(13, [one = counted()](lucet::context &, std::uint64_t) { return 1; });
      });
  auto a = must(lucet::module::load_file(store, config));
  auto b = must(lucet::module::load_file(plugin, config));
  auto region = must(lucet::region::create());
  auto group = must(lucet::group::create(region));
  CHECK(fails(group.instantiate("early", b), status::missing_import));
  auto first = must(group.instantiate("shop", a));
  must(group.alias("shop", "store"));
  auto second = must(group.instantiate(nullptr, b));
  auto go = must(second.get<i32(i32)>("go"));
  CHECK(got(go(20)) == 42 && must(first.memory().size()) == 65536);
  CHECK(must(go(13)).resumable() && counted::alive == before + 1);
  CHECK(got(go.resume()) == 2 && must(go(13)).resumable() && counted::alive == before + 1);
  lucet::group moved = std::move(group);
  CHECK(moved.raw() != nullptr && moved.free() && counted::alive == before);
  CHECK(fails(go(1), status::invalid_handle));
}

static void start_functions_run(const char *artifact) {
  lucet::module_config config;
  i32 seen = 0;
  static lucet::answer<void> (*how)() = [] { return lucet::answer<void>(); };
  config.allow_unsigned(true).add("env", "started", [&seen](i32 n) {
    seen = n;
    return how();
  });
  auto module = must(lucet::module::load_file(artifact, config));
  auto region = must(lucet::region::create());
  auto i = must(lucet::instance::create(region, module));
  CHECK(seen == 5 && got(must(i.get<i32()>("n"))()) == 1);
  how = [] { return lucet::answer<void>(lucet::stop::exit(1)); };
  CHECK(fails(lucet::instance::create(region, module), status::start_failed));
  CHECK(fails(i.reset(), status::start_failed));
}

static void the_library() {
  CHECK(std::string(lucet::version()).find('.') != std::string::npos);
  CHECK(lucet::prepare_thread() && lucet::check_deadlines());
  CHECK(!lucet::handle_signal(0, nullptr, nullptr));
}

int main(int, char **argv) {
  CHECK(lucet::set_watchdog(true));
  the_library();
  results_are_values_or_errors();
  values_know_their_types();
  what_is_tainted_comes_through_checks();
  {
    server s(argv[1]);
    exports_have_types(s);
    handles_move_and_go(s);
    outcomes_say_what_happened(s);
    memory_is_checked(s);
    host_functions_get_what_is_checked(s);
    guests_are_suspended(s);
    regions_and_their_settings(s);
    snapshots_are_modules(s);
    modules_are_replaced(s, argv[1]);
  }
  answers_of_all_shapes(argv[1]);
  host_functions_live_as_long_as_needed(argv[1]);
  modules_and_their_settings(argv[1]);
  start_functions_run(argv[2]);
  groups_link(argv[3], argv[4]);
  fuel_runs_out(argv[5]);
  CHECK(counted::alive == 0);
  return failures != 0;
}
