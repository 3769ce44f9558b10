// WASI from C++: lucet_wasi.hpp.   wasi wasi.so
#include "check.hpp"

#include <lucet_wasi.hpp>

#include <unistd.h>

#include <algorithm>

using lucet::status;
using lucet::wasi_stream;

struct made {
  lucet::region region = must(lucet::region::create());
  std::optional<lucet::module> module;
  std::optional<lucet::instance> instance;

  made(const char *artifact, const lucet::wasi_config &settings) {
    lucet::module_config config;
    auto wasi = must(lucet::wasi::create(settings));
    CHECK(wasi.raw() != nullptr);
    must(lucet::offer_wasi(config.allow_unsigned(true), wasi));
    module = must(lucet::module::load_file(artifact, config));
    instance = must(lucet::instance::create(region, *module));
  }
};

static lucet::outcome<void> start(const lucet::instance_ref &i) {
  return must(must(i.get<void()>("_start"))());
}

static void streams(const char *artifact) {
  lucet::wasi_config c;
  c.arg("copy").env("A", "b").inherit_env().input("12345").capture(wasi_stream::out);
  c.close(wasi_stream::err).limit(lucet::wasi_limit::descriptors, 16).deterministic(1);
  c.no_files(true);
  made m(artifact, c);
  auto &i = *m.instance;
  CHECK(lucet::wasi_exit_code(start(i)) == 5);
  CHECK(must(lucet::wasi_output(i, wasi_stream::out)) == "12345");
  CHECK(must(lucet::wasi_output(i, wasi_stream::out, 3)) == "45");
  must(i.reset());
  must(lucet::set_wasi_input(i, "xyz"));
  CHECK(lucet::wasi_exit_code(start(i)) == 3);
  CHECK(must(lucet::wasi_output(i, wasi_stream::out)) == "xyz");
  CHECK(fails(lucet::wasi_wait(i), status::wrong_state));
  CHECK(!lucet::wasi_exit_code(lucet::ending(lucet_outcome{})));
  CHECK(fails(lucet::wasi_config().env("a=b", "c").check(), status::invalid_argument));

  auto other = must(lucet::wasi::create(
      lucet::wasi_config().input("other").capture(wasi_stream::out).inherit_stdio()));
  must(i.reset());
  must(lucet::set_wasi(i, must(lucet::wasi::create(lucet::wasi_config().input("other")))));
  CHECK(lucet::wasi_exit_code(start(i)) == 5);
}

static void descriptors(const char *artifact) {
  int in[2], out[2];
  CHECK(pipe(in) == 0 && pipe(out) == 0);
  lucet::wasi_config c;
  c.stream(wasi_stream::in, in[0]).stream(wasi_stream::out, out[1]).nonblocking(true);
  c.descriptor(in[0]).directory("/tmp", "/tmp", true);
  {
    made m(artifact, c);
    auto o = start(*m.instance);
    CHECK(o.get_if<lucet::yielded>()->value == LUCET_WASI_WAITS);
    lucet::wasi_waiting waits = must(lucet::wasi_wait(*m.instance));
    CHECK(waits.interests.size() == 1 && waits.interests[0].read && !waits.timeout);
    CHECK(write(in[1], "abc", 3) == 3 && close(in[1]) == 0);
    CHECK(lucet::wasi_exit_code(must(m.instance->resume<void>())) == 3);
  }
  char text[4] = {};
  CHECK(read(out[0], text, 3) == 3 && std::string(text) == "abc");
  for (int fd : {in[0], out[0], out[1]}) close(fd);
}

// Functions are kept as long as they may be called, and go then.
static void functions(const char *artifact) {
  struct request {
    std::string input, output;
  } request{"hello", ""};
  {
    std::optional<made> m;
    {
      lucet::wasi_config c;
      c.reader([one = counted()](void *data, char *to, std::size_t room) noexcept
               -> std::ptrdiff_t {
        auto &in = static_cast<struct request *>(data)->input;
        std::size_t n = in.copy(to, std::min<std::size_t>(room, 2));
        in.erase(0, n);
        return static_cast<std::ptrdiff_t>(n);
      });
      c.writer(wasi_stream::out,
               [one = counted()](void *data, std::string_view bytes) noexcept -> std::ptrdiff_t {
                 static_cast<struct request *>(data)->output += bytes;
                 return static_cast<std::ptrdiff_t>(bytes.size());
               });
      m.emplace(artifact, c);
    }
    CHECK(counted::alive == 2);
    must(m->instance->set_user_data(&request));
    CHECK(lucet::wasi_exit_code(start(*m->instance)) == 5 && request.output == "hello");
    m->module.reset();
    CHECK(counted::alive == 2);
    m->instance.reset();
  }
  CHECK(counted::alive == 0);
}

// Time and chance are the host's.
static void sources(const char *artifact) {
  std::uint64_t now = 41;
  lucet::wasi_config c;
  c.clock(1, [&now](void *, bool monotonic) noexcept { return monotonic ? ++now : 0; });
  c.random([](void *, char *to, std::size_t len) noexcept {
    std::fill_n(to, len, '\x07');
    return true;
  });
  made m(artifact, c);
  CHECK(*must(must(m.instance->get<std::int64_t()>("now"))()) == 42);
  CHECK(*must(must(m.instance->get<std::int32_t()>("dice"))()) == 0x07070707);
  CHECK(fails(lucet::wasi_config().clock(0, [](void *, bool) noexcept { return std::uint64_t{}; })
                  .check(),
              status::invalid_argument));
}

int main(int, char **argv) {
  sources(argv[1]);
  streams(argv[1]);
  descriptors(argv[1]);
  functions(argv[1]);
  return failures != 0;
}
