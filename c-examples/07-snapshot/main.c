/*
 * Start-up once, not once per request: a child process runs it, and what it came to is the module
 * that requests get instances of.
 */
#include "../check.h"
#include <time.h>
#include <unistd.h>

#define INSTANCES 2000

/* Not random at all, but no number comes twice. */
static int64_t env_random(lucet_vmctx *ctx, void *user_data)
{
    int64_t *next = user_data;

    (void)ctx;
    return ++*next;
}

static double microseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int64_t call(lucet_instance *instance, const char *name, const lucet_val *arg, size_t nargs,
                    lucet_val_type type)
{
    lucet_val result;
    lucet_outcome outcome;

    check(lucet_instance_run(instance, name, arg, nargs, &result, 1, &outcome), name);
    expect(&outcome, LUCET_OUTCOME_RETURNED, name);
    return type == LUCET_VAL_I32 ? result.of.i32 : result.of.i64;
}

/* Two instances know the same primes, and hand out different tokens. */
static void use(lucet_region *region, lucet_module *module, const char *what)
{
    lucet_instance *a, *b;
    lucet_val thousand = val_i32(1000);
    int64_t primes;

    check(lucet_instance_create(region, module, &a), "instance");
    check(lucet_instance_create(region, module, &b), "instance");
    primes = call(a, "primes_below", &thousand, 1, LUCET_VAL_I32);
    printf("%s: %d primes below 1000, tokens %s\n", what, (int)primes,
           call(a, "token", NULL, 0, LUCET_VAL_I64) == call(b, "token", NULL, 0, LUCET_VAL_I64)
               ? "are the same: a reseed hook is missing"
               : "differ");
    check(lucet_instance_free(a), "free");
    check(lucet_instance_free(b), "free");
}

static void measure(lucet_region *region, lucet_module *plain, lucet_module *snapshot)
{
    lucet_instance *instance;
    lucet_outcome outcome;
    double begin = microseconds();
    double cold;

    check(lucet_instance_create(region, plain, &instance), "instance");
    check(lucet_instance_run(instance, "init", NULL, 0, NULL, 0, &outcome), "init");
    expect(&outcome, LUCET_OUTCOME_RETURNED, "init");
    check(lucet_instance_free(instance), "free");
    cold = microseconds() - begin;
    begin = microseconds();
    for (int i = 0; i < INSTANCES; i++) {
        check(lucet_instance_create(region, snapshot, &instance), "instance");
        check(lucet_instance_free(instance), "free");
    }
    printf("measured: start-up %.0f us, an instance of the snapshot %.2f us\n", cold,
           (microseconds() - begin) / INSTANCES);
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_snapshot_config *how = lucet_snapshot_config_create();
    lucet_module *module, *snapshot, *loaded;
    lucet_region *region;
    lucet_status status;
    int64_t next = 0;
    char path[4096];

    usage(argc, 1, "primes.so");
    check(lucet_module_config_allow_unsigned(config, true), "config");
    check(lucet_module_config_add_function(config, "env", "random", "() -> i64",
                                           (lucet_host_fn)env_random, &next),
          "config");
    /* So that no snapshot freezes its numbers by mistake. */
    check(lucet_module_config_mark_impure(config, "env", "random"), "config");
    check(lucet_module_load_file(argv[1], config, &module), "load");
    check(lucet_region_create(NULL, &region), "region");

    /* A start-up that does not end is the child's problem. */
    check(lucet_snapshot_config_set_function(how, "forever"), "config");
    check(lucet_snapshot_config_set_time_limit(how, 100 * 1000 * 1000), "config");
    status = lucet_snapshot_in_child(module, NULL, how, &snapshot);
    printf("forever: %s: %s\n", lucet_status_name(status), lucet_last_error());

    check(lucet_snapshot_config_set_function(how, "init"), "config");
    check(lucet_snapshot_config_set_time_limit(how, UINT64_C(10000000000)), "config");
    check(lucet_snapshot_in_child(module, NULL, how, &snapshot), "snapshot");
    use(region, snapshot, "snapshot");

    /* On disk it is an artifact like any other. */
    snprintf(path, sizeof path, "%s.snapshot", argv[1]);
    check(lucet_module_save(snapshot, path), "save");
    check(lucet_module_load_file(path, config, &loaded), "load");
    use(region, loaded, "from disk");
    unlink(path);
    measure(region, module, snapshot);

    check(lucet_region_free(region), "free");
    check(lucet_module_free(loaded), "free");
    check(lucet_module_free(snapshot), "free");
    check(lucet_module_free(module), "free");
    lucet_snapshot_config_free(how);
    lucet_module_config_free(config);
    return 0;
}
