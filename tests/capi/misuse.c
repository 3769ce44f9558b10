/*
 * Wrong handles, wrong states, wrong threads, wrong arguments: each gives a status and a message
 * that says what to do, and changes nothing.   misuse ARTIFACT
 */
#include "env.h"
#include <unistd.h>

static host the_host;
static lucet_instance *the_instance;
static lucet_region *the_region;
static lucet_outcome outcome;

#define HANDLE(type, number) ((type *)(uintptr_t)(number))

static void null_arguments(lucet_module *m, lucet_instance *i, lucet_region *r)
{
    const lucet_status null = LUCET_STATUS_NULL_ARGUMENT;
    lucet_module_config *c = lucet_module_config_create();
    lucet_module *module;
    lucet_instance *instance;
    lucet_region *region;
    lucet_func f = {0, 0};
    lucet_val v = i32(1);
    void *p;
    uint64_t n;
    static const lucet_static_module no_module = {{1, 2, 3, 4}};

    FAILS(lucet_region_config_set_slots(NULL, 1), null, "config");
    FAILS(lucet_region_create(NULL, NULL), null, "`out`");
    FAILS(lucet_region_free(NULL), null, "region");
    FAILS(lucet_module_config_allow_unsigned(NULL, true), null, "config");
    FAILS(lucet_module_config_add_function(NULL, "a", "b", "() -> ()", NULL, NULL), null, "config");
    FAILS(lucet_module_config_add_function(c, NULL, "b", "() -> ()", NULL, NULL), null, "module");
    FAILS(lucet_module_config_add_function(c, "a", NULL, "() -> ()", NULL, NULL), null, "name");
    FAILS(lucet_module_config_add_function(c, "a", "b", NULL, NULL, NULL), null, "signature");
    FAILS(lucet_module_config_add_function(c, "a", "b", "() -> ()", NULL, NULL), null, "`fn`");
    FAILS(lucet_module_load_file(NULL, c, &module), null, "path");
    CHECK(module == NULL);
    FAILS(lucet_module_load_file("x", c, NULL), null, "out");
    FAILS(lucet_module_load_bytes(NULL, 8, c, &module), null, "bytes");
    FAILS(lucet_module_from_static(NULL, c, &module), null, "module");
    FAILS(lucet_module_from_static(&no_module, c, NULL), null, "out");
    FAILS(lucet_module_from_static(&no_module, c, &module), LUCET_STATUS_INVALID_ARGUMENT,
          "lucetc --emit obj");
    CHECK(module == NULL);
    FAILS(lucet_module_free(NULL), null, "module");
    FAILS(lucet_module_find(m, NULL, NULL, &f), null, "name");
    FAILS(lucet_module_find(m, "add", NULL, NULL), null, "out");
    FAILS(lucet_module_write_gdb_script(m, NULL), null, "path");
    FAILS(lucet_instance_create(NULL, m, &instance), null, "region");
    FAILS(lucet_instance_create(r, NULL, &instance), null, "module");
    FAILS(lucet_instance_create(r, m, NULL), null, "out");
    FAILS(lucet_instance_free(NULL), null, "instance");
    FAILS(lucet_instance_reset(NULL), null, "instance");
    FAILS(lucet_instance_run(NULL, "add", NULL, 0, NULL, 0, &outcome), null, "instance");
    FAILS(lucet_instance_run(i, NULL, NULL, 0, NULL, 0, &outcome), null, "name");
    FAILS(lucet_instance_run(i, "add", NULL, 2, &v, 1, &outcome), null, "args");
    FAILS(lucet_instance_run(i, "count", NULL, 0, NULL, 1, &outcome), null, "results");
    FAILS(lucet_instance_run(i, "count", NULL, 0, &v, 1, NULL), null, "outcome");
    FAILS(lucet_instance_run_func(NULL, f, NULL, 0, NULL, 0, &outcome), null, "instance");
    FAILS(lucet_instance_resume(NULL, 0, NULL, 0, &outcome), null, "instance");
    FAILS(lucet_instance_memory_read(i, 0, NULL, 1), null, "dst");
    FAILS(lucet_instance_memory_write(i, 0, NULL, 1), null, "src");
    FAILS(lucet_instance_memory_range(i, 0, 1, NULL), null, "out");
    FAILS(lucet_instance_exported_memory(i, NULL, 0, 1, &p, &n), null, "name");
    FAILS(lucet_instance_exported_memory(i, "more", 0, 1, NULL, &n), null, "out");
    FAILS(lucet_instance_exported_memory(i, "more", 0, 1, &p, NULL), null, "bytes");
    FAILS(lucet_instance_exported_memory(i, "less", 0, 1, &p, &n), LUCET_STATUS_NO_SUCH_EXPORT,
          "less");
    FAILS(lucet_instance_exported_memory(i, "add", 0, 1, &p, &n),
          LUCET_STATUS_EXPORT_TYPE_MISMATCH, "function");
    FAILS(lucet_instance_exported_memory(i, "more", 131072, 1, &p, &n),
          LUCET_STATUS_OUT_OF_BOUNDS, "131072");
    CHECK(p == NULL && n == 0);
    FAILS(lucet_instance_memory_size(i, NULL), null, "bytes");
    FAILS(lucet_instance_memory_size(NULL, &n), null, "instance");
    FAILS(lucet_instance_global_get(i, NULL, &v), null, "name");
    FAILS(lucet_instance_global_get(i, "counter", NULL), null, "out");
    FAILS(lucet_instance_global_set(i, "counter", NULL), null, "value");
    FAILS(lucet_instance_set_user_data(NULL, NULL), null, "instance");
    FAILS(lucet_instance_set_time_limit(NULL, 1), null, "instance");
    FAILS(lucet_instance_terminate(NULL), null, "instance");
    FAILS(lucet_region_config_set_first_touch(NULL, false), null, "config");
    CHECK(!lucet_handle_signal(1, NULL, NULL));
    FAILS(lucet_instance_function_name(i, 0, NULL, 4, NULL), null, "buf");
    FAILS(lucet_vmctx_memory_range(NULL, 0, 1, &p), null, "ctx");
    FAILS(lucet_vmctx_yield(NULL, 0, NULL, NULL), null, "ctx");
    FAILS(lucet_vmctx_run(NULL, "add", NULL, 0, NULL, 0, &outcome), null, "ctx");
    CHECK(lucet_vmctx_instance(NULL) == NULL && lucet_vmctx_user_data(NULL) == NULL);
    lucet_module_config_free(NULL);
    lucet_region_config_free(NULL);

    OK(lucet_region_create(NULL, &region));
    OK(lucet_region_free(region));
    lucet_module_config_free(c);
    lucet_module_config_free(c);
    CHECK(strstr(lucet_last_error(), "lucet_module_config that was freed") != NULL);
    FAILS(lucet_module_config_allow_unsigned(c, true), LUCET_STATUS_INVALID_HANDLE, "freed");
}

