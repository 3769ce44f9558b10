/*
 * What a server does with the library, from its start to its end, step by step: every call that
 * may make something, so that each system call and each allocation of it can be made to fail.
 *
 * A call that fails is made once more, and must work then: the system failed once.
 */
#ifndef TESTS_CAPI_SCENARIO_H
#define TESTS_CAPI_SCENARIO_H
#include "env.h"
#include <unistd.h>

typedef struct scenario {
    const char *artifact, *plugin, *store, *starts, *saved;
    /* An artifact that is signed, and the public key; or NULL. */
    const char *signed_one, *key;
    /* "first-touch" or "copy" */
    const char *way;
    /* Called when a call failed, with its status. */
    void (*failed)(const char *call, lucet_status status);
    /* Around what is to be made to fail. */
    void (*begin)(void), (*end)(void);
    /* Whether snapshots are taken in child processes; whether there are no other artifacts. */
    int children, alone;
} scenario;

static const scenario *now;

/* A status that says: not now. */
static int is_refusal(lucet_status s)
{
    return s == LUCET_STATUS_OUT_OF_MEMORY || s == LUCET_STATUS_IO ||
           s == LUCET_STATUS_UNSUPPORTED || s == LUCET_STATUS_START_FAILED;
}

static int refused(const char *call, lucet_status s)
{
    if (s == LUCET_STATUS_OK) {
        return 0;
    }
    if (!is_refusal(s)) {
        printf("%s: %s: %s\n", call, lucet_status_name(s), lucet_last_error());
        failures++;
    }
    now->failed(call, s);
    return 1;
}

