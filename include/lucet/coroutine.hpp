/*
 * Coroutines (C++20): host functions that wait without blocking the thread, and calls of guests
 * that wait for them. Any event loop, any awaitable; lucet starts no thread and owns no loop.
 *
 *   config.add("env", "fetch", [&](lucet::context &ctx, lucet::guest_text url)
 *                                  -> lucet::host_task<std::int32_t> {
 *     std::string page = co_await http_get(url.str());      // the guest is suspended meanwhile
 *     ctx.memory().write(0x1000, page).or_throw();
 *     co_return std::int32_t(page.size());
 *   });
 *
 *   my_task serve(connection c) {
 *     auto instance = lucet::instance::create(region, module).or_throw();
 *     auto handle = instance.get<std::int32_t()>("handle").or_throw();
 *     auto ended = co_await handle.async();                 // result<outcome<std::int32_t>>
 *     ...
 *   }
 *
 *   guest --> fetch --co_await--> suspended; the thread is free
 *                                    ...  http_get is done, on whatever thread
 *   guest <-- fetch goes on <------- the task that awaits handle.async() resumes the guest there
 *
 * A host coroutine runs only while the guest's call is going on: what it awaits goes on outside,
 * but it itself continues inside, so its context, memory, nested runs and exceptions work after a
 * co_await as before. Spans from before are dead then: the memory may have changed. Parameters are
 * taken by value, and an exception comes out of the co_await of async().
 *
 * Cancelling is destroying: a task that is destroyed waits no more, and an instance that is freed,
 * reset, terminated or out of time while its guest waits destroys the host coroutine, and with it
 * what that awaits. Do so where nothing that is awaited can complete at the same moment, such as on
 * the event loop's own thread; a watchdog does not touch suspended guests.
 */
#ifndef LUCET_COROUTINE_HPP
#define LUCET_COROUTINE_HPP

#include <lucet/instance.hpp>

#if __cplusplus >= 202002L && defined(__has_include)
#if __has_include(<coroutine>)
#include <coroutine>
#endif
#endif

#if defined(__cpp_lib_coroutine)
#include <atomic>