static void handles(lucet_module *m, lucet_instance *i, lucet_region *r)
{
    const lucet_status invalid = LUCET_STATUS_INVALID_HANDLE;
    lucet_instance *other;
    int local = 0;
    void *p;

    FAILS(lucet_region_free((lucet_region *)(void *)m), invalid,
          "is a lucet_module handle; a lucet_region was expected");
    FAILS(lucet_module_free((lucet_module *)(void *)i), invalid, "is a lucet_instance handle");
    FAILS(lucet_instance_reset((lucet_instance *)(void *)r), invalid, "is a lucet_region handle");
    FAILS(lucet_instance_reset((lucet_instance *)(void *)&local), invalid, "not a handle");
    FAILS(lucet_instance_reset(HANDLE(lucet_instance, 0x0000000100ffff05)), invalid,
          "not a handle");
    FAILS(lucet_instance_reset(HANDLE(lucet_instance, UINTPTR_MAX)), invalid, "not a handle");
    FAILS(lucet_module_free(HANDLE(lucet_module, 0x7fffffff00000003)), invalid, "not a handle");
    FAILS(lucet_vmctx_memory_range((lucet_vmctx *)(void *)i, 0, 1, &p), invalid,
          "is a lucet_instance handle");
    CHECK(p == NULL);
    FAILS(lucet_vmctx_trap(HANDLE(lucet_vmctx, 0x1237), LUCET_TRAP_UNREACHABLE), invalid, "ctx");

    OK(lucet_instance_create(r, m, &other));
    OK(lucet_instance_free(other));
    FAILS(lucet_instance_free(other), invalid, "freed");
    FAILS(lucet_instance_run(other, "count", NULL, 0, NULL, 0, &outcome), invalid, "freed");
    CHECK(outcome.kind == 0);
}

