/*
 * The library, loaded and closed again and again: it stays, with its handlers, its threads and what
 * was made with it.   reopen LIBRARY ARTIFACT TIMES
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <lucet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("line %d: %s\n", __LINE__, #condition);                                         \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

/* A function of the library, for the type of the one that the header declares. */
#define FIND(library, name) ((__typeof__(&name))(uintptr_t)dlsym(library, #name))

static double note(lucet_vmctx *ctx, void *user_data, int32_t a, int64_t b, float c, double d)
{
    (void)ctx, (void)user_data, (void)a, (void)b, (void)c;
    return d;
}

static long mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    long n = 0;

    for (int c; f != NULL && (c = fgetc(f)) != EOF;) {
        n += c == '\n';
    }
    if (f != NULL) {
        fclose(f);
    }
    return n;
}

static int count(struct dl_phdr_info *info, size_t size, void *n)
{
    (void)size;
    *(int *)n += strstr(info->dlpi_name, "liblucet.so") != NULL;
    return 0;
}

/* How often the dynamic linker has it. */
static int loaded(void)
{
    int n = 0;

    dl_iterate_phdr(count, &n);
    return n;
}

static lucet_instance *instance;

static void start(void *library, const char *artifact)
{
    lucet_module_config *c = FIND(library, lucet_module_config_create)();
    lucet_region *region;
    lucet_module *module;
    const char *names[] = {"note", "wait", "pair", "again", "end"};
    const char *types[] = {"(i32, i64, f32, f64) -> f64", "(i32) -> i32", "(i32) -> (i32, i64)",
                           "(i32) -> i32", "(i32) -> ()"};

    CHECK(FIND(library, lucet_module_config_allow_unsigned)(c, true) == LUCET_STATUS_OK);
    for (int k = 0; k < 5; k++) {
        CHECK(FIND(library, lucet_module_config_add_function)(c, "env", names[k], types[k],
                                                              (lucet_host_fn)note, NULL) ==
              LUCET_STATUS_OK);
    }
    CHECK(FIND(library, lucet_module_load_file)(artifact, c, &module) == LUCET_STATUS_OK);
    CHECK(FIND(library, lucet_region_create)(NULL, &region) == LUCET_STATUS_OK);
    CHECK(FIND(library, lucet_instance_create)(region, module, &instance) == LUCET_STATUS_OK);
    FIND(library, lucet_module_config_free)(c);
}

/* A trap by a signal, and a run that the library's own thread ends. */
static void use(void *library)
{
    lucet_outcome outcome;
    lucet_val v;

    CHECK(FIND(library, lucet_instance_run)(instance, "load", NULL, 0, &v, 1, &outcome) ==
              LUCET_STATUS_OK &&
          outcome.kind == LUCET_OUTCOME_TRAPPED);
    CHECK(FIND(library, lucet_instance_reset)(instance) == LUCET_STATUS_OK);
    CHECK(FIND(library, lucet_instance_set_time_limit)(instance, 1000000) == LUCET_STATUS_OK);
    CHECK(FIND(library, lucet_instance_run)(instance, "spin", NULL, 0, NULL, 0, &outcome) ==
              LUCET_STATUS_OK &&
          outcome.kind == LUCET_OUTCOME_TIMED_OUT);
    CHECK(FIND(library, lucet_instance_reset)(instance) == LUCET_STATUS_OK);
}

int main(int argc, char **argv)
{
    long times = argc == 4 ? strtol(argv[3], NULL, 10) : 0, before = 0;

    for (long k = 0; k < times; k++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);

        if (library == NULL) {
            printf("%s\n", dlerror());
            return 1;
        }
        if (k == 0) {
            start(library, argv[2]);
            use(library);
            before = mappings();
        } else if (k % 100 == 0) {
            use(library);
        }
        CHECK(dlclose(library) == 0);
        CHECK(loaded() == 1);
        if (failures > 10) {
            return 1;
        }
    }
    CHECK(before > 0 && mappings() == before);
    printf("loaded and closed %ld times, %d failures\n", times, failures);
    return failures == 0 ? 0 : 1;
}
