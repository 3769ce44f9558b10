/*
 * What lucet's hot paths cost a C program: everything here goes through lucet.h and liblucet.so,
 * as it does in a server. See worker.h for how it is run.
 *
 *   hot hot.so pages.so data.so --rows | --serve
 */
#include "worker.h"
#include <lucet.h>

enum { SLOTS = 256, BATCH = 128 };

/* HOT_SLOTS=5 in the environment makes regions that valgrind has room for, and that need no faults
 * below stack pointers, which valgrind takes for stacks that grow. */
static uint32_t slots = SLOTS;

static lucet_region *region, *small_stacks;
static lucet_module *module, *pages, *data;
static lucet_module_ref *ref;
static lucet_func touch, grow, touch_pages, touch_data, empty, add, hosts, forever, bulk;
static lucet_func unreachable, divide, indirect, out_of_bounds, recurse;
static lucet_instance *kept, *yielder, *limited;

static void check(lucet_status status, const char *what)
{
    if (status != LUCET_STATUS_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, lucet_status_name(status), lucet_last_error());
        exit(1);
    }
}

static void expect(const lucet_outcome *outcome, lucet_outcome_kind kind, const char *what)
{
    if (outcome->kind != kind) {
        fprintf(stderr, "%s: %s\n", what, lucet_outcome_name(outcome->kind));
        exit(1);
    }
}

/* ---- the guest's imports --------------------------------------------------------------------- */

static volatile int32_t running;

static int32_t host(lucet_vmctx *ctx, void *user_data, int32_t value)
{
    (void)ctx, (void)user_data;
    if (value == 0) {
        running = 1;
    }
    return value + 1;
}

static int32_t yield(lucet_vmctx *ctx, void *user_data, int32_t value)
{
    (void)user_data;
    check(lucet_vmctx_yield(ctx, (uint64_t)value, NULL, NULL), "yield");
    return 0;
}

/* ---- fresh instances ------------------------------------------------------------------------- */

static inline double fresh(long n, lucet_module *of, lucet_func f, uint64_t limit)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        lucet_instance *instance;
        lucet_outcome outcome;
        check(lucet_instance_create(region, of, &instance), "create");
        if (limit > 0) {
            check(lucet_instance_set_time_limit(instance, limit), "limit");
        }
        check(lucet_instance_run_func(instance, f, NULL, 0, NULL, 0, &outcome), "run");
        expect(&outcome, LUCET_OUTCOME_RETURNED, "run");
        check(lucet_instance_free(instance), "free");
    }
    return bench_now() - begin;
}

/* The same of whatever module a reference names at the moment. */
static double fresh_ref(long n)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        lucet_instance *instance;
        lucet_outcome outcome;
        lucet_func f;
        check(lucet_module_ref_instantiate(ref, region, &f, 1, NULL, &instance), "create");
        check(lucet_instance_run_func(instance, f, NULL, 0, NULL, 0, &outcome), "run");
        expect(&outcome, LUCET_OUTCOME_RETURNED, "run");
        check(lucet_instance_free(instance), "free");
    }
    return bench_now() - begin;
}

static double fresh_touch(long n) { return fresh(n, module, touch, 0); }
static double fresh_limit(long n) { return fresh(n, module, touch, 1000000000); }
static double fresh_grow(long n) { return fresh(n, module, grow, 0); }
static double fresh_pages(long n) { return fresh(n, pages, touch_pages, 0); }
static double fresh_data(long n) { return fresh(n, data, touch_data, 0); }
static double fresh_threads(long n) { return bench_two_threads(fresh_touch, n); }
static double fresh_processes(long n) { return bench_two_processes(fresh_touch, n); }

/* ---- calls ----------------------------------------------------------------------------------- */

static inline double calls(long n, lucet_instance *instance)
{
    lucet_outcome outcome;
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        check(lucet_instance_run_func(instance, empty, NULL, 0, NULL, 0, &outcome), "call");
    }
    return bench_now() - begin;
}

static double call(long n) { return calls(n, kept); }
static double call_limited(long n) { return calls(n, limited); }

