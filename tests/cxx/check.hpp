// How the programs here say what they expect, and what they load guests with.
#ifndef TESTS_CXX_CHECK_HPP
#define TESTS_CXX_CHECK_HPP
#include <lucet.hpp>

#include <atomic>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>

inline int failures;

#define CHECK(...)                                                                     \
  do {                                                                                 \
    if (!(__VA_ARGS__)) {                                                              \
      std::printf("%s:%d: %s  (%s)\n", __FILE__, __LINE__, #__VA_ARGS__, lucet_last_error()); \
      failures++;                                                                      \
    }                                                                                  \
  } while (0)

// The value of a result or outcome, or the end of the program.
template <class T>
T must(lucet::result<T> r) {
  if (!r) {
    std::printf("failed: %s\n", r.error().what().c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return *std::move(r);
}

template <class T>
bool fails(const lucet::result<T> &r, lucet::status s, const char *hint = "") {
  if (!r && r.error().code() == s && r.error().message().find(hint) != std::string::npos) {
    return true;
  }
  std::printf("got: %s\n", r ? "success" : r.error().what().c_str());
  return false;
}

// What env.act does now.
using action = std::function<lucet::answer<std::int32_t>(lucet::context &, std::int32_t)>;
inline action act = [](lucet::context &, std::int32_t n) { return n; };

// Counts how many of its kind are alive.
struct counted {
  inline static std::atomic<int> alive{0};
  counted() { alive++; }
  counted(const counted &) { alive++; }
  counted &operator=(const counted &) = default;
  ~counted() { alive--; }
};

struct shop {
  double rate = 2.5;
  std::int64_t sold = 0;
  double price(std::int32_t item) const { return rate * item; }
  std::int64_t stock(lucet::tainted<std::uint32_t> item) noexcept {
    sold++;
    return item.at_most(9).value_or(1000);
  }
};

inline std::string logged;

inline lucet::v128 add_one(const lucet::v128 &v) {
  auto lanes = v.lanes<std::uint32_t>();
  return lucet::v128::of<std::uint32_t>(lanes[0] + 1, lanes[1] + 1, lanes[2] + 1, lanes[3] + 1);
}
inline float half(float f) noexcept { return f / 2; }

// Everything that guest.wat imports but `act`. The shop must outlive what is loaded with it.
inline lucet::module_config &add_rest(lucet::module_config &config, shop &store) {
  return config.allow_unsigned(true)
      .add("env", "note",
           [one = counted()](std::int32_t a, std::int64_t b, float c, double d) {
             return a + static_cast<double>(b) + static_cast<double>(c) + d;
           })
      .add("env", "pair",
           [](std::uint32_t n) { return std::tuple(n + 1, std::int64_t{n} * 1000000000000); })
      .add("env", "vec", add_one)
      .add("env", "log", [](lucet::guest_text line) { logged = line.str(); })
      .add("env", "bump",
           [](lucet::guest_ptr<std::uint32_t> p) { p.store(p.load().unchecked() + 1); })
      .add("env", "fill",
           [](lucet::guest_buffer room) -> std::uint32_t {
             std::vector<unsigned char> bytes(room.size(), 7);
             return room.copy_from(bytes.data(), bytes.size()) ? 1 : 0;
           })
      .add("env", "pass", [](lucet::externref r) { return lucet::externref{r.word + 1}; })
      .add("env", "half", &half)
      .add<&shop::price>("shop", "price", std::ref(store))
      .add<&shop::stock>("shop", "stock", std::ref(store));
}
inline lucet::module_config &add_all(lucet::module_config &config, shop &store) {
  return add_rest(config, store).add("env", "act", [](lucet::context &ctx, std::int32_t n) {
    return act(ctx, n);
  });
}

// What most tests need.
struct server {
  shop store;
  lucet::region region;
  lucet::module module;

  explicit server(const char *artifact)
      : region(must(lucet::region::create(lucet::region_config().slots(8)))),
        module(must(load(artifact, store))) {}
  server(const server &) = delete;

  static lucet::result<lucet::module> load(const char *artifact, shop &store) {
    lucet::module_config config;
    return lucet::module::load_file(artifact, add_all(config, store));
  }
  lucet::instance fresh() const { return must(lucet::instance::create(region, module)); }
};

#endif
