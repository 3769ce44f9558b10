/*
 * The types that cross the border between host and guest, and signatures made of them.
 *
 *   std::int32_t, std::uint32_t   i32      float            f32      lucet::v128        v128
 *   std::int64_t, std::uint64_t   i64      double           f64      lucet::funcref     funcref
 *   lucet::tainted<T>             as T                               lucet::externref   externref
 *
 * Several results are a std::tuple, none is void.
 */
#ifndef LUCET_VALUE_HPP
#define LUCET_VALUE_HPP

#include <lucet/result.hpp>

#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <tuple>

namespace lucet {
inline namespace LUCET_ABI {

/** 128 bits, little-endian. */
struct v128 {
  std::uint8_t bytes[16] = {};

  /** v128::of<float>(1, 2, 3, 4) */
  template <class Lane, class... Lanes>
  static v128 of(Lanes... lanes) {
    static_assert(sizeof...(Lanes) * sizeof(Lane) == 16,
                  "lucet: a v128 has 16 bytes: give all of its lanes");
    const Lane all[] = {static_cast<Lane>(lanes)...};
    v128 v;
    std::memcpy(v.bytes, all, 16);
    return v;
  }

  /** Its lanes: v.lanes<float>()[3] */
  template <class Lane>
  std::array<Lane, 16 / sizeof(Lane)> lanes() const {
    std::array<Lane, 16 / sizeof(Lane)> all;
    std::memcpy(all.data(), bytes, 16);
    return all;
  }

  friend bool operator==(const v128 &a, const v128 &b) {
    return std::memcmp(a.bytes, b.bytes, 16) == 0;
  }
};

/** A function of the instance it came from; 0 is null. */
struct funcref {
  std::uint64_t word = 0;
};
/** Any word the host likes, which guests can neither see nor change; 0 is null. */
struct externref {
  std::uint64_t word = 0;
};
/** An exception of the instance it came from; 0 is null. */
struct exnref {
  std::uint64_t word = 0;
};

template <class T>
class tainted;
class context;

namespace detail {

template <class...>
struct list {};

template <class T>
inline constexpr bool is_text =
    std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>;

/* What a type is at the border. `abi` is what a C host function has in its place. */
template <class T, class = void>
struct codec;  // no such type

#define LUCET_CODEC(TYPE, ABI, CODE, TEXT, MEMBER)                     \
  template <>                                                          \
  struct codec<TYPE> {                                                 \
    using abi = ABI;                                                   \
    static constexpr lucet_val_type code = CODE;                       \
    static constexpr const char *text = TEXT;                          \
    static abi lower(TYPE v) { return static_cast<abi>(v); }           \
    static TYPE lift(abi v) { return static_cast<TYPE>(v); }           \
    static void put(lucet_val &to, TYPE v) { to.of.MEMBER = lower(v); } \
    static TYPE get(const lucet_val &from) { return lift(from.of.MEMBER); } \
  }
LUCET_CODEC(int, std::int32_t, LUCET_VAL_I32, "i32", i32);
LUCET_CODEC(unsigned, std::int32_t, LUCET_VAL_I32, "i32", i32);
LUCET_CODEC(long, std::int64_t, LUCET_VAL_I64, "i64", i64);
LUCET_CODEC(unsigned long, std::int64_t, LUCET_VAL_I64, "i64", i64);
LUCET_CODEC(long long, std::int64_t, LUCET_VAL_I64, "i64", i64);
LUCET_CODEC(unsigned long long, std::int64_t, LUCET_VAL_I64, "i64", i64);
LUCET_CODEC(float, float, LUCET_VAL_F32, "f32", f32);
LUCET_CODEC(double, double, LUCET_VAL_F64, "f64", f64);
#undef LUCET_CODEC
static_assert(sizeof(int) == 4 && sizeof(long) == 8, "lucet is for 64-bit Linux");

template <class Ref, lucet_val_type Code>
struct ref_codec {
  using abi = std::uint64_t;
  static constexpr lucet_val_type code = Code;
  static abi lower(Ref v) { return v.word; }
  static Ref lift(abi v) { return Ref{v}; }
  static void put(lucet_val &to, Ref v) { to.of.ref = v.word; }
  static Ref get(const lucet_val &from) { return Ref{from.of.ref}; }
};
template <>
struct codec<funcref> : ref_codec<funcref, LUCET_VAL_FUNCREF> {
  static constexpr const char *text = "funcref";
};
template <>
struct codec<externref> : ref_codec<externref, LUCET_VAL_EXTERNREF> {
  static constexpr const char *text = "externref";
};
template <>
struct codec<exnref> : ref_codec<exnref, LUCET_VAL_EXNREF> {
  static constexpr const char *text = "exnref";
};

template <>
struct codec<v128> {
  using abi = const std::uint8_t *;
  static constexpr lucet_val_type code = LUCET_VAL_V128;
  static constexpr const char *text = "v128";
  static v128 lift(abi from) {
    v128 v;
    std::memcpy(v.bytes, from, 16);
    return v;
  }
  static void put(lucet_val &to, const v128 &v) { std::memcpy(to.of.v128, v.bytes, 16); }
  static v128 get(const lucet_val &from) { return lift(from.of.v128); }
};

template <class T>
struct codec<tainted<T>> : codec<T> {
  using plain = codec<T>;
  static typename plain::abi lower(const tainted<T> &v) { return plain::lower(v.unchecked()); }
  static tainted<T> lift(typename plain::abi v) { return tainted<T>(plain::lift(v)); }
  static void put(lucet_val &to, const tainted<T> &v) { plain::put(to, v.unchecked()); }
  static tainted<T> get(const lucet_val &from) { return tainted<T>(plain::get(from)); }
};

template <class T, class = void>
inline constexpr bool has_codec = false;
template <class T>
inline constexpr bool has_codec<T, std::void_t<decltype(codec<T>::code)>> = true;

/* Says why a type cannot cross the border. */
template <class T>
constexpr bool teach_value() {
  if constexpr (has_codec<T>) {
    return true;
  } else if constexpr (std::is_same_v<T, bool>) {
    static_assert(never<T>, "lucet: wasm has no bool. Use std::int32_t, and compare it with 0");
  } else if constexpr (std::is_pointer_v<T> || std::is_null_pointer_v<T>) {
    static_assert(never<T>,
                  "lucet: a guest has no pointers, only offsets into its own memory. Take a "
                  "lucet::guest_ptr<T> or lucet::guest_span<T>, which are checked, or a "
                  "std::uint32_t for lucet::guest_memory");
  } else if constexpr (std::is_reference_v<T>) {
    static_assert(never<T>, "lucet: values cross the border as copies: no references");
  } else if constexpr (std::is_enum_v<T>) {
    static_assert(never<T>,
                  "lucet: a guest may send any number for an enum. Take its integer type, best as "
                  "lucet::tainted, and check it before you convert it");
  } else if constexpr (std::is_integral_v<T>) {
    static_assert(never<T>, "lucet: wasm has integers of 32 and 64 bits. Use std::int32_t");
  } else if constexpr (std::is_floating_point_v<T>) {
    static_assert(never<T>, "lucet: wasm has float and double, no others");
  } else if constexpr (is_text<T>) {
    static_assert(never<T>,
                  "lucet: text does not cross the border, it lies in the guest's memory. Host "
                  "functions take a lucet::guest_text; for calls, write it with "
                  "instance.memory() and pass its offset");
  } else {
    static_assert(never<T>,
                  "lucet: this type cannot cross the border. Use std::int32_t, std::int64_t, "
                  "float, double, lucet::v128, a reference type, or a struct in guest memory");
  }
  return false;
}

/* Results as a list. */
template <class R>
struct results_of {
  using type = list<R>;
};
template <>
struct results_of<void> {
  using type = list<>;
};
template <class... R>
struct results_of<std::tuple<R...>> {
  using type = list<R...>;
};
template <class A, class B>
struct results_of<std::pair<A, B>> {
  using type = list<A, B>;
};

/* "(i32, i64) -> f32" */
template <class Params, class Results>
struct signature;
template <class... P, class... R>
struct signature<list<P...>, list<R...>> {
  static constexpr bool taught =
      (true && ... && teach_value<P>()) && (true && ... && teach_value<R>());

  static constexpr std::size_t room =
      16 + (0 + ... + (std::string_view(codec<P>::text).size() + 2)) +
      (0 + ... + (std::string_view(codec<R>::text).size() + 2));

  struct builder {
    std::array<char, room> text{};
    std::size_t len = 0;
    constexpr void add(std::string_view more) {
      for (char c : more) text[len++] = c;
    }
    template <class... T>
    constexpr void add_all(list<T...>) {
      add("(");
      [[maybe_unused]] bool first = true;
      ((add(first ? "" : ", "), add(codec<T>::text), first = false), ...);
      add(")");
    }
  };

  static constexpr std::array<char, room> build() {
    builder b;
    b.add_all(list<P...>());
    b.add(" -> ");
    if constexpr (sizeof...(R) == 1) {
      (b.add(codec<R>::text), ...);
    } else {
      b.add_all(list<R...>());
    }
    return b.text;
  }

  static constexpr std::array<char, room> text = build();
};

template <class T>
lucet_val to_val(const T &v) {
  lucet_val val = {};
  codec<T>::put(val, v);
  val.type = codec<T>::code;
  return val;
}

/* The results of a call from an array of values. */
template <class R>
struct collect {
  static constexpr std::size_t count = 1;
  static bool fits(const lucet_val *v) { return v[0].type == codec<R>::code; }
  static R from(const lucet_val *v) { return codec<R>::get(v[0]); }
};
template <>
struct collect<void> {
  static constexpr std::size_t count = 0;
  static bool fits(const lucet_val *) { return true; }
  static std::monostate from(const lucet_val *) { return {}; }
};
template <class Tuple, class... R>
struct collect_all {
  static constexpr std::size_t count = sizeof...(R);
  static bool fits(const lucet_val *v) { return fit(v, std::index_sequence_for<R...>()); }
  static Tuple from(const lucet_val *v) { return make(v, std::index_sequence_for<R...>()); }

 private:
  template <std::size_t... I>
  static bool fit(const lucet_val *v, std::index_sequence<I...>) {
    return ((v[I].type == codec<R>::code) && ...);
  }
  template <std::size_t... I>
  static Tuple make(const lucet_val *v, std::index_sequence<I...>) {
    return Tuple{codec<R>::get(v[I])...};
  }
};
template <class... R>
struct collect<std::tuple<R...>> : collect_all<std::tuple<R...>, R...> {};
template <>
struct collect<std::tuple<>> {
  static constexpr std::size_t count = 0;
  static bool fits(const lucet_val *) { return true; }
  static std::tuple<> from(const lucet_val *) { return {}; }
};
template <class A, class B>
struct collect<std::pair<A, B>> : collect_all<std::pair<A, B>, A, B> {};

}  // namespace detail

/** The type of a value. */
enum class value_type : std::int32_t {
  i32 = LUCET_VAL_I32,
  i64 = LUCET_VAL_I64,
  f32 = LUCET_VAL_F32,
  f64 = LUCET_VAL_F64,
  v128 = LUCET_VAL_V128,
  funcref = LUCET_VAL_FUNCREF,
  externref = LUCET_VAL_EXTERNREF,
  exnref = LUCET_VAL_EXNREF,
};

/** A value whose type is known when the program runs. For calls by name, globals and exceptions. */
class value {
 public:
  value() = default;
  explicit value(const lucet_val &raw) : raw_(raw) {}
  template <class T, class = std::enable_if_t<detail::has_codec<T>>>
  value(T v) : raw_(detail::to_val(v)) {}

  lucet::value_type type() const { return static_cast<lucet::value_type>(raw_.type); }
  /** The value, if it is a T. */
  template <class T>
  std::optional<T> as() const {
    static_assert(detail::teach_value<T>());
    if (raw_.type != detail::codec<T>::code) return std::nullopt;
    return detail::codec<T>::get(raw_);
  }
  const lucet_val &raw() const { return raw_; }

 private:
  lucet_val raw_ = {};
};

/** "(i32, i32) -> i64": what signature<long(int, int)> is as text. */
template <class Signature>
struct signature_text;
template <class R, class... P>
struct signature_text<R(P...)> {
  static constexpr const char *value =
      detail::signature<detail::list<P...>, typename detail::results_of<R>::type>::text.data();
};

}  // namespace LUCET_ABI
}  // namespace lucet

#endif
