/*
 * Everything that moves between stacks, for checkers of memory: AddressSanitizer with its search
 * for leaks, valgrind. Each thing is done often enough to meet used slots and stacks.
 *
 *   checked ARTIFACT [rounds]
 */
#include "env.h"
#include <time.h>

static lucet_region *make_region(void)
{
    lucet_region_config *c = lucet_region_config_create();
    lucet_region *region = NULL;

    OK(lucet_region_config_set_slots(c, 3));
    OK(lucet_region_config_set_stack_bytes(c, 64 << 10));
    OK(lucet_region_config_set_max_memory(c, 1 << 20));
    OK(lucet_region_config_set_backtrace(c, true));
    OK(lucet_region_create(c, &region));
    lucet_region_config_free(c);
    return region;
}

static lucet_outcome run(lucet_instance *i, const char *name, const lucet_val *args, size_t nargs,
                         size_t nresults)
{
    lucet_val results[2];
    lucet_outcome outcome;

    memset(&outcome, 0, sizeof outcome);
    OK(lucet_instance_run(i, name, args, nargs, results, nresults, &outcome));
    return outcome;
}

static void calls(lucet_instance *i, host *h)
{
    lucet_val args[17];

    for (int k = 0; k < 17; k++) {
        args[k] = i32(k);
    }
    /* More and fewer arguments in turn: they lie where the last call had its frames. */
    CHECK(run(i, "count", NULL, 0, 1).kind == LUCET_OUTCOME_RETURNED);
    CHECK(run(i, "weigh", args, 17, 1).kind == LUCET_OUTCOME_RETURNED);
    CHECK(run(i, "add", args, 2, 1).kind == LUCET_OUTCOME_RETURNED);
    CHECK(run(i, "pairs", args, 1, 2).kind == LUCET_OUTCOME_RETURNED);
    CHECK(run(i, "notes", NULL, 0, 1).kind == LUCET_OUTCOME_RETURNED && h->notes > 0);
    CHECK(run(i, "nests", args, 1, 1).kind == LUCET_OUTCOME_RETURNED);
    CHECK(run(i, "grow", NULL, 0, 1).kind == LUCET_OUTCOME_RETURNED);
}

static void traps(lucet_instance *i)
{
    static const char *const names[] = {"unreachable", "load", "divide", "overflow",
                                        "outside_table", "null", "signature", "convert",
                                        "recurse"};
    static const size_t results[] = {0, 1, 1, 1, 0, 0, 1, 1, 0};
    lucet_val one = i32(1);

    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        lucet_frame frames[65];
        char text[4096];
        size_t len = 0;
        CHECK(run(i, names[k], NULL, 0, results[k]).kind == LUCET_OUTCOME_TRAPPED);
        OK(lucet_instance_backtrace(i, frames, 65, &len));
        CHECK(len > 0 && len <= 65 && frames[0].kind == LUCET_FRAME_GUEST);
        CHECK((len > 1) == (strcmp(names[k], "recurse") == 0));
        OK(lucet_instance_write_backtrace(i, text, sizeof text, &len));
        CHECK(strstr(text, names[k]) != NULL && strlen(text) < sizeof text);
        OK(lucet_instance_reset(i));
        CHECK(lucet_instance_backtrace(i, frames, 65, &len) == LUCET_STATUS_WRONG_STATE);
    }
    /* A trap inside a run inside a run; a host function between. */
    CHECK(run(i, "nests", &one, 1, 1).kind == LUCET_OUTCOME_TRAPPED);
    {
        lucet_frame frames[3];
        size_t len;
        OK(lucet_instance_backtrace(i, frames, 3, &len));
        CHECK(len == 3 && frames[0].kind == LUCET_FRAME_GUEST &&
              frames[1].kind == LUCET_FRAME_IMPORT && frames[2].kind == LUCET_FRAME_GUEST);
        CHECK(frames[1].function == 3 && frames[1].wasm_offset == UINT32_MAX);
    }
    OK(lucet_instance_reset(i));
    for (int how = 0; how < 4; how++) {
        lucet_val v = i32(how);
        CHECK(run(i, "ends", &v, 1, 0).kind != LUCET_OUTCOME_RETURNED);
        OK(lucet_instance_reset(i));
    }
}

static void *resumes(void *instance)
{
    lucet_outcome outcome;
    lucet_val result;

    OK(lucet_instance_resume(instance, 3, &result, 1, &outcome));
    return NULL;
}