static void arguments(lucet_module *m, lucet_instance *i)
{
    lucet_val args[2] = {i32(1), i32(2)}, result;
    lucet_func f = {0, 0};

    FAILS(lucet_instance_run(i, "add", args, 1, &result, 1, &outcome),
          LUCET_STATUS_EXPORT_TYPE_MISMATCH, "\"add\" has type (i32, i32) -> i32");
    args[1] = i64(2);
    FAILS(lucet_instance_run(i, "add", args, 2, &result, 1, &outcome),
          LUCET_STATUS_EXPORT_TYPE_MISMATCH, "called with (i32, i64)");
    args[1] = i32(2);
    FAILS(lucet_instance_run(i, "add", args, 2, NULL, 0, &outcome),
          LUCET_STATUS_EXPORT_TYPE_MISMATCH, "1 results");
    args[1].type = (lucet_val_type)1234;
    FAILS(lucet_instance_run(i, "add", args, 2, &result, 1, &outcome),
          LUCET_STATUS_INVALID_ARGUMENT, "argument 1: 1234 is not a lucet_val_type");
    args[1] = (lucet_val){.of = {.ref = 0}, .type = LUCET_VAL_FUNCREF};
    FAILS(lucet_instance_run(i, "add", args, 2, &result, 1, &outcome),
          LUCET_STATUS_EXPORT_TYPE_MISMATCH, "funcref");
    OK(lucet_instance_run(i, "is_null", &args[1], 1, &result, 1, &outcome));
    CHECK(result.of.i32 == 1);
    args[1].of.ref = 12345;
    FAILS(lucet_instance_run(i, "is_null", &args[1], 1, &result, 1, &outcome),
          LUCET_STATUS_INVALID_ARGUMENT, "function reference");
    FAILS(lucet_instance_run(i, "add", args, SIZE_MAX, &result, 1, &outcome),
          LUCET_STATUS_INVALID_ARGUMENT, "nargs");
    FAILS(lucet_instance_run(i, "no\xff", NULL, 0, NULL, 0, &outcome),
          LUCET_STATUS_INVALID_ARGUMENT, "UTF-8");
    FAILS(lucet_instance_run(i, "sub", NULL, 0, NULL, 0, &outcome), LUCET_STATUS_NO_SUCH_EXPORT,
          "it exports");
    FAILS(lucet_instance_run(i, "memory", NULL, 0, NULL, 0, &outcome),
          LUCET_STATUS_EXPORT_TYPE_MISMATCH, "is a memory, not a function");
    FAILS(lucet_instance_run_func(i, f, NULL, 0, NULL, 0, &outcome),
          LUCET_STATUS_INVALID_ARGUMENT, "another module");
    OK(lucet_module_find(m, "count", NULL, &f));
    f.index_ = UINT64_MAX;
    FAILS(lucet_instance_run_func(i, f, NULL, 0, NULL, 0, &outcome),
          LUCET_STATUS_INVALID_ARGUMENT, "made-up");
    FAILS(lucet_module_find(m, "add", "i32 -> i32", &f), LUCET_STATUS_INVALID_ARGUMENT,
          "write it like");
    FAILS(lucet_module_find(m, "add", "() -> i32", &f), LUCET_STATUS_EXPORT_TYPE_MISMATCH,
          "has type (i32, i32) -> i32, not () -> i32");
    FAILS(lucet_instance_memory_read(i, 0, args, SIZE_MAX), LUCET_STATUS_INVALID_ARGUMENT,
          "negative");
    FAILS(lucet_instance_memory_read(i, UINT64_MAX, args, 2), LUCET_STATUS_OUT_OF_BOUNDS, "65536");
    FAILS(lucet_instance_global_set(i, "fixed", &args[0]), LUCET_STATUS_INVALID_ARGUMENT,
          "immutable");
    FAILS(lucet_instance_global_get(i, "add", &result), LUCET_STATUS_EXPORT_TYPE_MISMATCH,
          "is a function, not a global");
    FAILS(lucet_instance_function_name(i, 1000, NULL, 0, NULL), LUCET_STATUS_INVALID_ARGUMENT,
          "1000");
    FAILS(lucet_module_write_gdb_script(m, "/dev/null"), LUCET_STATUS_WRONG_STATE, "development");
}

