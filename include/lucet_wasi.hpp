/*
 * lucet_wasi.hpp: lucet_wasi.h for C++. Header-only, C++17 and newer.
 *
 *   #include <lucet_wasi.hpp>
 *
 *   lucet::wasi_config settings;
 *   settings.arg("hello").directory("/srv/data", "/data", true).capture(lucet::wasi_stream::out);
 *   auto wasi = lucet::wasi::create(settings).or_throw();
 *   lucet::offer_wasi(config, wasi).or_throw();              // and load modules with it
 *
 *   auto ended = instance.get<void()>("_start").or_throw()().or_throw();
 *   auto code = lucet::wasi_exit_code(ended);                // nullopt: it ended otherwise
 *   auto text = lucet::wasi_output(instance, lucet::wasi_stream::out).or_throw();
 *
 * Everything that lucet.hpp and lucet_wasi.h say holds.
 */
#ifndef LUCET_WASI_HPP
#define LUCET_WASI_HPP

#include <lucet.hpp>
#include <lucet_wasi.h>

namespace lucet {
inline namespace LUCET_ABI {

/** The standard streams. */
enum class wasi_stream : std::int32_t {
  in = LUCET_WASI_STDIN,
  out = LUCET_WASI_STDOUT,
  err = LUCET_WASI_STDERR,
};

/** What has a limit, for each instance. */
enum class wasi_limit : std::int32_t {
  descriptors = LUCET_WASI_LIMIT_DESCRIPTORS,
  iovecs = LUCET_WASI_LIMIT_IOVECS,
  transfer_bytes = LUCET_WASI_LIMIT_TRANSFER_BYTES,
  random_bytes = LUCET_WASI_LIMIT_RANDOM_BYTES,
  subscriptions = LUCET_WASI_LIMIT_SUBSCRIPTIONS,
  readdir_bytes = LUCET_WASI_LIMIT_READDIR_BYTES,
  path_bytes = LUCET_WASI_LIMIT_PATH_BYTES,
  file_bytes = LUCET_WASI_LIMIT_FILE_BYTES,
  written_bytes = LUCET_WASI_LIMIT_WRITTEN_BYTES,
  output_bytes = LUCET_WASI_LIMIT_OUTPUT_BYTES,
};

/** What programs get: nothing at first. Setters can be chained. */
class wasi_config
    : public detail::configuration<wasi_config, lucet_wasi_config, lucet_wasi_config_create,
                                   lucet_wasi_config_free> {
 public:
  wasi_config &arg(const char *text) { return set(lucet_wasi_config_add_arg(raw(), text)); }
  wasi_config &env(const char *name, const char *value) {
    return set(lucet_wasi_config_add_env(raw(), name, value));
  }
  wasi_config &inherit_env() { return set(lucet_wasi_config_inherit_env(raw())); }
  wasi_config &directory(const char *path, const char *guest_path, bool read_only) {
    return set(lucet_wasi_config_add_directory(raw(), path, guest_path, read_only));
  }
  /** An open socket or file, of which programs get a duplicate. */
  wasi_config &descriptor(int fd) { return set(lucet_wasi_config_add_descriptor(raw(), fd)); }
  wasi_config &inherit_stdio() { return set(lucet_wasi_config_inherit_stdio(raw())); }
  wasi_config &stream(wasi_stream which, int fd) {
    return set(lucet_wasi_config_set_stream_descriptor(raw(), as_c(which), fd));
  }
  wasi_config &close(wasi_stream which) {
    return set(lucet_wasi_config_close_stream(raw(), as_c(which)));
  }
  wasi_config &input(std::string_view bytes) {
    return set(lucet_wasi_config_set_input(raw(), bytes.data(), bytes.size()));
  }
  wasi_config &capture(wasi_stream which) {
    return set(lucet_wasi_config_capture(raw(), as_c(which)));
  }
  /**
   * Standard input from `read(void *instance_data, char *to, std::size_t room)`, noexcept, which
   * returns how many bytes, 0 at the end, LUCET_WASI_NOT_NOW or LUCET_WASI_FAILED. It is called by
   * several threads at the same time, and kept like host functions are. */
  template <class F>
  wasi_config &reader(F read) {
    static_assert(std::is_nothrow_invocable_r_v<std::ptrdiff_t, const F &, void *, char *,
                                                std::size_t>,
                  "lucet: a reader stands in the middle of the guest: write [...](void *data, char "
                  "*to, std::size_t room) noexcept -> std::ptrdiff_t { ... }");
    auto call = [](void *f, void *data, void *to, std::size_t room) -> std::ptrdiff_t {
      return (*static_cast<const F *>(f))(data, static_cast<char *>(to), room);
    };
    return set(lucet_wasi_config_set_reader(raw(), call, keep(std::move(read))));
  }
  /** Standard output or error to `write(void *instance_data, std::string_view bytes)`, likewise. */
  template <class F>
  wasi_config &writer(wasi_stream which, F write) {
    static_assert(std::is_nothrow_invocable_r_v<std::ptrdiff_t, const F &, void *,
                                                std::string_view>,
                  "lucet: a writer stands in the middle of the guest: write [...](void *data, "
                  "std::string_view bytes) noexcept -> std::ptrdiff_t { ... }");
    auto call = [](void *f, void *data, const void *from, std::size_t len) -> std::ptrdiff_t {
      return (*static_cast<const F *>(f))(
          data, std::string_view(static_cast<const char *>(from), len));
    };
    return set(
        lucet_wasi_config_set_writer(raw(), as_c(which), call, keep(std::move(write))));
  }
  wasi_config &limit(wasi_limit what, std::uint64_t value) {
    return set(lucet_wasi_config_set_limit(raw(), static_cast<lucet_wasi_limit>(what), value));
  }
  wasi_config &deterministic(std::uint64_t seed) {
    return set(lucet_wasi_config_set_deterministic(raw(), seed));
  }
  /**
   * The clocks: `now(void *instance_data, bool monotonic)`, noexcept, in nanoseconds since 1970 or
   * some moment; `resolution` in nanoseconds, at least 1. Called and kept as readers are. */
  template <class F>
  wasi_config &clock(std::uint64_t resolution, F now) {
    static_assert(std::is_nothrow_invocable_r_v<std::uint64_t, const F &, void *, bool>,
                  "lucet: a clock stands in the middle of the guest: write [...](void *data, bool "
                  "monotonic) noexcept -> std::uint64_t { ... }");
    auto call = [](void *f, void *data, bool monotonic) -> std::uint64_t {
      return (*static_cast<const F *>(f))(data, monotonic);
    };
    return set(lucet_wasi_config_set_clock(raw(), call, resolution, keep(std::move(now))));
  }
  /** Random numbers: `fill(void *instance_data, char *to, std::size_t len)`, false if it failed. */
  template <class F>
  wasi_config &random(F fill) {
    static_assert(std::is_nothrow_invocable_r_v<bool, const F &, void *, char *, std::size_t>,
                  "lucet: random numbers are made in the middle of the guest: write [...](void "
                  "*data, char *to, std::size_t len) noexcept -> bool { ... }");
    auto call = [](void *f, void *data, void *to, std::size_t len) -> bool {
      return (*static_cast<const F *>(f))(data, static_cast<char *>(to), len);
    };
    return set(lucet_wasi_config_set_random(raw(), call, keep(std::move(fill))));
  }
  wasi_config &nonblocking(bool on) {
    return set(lucet_wasi_config_set_nonblocking(raw(), on));
  }
  wasi_config &no_files(bool on) { return set(lucet_wasi_config_set_no_files(raw(), on)); }

 private:
  friend class wasi;
  static lucet_wasi_stream as_c(wasi_stream s) { return static_cast<lucet_wasi_stream>(s); }
  template <class F>
  void *keep(F f) {
    auto kept = std::make_shared<F>(std::move(f));
    functions_.push_back(kept);
    return kept.get();
  }
  std::vector<std::shared_ptr<const void>> functions_;
};

/** What a configuration says, made: shared by any number of instances. Any thread may use it. */
class wasi {
 public:
  static result<wasi> create(const wasi_config &config) {
    if (auto good = config.check(); !good) return good.error();
    wasi made;
    lucet_status s = lucet_wasi_create(config.raw(), made.handle_.out());
    if (s != LUCET_STATUS_OK) return error::last(s);
    made.functions_ = config.functions_;
    return made;
  }
  lucet_wasi *raw() const { return handle_.get(); }

 private:
  friend result<void> offer_wasi(module_config &config, const wasi &what);
  wasi() = default;
  std::vector<std::shared_ptr<const void>> functions_;
  detail::handle<lucet_wasi, lucet_wasi_free> handle_;
};

/** Offers WASI to modules that are loaded with `config`; instances begin with `what`. */
inline result<void> offer_wasi(module_config &config, const wasi &what) {
  using kept = std::vector<std::shared_ptr<const void>>;
  if (!what.functions_.empty()) {
    auto functions = std::make_unique<kept>(what.functions_);
    lucet_status s =
        lucet_module_config_own(config.raw(), functions.get(), &detail::drop<kept>);
    if (s != LUCET_STATUS_OK) return error::last(s);
    functions.release();
  }
  return detail::done(lucet_module_config_set_wasi(config.raw(), what.raw()));
}

/** Gives one instance another one. If that has functions, keep it longer than the instance. */
inline result<void> set_wasi(const instance_ref &of, const wasi &what) {
  return detail::done(lucet_instance_set_wasi(of.raw(), what.raw()));
}
/** Gives one instance standard input of its own. */
inline result<void> set_wasi_input(const instance_ref &of, std::string_view bytes) {
  return detail::done(lucet_instance_wasi_set_input(of.raw(), bytes.data(), bytes.size()));
}
/** What an instance wrote to a captured stream, from `from` on. */
inline result<std::string> wasi_output(const instance_ref &of, wasi_stream which,
                                       std::size_t from = 0) {
  auto c = static_cast<lucet_wasi_stream>(which);
  std::size_t len = 0;
  lucet_status s = lucet_instance_wasi_output(of.raw(), c, from, nullptr, 0, &len);
  if (s != LUCET_STATUS_OK) return error::last(s);
  std::string text(len > from ? len - from : 0, '\0');
  s = lucet_instance_wasi_output(of.raw(), c, from, text.data(), text.size(), &len);
  if (s != LUCET_STATUS_OK) return error::last(s);
  return text;
}

/** What a guest that yielded LUCET_WASI_WAITS waits for. */
struct wasi_waiting {
  std::vector<lucet_wasi_interest> interests;
  /** How long at most, from the yield on. */
  std::optional<std::chrono::nanoseconds> timeout;
};
inline result<wasi_waiting> wasi_wait(const instance_ref &of) {
  std::size_t len = 0;
  std::uint64_t timeout = 0;
  lucet_status s = lucet_instance_wasi_wait(of.raw(), nullptr, 0, &len, &timeout);
  if (s != LUCET_STATUS_OK) return error::last(s);
  wasi_waiting all;
  all.interests.resize(len);
  s = lucet_instance_wasi_wait(of.raw(), all.interests.data(), len, &len, &timeout);
  if (s != LUCET_STATUS_OK) return error::last(s);
  if (timeout <= static_cast<std::uint64_t>(INT64_MAX)) {
    all.timeout = std::chrono::nanoseconds(static_cast<std::int64_t>(timeout));
  }
  return all;
}

/** The exit code of a program: nullopt if it has not ended, or otherwise. */
inline std::optional<std::int64_t> wasi_exit_code(const ending &of) {
  std::int64_t code = lucet_wasi_exit_code(&of.raw());
  return code < 0 ? std::nullopt : std::optional(code);
}

}  // namespace LUCET_ABI
}  // namespace lucet

#endif