static void yields(lucet_instance *i)
{
    lucet_val how = i32(1);
    lucet_frame frames[4];
    size_t len;
    pthread_t thread;

    /* Suspended twice, resumed by two threads. */
    CHECK(run(i, "waits", &how, 1, 1).kind == LUCET_OUTCOME_YIELDED);
    OK(lucet_instance_backtrace(i, frames, 4, &len));
    CHECK(len == 2 && frames[0].kind == LUCET_FRAME_IMPORT && frames[0].function == 1);
    CHECK(pthread_create(&thread, NULL, resumes, i) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    resumes(i);
    CHECK(run(i, "count", NULL, 0, 1).kind == LUCET_OUTCOME_RETURNED);
    /* Given up in each of the ways. */
    CHECK(run(i, "waits", &how, 1, 1).kind == LUCET_OUTCOME_YIELDED);
    OK(lucet_instance_terminate(i));
    OK(lucet_instance_reset(i));
    CHECK(run(i, "waits", &how, 1, 1).kind == LUCET_OUTCOME_YIELDED);
    OK(lucet_instance_reset(i));
}

static void *terminates(void *instance)
{
    struct timespec pause = {0, 20000000};
    nanosleep(&pause, NULL);
    OK(lucet_instance_terminate(instance));
    return NULL;
}

static void stops(lucet_instance *i)
{
    pthread_t thread;
    lucet_frame frame;
    size_t len;

    OK(lucet_instance_set_time_limit(i, 5000000));
    CHECK(run(i, "spin", NULL, 0, 0).kind == LUCET_OUTCOME_TIMED_OUT);
    OK(lucet_instance_backtrace(i, &frame, 1, &len));
    CHECK(len == 1 && frame.kind == LUCET_FRAME_GUEST);
    OK(lucet_instance_reset(i));
    OK(lucet_instance_set_time_limit(i, 0));
    CHECK(pthread_create(&thread, NULL, terminates, i) == 0);
    CHECK(run(i, "spin", NULL, 0, 0).kind == LUCET_OUTCOME_TERMINATED);
    CHECK(pthread_join(thread, NULL) == 0);
    OK(lucet_instance_reset(i));
}

static void misuses(lucet_region *region, lucet_module *module, lucet_instance *i)
{
    lucet_instance *freed;
    lucet_outcome outcome;
    lucet_val v = i32(1), result;
    char byte;
    size_t len;

    OK(lucet_instance_create(region, module, &freed));
    OK(lucet_instance_free(freed));
    CHECK(lucet_instance_free(freed) == LUCET_STATUS_INVALID_HANDLE);
    CHECK(lucet_instance_run(freed, "count", NULL, 0, &result, 1, &outcome) ==
          LUCET_STATUS_INVALID_HANDLE);
    CHECK(lucet_instance_run(i, "nothing", NULL, 0, NULL, 0, &outcome) ==
          LUCET_STATUS_NO_SUCH_EXPORT);
    CHECK(lucet_instance_run(i, "add", &v, 1, &result, 1, &outcome) ==
          LUCET_STATUS_EXPORT_TYPE_MISMATCH);
    CHECK(lucet_instance_memory_read(i, 1 << 30, &byte, 1) == LUCET_STATUS_OUT_OF_BOUNDS);
    CHECK(lucet_instance_resume(i, 0, NULL, 0, &outcome) == LUCET_STATUS_WRONG_STATE);
    CHECK(lucet_instance_backtrace(i, NULL, 1, &len) == LUCET_STATUS_NULL_ARGUMENT);
    CHECK(lucet_instance_backtrace(i, NULL, 0, NULL) == LUCET_STATUS_NULL_ARGUMENT);
    CHECK(lucet_instance_write_backtrace(i, NULL, 1, &len) == LUCET_STATUS_NULL_ARGUMENT);
    CHECK(lucet_instance_set_backtrace(freed, true) == LUCET_STATUS_INVALID_HANDLE);
    CHECK(lucet_region_free(region) == LUCET_STATUS_BUSY);
}

int main(int argc, char **argv)
{
    host h = {0};
    lucet_module_config *config = env_config(&h);
    int rounds = argc > 2 ? atoi(argv[2]) : 3;

    if (argc < 2) {
        return 2;
    }
    for (int round = 0; round < rounds; round++) {
        lucet_region *region = make_region();
        lucet_module *module = NULL;
        OK(lucet_module_load_file(argv[1], config, &module));
        for (int k = 0; k < 3; k++) {
            lucet_instance *i = NULL, *other = NULL;
            OK(lucet_instance_create(region, module, &i));
            OK(lucet_instance_create(region, module, &other));
            calls(i, &h);
            traps(i);
            yields(i);
            calls(other, &h);
            stops(i);
            misuses(region, module, i);
            OK(lucet_instance_free(i));
            OK(lucet_instance_free(other));
        }
        OK(lucet_module_free(module));
        OK(lucet_region_free(region));
    }
    lucet_module_config_free(config);
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
