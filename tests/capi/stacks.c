/*
 * How much of a thread's stack the library needs, call by call, and that no more is needed: all of
 * it once more on threads that have just that.   stacks ARTIFACT SAVED LIMIT
 *
 * A thread's stack is painted before; what is not painted any more at its end was used. That
 * includes what the C library takes for the thread itself.
 */
#define _GNU_SOURCE
#include "env.h"
#include <limits.h>
#include <sys/mman.h>

enum { LARGE = 1 << 20, PAINT = 0xa5 };

static const char *artifact, *saved;
static lucet_module_config *config;
static lucet_region *region;
static lucet_module *module, *snapshot;
static lucet_instance *instance;
static host h;

static void prepare(void)
{
    OK(lucet_thread_prepare());
}

static void make_region(void)
{
    OK(lucet_region_create(NULL, &region));
}

static void load(void)
{
    OK(lucet_module_load_file(artifact, config, &module));
}

static void refuse(void)
{
    lucet_module *m;

    CHECK(lucet_module_load_file("/proc/self/exe", config, &m) == LUCET_STATUS_NOT_AN_ARTIFACT);
}

static void create(void)
{
    OK(lucet_instance_create(region, module, &instance));
}

static void run(void)
{
    lucet_outcome outcome;
    lucet_val result;

    OK(lucet_instance_run(instance, "count", NULL, 0, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED);
}

static void call_host(void)
{
    lucet_outcome outcome;
    lucet_val result;
    lucet_val arg = i32(0);

    OK(lucet_instance_run(instance, "notes", NULL, 0, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && h.notes > 0);
    OK(lucet_instance_run(instance, "nests", &arg, 1, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && result.of.i32 == 42);
}

static void trap(void)
{
    lucet_outcome outcome;
    lucet_val result;

    OK(lucet_instance_run(instance, "load", NULL, 0, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_TRAPPED);
    OK(lucet_instance_reset(instance));
    OK(lucet_instance_run(instance, "recurse", NULL, 0, NULL, 0, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_TRAPPED);
    OK(lucet_instance_reset(instance));
}

static void time_out(void)
{
    lucet_outcome outcome;

    OK(lucet_instance_set_time_limit(instance, 1000000));
    OK(lucet_instance_run(instance, "spin", NULL, 0, NULL, 0, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_TIMED_OUT);
    OK(lucet_instance_reset(instance));
    OK(lucet_instance_set_time_limit(instance, 0));
}

static void take_snapshot(void)
{
    lucet_snapshot_config *c = lucet_snapshot_config_create();

    OK(lucet_instance_snapshot(instance, c, &snapshot));
    lucet_snapshot_config_free(c);
}

static void save(void)
{
    OK(lucet_module_save(snapshot, saved));
    OK(lucet_module_free(snapshot));
}

static void load_snapshot(void)
{
    OK(lucet_module_load_file(saved, config, &snapshot));
    OK(lucet_module_free(snapshot));
}

static void snapshot_in_child(void)
{
    lucet_snapshot_config *c = lucet_snapshot_config_create();

    OK(lucet_snapshot_in_child(module, NULL, c, &snapshot));
    OK(lucet_module_free(snapshot));
    lucet_snapshot_config_free(c);
}

static void free_all(void)
{
    OK(lucet_instance_free(instance));
    OK(lucet_module_free(module));
    OK(lucet_region_free(region));
}

static const struct {
    const char *name;
    void (*f)(void);
} steps[] = {
    {"prepare a thread", prepare},   {"create a region", make_region},
    {"load", load},                  {"refuse a file", refuse},
    {"create an instance", create},  {"run", run},
    {"call host functions", call_host}, {"trap", trap},
    {"end at a time limit", time_out}, {"take a snapshot", take_snapshot},
    {"save it", save},               {"load it", load_snapshot},
    {"take one in a child", snapshot_in_child}, {"free", free_all},
};
enum { STEPS = sizeof steps / sizeof *steps };

static void *thread(void *f)
{
    (*(void (**)(void))f)();
    return NULL;
}

/* Runs one step on a thread with this much stack; how much it used. */
static size_t used_by(void (*f)(void), size_t size)
{
    unsigned char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    pthread_attr_t attributes;
    pthread_t t;
    size_t left = 0;

    CHECK(stack != MAP_FAILED);
    memset(stack, PAINT, size);
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, stack, size) == 0);
    CHECK(pthread_create(&t, &attributes, thread, &f) == 0);
    CHECK(pthread_join(t, NULL) == 0);
    while (left < size && stack[left] == PAINT) {
        left++;
    }
    munmap(stack, size);
    return size - left;
}

int main(int argc, char **argv)
{
    size_t limit = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;

    if (argc != 4) {
        return 2;
    }
    artifact = argv[1];
    saved = argv[2];
    config = env_config(&h);
    for (int k = 0; k < STEPS; k++) {
        size_t n = used_by(steps[k].f, LARGE);

        printf("%-20s %6zu bytes of stack\n", steps[k].name, n);
        CHECK(n <= limit);
    }
    for (int k = 0; k < STEPS; k++) {
        used_by(steps[k].f, limit);
    }
    lucet_module_config_free(config);
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