/* Tried inside a host function. */
static void inside(lucet_vmctx *ctx)
{
    lucet_instance *i = lucet_vmctx_instance(ctx);
    lucet_val result;
    void *p;

    CHECK(i == the_instance);
    CHECK(lucet_vmctx_user_data(ctx) == &the_host);
    FAILS(lucet_instance_run(i, "count", NULL, 0, &result, 1, &outcome), LUCET_STATUS_BUSY,
          "lucet_vmctx");
    FAILS(lucet_instance_free(i), LUCET_STATUS_BUSY, "running");
    FAILS(lucet_instance_reset(i), LUCET_STATUS_BUSY, "running");
    FAILS(lucet_instance_memory_range(i, 0, 1, &p), LUCET_STATUS_BUSY, "running");
    FAILS(lucet_region_free(the_region), LUCET_STATUS_BUSY, "instances");
    FAILS(lucet_vmctx_memory_range(ctx, 65530, 16, &p), LUCET_STATUS_OUT_OF_BOUNDS, "65536");
    FAILS(lucet_vmctx_trap(ctx, LUCET_TRAP_NONE), LUCET_STATUS_INVALID_ARGUMENT, "trap_code");
    FAILS(lucet_vmctx_trap(ctx, (lucet_trap_code)77), LUCET_STATUS_INVALID_ARGUMENT, "77");
    FAILS(lucet_vmctx_run(ctx, "add", NULL, 0, &result, 1, &outcome),
          LUCET_STATUS_EXPORT_TYPE_MISMATCH, "add");
    /* Yet it works where it may. */
    OK(lucet_vmctx_run(ctx, "count", NULL, 0, &result, 1, &outcome));
}

static int go[2], going[2];

/* Holds the guest inside its host function until main says so. */
static void hold(lucet_vmctx *ctx)
{
    char c = 0;
    (void)ctx;
    CHECK(write(going[1], &c, 1) == 1 && read(go[0], &c, 1) == 1);
}

static void *run_notes(void *instance)
{
    lucet_val result;
    OK(lucet_instance_run(instance, "notes", NULL, 0, &result, 1, &outcome));
    return NULL;
}