static double call_add(long n)
{
    lucet_val args[2] = {{.of.i32 = 0, .type = LUCET_VAL_I32},
                         {.of.i32 = 1, .type = LUCET_VAL_I32}};
    lucet_val sum;
    lucet_outcome outcome;
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        args[0].of.i32 = (int32_t)i;
        check(lucet_instance_run_func(kept, add, args, 2, &sum, 1, &outcome), "add");
    }
    double time = bench_now() - begin;
    if (sum.of.i32 != (int32_t)n) {
        fprintf(stderr, "add: wrong sum\n");
        exit(1);
    }
    return time;
}

static double call_name(long n)
{
    lucet_outcome outcome;
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        check(lucet_instance_run(kept, "empty", NULL, 0, NULL, 0, &outcome), "call");
    }
    return bench_now() - begin;
}

static double host_call(long n)
{
    lucet_val arg = {.of.i32 = (int32_t)n, .type = LUCET_VAL_I32};
    lucet_outcome outcome;
    double begin = bench_now();
    check(lucet_instance_run_func(kept, hosts, &arg, 1, NULL, 0, &outcome), "hosts");
    return bench_now() - begin;
}

static double yield_resume(long n)
{
    lucet_outcome outcome;
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        check(lucet_instance_resume(yielder, 1, NULL, 0, &outcome), "resume");
    }
    double time = bench_now() - begin;
    expect(&outcome, LUCET_OUTCOME_YIELDED, "resume");
    return time;
}

/* ---- traps ----------------------------------------------------------------------------------- */

typedef struct trap_case {
    const lucet_func *f;
    int32_t arg;
    size_t args, results;
    lucet_trap_code code;
} trap_case;

static const trap_case UNREACHABLE = {&unreachable, 0, 0, 0, LUCET_TRAP_UNREACHABLE};
static const trap_case DIVIDE = {&divide, 0, 1, 1, LUCET_TRAP_INTEGER_DIVISION_BY_ZERO};
static const trap_case INDIRECT = {&indirect, 1, 1, 0, LUCET_TRAP_INDIRECT_CALL_TO_NULL};
static const trap_case BOUNDS = {&out_of_bounds, -5, 1, 1, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS};
static const trap_case OVERFLOW = {&recurse, 0, 1, 1, LUCET_TRAP_STACK_OVERFLOW};

static inline void trap_once(lucet_instance *instance, const trap_case *t)
{
    lucet_val arg = {.of.i32 = t->arg, .type = LUCET_VAL_I32}, result;
    lucet_outcome outcome;
    check(lucet_instance_run_func(instance, *t->f, &arg, t->args, &result, t->results, &outcome),
          "trap");
    if (outcome.kind != LUCET_OUTCOME_TRAPPED || outcome.trap_code != t->code) {
        fprintf(stderr, "%s: %s\n", lucet_outcome_name(outcome.kind),
                lucet_trap_name(outcome.trap_code));
        exit(1);
    }
}

/* The call that traps, and nothing else: instances are made before and freed after. */
static double traps(long n, lucet_region *in, const trap_case *t)
{
    lucet_instance *batch[BATCH];
    double time = 0;
    long most = slots / 2;
    for (long done = 0; done < n; done += most) {
        long now = n - done < most ? n - done : most;
        for (long i = 0; i < now; i++) {
            check(lucet_instance_create(in, module, &batch[i]), "create");
        }
        double begin = bench_now();
        for (long i = 0; i < now; i++) {
            trap_once(batch[i], t);
        }
        time += bench_now() - begin;
        for (long i = 0; i < now; i++) {
            check(lucet_instance_free(batch[i]), "free");
        }
    }
    return time;
}

static double fresh_trap(long n, const trap_case *t)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        lucet_instance *instance;
        check(lucet_instance_create(region, module, &instance), "create");
        trap_once(instance, t);
        check(lucet_instance_free(instance), "free");
    }
    return bench_now() - begin;
}

static double trap_unreachable(long n) { return traps(n, region, &UNREACHABLE); }
static double trap_divide(long n) { return traps(n, region, &DIVIDE); }
static double trap_indirect(long n) { return traps(n, region, &INDIRECT); }
static double trap_bounds(long n) { return traps(n, region, &BOUNDS); }

