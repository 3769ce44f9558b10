/*
 * Statuses, errors, and results: what a call that can fail returns.
 */
#ifndef LUCET_RESULT_HPP
#define LUCET_RESULT_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "lucet.hpp needs C++17: compile with -std=c++17 or newer"
#endif

#include <lucet.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <version>
#if defined(__cpp_lib_expected)
#include <expected>
#endif

/* Objects of a program with exceptions and of one without are not the same: a mixture of both does
 * not link, instead of losing exceptions. */
#if defined(__cpp_exceptions)
#define LUCET_EXCEPTIONS 1
#define LUCET_ABI with_exceptions
#else
#define LUCET_EXCEPTIONS 0
#define LUCET_ABI without_exceptions
#endif

namespace lucet {
inline namespace LUCET_ABI {

/** Why a call failed: lucet_status. */
enum class status : std::int32_t {
  ok = LUCET_STATUS_OK,
  null_argument = LUCET_STATUS_NULL_ARGUMENT,
  invalid_handle = LUCET_STATUS_INVALID_HANDLE,
  invalid_argument = LUCET_STATUS_INVALID_ARGUMENT,
  busy = LUCET_STATUS_BUSY,
  wrong_state = LUCET_STATUS_WRONG_STATE,
  out_of_memory = LUCET_STATUS_OUT_OF_MEMORY,
  region_full = LUCET_STATUS_REGION_FULL,
  io = LUCET_STATUS_IO,
  not_an_artifact = LUCET_STATUS_NOT_AN_ARTIFACT,
  invalid_artifact = LUCET_STATUS_INVALID_ARTIFACT,
  unsupported_artifact = LUCET_STATUS_UNSUPPORTED_ARTIFACT,
  untrusted_artifact = LUCET_STATUS_UNTRUSTED_ARTIFACT,
  missing_import = LUCET_STATUS_MISSING_IMPORT,
  import_type_mismatch = LUCET_STATUS_IMPORT_TYPE_MISMATCH,
  no_such_export = LUCET_STATUS_NO_SUCH_EXPORT,
  export_type_mismatch = LUCET_STATUS_EXPORT_TYPE_MISMATCH,
  out_of_bounds = LUCET_STATUS_OUT_OF_BOUNDS,
  limit_exceeded = LUCET_STATUS_LIMIT_EXCEEDED,
  start_failed = LUCET_STATUS_START_FAILED,
  nested_yield = LUCET_STATUS_NESTED_YIELD,
  signals_blocked = LUCET_STATUS_SIGNALS_BLOCKED,
  forked = LUCET_STATUS_FORKED,
  internal = LUCET_STATUS_INTERNAL,
  unsupported = LUCET_STATUS_UNSUPPORTED,
  impure = LUCET_STATUS_IMPURE,
  contract_refused = LUCET_STATUS_CONTRACT_REFUSED,
};

/** A status that is not ok, and the sentence that says what went wrong, where, and what to do. */
class error {
 public:
  error(lucet::status code, std::string message) : code_(code), message_(std::move(message)) {}

  /** That of the call that just failed on this thread. */
  static error last(lucet_status code) {
    return {static_cast<lucet::status>(code), lucet_last_error()};
  }

  lucet::status code() const noexcept { return code_; }
  /** The status as lucet.h names it: "LUCET_STATUS_BUSY". */
  const char *name() const noexcept {
    return lucet_status_name(static_cast<lucet_status>(code_));
  }
  const std::string &message() const noexcept { return message_; }
  /** Both, for a log. */
  std::string what() const { return std::string(name()) + ": " + message_; }

 private:
  lucet::status code_;
  std::string message_;
};

/** What or_throw() throws for an error. */
class failure : public std::runtime_error {
 public:
  explicit failure(lucet::error e) : std::runtime_error(e.what()), error_(std::move(e)) {}
  const lucet::error &error() const noexcept { return error_; }

 private:
  lucet::error error_;
};

namespace detail {

template <class...>
inline constexpr bool never = false;
template <class...>
inline constexpr bool has_exceptions = LUCET_EXCEPTIONS;

/* A mistake in the program, not in what a guest sent: there is no way to go on. */
[[noreturn]] inline void misuse(const char *what, const char *why) {
  std::fprintf(stderr, "lucet: %s: %s\n", what, why);
  std::abort();
}

template <class E>
[[noreturn]] void raise([[maybe_unused]] E &&e) {
#if LUCET_EXCEPTIONS
  throw std::forward<E>(e);
#else
  misuse("or_throw() without exceptions", e.what());
#endif
}

}  // namespace detail

/**
 * A value, or the error that there is none. What it holds is asked first:
 *
 *     auto module = lucet::module::load_file("plugin.so", config);
 *     if (!module)
 *       return log(module.error().what());
 *     use(*module);
 *
 * Looking at the value of an error ends the program with that error's text. It is the same type in
 * every standard; with C++23, expected() turns it into a std::expected. */
template <class T>
class [[nodiscard]] result {
  static_assert(!std::is_reference_v<T>, "lucet: a result holds values: use a pointer");

 public:
  using value_type = T;

  result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
  result(lucet::error e) : held_(std::in_place_index<1>, std::move(e)) {}

  bool has_value() const noexcept { return held_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T &operator*() & { return there(); }
  const T &operator*() const & { return const_cast<result *>(this)->there(); }
  T &&operator*() && { return std::move(there()); }
  T *operator->() { return &there(); }
  const T *operator->() const { return &const_cast<result *>(this)->there(); }

  /** The error. Asking a value for one ends the program. */
  const lucet::error &error() const {
    if (const lucet::error *e = std::get_if<1>(&held_)) return *e;
    detail::misuse("error()", "the call succeeded");
  }

  template <class U>
  T value_or(U &&otherwise) && {
    return has_value() ? std::move(there()) : static_cast<T>(std::forward<U>(otherwise));
  }

  /** The value; throws lucet::failure if there is none. */
  T or_throw() && {
    static_assert(detail::has_exceptions<T>,
                  "lucet: or_throw() needs exceptions, and this is compiled with -fno-exceptions: "
                  "test the result and use error()");
    if (const lucet::error *e = std::get_if<1>(&held_)) detail::raise(failure(*e));
    return std::move(there());
  }
  const T &or_throw() const & {
    static_assert(detail::has_exceptions<T>,
                  "lucet: or_throw() needs exceptions, and this is compiled with -fno-exceptions: "
                  "test the result and use error()");
    if (const lucet::error *e = std::get_if<1>(&held_)) detail::raise(failure(*e));
    return **this;
  }

  /** f(value), which is a result too; or this error. */
  template <class F>
  auto and_then(F &&f) && -> std::invoke_result_t<F, T &&> {
    if (const lucet::error *e = std::get_if<1>(&held_)) return *e;
    return std::forward<F>(f)(std::move(there()));
  }

  /** A result of f(value); or this error. */
  template <class F>
  auto transform(F &&f) && -> result<std::invoke_result_t<F, T &&>> {
    if (const lucet::error *e = std::get_if<1>(&held_)) return *e;
    if constexpr (std::is_void_v<std::invoke_result_t<F, T &&>>) {
      std::forward<F>(f)(std::move(there()));
      return {};
    } else {
      return std::forward<F>(f)(std::move(there()));
    }
  }

  /** This value; or f(error), which is a result of the same type. */
  template <class F>
  result or_else(F &&f) && {
    if (const lucet::error *e = std::get_if<1>(&held_)) return std::forward<F>(f)(*e);
    return std::move(*this);
  }

#if defined(__cpp_lib_expected)
  std::expected<T, lucet::error> expected() && {
    if (const lucet::error *e = std::get_if<1>(&held_)) return std::unexpected(*e);
    return std::move(there());
  }
#endif

 private:
  T &there() {
    if (T *value = std::get_if<0>(&held_)) return *value;
    detail::misuse("a result without a value", std::get_if<1>(&held_)->what().c_str());
  }

  std::variant<T, lucet::error> held_;
};

/** Success, or an error. */
template <>
class [[nodiscard]] result<void> {
 public:
  using value_type = void;

  result() = default;
  result(lucet::error e) : error_(std::move(e)) {}

  bool has_value() const noexcept { return !error_; }
  explicit operator bool() const noexcept { return has_value(); }

  const lucet::error &error() const {
    if (error_) return *error_;
    detail::misuse("error()", "the call succeeded");
  }

  /** Throws lucet::failure if the call failed. */
  template <class T = void>
  void or_throw() const {
    static_assert(detail::has_exceptions<T>,
                  "lucet: or_throw() needs exceptions, and this is compiled with -fno-exceptions: "
                  "test the result and use error()");
    if (error_) detail::raise(failure(*error_));
  }

  template <class F>
  auto and_then(F &&f) && -> std::invoke_result_t<F> {
    if (error_) return *std::move(error_);
    return std::forward<F>(f)();
  }

#if defined(__cpp_lib_expected)
  std::expected<void, lucet::error> expected() && {
    if (error_) return std::unexpected(*std::move(error_));
    return {};
  }
#endif

 private:
  std::optional<lucet::error> error_;
};

namespace detail {

/* A status as a result. */
inline result<void> done(lucet_status s) {
  if (s == LUCET_STATUS_OK) return {};
  return error::last(s);
}

/* A handle that is freed by Free: what all owning classes are made of. */
template <class H, auto Free>
class handle {
 public:
  handle() = default;
  explicit handle(H *raw) noexcept : raw_(raw) {}
  handle(handle &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  handle &operator=(handle &&other) noexcept {
    if (this != &other) {
      clear();
      raw_ = std::exchange(other.raw_, nullptr);
    }
    return *this;
  }
  ~handle() { clear(); }

  H *get() const noexcept { return raw_; }
  H *release() noexcept { return std::exchange(raw_, nullptr); }
  H **out() noexcept { return &raw_; }

 private:
  void clear() noexcept {
    if (raw_ != nullptr) static_cast<void>(Free(raw_));
    raw_ = nullptr;
  }

  H *raw_ = nullptr;
};

}  // namespace detail
}  // namespace LUCET_ABI
}  // namespace lucet

#endif
