/*
 * The library as a whole, and regions: where instances live.
 */
#ifndef LUCET_REGION_HPP
#define LUCET_REGION_HPP

#include <lucet/result.hpp>

#include <chrono>
#include <memory>

namespace lucet {
inline namespace LUCET_ABI {

/** The version of the library in use; that of the header is LUCET_VERSION_MAJOR and so on. */
inline const char *version() { return lucet_version(); }

/** Installs signal handlers and this thread's signal stack, before the first run needs them. */
inline result<void> prepare_thread() { return detail::done(lucet_thread_prepare()); }

/** Whether lucet may start a thread that watches time limits; if not, call check_deadlines. */
inline result<void> set_watchdog(bool allowed) { return detail::done(lucet_set_watchdog(allowed)); }

/** Ends runs whose time is up. In how long to call it again; nullopt: not before a run with a limit
 * begins. */
inline result<std::optional<std::chrono::nanoseconds>> check_deadlines() {
  std::uint64_t next = 0;
  lucet_status s = lucet_check_deadlines(&next);
  if (s != LUCET_STATUS_OK) return error::last(s);
  if (next > static_cast<std::uint64_t>(INT64_MAX)) {
    return std::optional<std::chrono::nanoseconds>(std::nullopt);
  }
  return std::optional(std::chrono::nanoseconds(static_cast<std::int64_t>(next)));
}

/** For signal handlers of the program's own: whether the signal was a guest's. */
inline bool handle_signal(int signal, void *info, void *context) noexcept {
  return lucet_handle_signal(signal, info, context);
}

namespace detail {

/* Nanoseconds as lucet.h has them: 0 is none, and what is negative is as short as can be. */
inline std::uint64_t nanoseconds(std::chrono::nanoseconds t) {
  return t.count() > 0 ? static_cast<std::uint64_t>(t.count()) : t.count() < 0 ? 1 : 0;
}

/* A configuration: setters return *this, and the first error is kept for whoever uses it. */
template <class Self, class H, auto Create, auto Free>
class configuration {
 public:
  configuration() : handle_(Create()) {
    if (handle_.get() == nullptr) note(LUCET_STATUS_OUT_OF_MEMORY);
  }
  H *raw() const { return handle_.get(); }
  /** The first error of a setter. What uses the configuration fails with it too. */
  result<void> check() const {
    if (error_) return *error_;
    return {};
  }

 protected:
  Self &set(lucet_status s) {
    if (s != LUCET_STATUS_OK) note(s);
    return static_cast<Self &>(*this);
  }

 private:
  void note(lucet_status s) {
    if (!error_) error_ = error::last(s);
  }
  handle<H, Free> handle_;
  std::optional<error> error_;
};

}  // namespace detail

/** lucet_growth_kind. */
enum class growth_kind : std::int32_t {
  memory = LUCET_GROWTH_MEMORY,
  table = LUCET_GROWTH_TABLE,
};

/** A memory or table that is about to grow. */
struct growth {
  lucet_instance *instance;
  growth_kind kind;
  /** Bytes, or elements. */
  std::uint64_t from, to;
};

/** Settings of a region: see lucet_region_config_set_* for each. Setters can be chained. */
class region_config
    : public detail::configuration<region_config, lucet_region_config, lucet_region_config_create,
                                   lucet_region_config_free> {
 public:
  region_config &slots(std::uint32_t n) { return set(lucet_region_config_set_slots(raw(), n)); }
  region_config &stack_bytes(std::uint64_t n) {
    return set(lucet_region_config_set_stack_bytes(raw(), n));
  }
  region_config &max_memory(std::uint64_t bytes) {
    return set(lucet_region_config_set_max_memory(raw(), bytes));
  }
  region_config &max_instance_data(std::uint32_t bytes) {
    return set(lucet_region_config_set_max_instance_data(raw(), bytes));
  }
  region_config &compact(bool on) { return set(lucet_region_config_set_compact(raw(), on)); }
  region_config &stacks(std::uint32_t n) { return set(lucet_region_config_set_stacks(raw(), n)); }
  region_config &first_touch(bool on) {
    return set(lucet_region_config_set_first_touch(raw(), on));
  }
  region_config &max_table_elements(std::uint32_t n) {
    return set(lucet_region_config_set_max_table_elements(raw(), n));
  }
  region_config &time_limit(std::chrono::nanoseconds t) {
    return set(lucet_region_config_set_time_limit(raw(), detail::nanoseconds(t)));
  }
  region_config &resident_bytes(std::uint64_t per_slot, std::uint64_t all) {
    return set(lucet_region_config_set_resident_bytes(raw(), per_slot, all));
  }
  region_config &latency_histograms(bool on) {
    return set(lucet_region_config_set_latency_histograms(raw(), on));
  }
  region_config &backtrace(bool on) { return set(lucet_region_config_set_backtrace(raw(), on)); }

  /** Asks `may(const growth &)`, a noexcept bool, before memories and tables grow. It is called by
   * several threads at the same time, and lives as long as the region. */
  template <class F>
  region_config &on_growth(F may) {
    static_assert(std::is_nothrow_invocable_r_v<bool, const F &, const growth &>,
                  "lucet: what is asked before a memory grows stands in the middle of the guest: "
                  "write [...](const lucet::growth &g) noexcept { return true; }");
    auto kept = std::make_shared<const F>(std::move(may));
    auto ask = [](void *f, lucet_instance *instance, lucet_growth_kind kind, std::uint64_t from,
                  std::uint64_t to) -> bool {
      return (*static_cast<const F *>(f))(
          growth{instance, static_cast<growth_kind>(kind), from, to});
    };
    set(lucet_region_config_set_growth_callback(raw(), ask, const_cast<F *>(kept.get())));
    growth_ = std::move(kept);
    return *this;
  }

 private:
  friend class region;
  std::shared_ptr<const void> growth_;
};

/** What a region has done and holds. */
using region_stats = lucet_region_stats;

/**
 * Address space cut into slots, one for each instance. Any thread may use it. It must outlive its
 * instances: a region that is destroyed before them stays where it is. */
class region {
 public:
  static result<region> create(const region_config &config) {
    if (auto good = config.check(); !good) return good.error();
    return create(config.raw(), config.growth_);
  }
  /** With the defaults. */
  static result<region> create() { return create(nullptr, nullptr); }

  lucet_region *raw() const { return handle_.get(); }
  result<region_stats> stats() const {
    region_stats all = {};
    all.size = sizeof all;
    lucet_status s = lucet_region_get_stats(raw(), &all);
    if (s != LUCET_STATUS_OK) return error::last(s);
    return all;
  }
  /** What the destructor does, and whether it could: status::busy while instances are alive. */
  result<void> free() {
    lucet_status s = lucet_region_free(raw());
    if (s == LUCET_STATUS_OK) handle_.release();
    return detail::done(s);
  }

 private:
  static result<region> create(const lucet_region_config *config, std::shared_ptr<const void> f) {
    region made;
    lucet_status s = lucet_region_create(config, made.handle_.out());
    if (s != LUCET_STATUS_OK) return error::last(s);
    made.growth_ = std::move(f);
    return made;
  }
  region() = default;

  std::shared_ptr<const void> growth_;
  detail::handle<lucet_region, lucet_region_free> handle_;
};

}  // namespace LUCET_ABI
}  // namespace lucet

#endif