#define TRY(call)                                                                                  \
    do {                                                                                           \
        if (refused(#call, (call))) {                                                              \
            OK(call);                                                                              \
        }                                                                                          \
    } while (0)
#define TRY_NEW(variable, call)                                                                    \
    do {                                                                                           \
        (variable) = (call);                                                                       \
        if ((variable) == NULL) {                                                                  \
            refused(#call, LUCET_STATUS_OUT_OF_MEMORY);                                            \
            (variable) = (call);                                                                   \
            CHECK((variable) != NULL);                                                             \
        }                                                                                          \
    } while (0)

typedef struct server {
    host h;
    lucet_region_config *slots;
    lucet_module_config *config;
    lucet_region *region;
    lucet_module *module, *again;
} server;

static void start_server(server *s)
{
    lucet_module_config *c;
    char hash[129] = "";

    TRY_NEW(s->slots, lucet_region_config_create());
    OK(lucet_region_config_set_slots(s->slots, 8));
    OK(lucet_region_config_set_max_memory(s->slots, 1 << 24));
    OK(lucet_region_config_set_first_touch(s->slots, strcmp(now->way, "first-touch") == 0));
    OK(lucet_region_config_set_backtrace(s->slots, true));
    TRY(lucet_region_create(s->slots, &s->region));
    TRY_NEW(s->config, lucet_module_config_create());
    c = s->config;
    OK(lucet_module_config_allow_unsigned(c, true));
    OK(lucet_module_config_set_linkable(c, true));
    memset(hash, '0', sizeof hash - 1);
    TRY(lucet_module_config_add_hash(c, hash));
    TRY(lucet_module_config_add_function(c, "env", "note", "(i32, i64, f32, f64) -> f64",
                                         (lucet_host_fn)env_note, &s->h));
    TRY(lucet_module_config_add_function(c, "env", "wait", "(i32) -> i32",
                                         (lucet_host_fn)env_wait, &s->h));
    TRY(lucet_module_config_add_function(c, "env", "pair", "(i32) -> (i32, i64)",
                                         (lucet_host_fn)env_pair, &s->h));
    TRY(lucet_module_config_add_function(c, "env", "again", "(i32) -> i32",
                                         (lucet_host_fn)env_again, &s->h));
    TRY(lucet_module_config_add_function(c, "env", "end", "(i32) -> ()", (lucet_host_fn)env_end,
                                         &s->h));
    TRY(lucet_module_load_file(now->artifact, c, &s->module));
}

static char bytes[1 << 20];
static size_t nbytes;

/* What is not the library's can fail elsewhere. */
static void read_bytes(const char *path)
{
    FILE *f = fopen(path, "rb");

    nbytes = f == NULL ? 0 : fread(bytes, 1, sizeof bytes, f);
    CHECK(f != NULL && fclose(f) == 0 && nbytes > 0);
}

static void load_bytes(server *s)
{
    TRY(lucet_module_load_bytes(bytes, nbytes, s->config, &s->again));
}

/* An export of works.wat or the others; a run that is refused did nothing. */
static int32_t calls(lucet_instance *i, const char *name, int nargs, int32_t arg, int nresults,
                     lucet_outcome_kind wanted)
{
    lucet_val args[1] = {i32(arg)}, result = {.type = 0};
    lucet_outcome outcome;

    TRY(lucet_instance_run(i, name, args, (size_t)nargs, &result, (size_t)nresults, &outcome));
    if (outcome.kind != wanted) {
        printf("%s: outcome %d, wanted %d\n", name, (int)outcome.kind, (int)wanted);
        failures++;
    }
    return result.of.i32;
}

/* A yield, from a run to its end. */
static void yields(lucet_instance *i)
{
    lucet_outcome outcome;
    lucet_val result = {.type = 0};

    calls(i, "waits", 1, 0, 1, LUCET_OUTCOME_YIELDED);
    TRY(lucet_instance_resume(i, 5, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && result.of.i32 == 1005);
}

static void grows(lucet_instance *i)
{
    int32_t grown = calls(i, "grow", 0, 0, 1, LUCET_OUTCOME_RETURNED);

    if (grown < 0) {
        now->failed("memory.grow", LUCET_STATUS_OUT_OF_MEMORY);
        grown = calls(i, "grow", 0, 0, 1, LUCET_OUTCOME_RETURNED);
    }
    CHECK(grown > 0);
}

/* Time limits and slices. */
static void limits(lucet_instance *i)
{
    lucet_outcome outcome;

    OK(lucet_instance_set_time_limit(i, 1000000));
    calls(i, "spin", 0, 0, 0, LUCET_OUTCOME_TIMED_OUT);
    TRY(lucet_instance_reset(i));
    OK(lucet_instance_set_time_limit(i, 0));
    OK(lucet_instance_set_time_slice(i, 300000));
    calls(i, "spin", 0, 0, 0, LUCET_OUTCOME_PREEMPTED);
    TRY(lucet_instance_resume(i, 0, NULL, 0, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_PREEMPTED);
}

/* A request of a plugin that behaves. */
static void request(server *s)
{
    lucet_instance *i = NULL;
    uint32_t word = 7;

    TRY(lucet_instance_create(s->region, s->module, &i));
    TRY(lucet_instance_memory_write(i, 60000, &word, sizeof word));
    calls(i, "count", 0, 0, 1, LUCET_OUTCOME_RETURNED);
    calls(i, "notes", 0, 0, 1, LUCET_OUTCOME_RETURNED);
    calls(i, "nests", 1, 0, 1, LUCET_OUTCOME_RETURNED);
    yields(i);
    grows(i);
    TRY(lucet_instance_reset(i));
    calls(i, "count", 0, 0, 1, LUCET_OUTCOME_RETURNED);
    OK(lucet_instance_free(i));
}

/* One that does not. */
static void bad_request(server *s)
{
    lucet_instance *i = NULL;

    TRY(lucet_instance_create(s->region, s->module, &i));
    calls(i, "load", 0, 0, 1, LUCET_OUTCOME_TRAPPED);
    TRY(lucet_instance_reset(i));
    calls(i, "recurse", 0, 0, 0, LUCET_OUTCOME_TRAPPED);
    TRY(lucet_instance_reset(i));
    limits(i);
    OK(lucet_instance_free(i));
}

static int32_t asked(lucet_vmctx *ctx, void *user_data, int32_t n)
{
    (void)ctx, (void)user_data;
    return n + 1;
}

static void started(lucet_vmctx *ctx, void *user_data)
{
    (void)ctx, (void)user_data;
}

/* Builtins that need memory: the guest is told, or its run ends, and the next one has it. */
static void needs_memory(lucet_instance *i)
{
    const char *names[] = {"table_grow", "table_set", "table_init", "data_init", "throws"};

    for (int k = 0; k < 5; k++) {
        lucet_outcome outcome;
        lucet_val result = {.type = 0};

        TRY(lucet_instance_run(i, names[k], NULL, 0, &result, 1, &outcome));
        if (outcome.kind == LUCET_OUTCOME_HOST_ERROR ||
            (outcome.kind == LUCET_OUTCOME_RETURNED && result.of.i32 != 1)) {
            CHECK(outcome.kind == LUCET_OUTCOME_RETURNED ||
                  outcome.value == LUCET_STATUS_OUT_OF_MEMORY);
            now->failed(names[k], LUCET_STATUS_OUT_OF_MEMORY);
            TRY(lucet_instance_reset(i));
            OK(lucet_instance_run(i, names[k], NULL, 0, &result, 1, &outcome));
        }
        if (outcome.kind != LUCET_OUTCOME_RETURNED || result.of.i32 != 1) {
            printf("%s: outcome %d, %d\n", names[k], (int)outcome.kind, result.of.i32);
            failures++;
        }
    }
    TRY(lucet_instance_reset(i));
}

/* Several modules as one plugin, and one with a start function. */
static void groups(server *s)
{
    lucet_module_config *c;
    lucet_module *store = NULL, *plugin = NULL, *starts = NULL;
    lucet_group *group = NULL;
    lucet_instance *i = NULL;

    TRY_NEW(c, lucet_module_config_create());
    OK(lucet_module_config_allow_unsigned(c, true));
    OK(lucet_module_config_set_linkable(c, true));
    TRY(lucet_module_config_add_function(c, "env", "ask", "(i32) -> i32", (lucet_host_fn)asked,
                                         NULL));
    TRY(lucet_module_config_add_function(c, "env", "started", "() -> ()", (lucet_host_fn)started,
                                         NULL));
    TRY(lucet_module_load_file(now->store, c, &store));
    TRY(lucet_module_load_file(now->plugin, c, &plugin));
    TRY(lucet_module_load_file(now->starts, c, &starts));
    TRY(lucet_group_create(s->region, &group));
    TRY(lucet_group_instantiate(group, "store", store, NULL));
    TRY(lucet_group_instantiate(group, NULL, plugin, &i));
    TRY(lucet_group_alias(group, "store", "shop"));
    CHECK(calls(i, "through_table", 1, 21, 1, LUCET_OUTCOME_RETURNED) == 42);
    CHECK(calls(i, "asked", 1, 1, 1, LUCET_OUTCOME_RETURNED) == 2);
    OK(lucet_group_free(group));
    TRY(lucet_instance_create(s->region, starts, &i));
    needs_memory(i);
    OK(lucet_instance_free(i));
    OK(lucet_module_free(store));
    OK(lucet_module_free(plugin));
    OK(lucet_module_free(starts));
    lucet_module_config_free(c);
}

/* A plugin that is replaced while the server runs. */
static void references(server *s)
{
    lucet_module_ref *ref = NULL;
    lucet_instance *i = NULL;
    lucet_func count;
    uint64_t version = 0;

    TRY(lucet_module_ref_create(&ref));
    TRY(lucet_module_ref_require(ref, "count", "() -> i32"));
    TRY(lucet_module_ref_publish(ref, s->module));
    TRY(lucet_module_ref_instantiate(ref, s->region, &count, 1, &version, &i));
    OK(lucet_instance_free(i));
    TRY(lucet_module_ref_load_file(ref, now->artifact, s->config));
    TRY(lucet_module_ref_instantiate(ref, s->region, &count, 1, &version, &i));
    CHECK(version >= 2);
    OK(lucet_instance_free(i));
    OK(lucet_module_ref_free(ref));
}

/* Nothing but what was signed by this key. */
static void signatures(server *s)
{
    lucet_module_config *c;
    lucet_module *m = NULL;
    lucet_instance *i = NULL;

    TRY_NEW(c, lucet_module_config_create());
    TRY(lucet_module_config_add_key(c, now->key));
    TRY(lucet_module_load_file(now->signed_one, c, &m));
    TRY(lucet_instance_create(s->region, m, &i));
    CHECK(calls(i, "answer", 0, 0, 1, LUCET_OUTCOME_RETURNED) == 42);
    OK(lucet_instance_free(i));
    OK(lucet_module_free(m));
    lucet_module_config_free(c);
}

static void snapshots(server *s)
{
    lucet_snapshot_config *c;
    lucet_instance *i = NULL;
    lucet_module *snapshot = NULL;

    TRY_NEW(c, lucet_snapshot_config_create());
    TRY(lucet_instance_create(s->region, s->module, &i));
    calls(i, "count", 0, 0, 1, LUCET_OUTCOME_RETURNED);
    TRY(lucet_instance_snapshot(i, c, &snapshot));
    OK(lucet_instance_free(i));
    TRY(lucet_instance_create(s->region, snapshot, &i));
    OK(lucet_instance_free(i));
    TRY(lucet_module_save(snapshot, now->saved));
    OK(lucet_module_free(snapshot));
    TRY(lucet_module_load_file(now->saved, s->config, &snapshot));
    OK(lucet_module_free(snapshot));
    if (now->children) {
        TRY(lucet_snapshot_in_child(s->module, s->slots, c, &snapshot));
        OK(lucet_module_free(snapshot));
    }
    lucet_snapshot_config_free(c);
}

static void end_server(server *s)
{
    OK(lucet_module_free(s->module));
    OK(lucet_module_free(s->again));
    OK(lucet_region_free(s->region));
    lucet_module_config_free(s->config);
    lucet_region_config_free(s->slots);
}

/* All of it. What begins and ends is what is made to fail. */
static void play(const scenario *what)
{
    server s = {.h = {0}};
    lucet_instance *i = NULL;

    now = what;
    read_bytes(what->artifact);
    now->begin();
    TRY(lucet_thread_prepare());
    start_server(&s);
    load_bytes(&s);
    request(&s);
    bad_request(&s);
    request(&s);
    if (!now->alone) {
        groups(&s);
    }
    references(&s);
    if (now->key != NULL) {
        signatures(&s);
    }
    snapshots(&s);
    now->end();
    /* The next calls work. */
    OK(lucet_instance_create(s.region, s.module, &i));
    CHECK(calls(i, "count", 0, 0, 1, LUCET_OUTCOME_RETURNED) == 6);
    OK(lucet_instance_free(i));
    now->begin();
    end_server(&s);
    now->end();
    /* The same last message in every case. */
    CHECK(lucet_instance_free(NULL) == LUCET_STATUS_NULL_ARGUMENT);
}
#endif
