/*
 * Guest memory. What is in it belongs to the guest, who may have written anything there, and what
 * it passes to host functions are claims. So:
 *
 *   - Offsets and lengths are checked before there is a span; one that was not checked does not
 *     exist.
 *   - Values are copied out first and looked at then: nothing is read twice, so what was checked is
 *     what is used. They come as tainted<T>, which gives them away only together with a check.
 *   - Spans and guest pointers die when the guest runs again, grows its memory in a nested run, or
 *     goes: using one after that ends the program, with a message, instead of reading memory that
 *     means something else by now.
 */
#ifndef LUCET_MEMORY_HPP
#define LUCET_MEMORY_HPP

#include <lucet/value.hpp>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <vector>
#if defined(__cpp_lib_span)
#include <span>
#endif

namespace lucet {
inline namespace LUCET_ABI {

#define LUCET_TEACH_TAINTED(T)                                                                 \
  static_assert(::lucet::detail::never<T>,                                                     \
                "lucet: a guest chose this value: it is tainted. Take it through a check: "    \
                "between(), at_most(), one_of(), checked(), clamped(); or unchecked(), if any " \
                "value will do")

/**
 * A value that a guest chose. There is no way to it but through a check, and it is a copy: the
 * guest cannot change it afterwards.
 *
 *     if (auto n = count.at_most(64))    // std::optional
 *       items.resize(*n); */
template <class T>
class tainted {
 public:
  tainted() = default;
  explicit constexpr tainted(T value) : value_(value) {}

  /** The value if `good(value)`. */
  template <class Good>
  constexpr std::optional<T> checked(Good &&good) const {
    return std::forward<Good>(good)(value_) ? std::optional<T>(value_) : std::nullopt;
  }
  /** The value if it is not more. Of a signed one, not less than 0 either. */
  constexpr std::optional<T> at_most(T most) const { return between(T{}, most); }
  /** The value if it is one of these or lies between them. */
  constexpr std::optional<T> between(T least, T most) const {
    return value_ >= least && value_ <= most ? std::optional<T>(value_) : std::nullopt;
  }
  /** The value if it is one of these. */
  constexpr std::optional<T> one_of(std::initializer_list<T> those) const {
    for (const T &one : those) {
      if (one == value_) return value_;
    }
    return std::nullopt;
  }
  /** The nearest value to it between these. */
  constexpr T clamped(T least, T most) const {
    return value_ < least ? least : most < value_ ? most : value_;
  }
  /** The value as it is: where any value does no harm, or the check is another one. */
  constexpr const T &unchecked() const { return value_; }

  /** A member of a struct: header.field(&header_t::length) */
  template <class M, class S = T>
  constexpr tainted<M> field(M S::*member) const {
    return tainted<M>(value_.*member);
  }

  /* What one would like to write, and what is wrong with it. */
  template <class U, class = std::enable_if_t<std::is_arithmetic_v<U>>>
  operator U() const {
    LUCET_TEACH_TAINTED(U);
    std::abort();
  }

 private:
  T value_{};
};

#define LUCET_NO_OPERATOR(OP)                                       \
  template <class T, class U>                                       \
  bool operator OP(const tainted<T> &, const U &) {                 \
    LUCET_TEACH_TAINTED(U);                                         \
    return false;                                                   \
  }                                                                 \
  template <class T, class U>                                       \
  bool operator OP(const U &, const tainted<T> &) {                 \
    LUCET_TEACH_TAINTED(U);                                         \
    return false;                                                   \
  }                                                                 \
  template <class T, class U>                                       \
  bool operator OP(const tainted<T> &, const tainted<U> &) {        \
    LUCET_TEACH_TAINTED(U);                                         \
    return false;                                                   \
  }                                                                 \
  static_assert(true)
LUCET_NO_OPERATOR(==);
LUCET_NO_OPERATOR(!=);
LUCET_NO_OPERATOR(<);
LUCET_NO_OPERATOR(>);
LUCET_NO_OPERATOR(<=);
LUCET_NO_OPERATOR(>=);
LUCET_NO_OPERATOR(+);
LUCET_NO_OPERATOR(-);
LUCET_NO_OPERATOR(*);
LUCET_NO_OPERATOR(/);
LUCET_NO_OPERATOR(%);
#undef LUCET_NO_OPERATOR
#undef LUCET_TEACH_TAINTED

/** An offset or length in guest memory: any integer, tainted or not. 32 bits are unsigned. */
class offset {
 public:
  template <class T, class = std::enable_if_t<std::is_integral_v<T> && (sizeof(T) >= 4)>>
  constexpr offset(T at) : value_(static_cast<std::make_unsigned_t<T>>(at)) {}
  template <class T>
  constexpr offset(const tainted<T> &at) : offset(at.unchecked()) {}
  constexpr std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_;
};

class run_frame;

namespace detail {

/* What a thread is doing: the calls into guests that are going on in it, innermost first, and a
 * number that changes whenever spans made so far must not be used any more. Plain words, so that
 * looking at them costs an instruction. */
struct thread_state {
  run_frame *top;
  std::uint64_t generation;
};
__attribute__((visibility("default"))) inline thread_local thread_state this_thread = {nullptr, 0};

template <class T>
constexpr bool teach_in_memory() {
  using V = std::remove_cv_t<T>;
  static_assert(!std::is_pointer_v<V>,
                "lucet: a pointer that a guest wrote means nothing here: read a std::uint32_t, and "
                "make a span of it with guest_memory::span");
  static_assert(!std::is_same_v<V, bool> && !std::is_enum_v<V>,
                "lucet: a guest may have written any bits, and a bool or enum with others than its "
                "own is undefined: read a std::uint8_t or std::uint32_t, and check it");
  static_assert(std::is_trivially_copyable_v<V>,
                "lucet: guest memory holds bytes: only types that are trivially copyable, with no "
                "pointers in them, can be read from and written to it");
  return true;
}

inline std::uint64_t bytes_of(std::uint64_t count, std::size_t size) {
  return count > std::numeric_limits<std::uint64_t>::max() / size
             ? std::numeric_limits<std::uint64_t>::max()
             : count * size;
}

}  // namespace detail

/**
 * `size()` values of type T in guest memory, inside of it for certain. T is const for memory that
 * is only read. It lives until the guest runs again or the host function returns. */
template <class T>
class guest_span {
  using V = std::remove_const_t<T>;
  static_assert(detail::teach_in_memory<T>());

 public:
  using element_type = T;

  guest_span() : thread_(&detail::this_thread), generation_(detail::this_thread.generation) {}

  std::size_t size() const { return size_; }
  std::size_t size_bytes() const { return size_ * sizeof(T); }
  bool empty() const { return size_ == 0; }
  /** Where it begins in the guest's memory. */
  std::uint64_t offset() const { return offset_; }
  /** Whether it may still be used. */
  bool alive() const {
    return thread_ == &detail::this_thread && generation_ == thread_->generation;
  }

  /** A copy of one value. */
  result<tainted<V>> at(lucet::offset index) const {
    if (index.value() >= size_) return outside("index", index.value());
    V value;
    std::memcpy(&value, base() + index.value() * sizeof(T), sizeof(T));
    return tainted<V>(value);
  }
  /** A copy of all values. They are what the guest wrote: check them before you use them. */
  std::vector<V> copy() const {
    std::vector<V> all(size_);
    if (size_ > 0) std::memcpy(all.data(), base(), size_bytes());
    return all;
  }
  /** A copy of text. It may hold anything, NUL included, and need not be UTF-8. */
  std::string str() const {
    static_assert(sizeof(V) == 1, "lucet: str() is for text: guest_span<const char>");
    return size_ == 0 ? std::string() : std::string(static_cast<const char *>(base()), size_);
  }
  /** Copies the first values to an array of `room`: how many. */
  std::size_t copy_to(V *to, std::size_t room) const {
    std::size_t n = std::min(room, size_);
    if (n > 0) std::memcpy(to, base(), n * sizeof(T));
    return n;
  }

  /** Writes one value. */
  result<void> set(lucet::offset index, const V &value) const {
    writes();
    if (index.value() >= size_) return outside("index", index.value());
    std::memcpy(base() + index.value() * sizeof(T), &value, sizeof(T));
    return {};
  }
  /** Writes `count` values to its beginning; none if there are more than fit. */
  result<void> copy_from(const V *from, std::size_t count) const {
    writes();
    if (count > size_) return outside("the number of values", count);
    if (count > 0) std::memcpy(base(), from, count * sizeof(T));
    return {};
  }
  result<void> copy_from(std::string_view text) const {
    static_assert(sizeof(V) == 1, "lucet: text goes to a guest_span<char>");
    writes();
    if (text.size() > size_) return outside("the length of the text", text.size());
    if (!text.empty()) std::memcpy(base(), text.data(), text.size());
    return {};
  }

  /** A part of it. */
  result<guest_span> subspan(lucet::offset from, lucet::offset count) const {
    if (from.value() > size_) return outside("offset", from.value());
    if (count.value() > size_ - from.value()) return outside("count", count.value());
    guest_span part = *this;
    part.base_ = size_ == 0 ? base_ : base() + from.value() * sizeof(T);
    part.offset_ += from.value() * sizeof(T);
    part.size_ = count.value();
    return part;
  }

  /** The bytes where they lie, to hand to write() and the like without a copy. Read each of them
   * once: what is read twice may not be checked. */
  T *unchecked() const {
    static_assert(sizeof(T) == 1, "lucet: only bytes can be used where they lie: others may not be "
                                  "aligned, and want to be copied before they are checked");
    return reinterpret_cast<T *>(base());
  }

 private:
  friend class guest_memory;
  guest_span(void *base, std::uint64_t offset, std::size_t size) : guest_span() {
    base_ = static_cast<char *>(base);
    offset_ = offset;
    size_ = size;
  }

  /* (The address, if it means anything still.) */
  char *base() const {
    if (!alive()) {
      detail::misuse("a span of guest memory was used too late",
                     "the guest has run since, or the host function that had it has returned");
    }
    return base_;
  }
  error outside(const char *what, std::uint64_t n) const {
    return {status::out_of_bounds, std::string(what) + " " + std::to_string(n) +
                                       " is beyond a span of " + std::to_string(size_)};
  }
  static void writes() {
    static_assert(!std::is_const_v<T>,
                  "lucet: this span is for reading: take a guest_span<T> without const to write");
  }

  const detail::thread_state *thread_;
  std::uint64_t generation_;
  char *base_ = nullptr;
  std::uint64_t offset_ = 0;
  std::size_t size_ = 0;
};

/** Text that a guest passed as address and length: what most host functions take. */
using guest_text = guest_span<const char>;
/** Bytes likewise, and room for bytes. */
using guest_bytes = guest_span<const unsigned char>;
using guest_buffer = guest_span<unsigned char>;

/** One value in guest memory, as a guest passes it: by address. */
template <class T>
class guest_ptr {
  using V = std::remove_const_t<T>;

 public:
  guest_ptr() = default;
  explicit guest_ptr(guest_span<T> one) : one_(one) {}

  /** A copy of what is there. */
  tainted<V> load() const { return *one_.at(0); }
  /** Overwrites it. */
  void store(const V &value) const { static_cast<void>(one_.set(0, value)); }
  std::uint64_t offset() const { return one_.offset(); }
  bool alive() const { return one_.alive(); }

 private:
  guest_span<T> one_;
};

/**
 * The memory of an instance: of one that does not run (instance_ref::memory), or of the one that
 * called a host function (context::memory). Offsets are claims; what lies outside is
 * status::out_of_bounds. */
class guest_memory {
 public:
  explicit guest_memory(lucet_instance *instance, const char *name = nullptr)
      : instance_(instance), name_(name == nullptr ? "" : name) {}
  explicit guest_memory(lucet_vmctx *ctx) : ctx_(ctx) {}

  /** In bytes; 0 if there is none. */
  result<std::uint64_t> size() const {
    std::uint64_t bytes = 0;
    void *none = nullptr;
    lucet_status s = ctx_ != nullptr ? lucet_vmctx_memory_size(ctx_, &bytes)
                     : name_.empty()
                         ? lucet_instance_memory_size(instance_, &bytes)
                         : lucet_instance_exported_memory(instance_, name_.c_str(), 0, 0, &none,
                                                          &bytes);
    if (s != LUCET_STATUS_OK) return error::last(s);
    return bytes;
  }

  /** `count` values of type T at `at`. */
  template <class T>
  result<guest_span<T>> span(offset at, offset count) const {
    static_assert(detail::teach_in_memory<T>());
    void *base = nullptr;
    lucet_status s = range(at.value(), detail::bytes_of(count.value(), sizeof(T)), &base);
    if (s != LUCET_STATUS_OK) return error::last(s);
    return guest_span<T>(base, at.value(), static_cast<std::size_t>(count.value()));
  }

  /** A copy of the value at `at`. */
  template <class T>
  result<tainted<T>> load(offset at) const {
    auto one = span<const T>(at, 1u);
    if (!one) return one.error();
    return one->at(0);
  }
  template <class T>
  result<void> store(offset at, const T &value) const {
    auto one = span<T>(at, 1u);
    if (!one) return one.error();
    return one->set(0, value);
  }

  /** Copies `len` bytes out of it; of none if not all are there. */
  result<void> read(offset at, void *to, std::size_t len) const {
    if (ctx_ == nullptr && name_.empty()) {
      return detail::done(lucet_instance_memory_read(instance_, at.value(), to, len));
    }
    void *base = nullptr;
    lucet_status s = range(at.value(), len, &base);
    if (s == LUCET_STATUS_OK && len > 0) std::memcpy(to, base, len);
    return detail::done(s);
  }
  /** Copies `len` bytes into it, or none. */
  result<void> write(offset at, const void *from, std::size_t len) const {
    if (ctx_ == nullptr && name_.empty()) {
      return detail::done(lucet_instance_memory_write(instance_, at.value(), from, len));
    }
    void *base = nullptr;
    lucet_status s = range(at.value(), len, &base);
    if (s == LUCET_STATUS_OK && len > 0) std::memcpy(base, from, len);
    return detail::done(s);
  }
  result<void> write(offset at, std::string_view text) const {
    return write(at, text.data(), text.size());
  }
#if defined(__cpp_lib_span)
  result<void> read(offset at, std::span<std::byte> to) const {
    return read(at, to.data(), to.size());
  }
  result<void> write(offset at, std::span<const std::byte> from) const {
    return write(at, from.data(), from.size());
  }
#endif
  /** A copy of `len` bytes as text. The length is checked before there is room for it. */
  result<std::string> text(offset at, offset len) const {
    auto all = span<const char>(at, len);
    if (!all) return all.error();
    return all->str();
  }

 private:
  lucet_status range(std::uint64_t at, std::uint64_t len, void **base) const {
    std::uint64_t bytes = 0;
    if (ctx_ != nullptr) return lucet_vmctx_memory_range(ctx_, at, len, base);
    if (name_.empty()) return lucet_instance_memory_range(instance_, at, len, base);
    return lucet_instance_exported_memory(instance_, name_.c_str(), at, len, base, &bytes);
  }

  lucet_vmctx *ctx_ = nullptr;
  lucet_instance *instance_ = nullptr;
  std::string name_;
};

}  // namespace LUCET_ABI
}  // namespace lucet

#endif
