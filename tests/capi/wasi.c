/*
 * WASI from C.   wasi ARTIFACT FOLDER
 * The artifact is wasi.wat; FOLDER is empty, and the program may write into it.
 */
#include "env.h"
#include <lucet_wasi.h>
#include <poll.h>
#include <unistd.h>

static const char *artifact, *folder;
static lucet_region *region;

/* Allocations of the process, the library's included. */
extern void *__libc_malloc(size_t bytes);
static long allocations;

void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}

static lucet_wasi *make(lucet_wasi_config *c)
{
    lucet_wasi *wasi = NULL;
    OK(lucet_wasi_create(c, &wasi));
    lucet_wasi_config_free(c);
    return wasi;
}

/* A module whose instances begin with `wasi`, which is freed. */
static lucet_module *load(lucet_wasi *wasi)
{
    lucet_module_config *c = lucet_module_config_create();
    lucet_module *module = NULL;
    OK(lucet_module_config_allow_unsigned(c, true));
    OK(lucet_module_config_set_wasi(c, wasi));
    OK(lucet_module_load_file(artifact, c, &module));
    lucet_module_config_free(c);
    OK(lucet_wasi_free(wasi));
    return module;
}

static lucet_instance *create(lucet_module *module)
{
    lucet_instance *i = NULL;
    OK(lucet_instance_create(region, module, &i));
    return i;
}