static void states(lucet_instance *i)
{
    lucet_val result, arg = i32(0);
    lucet_outcome o;
    pthread_t thread;
    char c = 0;

    OK(lucet_instance_set_user_data(i, &the_host));
    the_host.inside = inside;
    OK(lucet_instance_run(i, "notes", NULL, 0, &result, 1, &outcome));
    FAILS(lucet_vmctx_trap(the_host.ctx, LUCET_TRAP_UNREACHABLE), LUCET_STATUS_WRONG_STATE,
          "has returned");

    the_host.inside = hold;
    CHECK(pipe(go) == 0 && pipe(going) == 0);
    CHECK(pthread_create(&thread, NULL, run_notes, i) == 0);
    CHECK(read(going[0], &c, 1) == 1);
    FAILS(lucet_instance_run(i, "count", NULL, 0, &result, 1, &o), LUCET_STATUS_BUSY, "thread");
    FAILS(lucet_instance_free(i), LUCET_STATUS_BUSY, "thread");
    CHECK(write(go[1], &c, 1) == 1 && pthread_join(thread, NULL) == 0);
    the_host.inside = NULL;

    FAILS(lucet_instance_resume(i, 0, NULL, 0, &outcome), LUCET_STATUS_WRONG_STATE,
          "not suspended");
    OK(lucet_instance_run(i, "waits", &arg, 1, &result, 1, &outcome));
    FAILS(lucet_instance_run(i, "count", NULL, 0, &result, 1, &outcome), LUCET_STATUS_WRONG_STATE,
          "resume, reset or free");
    FAILS(lucet_instance_resume(i, 0, NULL, 0, &outcome), LUCET_STATUS_EXPORT_TYPE_MISMATCH,
          "1 results");
    OK(lucet_instance_resume(i, 5, &result, 1, &outcome));
    CHECK(result.of.i32 == 1005);

    OK(lucet_instance_run(i, "unreachable", NULL, 0, NULL, 0, &outcome));
    FAILS(lucet_instance_run(i, "count", NULL, 0, &result, 1, &outcome), LUCET_STATUS_WRONG_STATE,
          "reset or free");
    FAILS(lucet_instance_resume(i, 0, NULL, 0, &outcome), LUCET_STATUS_WRONG_STATE, "reset");
    OK(lucet_instance_reset(i));

    /* Reset leaves the embedder's own word alone. */
    the_host.inside = inside;
    OK(lucet_instance_run(i, "notes", NULL, 0, &result, 1, &outcome));
    the_host.inside = NULL;
}