/* The recursion is part of it; small stacks keep that part small. */
static double trap_overflow(long n)
{
    if (!small_stacks) {
        lucet_region_config *settings = lucet_region_config_create();
        check(lucet_region_config_set_slots(settings, slots), "slots");
        check(lucet_region_config_set_stack_bytes(settings, 16 << 10), "stacks");
        /* A stack also gets what a module leaves over of the room for instance data. */
        check(lucet_region_config_set_max_instance_data(settings, 4096), "stacks");
        check(lucet_region_create(settings, &small_stacks), "region");
        lucet_region_config_free(settings);
    }
    return traps(n, small_stacks, &OVERFLOW);
}

static double fresh_trap_unreachable(long n) { return fresh_trap(n, &UNREACHABLE); }
static double fresh_trap_bounds(long n) { return fresh_trap(n, &BOUNDS); }
static double fresh_trap_overflow(long n) { return fresh_trap(n, &OVERFLOW); }

/* ---- terminate ------------------------------------------------------------------------------- */

static lucet_instance *endless;
static const lucet_func *endless_func;
static volatile double returned;
static volatile bool lost;

static void *run_forever(void *unused)
{
    lucet_outcome outcome;
    long before = bench_preempted();
    check(lucet_instance_run_func(endless, *endless_func, NULL, 0, NULL, 0, &outcome), "endless");
    returned = bench_wall();
    lost = bench_preempted() > before;
    expect(&outcome, LUCET_OUTCOME_TERMINATED, "forever");
    return unused;
}

/* One termination: from the call of terminate on one thread to control back on the other. */
static double terminate(void)
{
    pthread_t thread;
    check(lucet_instance_create(region, module, &endless), "create");
    running = 0;
    if (pthread_create(&thread, NULL, run_forever, NULL) != 0) {
        exit(1);
    }
    while (!running) {
    }
    long before = bench_preempted();
    double begin = bench_wall();
    check(lucet_instance_terminate(endless), "terminate");
    bool also_lost = bench_preempted() > before;
    pthread_join(thread, NULL);
    check(lucet_instance_free(endless), "free");
    lost = lost || also_lost;
    return returned - begin;
}

/* The time at `place` of `n`, of those during which neither thread lost its processor. */
static double terminations(long n, double place, const lucet_func *of)
{
    endless_func = of;
    double *times = calloc((size_t)n, sizeof *times);
    long kept_times = 0;
    for (long tries = 0; times && tries < 4 * n && kept_times < n; tries++) {
        double time = terminate();
        if (!lost) {
            times[kept_times++] = time;
        }
    }
    bench_disturbed = kept_times < n;
    double at = 0;
    if (times && kept_times > 0) {
        qsort(times, (size_t)kept_times, sizeof *times, bench_ascending);
        at = times[(long)((double)(kept_times - 1) * place)] * (double)n;
    }
    free(times);
    return at;
}

static double terminate_p50(long n) { return terminations(n, 0.5, &forever); }
static double terminate_p99(long n) { return terminations(n, 0.99, &forever); }
static double terminate_bulk(long n) { return terminations(n, 0.99, &bulk); }

/* ---- counts: the answers are no times -------------------------------------------------------- */

static double faults(long n)
{
    struct rusage before, after;
    fresh_touch(100);
    getrusage(RUSAGE_SELF, &before);
    fresh_touch(n);
    getrusage(RUSAGE_SELF, &after);
    return (double)(after.ru_minflt - before.ru_minflt + after.ru_majflt - before.ru_majflt);
}

/* ---- floors ---------------------------------------------------------------------------------- */

static double floor_memcpy(long n)
{
    static char from[65536], to[65536];
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        memcpy(to, from, sizeof to);
        __asm__ volatile("" : : "r"(from), "r"(to) : "memory");
    }
    return bench_now() - begin;
}

static double floor_getppid(long n)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        (void)getppid();
    }
    return bench_now() - begin;
}

static double floor_loop(long n)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        __asm__ volatile("");
    }
    return bench_now() - begin;
}

/* ---------------------------------------------------------------------------------------------- */

