/*
 * A guest that loops for ever holds its thread for as long as the host lets it: a limit for each
 * run, or another thread that has seen enough.
 */
#include "../check.h"
#include <pthread.h>
#include <time.h>

static double milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* A supervisor: waits a little, then ends what runs. */
static void *supervise(void *instance)
{
    struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

    nanosleep(&pause, NULL);
    check(lucet_instance_terminate(instance), "terminate");
    return NULL;
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *module;
    lucet_region *region;
    lucet_instance *instance;
    lucet_outcome outcome;
    lucet_val turns = val_i32(1000);
    lucet_val result;
    pthread_t supervisor;
    double begin;

    usage(argc, 1, "loops.so");
    check(lucet_module_config_allow_unsigned(config, true), "config");
    check(lucet_module_load_file(argv[1], config, &module), "load");
    check(lucet_region_create(NULL, &region), "region");
    check(lucet_instance_create(region, module, &instance), "instance");

    /* 10 ms for each run from now on. */
    check(lucet_instance_set_time_limit(instance, 10 * 1000 * 1000), "limit");
    begin = milliseconds();
    check(lucet_instance_run(instance, "forever", NULL, 0, NULL, 0, &outcome), "run");
    expect(&outcome, LUCET_OUTCOME_TIMED_OUT, "forever");
    printf("forever: %s\n", lucet_outcome_name(outcome.kind));
    printf("measured: after %.1f ms of 10\n", milliseconds() - begin);

    /* The instance is faulted now; reset, it is like new, and the limit stays. */
    check(lucet_instance_reset(instance), "reset");
    check(lucet_instance_run(instance, "short", &turns, 1, &result, 1, &outcome), "run");
    expect(&outcome, LUCET_OUTCOME_RETURNED, "short");
    printf("short: %d, well within its time\n", result.of.i32);

    check(lucet_instance_set_time_limit(instance, 0), "no limit");
    if (pthread_create(&supervisor, NULL, supervise, instance) != 0) {
        return 1;
    }
    check(lucet_instance_run(instance, "counts_forever", NULL, 0, NULL, 0, &outcome), "run");
    pthread_join(supervisor, NULL);
    expect(&outcome, LUCET_OUTCOME_TERMINATED, "counts_forever");
    printf("counts_forever: %s\n", lucet_outcome_name(outcome.kind));

    check(lucet_instance_free(instance), "free");
    check(lucet_region_free(region), "free");
    check(lucet_module_free(module), "free");
    lucet_module_config_free(config);
    puts("the host goes on");
    return 0;
}