static void regions_and_imports(const char *artifact, lucet_module *m)
{
    lucet_region_config *rc = lucet_region_config_create();
    lucet_module_config *mc = lucet_module_config_create();
    lucet_region *r;
    lucet_module *module;
    lucet_instance *a, *b;

    OK(lucet_region_config_set_slots(rc, 0));
    FAILS(lucet_region_create(rc, &r), LUCET_STATUS_INVALID_ARGUMENT, "slot");
    CHECK(r == NULL);
    OK(lucet_region_config_set_slots(rc, UINT32_MAX));
    CHECK(lucet_region_create(rc, &r) != LUCET_STATUS_OK);
    OK(lucet_region_config_set_slots(rc, 1));
    OK(lucet_region_config_set_max_instance_data(rc, 16));
    if (lucet_region_create(rc, &r) == LUCET_STATUS_OK) {
        FAILS(lucet_instance_create(r, m, &a), LUCET_STATUS_LIMIT_EXCEEDED, "instance data");
        OK(lucet_region_free(r));
    }
    OK(lucet_region_config_set_max_instance_data(rc, 64 << 10));
    OK(lucet_region_config_set_first_touch(rc, false));
    OK(lucet_region_create(rc, &r));
    OK(lucet_instance_create(r, m, &a));
    /* Nothing runs: nothing to end, and nothing is different afterwards. */
    OK(lucet_instance_terminate(a));
    OK(lucet_instance_set_time_limit(a, 1000000000));
    FAILS(lucet_instance_create(r, m, &b), LUCET_STATUS_REGION_FULL, "all 1 slots");
    CHECK(b == NULL);
    FAILS(lucet_region_free(r), LUCET_STATUS_BUSY, "free them first");
    OK(lucet_instance_free(a));
    FAILS(lucet_instance_terminate(a), LUCET_STATUS_INVALID_HANDLE, "freed");
    FAILS(lucet_instance_set_time_limit(a, 0), LUCET_STATUS_INVALID_HANDLE, "freed");
    OK(lucet_region_free(r));
    FAILS(lucet_region_free(r), LUCET_STATUS_INVALID_HANDLE, "freed");
    lucet_region_config_free(rc);

    FAILS(lucet_module_load_file("/nowhere/x.so", NULL, &module), LUCET_STATUS_IO, "/nowhere/x.so");
    FAILS(lucet_module_load_file("", NULL, &module), LUCET_STATUS_INVALID_ARGUMENT, "empty");
    FAILS(lucet_module_load_file("/tmp", NULL, &module), LUCET_STATUS_NOT_AN_ARTIFACT, "directory");
    FAILS(lucet_module_load_file("/etc/passwd", NULL, &module), LUCET_STATUS_NOT_AN_ARTIFACT,
          "/etc/passwd");
    FAILS(lucet_module_load_bytes("\0asm\1\0\0", 8, NULL, &module), LUCET_STATUS_NOT_AN_ARTIFACT,
          "lucetc");
    FAILS(lucet_module_load_bytes(NULL, 0, NULL, &module), LUCET_STATUS_NULL_ARGUMENT, "bytes");
    FAILS(lucet_module_load_file(artifact, NULL, &module), LUCET_STATUS_UNTRUSTED_ARTIFACT,
          "unsigned");
    OK(lucet_module_config_allow_unsigned(mc, true));
    FAILS(lucet_module_load_file(artifact, mc, &module), LUCET_STATUS_MISSING_IMPORT,
          "env.note of type (i32, i64, f32, f64) -> f64");
    OK(lucet_module_config_add_function(mc, "env", "note", "(i32) -> f64", (lucet_host_fn)env_note,
                                        NULL));
    FAILS(lucet_module_load_file(artifact, mc, &module), LUCET_STATUS_IMPORT_TYPE_MISMATCH,
          "env.note");
    FAILS(lucet_module_config_add_function(mc, "env", "note", "(i32) -> f64",
                                           (lucet_host_fn)env_note, NULL),
          LUCET_STATUS_INVALID_ARGUMENT, "added before");
    FAILS(lucet_module_config_add_function(mc, "env", "x", "(int) -> f64", (lucet_host_fn)env_note,
                                           NULL),
          LUCET_STATUS_INVALID_ARGUMENT, "\"int\" is not a value type");
    lucet_module_config_free(mc);
}