/* Calls an export without parameters: its result. */
static int64_t call(lucet_instance *i, const char *name)
{
    lucet_val result = i64(0);
    lucet_outcome outcome;
    OK(lucet_instance_run(i, name, NULL, 0, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED);
    return result.type == LUCET_VAL_I32 ? result.of.i32 : result.of.i64;
}

/* Runs _start: the exit code. */
static int64_t start(lucet_instance *i)
{
    lucet_outcome outcome;
    OK(lucet_instance_run(i, "_start", NULL, 0, NULL, 0, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_EXITED);
    return lucet_wasi_exit_code(&outcome);
}

static void wrote(lucet_instance *i, lucet_wasi_stream stream, const char *text)
{
    char buf[64] = "";
    size_t len = 99;
    OK(lucet_instance_wasi_output(i, stream, 0, buf, sizeof buf - 1, &len));
    CHECK(len == strlen(text) && strcmp(buf, text) == 0);
}

static void mistakes(void)
{
    lucet_wasi_config *c = lucet_wasi_config_create();
    lucet_module_config *m = lucet_module_config_create();
    lucet_module *module;
    lucet_wasi *wasi = (lucet_wasi *)m;

    FAILS(lucet_wasi_config_add_arg(NULL, "a"), LUCET_STATUS_NULL_ARGUMENT, "lucet_wasi_config");
    FAILS(lucet_wasi_config_add_arg(c, NULL), LUCET_STATUS_NULL_ARGUMENT, "`arg`");
    FAILS(lucet_wasi_config_add_arg((lucet_wasi_config *)m, "a"), LUCET_STATUS_INVALID_HANDLE,
          "`config` is a lucet_module_config handle");
    FAILS(lucet_wasi_config_add_env(c, "", "x"), LUCET_STATUS_INVALID_ARGUMENT, "name");
    FAILS(lucet_wasi_config_add_env(c, "a=b", "x"), LUCET_STATUS_INVALID_ARGUMENT, "'='");
    FAILS(lucet_wasi_config_capture(c, LUCET_WASI_STDIN), LUCET_STATUS_INVALID_ARGUMENT, "0 is");
    FAILS(lucet_wasi_config_close_stream(c, 3), LUCET_STATUS_INVALID_ARGUMENT, "3 is not");
    FAILS(lucet_wasi_config_close_stream(c, -1), LUCET_STATUS_INVALID_ARGUMENT, "-1 is not");
    FAILS(lucet_wasi_config_set_writer(c, LUCET_WASI_STDOUT, NULL, NULL),
          LUCET_STATUS_NULL_ARGUMENT, "`fn`");
    FAILS(lucet_wasi_config_set_reader(c, NULL, NULL), LUCET_STATUS_NULL_ARGUMENT, "`fn`");
    FAILS(lucet_wasi_config_set_limit(c, 99, 1), LUCET_STATUS_INVALID_ARGUMENT, "99 is not");
    FAILS(lucet_wasi_config_set_limit(c, LUCET_WASI_LIMIT_IOVECS, 1ULL << 32),
          LUCET_STATUS_INVALID_ARGUMENT, "too much");
    FAILS(lucet_wasi_config_set_stream_descriptor(c, LUCET_WASI_STDIN, 999),
          LUCET_STATUS_INVALID_ARGUMENT, "descriptor");
    FAILS(lucet_wasi_config_add_descriptor(c, -5), LUCET_STATUS_INVALID_ARGUMENT, "-5");
    FAILS(lucet_wasi_create(NULL, &wasi), LUCET_STATUS_NULL_ARGUMENT, "lucet_wasi_config");
    CHECK(wasi == NULL);
    OK(lucet_wasi_config_add_directory(c, "/no/such/folder", "/x", true));
    FAILS(lucet_wasi_create(c, &wasi), LUCET_STATUS_IO, "/no/such/folder");
    lucet_wasi_config_free(c);

    c = lucet_wasi_config_create();
    OK(lucet_wasi_config_set_no_files(c, true));
    OK(lucet_wasi_config_add_directory(c, folder, "/", false));
    FAILS(lucet_wasi_create(c, &wasi), LUCET_STATUS_INVALID_ARGUMENT, "file system");
    lucet_wasi_config_free(c);

    c = lucet_wasi_config_create();
    OK(lucet_wasi_config_set_limit(c, LUCET_WASI_LIMIT_DESCRIPTORS, 3));
    OK(lucet_wasi_config_add_descriptor(c, 0));
    FAILS(lucet_wasi_create(c, &wasi), LUCET_STATUS_LIMIT_EXCEEDED, "descriptors");
    lucet_wasi_config_free(c);
    lucet_wasi_config_free(c); /* freed before: nothing but a message */
    lucet_wasi_config_free(NULL);

    /* Nothing of WASI without asking for it. */
    OK(lucet_module_config_allow_unsigned(m, true));
    FAILS(lucet_module_load_file(artifact, m, &module), LUCET_STATUS_MISSING_IMPORT,
          "lucet_module_config_set_wasi");
    wasi = make(lucet_wasi_config_create());
    OK(lucet_module_config_set_wasi(m, wasi));
    OK(lucet_module_config_set_wasi(m, NULL));
    FAILS(lucet_module_load_file(artifact, m, &module), LUCET_STATUS_MISSING_IMPORT, "fd_read");
    OK(lucet_wasi_free(wasi));
    FAILS(lucet_wasi_free(wasi), LUCET_STATUS_INVALID_HANDLE, "lucet_wasi that was freed");
    FAILS(lucet_module_config_set_wasi(m, wasi), LUCET_STATUS_INVALID_HANDLE, "freed");
    lucet_module_config_free(m);
}

static void basics(void)
{
    lucet_wasi_config *c = lucet_wasi_config_create();
    lucet_module *module;
    lucet_wasi *other;
    lucet_instance *i;
    lucet_outcome outcome;
    char tail[3] = "";
    size_t len;

    OK(lucet_wasi_config_add_arg(c, "program"));
    OK(lucet_wasi_config_add_arg(c, "argument"));
    OK(lucet_wasi_config_add_env(c, "NAME", "value=x"));
    OK(lucet_wasi_config_set_input(c, "of all", 6));
    OK(lucet_wasi_config_capture(c, LUCET_WASI_STDOUT));
    module = load(make(c));
    for (int round = 0; round < 3; round++) {
        i = create(module);
        wrote(i, LUCET_WASI_STDOUT, "");
        CHECK(call(i, "args") == 2 && call(i, "variables") == 1 && call(i, "yield") == 0);
        CHECK(call(i, "args_outside") == 21); /* FAULT */
        CHECK(call(i, "print_first") == 0);
        wrote(i, LUCET_WASI_STDOUT, "program");
        CHECK(start(i) == 3);
        wrote(i, LUCET_WASI_STDOUT, "programof all");
        wrote(i, LUCET_WASI_STDERR, "");
        OK(lucet_instance_wasi_output(i, LUCET_WASI_STDOUT, 11, tail, sizeof tail, &len));
        CHECK(len == 13 && memcmp(tail, "ll", 3) == 0);
        OK(lucet_instance_wasi_output(i, LUCET_WASI_STDOUT, 99, tail, 1, NULL));
        FAILS(lucet_instance_wasi_output(i, LUCET_WASI_STDIN, 0, NULL, 0, &len),
              LUCET_STATUS_INVALID_ARGUMENT, "LUCET_WASI_STDOUT");
        /* As fresh as a new one. */
        OK(lucet_instance_reset(i));
        wrote(i, LUCET_WASI_STDOUT, "");
        OK(lucet_instance_wasi_set_input(i, "of one", 6));
        CHECK(start(i) == 3);
        wrote(i, LUCET_WASI_STDOUT, "of one");
        OK(lucet_instance_reset(i));
        CHECK(start(i) == 3);
        wrote(i, LUCET_WASI_STDOUT, "of all");
        FAILS(lucet_instance_wasi_wait(i, NULL, 0, &len, NULL), LUCET_STATUS_WRONG_STATE,
              "does not wait");
        OK(lucet_instance_free(i));
    }
    /* One instance has something of its own, and keeps it when it is reset. */
    c = lucet_wasi_config_create();
    OK(lucet_wasi_config_add_arg(c, "other"));
    OK(lucet_wasi_config_capture(c, LUCET_WASI_STDOUT));
    other = make(c);
    i = create(module);
    CHECK(call(i, "args") == 2);
    OK(lucet_instance_set_wasi(i, other));
    OK(lucet_wasi_free(other));
    CHECK(call(i, "args") == 1 && call(i, "variables") == 0);
    CHECK(call(i, "print_first") == 0);
    wrote(i, LUCET_WASI_STDOUT, "other");
    OK(lucet_instance_reset(i));
    wrote(i, LUCET_WASI_STDOUT, "");
    CHECK(call(i, "args") == 1);
    OK(lucet_instance_free(i));
    /* The next one in the same slot does not. */
    i = create(module);
    CHECK(call(i, "args") == 2);
    OK(lucet_instance_free(i));
    FAILS(lucet_instance_set_wasi(i, NULL), LUCET_STATUS_NULL_ARGUMENT, "lucet_wasi");
    OK(lucet_module_free(module));

    memset(&outcome, 0, sizeof outcome);
    CHECK(lucet_wasi_exit_code(NULL) == -1 && lucet_wasi_exit_code(&outcome) == -1);
    outcome.kind = LUCET_OUTCOME_RETURNED;
    CHECK(lucet_wasi_exit_code(&outcome) == 0);
    outcome.kind = LUCET_OUTCOME_TRAPPED;
    CHECK(lucet_wasi_exit_code(&outcome) == -1);
}

/* Standard streams as functions: who calls, and what it may do. */
typedef struct request {
    const char *input;
    char output[64];
    size_t len;
    int calls;
} request;

static ptrdiff_t give(void *user_data, void *instance_data, void *bytes, size_t len)
{
    request *r = instance_data;
    size_t n = strlen(r->input);
    CHECK(user_data == &region && len >= n);
    r->calls++;
    if (r->calls > 100) {
        return (ptrdiff_t)len + 1; /* which cannot be */
    }
    memcpy(bytes, r->input, n);
    r->input += n;
    return (ptrdiff_t)n;
}

static ptrdiff_t take(void *user_data, void *instance_data, const void *bytes, size_t len)
{
    request *r = instance_data;
    CHECK(user_data == NULL);
    if (r->len >= 4) {
        return LUCET_WASI_FAILED;
    }
    memcpy(r->output + r->len, bytes, len > 2 ? 2 : len);
    r->len += len > 2 ? 2 : len;
    return len > 2 ? 2 : (ptrdiff_t)len;
}

static void functions(void)
{
    lucet_wasi_config *c = lucet_wasi_config_create();
    lucet_module *module;
    request a = {.input = "ab"}, b = {.input = "xyz"}, bad = {.input = "x", .calls = 100};
    lucet_instance *i, *j;

    OK(lucet_wasi_config_set_reader(c, give, &region));
    OK(lucet_wasi_config_set_writer(c, LUCET_WASI_STDOUT, take, NULL));
    module = load(make(c));
    i = create(module);
    j = create(module);
    OK(lucet_instance_set_user_data(i, &a));
    OK(lucet_instance_set_user_data(j, &b));
    CHECK(start(i) == 3 && start(j) == 3);
    CHECK(strcmp(a.output, "ab") == 0 && strcmp(b.output, "xy") == 0);
    OK(lucet_instance_reset(i));
    OK(lucet_instance_set_user_data(i, &bad));
    CHECK(start(i) == 129); /* IO */
    OK(lucet_instance_free(i));
    OK(lucet_instance_free(j));
    OK(lucet_module_free(module));
}

/* A thread that serves others must not wait: the guest is suspended. */
static void waiting(void)
{
    lucet_wasi_config *c = lucet_wasi_config_create();
    lucet_module *module;
    lucet_instance *i;
    lucet_outcome outcome;
    lucet_wasi_interest interest = {0};
    lucet_wasi *other;
    uint64_t timeout = 0;
    size_t n = 0;
    int ends[2];

    CHECK(pipe(ends) == 0);
    OK(lucet_wasi_config_set_stream_descriptor(c, LUCET_WASI_STDIN, ends[0]));
    OK(lucet_wasi_config_capture(c, LUCET_WASI_STDOUT));
    OK(lucet_wasi_config_set_nonblocking(c, true));
    module = load(make(c));
    i = create(module);
    OK(lucet_instance_run(i, "_start", NULL, 0, NULL, 0, &outcome));
    for (int round = 0; round < 3; round++) {
        struct pollfd p = {.events = POLLIN};
        CHECK(outcome.kind == LUCET_OUTCOME_YIELDED && outcome.value == LUCET_WASI_WAITS);
        CHECK(lucet_wasi_exit_code(&outcome) == -1);
        OK(lucet_instance_wasi_wait(i, &interest, 1, &n, &timeout));
        CHECK(n == 1 && interest.read && !interest.write && timeout == UINT64_MAX);
        OK(lucet_instance_wasi_wait(i, NULL, 0, &n, NULL));
        p.fd = interest.fd;
        CHECK(poll(&p, 1, 0) == 0);
        /* Too early: it waits again. */
        OK(lucet_instance_resume(i, 0, NULL, 0, &outcome));
        CHECK(outcome.kind == LUCET_OUTCOME_YIELDED && outcome.value == LUCET_WASI_WAITS);
        CHECK(write(ends[1], "word ", 5) == 5);
        CHECK(poll(&p, 1, 0) == 1);
        OK(lucet_instance_resume(i, 0, NULL, 0, &outcome));
    }
    other = make(lucet_wasi_config_create());
    FAILS(lucet_instance_set_wasi(i, other), LUCET_STATUS_WRONG_STATE, "suspended");
    OK(lucet_wasi_free(other));
    CHECK(close(ends[1]) == 0);
    OK(lucet_instance_resume(i, 0, NULL, 0, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_EXITED && lucet_wasi_exit_code(&outcome) == 3);
    wrote(i, LUCET_WASI_STDOUT, "word word word ");
    OK(lucet_instance_free(i));
    OK(lucet_module_free(module));
    CHECK(close(ends[0]) == 0);
}

/* The same numbers in each run, and snapshots of what read others. */
static void repeatable(void)
{
    lucet_wasi_config *c = lucet_wasi_config_create();
    lucet_module *module, *snapshot;
    lucet_instance *i;
    int64_t random, now;

    OK(lucet_wasi_config_set_deterministic(c, 42));
    module = load(make(c));
    i = create(module);
    random = call(i, "random");
    now = call(i, "now");
    CHECK(call(i, "random") != random && call(i, "now") > now);
    OK(lucet_instance_free(i));
    i = create(module);
    CHECK(call(i, "random") == random && call(i, "now") == now);
    OK(lucet_instance_reset(i));
    CHECK(call(i, "random") == random && call(i, "now") == now);
    OK(lucet_instance_snapshot(i, NULL, &snapshot));
    OK(lucet_module_free(snapshot));
    OK(lucet_instance_free(i));
    OK(lucet_module_free(module));

    module = load(make(lucet_wasi_config_create()));
    i = create(module);
    CHECK(call(i, "random") != call(i, "random"));
    FAILS(lucet_instance_snapshot(i, NULL, &snapshot), LUCET_STATUS_IMPURE, "random_get of WASI");
    OK(lucet_instance_reset(i));
    (void)call(i, "now");
    FAILS(lucet_instance_snapshot(i, NULL, &snapshot), LUCET_STATUS_IMPURE,
          "clock_time_get of WASI");
    OK(lucet_instance_free(i));
    OK(lucet_module_free(module));
}

static uint64_t tell(void *user_data, void *instance_data, bool monotonic)
{
    CHECK(user_data == &folder && !monotonic);
    return *(uint64_t *)instance_data += 10;
}

static bool fill(void *user_data, void *instance_data, void *bytes, size_t len)
{
    (void)instance_data;
    memset(bytes, 7, len);
    return user_data != NULL;
}

/* Time and chance as the host has them. */
static void given(void)
{
    lucet_wasi_config *c = lucet_wasi_config_create();
    lucet_module *module, *snapshot;
    lucet_instance *i;
    uint64_t time = 1000;

    FAILS(lucet_wasi_config_set_clock(c, NULL, 1, NULL), LUCET_STATUS_NULL_ARGUMENT, "`fn`");
    FAILS(lucet_wasi_config_set_clock(c, tell, 0, NULL), LUCET_STATUS_INVALID_ARGUMENT, "0");
    FAILS(lucet_wasi_config_set_random(c, NULL, NULL), LUCET_STATUS_NULL_ARGUMENT, "`fn`");
    OK(lucet_wasi_config_set_deterministic(c, 1));
    OK(lucet_wasi_config_set_clock(c, tell, 10, &folder));
    OK(lucet_wasi_config_set_random(c, fill, &folder));
    module = load(make(c));
    i = create(module);
    OK(lucet_instance_set_user_data(i, &time));
    CHECK(call(i, "now") == 1010 && call(i, "now") == 1020 && time == 1020);
    CHECK(call(i, "random") == 0x0707070707070707);
    FAILS(lucet_instance_snapshot(i, NULL, &snapshot), LUCET_STATUS_IMPURE, "random_get of WASI");
    OK(lucet_instance_free(i));
    OK(lucet_module_free(module));
}

/* A library: its _initialize runs once, in an instance that a snapshot is taken of. */
static void reactor(void)
{
    lucet_wasi_config *c = lucet_wasi_config_create();
    lucet_module *module, *ready = NULL;
    lucet_snapshot_config *how = lucet_snapshot_config_create();
    lucet_instance *i;
    lucet_val calls, fd;
    lucet_outcome outcome;

    OK(lucet_wasi_config_add_directory(c, folder, "/", false));
    module = load(make(c));
    OK(lucet_snapshot_config_set_function(how, "_initialize"));
    OK(lucet_snapshot_in_child(module, NULL, how, &ready));
    lucet_snapshot_config_free(how);
    i = create(ready);
    OK(lucet_instance_global_get(i, "calls", &calls));
    CHECK(calls.of.i32 == 1000);
    /* What it opens is its own, and is closed with it. */
    CHECK(call(i, "open") == 4 && call(i, "open") == 5);
    FAILS(lucet_instance_snapshot(i, NULL, &module), LUCET_STATUS_UNSUPPORTED, "descriptors");
    OK(lucet_instance_free(i));
    i = create(ready);
    CHECK(call(i, "open") == 4);
    fd = i32(4);
    OK(lucet_instance_run(i, "close", &fd, 1, &calls, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && calls.of.i32 == 0);
    OK(lucet_instance_snapshot(i, NULL, &module));
    OK(lucet_module_free(module));
    OK(lucet_instance_free(i));
    OK(lucet_module_free(ready));
}

/* Neither memory nor descriptors pile up, whatever guests leave behind. */
static void nothing_is_left(void)
{
    lucet_wasi_config *c = lucet_wasi_config_create();
    lucet_module *module;
    int before = dup(0), after;

    OK(lucet_wasi_config_add_directory(c, folder, "/", false));
    module = load(make(c));
    CHECK(close(before) == 0);
    before = dup(0);
    CHECK(close(before) == 0);
    for (int round = 0; round < 200; round++) {
        lucet_instance *i = create(module);
        CHECK(call(i, "open") == 4 && call(i, "open") == 5);
        if (round % 2 == 0) {
            OK(lucet_instance_reset(i));
            CHECK(call(i, "open") == 4);
        }
        OK(lucet_instance_free(i));
    }
    after = dup(0);
    CHECK(after == before);
    CHECK(close(after) == 0);
    OK(lucet_module_free(module));
}

/* A warm request allocates nothing, although each has a context of its own that writes. */
static void warm(void)
{
    lucet_wasi_config *c = lucet_wasi_config_create();
    lucet_module *module;
    long before = 0;

    OK(lucet_wasi_config_add_arg(c, "program"));
    OK(lucet_wasi_config_set_input(c, "of all", 6));
    OK(lucet_wasi_config_capture(c, LUCET_WASI_STDOUT));
    module = load(make(c));
    for (int round = 0; round < 1100; round++) {
        lucet_instance *i;
        if (round == 100) {
            before = allocations;
        }
        i = create(module);
        CHECK(call(i, "print_first") == 0);
        CHECK(start(i) == 3);
        wrote(i, LUCET_WASI_STDOUT, "programof all");
        OK(lucet_instance_free(i));
    }
    CHECK(before > 0 && allocations == before);
    OK(lucet_module_free(module));
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    artifact = argv[1];
    folder = argv[2];
    OK(lucet_region_create(NULL, &region));
    mistakes();
    basics();
    functions();
    waiting();
    repeatable();
    given();
    reactor();
    nothing_is_left();
    warm();
    OK(lucet_region_free(region));
    if (failures == 0) {
        puts("all good");
    }
    return failures != 0;
}
