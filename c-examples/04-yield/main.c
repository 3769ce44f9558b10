/*
 * One thread, many guests that wait. The host function db.lookup does not block: it notes what is
 * wanted and yields. The server's event loop starts the next request, and resumes each guest when
 * its data has come, in whatever order that is. Nothing of the host's stack waits with the guest.
 */
#include "../check.h"
#include <string.h>

/* A request and the lookup it waits for. */
typedef struct request {
    const char *user;
    lucet_instance *instance;
    char key[32];
    uint32_t value_address, value_cap; /* where the guest wants the value */
    const char *value;                 /* filled in by the event loop */
} request;

/*
 * Runs when the guest is resumed. The address is checked here, not when the guest yielded: only now
 * is the memory touched. What it returns is the result of the guest's call of lookup.
 */
static uint64_t deliver(lucet_vmctx *ctx, uint64_t resume_value, void *state)
{
    request *r = state;
    size_t len = strlen(r->value);
    void *to;
    (void)resume_value;
    len = len < r->value_cap ? len : r->value_cap;
    if (lucet_vmctx_memory_range(ctx, r->value_address, len, &to) != LUCET_STATUS_OK) {
        lucet_vmctx_trap(ctx, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
        return 0;
    }
    memcpy(to, r->value, len);
    return len;
}

/* db.lookup: (i32, i32, i32, i32) -> i32 */
static int32_t lookup(lucet_vmctx *ctx, void *user_data, int32_t key, int32_t key_len,
                      int32_t value, int32_t cap)
{
    request *r = lucet_vmctx_user_data(ctx); /* of the instance: set by start() */
    void *text;
    (void)user_data;
    if ((uint32_t)key_len >= sizeof r->key ||
        lucet_vmctx_memory_range(ctx, (uint32_t)key, (uint32_t)key_len, &text) != LUCET_STATUS_OK) {
        lucet_vmctx_trap(ctx, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
        return 0;
    }
    memcpy(r->key, text, (uint32_t)key_len);
    r->key[(uint32_t)key_len] = '\0';
    r->value_address = (uint32_t)value;
    r->value_cap = (uint32_t)cap;
    lucet_vmctx_yield(ctx, (uint32_t)key_len, deliver, r);
    return 0; /* not used: the result comes from deliver */
}

static void host_log(lucet_vmctx *ctx, void *user_data, int32_t address, int32_t len)
{
    (void)ctx, (void)user_data, (void)address, (void)len;
}

static void start(lucet_region *region, lucet_module *module, request *r)
{
    size_t len = strlen(r->user);
    lucet_val args[2] = {val_i32((int32_t)len), val_i32((int32_t)len)};
    lucet_val result;
    lucet_outcome outcome;

    check(lucet_instance_create(region, module, &r->instance), "instance");
    check(lucet_instance_set_user_data(r->instance, r), "user data");
    check(lucet_instance_run(r->instance, "alloc", args, 1, &result, 1, &outcome), "alloc");
    expect(&outcome, LUCET_OUTCOME_RETURNED, "alloc");
    check(lucet_instance_memory_write(r->instance, (uint32_t)result.of.i32, r->user, len), "write");
    args[0] = result;
    check(lucet_instance_run(r->instance, "on_request", args, 2, &result, 1, &outcome), "run");
    expect(&outcome, LUCET_OUTCOME_YIELDED, "on_request");
    printf("%s waits for \"%s\"\n", r->user, r->key);
}

static void finish(request *r, const char *value)
{
    lucet_val result;
    lucet_outcome outcome;
    char text[128];

    r->value = value;
    check(lucet_instance_resume(r->instance, 0, &result, 1, &outcome), "resume");
    expect(&outcome, LUCET_OUTCOME_RETURNED, "resume");
    uint64_t packed = (uint64_t)result.of.i64;
    uint32_t len = (uint32_t)packed < sizeof text ? (uint32_t)packed : sizeof text;
    check(lucet_instance_memory_read(r->instance, packed >> 32, text, len), "read");
    printf("%s gets \"%.*s\"\n", r->user, (int)len, text);
    check(lucet_instance_free(r->instance), "free");
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *module;
    lucet_region *region;
    request ada = {.user = "ada"}, alan = {.user = "alan"}, gone = {.user = "gone"};

    usage(argc, 1, "greet.so");
    check(lucet_module_config_allow_unsigned(config, true), "config");
    check(lucet_module_config_add_function(config, "db", "lookup", "(i32, i32, i32, i32) -> i32",
                                           (lucet_host_fn)lookup, NULL),
          "lookup");
    check(lucet_module_config_add_function(config, "env", "host_log", "(i32, i32) -> ()",
                                           (lucet_host_fn)host_log, NULL),
          "host_log");
    check(lucet_module_load_file(argv[1], config, &module), "load");
    check(lucet_region_create(NULL, &region), "region");

    start(region, module, &ada);
    start(region, module, &alan);
    start(region, module, &gone);

    /* The answers come in another order than the questions. */
    finish(&alan, "Alan Turing");
    finish(&ada, "Ada Lovelace");

    /* A client that went away: a suspended instance is simply dropped. */
    check(lucet_instance_free(gone.instance), "free");
    printf("gone is dropped while it waits\n");

    check(lucet_region_free(region), "free");
    check(lucet_module_free(module), "free");
    lucet_module_config_free(config);
    return 0;
}