/* What becomes no snapshot, and no file. */
static void snapshots(lucet_module *m, lucet_instance *i)
{
    const lucet_status null = LUCET_STATUS_NULL_ARGUMENT;
    const lucet_status wrong = LUCET_STATUS_INVALID_HANDLE;
    lucet_snapshot_config *c = lucet_snapshot_config_create();
    lucet_module_config *mc = lucet_module_config_create();
    lucet_module *out = m;
    lucet_instance *other;
    lucet_func add;

    FAILS(lucet_instance_snapshot(NULL, c, &out), null, "instance");
    CHECK(out == NULL);
    FAILS(lucet_instance_snapshot(i, c, NULL), null, "out");
    FAILS(lucet_instance_snapshot(i, HANDLE(lucet_snapshot_config, m), &out), wrong,
          "a lucet_snapshot_config was expected");
    FAILS(lucet_snapshot_in_child(NULL, NULL, c, &out), null, "module");
    FAILS(lucet_snapshot_in_child(m, HANDLE(lucet_region_config, c), NULL, &out), wrong,
          "a lucet_region_config was expected");
    FAILS(lucet_snapshot_in_child(m, NULL, NULL, NULL), null, "out");
    FAILS(lucet_snapshot_config_set_reseed(NULL, "x"), null, "config");
    FAILS(lucet_snapshot_config_set_function(NULL, "x"), null, "config");
    FAILS(lucet_snapshot_config_set_time_limit(NULL, 1), null, "config");
    FAILS(lucet_snapshot_config_allow_frozen_randomness(NULL, true), null, "config");
    FAILS(lucet_snapshot_config_set_reseed(c, "\xff"), LUCET_STATUS_INVALID_ARGUMENT, "UTF-8");
    FAILS(lucet_module_config_mark_impure(NULL, "a", "b"), null, "config");
    FAILS(lucet_module_config_mark_impure(mc, NULL, "b"), null, "module");
    FAILS(lucet_module_config_mark_impure(mc, "a", NULL), null, "name");
    FAILS(lucet_module_config_mark_impure(mc, "a", "b"), LUCET_STATUS_INVALID_ARGUMENT,
          "a.b was not added");
    FAILS(lucet_vmctx_mark_impure(NULL), null, "ctx");
    FAILS(lucet_module_save(NULL, "x"), null, "module");
    FAILS(lucet_module_save(m, NULL), null, "path");
    FAILS(lucet_module_save(m, ""), LUCET_STATUS_INVALID_ARGUMENT, "path");
    FAILS(lucet_module_save(m, "/proc/none/x"), LUCET_STATUS_IO, "/proc/none/x");
    FAILS(lucet_module_save_fd(NULL, 1), null, "module");
    FAILS(lucet_module_save_fd(m, -1), LUCET_STATUS_INVALID_ARGUMENT, "-1");
    FAILS(lucet_module_save_fd(m, 9999), LUCET_STATUS_IO, "EBADF");

    OK(lucet_snapshot_config_set_reseed(c, "nothing"));
    FAILS(lucet_instance_snapshot(i, c, &out), LUCET_STATUS_NO_SUCH_EXPORT, "nothing");
    OK(lucet_snapshot_config_set_reseed(c, NULL));
    OK(lucet_instance_snapshot(i, c, &out));
    /* A function that was looked up in the one works in the other. */
    OK(lucet_module_find(m, "add", NULL, &add));
    OK(lucet_instance_create(the_region, out, &other));
    for (int n = 0; n < 3; n++) {
        lucet_val args[2] = {i32(40), i32(n)}, sum;

        OK(lucet_instance_run_func(other, add, args, 2, &sum, 1, &outcome));
        CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && sum.of.i32 == 40 + n);
    }
    OK(lucet_instance_free(other));
    OK(lucet_module_free(out));
    OK(lucet_snapshot_config_set_function(c, "nothing"));
    FAILS(lucet_snapshot_in_child(m, NULL, c, &out), LUCET_STATUS_NO_SUCH_EXPORT, "nothing");
    CHECK(out == NULL);
    OK(lucet_snapshot_config_set_function(c, NULL));
    OK(lucet_snapshot_in_child(m, NULL, c, &out));
    OK(lucet_module_free(out));
    lucet_snapshot_config_free(c);
    lucet_snapshot_config_free(c);
    lucet_snapshot_config_free(NULL);
    lucet_module_config_free(mc);
}

int main(int argc, char **argv)
{
    lucet_module_config *config = env_config(&the_host);
    lucet_module *module;

    if (argc != 2) {
        return 2;
    }
    OK(lucet_module_load_file(argv[1], config, &module));
    OK(lucet_region_create(NULL, &the_region));
    OK(lucet_instance_create(the_region, module, &the_instance));
    null_arguments(module, the_instance, the_region);
    handles(module, the_instance, the_region);
    arguments(module, the_instance);
    states(the_instance);
    snapshots(module, the_instance);
    regions_and_imports(argv[1], module);
    OK(lucet_instance_free(the_instance));
    OK(lucet_region_free(the_region));
    OK(lucet_module_free(module));
    lucet_module_config_free(config);
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
