/*
 * The speed of compiled code in lucet, with and without a time limit, and what loading an artifact
 * costs. See worker.h for how it is run.
 *
 *   code kernels.so ARTIFACT... --rows | --serve
 */
#include "kernels.h"
#include <lucet.h>
#include <sys/stat.h>

enum { ARTIFACTS = 3 };

static lucet_func kernels[KERNEL_COUNT];
static lucet_instance *plain, *limited;
static lucet_module_config *config;

/* What is loaded: artifacts in memory, as a server that gets them over the network has them. */
static struct {
    char *bytes;
    size_t len;
} artifacts[ARTIFACTS];

static void check(lucet_status status, const char *what)
{
    if (status != LUCET_STATUS_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, lucet_status_name(status), lucet_last_error());
        exit(1);
    }
}

static uint32_t kernel_in(lucet_instance *instance, enum kernel_id which, uint32_t rounds)
{
    lucet_val arg = {.of.i32 = (int32_t)rounds, .type = LUCET_VAL_I32}, sum;
    lucet_outcome outcome;
    check(lucet_instance_run_func(instance, kernels[which], &arg, 1, &sum, 1, &outcome), "kernel");
    if (outcome.kind != LUCET_OUTCOME_RETURNED) {
        fprintf(stderr, "kernel: %s\n", lucet_outcome_name(outcome.kind));
        exit(1);
    }
    return (uint32_t)sum.of.i32;
}

static uint32_t kernel(enum kernel_id which, uint32_t rounds)
{
    return kernel_in(plain, which, rounds);
}

static double limited_timed(enum kernel_id which, long n)
{
    double begin = bench_now();
    kernel_in(limited, which, (uint32_t)n);
    return bench_now() - begin;
}

#define LIMITED_RUN(name)                                                                          \
    static double limited_##name(long n) { return limited_timed(KERNEL_##name, n); }
#define LIMITED_ROW(name) {"kernel " #name ", time limit", limited_##name},

KERNELS(KERNEL_RUN)
KERNELS(LIMITED_RUN)

static double load(long n, size_t which)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        lucet_module *module;
        check(lucet_module_load_bytes(artifacts[which].bytes, artifacts[which].len, config,
                                      &module),
              "load");
        check(lucet_module_free(module), "free");
    }
    return bench_now() - begin;
}

static double load_small(long n) { return load(n, 1); }
static double load_large(long n) { return load(n, 2); }
static double size_kernels(long n) { return (void)n, (double)artifacts[0].len; }
static double size_small(long n) { return (void)n, (double)artifacts[1].len; }
static double size_large(long n) { return (void)n, (double)artifacts[2].len; }

static const bench_row ROWS[] = {
    KERNELS(KERNEL_ROWS)
    KERNELS(LIMITED_ROW)
    {"load hot.wasm", load_small},
    {"load large.wasm", load_large},
    {"size of kernels.wasm", size_kernels},
    {"size of hot.wasm", size_small},
    {"size of large.wasm", size_large},
};

static void read_file(const char *path, size_t which)
{
    struct stat st;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &st) != 0) {
        perror(path);
        exit(1);
    }
    artifacts[which].len = (size_t)st.st_size;
    artifacts[which].bytes = malloc(artifacts[which].len);
    if (!artifacts[which].bytes ||
        fread(artifacts[which].bytes, 1, artifacts[which].len, file) != artifacts[which].len) {
        perror(path);
        exit(1);
    }
    fclose(file);
}

static int32_t host(lucet_vmctx *ctx, void *user_data, int32_t value)
{
    (void)ctx, (void)user_data;
    return value;
}

static void prepare(char **files)
{
#define KERNEL_NAME(name) "kernel_" #name,
    static const char *const NAMES[] = {KERNELS(KERNEL_NAME)};
    lucet_region *region;
    lucet_module *module;
    for (size_t i = 0; i < ARTIFACTS; i++) {
        if (!files[i]) {
            fprintf(stderr, "three artifacts are wanted: kernels.so hot.so large.so\n");
            exit(2);
        }
        read_file(files[i], i);
    }
    config = lucet_module_config_create();
    check(lucet_module_config_allow_unsigned(config, true), "config");
    static const char *const IMPORTS[] = {"host", "yield"};
    for (size_t i = 0; i < 2; i++) {
        check(lucet_module_config_add_function(config, "env", IMPORTS[i], "(i32) -> i32",
                                               (lucet_host_fn)host, NULL),
              IMPORTS[i]);
    }
    check(lucet_module_load_file(files[0], config, &module), files[0]);
    check(lucet_region_create(NULL, &region), "region");
    check(lucet_instance_create(region, module, &plain), "create");
    check(lucet_instance_create(region, module, &limited), "create");
    check(lucet_instance_set_time_limit(limited, 3600000000000), "limit");
    for (size_t i = 0; i < KERNEL_COUNT; i++) {
        check(lucet_module_find(module, NAMES[i], "(i32) -> i32", &kernels[i]), NAMES[i]);
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    return bench_main(argv, prepare, ROWS, sizeof ROWS / sizeof *ROWS);
}