static const bench_row ROWS[] = {
    {"fresh instance, 1 page", fresh_touch},
    {"fresh instance, 1 page, time limit", fresh_limit},
    {"fresh instance, 1 page, through a reference", fresh_ref},
    {"fresh instance, grows by a page", fresh_grow},
    {"fresh instance, 64 pages", fresh_pages},
    {"fresh instance, 60 KiB of data", fresh_data},
    {"fresh instance, two threads", fresh_threads},
    {"fresh instance, two processes", fresh_processes},
    {"call, pre-resolved", call},
    {"call, pre-resolved, time limit", call_limited},
    {"call, two arguments and a result", call_add},
    {"call by name", call_name},
    {"host function call", host_call},
    {"yield and resume", yield_resume},
    {"trap: unreachable", trap_unreachable},
    {"trap: division", trap_divide},
    {"trap: indirect call", trap_indirect},
    {"trap: memory out of bounds", trap_bounds},
    {"trap: stack overflow, 16 KiB stack", trap_overflow},
    {"fresh instance, trap: unreachable", fresh_trap_unreachable},
    {"fresh instance, trap: memory out of bounds", fresh_trap_bounds},
    {"fresh instance, trap: stack overflow, 256 KiB", fresh_trap_overflow},
    {"terminate, p50", terminate_p50},
    {"terminate, p99", terminate_p99},
    {"terminate in memory.fill of 2 GiB, p99", terminate_bulk},
    {"count: page faults, fresh instance", faults},
    {"floor: memcpy 64 KiB", floor_memcpy},
    {"floor: getppid", floor_getppid},
    {"floor: empty loop", floor_loop},
};

static lucet_func find(lucet_module *in, const char *name)
{
    lucet_func f;
    check(lucet_module_find(in, name, NULL, &f), name);
    return f;
}

static void find_all(void)
{
    touch = find(module, "touch");
    grow = find(module, "grow");
    touch_pages = find(pages, "touch");
    touch_data = find(data, "touch");
    empty = find(module, "empty");
    add = find(module, "add");
    hosts = find(module, "hosts");
    forever = find(module, "forever");
    bulk = find(module, "bulk");
    unreachable = find(module, "unreachable");
    divide = find(module, "divide");
    indirect = find(module, "indirect");
    out_of_bounds = find(module, "out_of_bounds");
    recurse = find(module, "recurse");
}

static void prepare(char **files)
{
    if (!files[0] || !files[1] || !files[2]) {
        fprintf(stderr, "three artifacts are wanted: hot.so pages.so data.so\n");
        exit(2);
    }
    lucet_module_config *config = lucet_module_config_create();
    check(lucet_module_config_allow_unsigned(config, true), "config");
    check(lucet_module_config_add_function(config, "env", "host", "(i32) -> i32",
                                           (lucet_host_fn)host, NULL),
          "host");
    check(lucet_module_config_add_function(config, "env", "yield", "(i32) -> i32",
                                           (lucet_host_fn)yield, NULL),
          "yield");
    check(lucet_module_load_file(files[0], config, &module), files[0]);
    check(lucet_module_load_file(files[1], config, &pages), files[1]);
    check(lucet_module_load_file(files[2], config, &data), files[2]);
    lucet_module_config_free(config);
    find_all();

    slots = getenv("HOT_SLOTS") ? (uint32_t)atoi(getenv("HOT_SLOTS")) : slots;
    slots = slots < 5 || slots > SLOTS ? SLOTS : slots;
    lucet_region_config *settings = lucet_region_config_create();
    check(lucet_region_config_set_slots(settings, slots), "slots");
    check(lucet_region_config_set_first_touch(settings, slots == SLOTS), "first touch");
    check(lucet_region_create(settings, &region), "region");
    lucet_region_config_free(settings);

    check(lucet_module_ref_create(&ref), "reference");
    check(lucet_module_ref_require(ref, "touch", "() -> ()"), "touch");
    check(lucet_module_ref_publish(ref, module), "publish");
    check(lucet_instance_create(region, module, &kept), "create");
    check(lucet_instance_create(region, module, &limited), "create");
    check(lucet_instance_set_time_limit(limited, 3600000000000), "limit");
    check(lucet_instance_create(region, module, &yielder), "create");
    lucet_outcome outcome;
    check(lucet_instance_run_func(yielder, find(module, "yields"), NULL, 0, NULL, 0, &outcome),
          "yields");
    expect(&outcome, LUCET_OUTCOME_YIELDED, "yields");
}

int main(int argc, char **argv)
{
    (void)argc;
    return bench_main(argv, prepare, ROWS, sizeof ROWS / sizeof *ROWS);
}