namespace lucet {
inline namespace LUCET_ABI {

namespace detail {

/* What a coroutine came to: a value, or an exception. */
template <class T>
class settled {
 public:
  template <class U>
  void set(U &&value) {
    held_.template emplace<1>(std::forward<U>(value));
  }
  void fail() noexcept {
#if LUCET_EXCEPTIONS
    held_.template emplace<2>(std::current_exception());
#endif
  }
  T get() {
#if LUCET_EXCEPTIONS
    if (auto *thrown = std::get_if<2>(&held_)) std::rethrow_exception(std::move(*thrown));
#endif
    if constexpr (!std::is_void_v<T>) return static_cast<T>(std::move(*std::get_if<1>(&held_)));
  }

 private:
  using kept = std::conditional_t<std::is_reference_v<T>,
                                  std::reference_wrapper<std::remove_reference_t<T>>, stored<T>>;
  std::variant<std::monostate, kept, std::exception_ptr> held_;
};

/* The part of a promise that depends on whether there is a value. */
template <class T>
struct promise_of {
  settled<T> end;
  template <class U>
  void return_value(U &&value) {
    end.set(std::forward<U>(value));
  }
  void unhandled_exception() noexcept { end.fail(); }
};
template <>
struct promise_of<void> {
  settled<void> end;
  void return_void() { end.set(std::monostate()); }
  void unhandled_exception() noexcept { end.fail(); }
};

/* A coroutine that is destroyed with this object. */
template <class Promise>
class owned_coroutine {
 public:
  using handle = std::coroutine_handle<Promise>;
  owned_coroutine() = default;
  explicit owned_coroutine(handle h) : handle_(h) {}
  owned_coroutine(owned_coroutine &&other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  owned_coroutine &operator=(owned_coroutine &&other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~owned_coroutine() {
    if (handle_) handle_.destroy();
  }
  handle get() const { return handle_; }
  handle release() { return std::exchange(handle_, {}); }

 private:
  handle handle_;
};

}  // namespace detail

/** Work that begins when it is awaited, from any kind of coroutine, and gives a T. */
template <class T>
class [[nodiscard]] task {
 public:
  struct promise_type : detail::promise_of<T> {
    std::coroutine_handle<> then = std::noop_coroutine();

    task get_return_object() {
      return task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct last {
        bool await_ready() noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
          return h.promise().then;
        }
        void await_resume() noexcept {}
      };
      return last{};
    }
  };

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> then) noexcept {
    work_.get().promise().then = then;
    return work_.get();
  }
  T await_resume() { return work_.get().promise().end.get(); }

 private:
  explicit task(std::coroutine_handle<promise_type> h) : work_(h) {}
  detail::owned_coroutine<promise_type> work_;
};

namespace detail {

/* A coroutine that begins at once and that nobody waits for. */
struct detached {
  struct promise_type {
    detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

}  // namespace detail

/**
 * Begins a task from code that is no coroutine; `done(value)` is called when it is over. An
 * exception ends the program unless `done` is a function of std::exception_ptr too. */
template <class T, class F>
void start(task<T> work, F done) {
  [](task<T> w, F then) -> detail::detached {
#if LUCET_EXCEPTIONS
    if constexpr (std::is_invocable_v<F &, std::exception_ptr>) {
      std::exception_ptr thrown;
      std::optional<detail::stored<T>> value;
      try {
        if constexpr (std::is_void_v<T>) {
          co_await w;
          value.emplace();
        } else {
          value.emplace(co_await w);
        }
      } catch (...) {
        thrown = std::current_exception();
      }
      if (thrown) {
        then(thrown);
      } else if constexpr (std::is_void_v<T>) {
        then();
      } else {
        then(*std::move(value));
      }
      co_return;
    }
#endif
    if constexpr (std::is_void_v<T>) {
      co_await w;
      then();
    } else {
      then(co_await w);
    }
  }(std::move(work), std::move(done));
}

namespace detail {

/* Something that a host coroutine awaits, shared with the task that runs the guest: whichever comes
 * last, the end of the one or the wish of the other, continues the other. */
class awaited : public waiting {
 public:
  awaited() : waiting{[](waiting *w) { static_cast<awaited *>(w)->drop(); }} {}
  void keep() { users_.fetch_add(1, std::memory_order_relaxed); }
  void drop() {
    if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  bool done() const { return then_.load(std::memory_order_acquire) == this; }
  /* It is over: who goes on now. Nothing of this is touched afterwards. */
  std::coroutine_handle<> finish() noexcept {
    void *then = then_.exchange(this, std::memory_order_acq_rel);
    if (then == nullptr) return std::noop_coroutine();
    return std::coroutine_handle<>::from_address(then);
  }
  /* Whether `then` will be continued; false: it is over already. */
  bool continue_with(std::coroutine_handle<> then) noexcept {
    void *none = nullptr;
    return then_.compare_exchange_strong(none, then.address(), std::memory_order_acq_rel);
  }
  void forget(std::coroutine_handle<> then) noexcept {
    void *mine = then.address();
    if (mine != nullptr) then_.compare_exchange_strong(mine, nullptr, std::memory_order_acq_rel);
  }

 private:
  std::atomic<int> users_{1};
  std::atomic<void *> then_{nullptr};
};

struct dropper {
  void operator()(awaited *a) const { a->drop(); }
};
using awaited_ptr = std::unique_ptr<awaited, dropper>;

/* What the task that runs the guest awaits. */
class until_done {
 public:
  explicit until_done(awaited_ptr what) : what_(std::move(what)) {}
  until_done(const until_done &) = delete;
  ~until_done() { what_->forget(then_); }
  bool await_ready() const { return what_->done(); }
  bool await_suspend(std::coroutine_handle<> then) {
    then_ = then;
    return what_->continue_with(then);
  }
  void await_resume() { then_ = {}; }

 private:
  awaited_ptr what_;
  std::coroutine_handle<> then_;
};

/* Awaits something on behalf of a host coroutine. */
struct proxy {
  struct promise_type {
    awaited *what;
    template <class... A>
    explicit promise_type(awaited *w, A &...) : what(w) {}
    proxy get_return_object() {
      return {owned_coroutine(std::coroutine_handle<promise_type>::from_promise(*this))};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      struct last {
        bool await_ready() noexcept { return false; }
        /* (Suspended here it may be destroyed, and will be, by whoever goes on.) */
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
          return h.promise().what->finish();
        }
        void await_resume() noexcept {}
      };
      return last{};
    }
    void return_void() {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
  owned_coroutine<promise_type> work;
};

template <class A>
decltype(auto) awaiter_of(A &&a) {
  if constexpr (requires { static_cast<A &&>(a).operator co_await(); }) {
    return static_cast<A &&>(a).operator co_await();
  } else if constexpr (requires { operator co_await(static_cast<A &&>(a)); }) {
    return operator co_await(static_cast<A &&>(a));
  } else {
    return static_cast<A &&>(a);
  }
}
template <class A>
using awaited_type = decltype(awaiter_of(std::declval<A>()).await_resume());

template <class A, class T>
proxy await_for(awaited *, A &a, settled<T> &end) {
#if LUCET_EXCEPTIONS
  try {
#endif
    if constexpr (std::is_void_v<T>) {
      co_await static_cast<A &&>(a);
      end.set(std::monostate());
    } else {
      end.set(co_await static_cast<A &&>(a));
    }
#if LUCET_EXCEPTIONS
  } catch (...) {
    end.fail();
  }
#endif
}

/* What a host coroutine's co_await becomes. */
template <class A>
class host_await {
  using T = awaited_type<A>;

 public:
  host_await(A &&a, awaited_ptr &now) : awaitable_(static_cast<A &&>(a)), now_(now) {}
  bool await_ready() {
    now_.reset(new awaited);
    proxy_ = await_for<A, T>(now_.get(), awaitable_, end_);
    proxy_.work.get().resume();
    return now_->done();
  }
  void await_suspend(std::coroutine_handle<>) {}
  T await_resume() {
    now_.reset();
    return end_.get();
  }

 private:
  A awaitable_;
  awaited_ptr &now_;
  settled<T> end_;
  proxy proxy_; /* (destroyed first) */
};

}  // namespace detail

/** What a host function that is a coroutine returns. */
template <class R>
class [[nodiscard]] host_task {
 public:
  struct promise_type : detail::promise_of<R> {
    detail::awaited_ptr now;

    host_task get_return_object() {
      return host_task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    template <class A>
    detail::host_await<A> await_transform(A &&a) {
      return {static_cast<A &&>(a), now};
    }
  };

 private:
  friend struct detail::returns<host_task>;
  explicit host_task(std::coroutine_handle<promise_type> h) : work_(h) {}
  detail::owned_coroutine<promise_type> work_;
};

namespace detail {

template <class R>
class host_coroutine final : public resumer<R> {
 public:
  using promise = typename host_task<R>::promise_type;
  host_coroutine(std::unique_ptr<context> ctx, owned_coroutine<promise> work)
      : ctx_(std::move(ctx)), work_(std::move(work)) {}

  answer<R> resume(std::unique_ptr<resumer<R>> self, lucet_vmctx *raw, std::uint64_t) override {
    ctx_->now_in(raw);
    return go(std::move(self));
  }
  /* Up to its end, or to where it waits. */
  answer<R> go(std::unique_ptr<resumer<R>> self) {
    promise &p = work_.get().promise();
    /* Whoever resumed the guest may not have waited long enough. */
    if (p.now == nullptr || p.now->done()) work_.get().resume();
    if (!work_.get().done()) return answer<R>(suspended_here{0, std::move(self)});
    if constexpr (std::is_void_v<R>) {
      p.end.get();
      return {};
    } else {
      return answer<R>(p.end.get());
    }
  }
  void suspended() noexcept override {
    awaited *now = work_.get().promise().now.get();
    now->keep();
    if (!context::waits(now)) now->drop();
  }

 private:
  using suspended_here = detail::suspended<R>;
  std::unique_ptr<context> ctx_;
  owned_coroutine<promise> work_;
};

template <class R>
struct returns<host_task<R>> {
  using results = R;
  static constexpr bool plain = false, coroutine = true;
  static answer<R> start(std::unique_ptr<context> ctx, host_task<R> work) {
    auto self = std::make_unique<host_coroutine<R>>(std::move(ctx), std::move(work.work_));
    auto &it = *self;
    return it.go(std::move(self));
  }
};

/* Resumes when there is nothing to wait for but the host's coroutines. */
struct give_back {};

template <class On, class R, class... P>
task<result<outcome<R>>> drive(func<R(P...)> f, instance_ref in, On on, P... args) {
  waiting *w = nullptr;
  auto ended = run<R, P...>(f, in.raw(), &w, args...);
  while (ended && ended->resumable()) {
    std::uint64_t value = 0;
    if (w != nullptr) {
      co_await until_done(awaited_ptr(static_cast<awaited *>(std::exchange(w, nullptr))));
    } else if constexpr (std::is_same_v<On, give_back>) {
      break;
    } else if constexpr (std::is_convertible_v<std::invoke_result_t<On &, const ending &>,
                                               std::uint64_t>) {
      value = on(static_cast<const ending &>(*ended));
    } else {
      value = co_await on(static_cast<const ending &>(*ended));
    }
    ended = resume<R>(in.raw(), value, &w);
  }
  co_return ended;
}

}  // namespace detail

template <class R, class... P>
template <class... A>
auto bound_func<R(P...)>::async(A... args) const {
  return detail::drive<detail::give_back, R, P...>(func_, in_, {}, static_cast<P>(args)...);
}
template <class R, class... P>
template <class On, class... A>
auto bound_func<R(P...)>::async_with(On on, A... args) const {
  return detail::drive<On, R, P...>(func_, in_, std::move(on), static_cast<P>(args)...);
}

}  // namespace LUCET_ABI
}  // namespace lucet

#else

namespace lucet {
inline namespace LUCET_ABI {

template <class R, class... P>
template <class... A>
auto bound_func<R(P...)>::async(A...) const {
  static_assert(detail::never<A...>, "lucet: async() needs coroutines: compile with -std=c++20");
}
template <class R, class... P>
template <class On, class... A>
auto bound_func<R(P...)>::async_with(On, A...) const {
  static_assert(detail::never<On>, "lucet: async_with() needs coroutines: compile with -std=c++20");
}

}  // namespace LUCET_ABI
}  // namespace lucet

#endif
#endif
