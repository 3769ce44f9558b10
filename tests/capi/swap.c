/*
 * References to modules: what is published, what is refused, and what happens to callers when a
 * reference goes meanwhile.   swap ONE TWO LACKING NOT-AN-ARTIFACT
 *
 * ONE and TWO export "answer", which returns 1 and 2, at different places.
 */
#define _DEFAULT_SOURCE
#include "env.h"
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4 };

static lucet_module_config *config;
static lucet_region *region;

static int32_t answer(lucet_instance *i, lucet_func f)
{
    lucet_outcome outcome;
    lucet_val v = {.type = 0};

    CHECK(lucet_instance_run_func(i, f, NULL, 0, &v, 1, &outcome) == LUCET_STATUS_OK);
    return v.of.i32;
}

static lucet_module_ref *reference(void)
{
    lucet_module_ref *ref = NULL;

    OK(lucet_module_ref_create(&ref));
    OK(lucet_module_ref_require(ref, "answer", "() -> i32"));
    return ref;
}

/* One request: which version answered what. */
static void expect(lucet_module_ref *ref, uint64_t version, int32_t wanted)
{
    lucet_instance *i;
    lucet_func f;
    uint64_t of = 0;

    OK(lucet_module_ref_instantiate(ref, region, &f, 1, &of, &i));
    CHECK(of == version && answer(i, f) == wanted);
    OK(lucet_instance_free(i));
    OK(lucet_module_ref_instantiate(ref, region, &f, 1, NULL, &i));
    CHECK(answer(i, f) == wanted);
    OK(lucet_instance_free(i));
}

static void publishes(char **files)
{
    lucet_module_ref *ref = reference();
    lucet_module *module, *current;
    lucet_instance *i;
    lucet_func f, g;
    uint64_t version;

    FAILS(lucet_module_ref_instantiate(ref, region, &f, 1, &version, &i), LUCET_STATUS_WRONG_STATE,
          "nothing was published");
    CHECK(i == NULL && version == 0);
    OK(lucet_module_ref_current(ref, &current, &version));
    CHECK(current == NULL && version == 0);
    FAILS(lucet_module_ref_load_file(ref, files[4], config), LUCET_STATUS_NOT_AN_ARTIFACT,
          "not published, and nothing was");
    OK(lucet_module_ref_load_file(ref, files[1], config));
    expect(ref, 1, 1);
    FAILS(lucet_module_ref_load_file(ref, files[4], config), LUCET_STATUS_NOT_AN_ARTIFACT,
          "version 1 stays");
    FAILS(lucet_module_ref_load_file(ref, files[3], config), LUCET_STATUS_NO_SUCH_EXPORT,
          "version 1 stays");
    FAILS(lucet_module_ref_load_file(ref, files[2], NULL), LUCET_STATUS_UNTRUSTED_ARTIFACT,
          "version 1 stays");
    expect(ref, 1, 1);

    /* An instance stays of its version. */
    OK(lucet_module_ref_instantiate(ref, region, &f, 1, NULL, &i));
    OK(lucet_module_load_file(files[2], config, &module));
    OK(lucet_module_ref_publish(ref, module));
    OK(lucet_module_free(module));
    expect(ref, 2, 2);
    CHECK(answer(i, f) == 1);
    OK(lucet_instance_free(i));

    /* What is published, as a module like any other. */
    OK(lucet_module_ref_current(ref, &current, &version));
    CHECK(version == 2);
    OK(lucet_module_find(current, "answer", "() -> i32", &g));
    OK(lucet_module_ref_publish(ref, NULL));
    FAILS(lucet_module_ref_instantiate(ref, region, &f, 1, &version, &i), LUCET_STATUS_WRONG_STATE,
          "withdrawn");
    OK(lucet_instance_create(region, current, &i));
    CHECK(answer(i, g) == 2);
    OK(lucet_instance_free(i));
    OK(lucet_module_ref_publish(ref, current));
    OK(lucet_module_free(current));
    expect(ref, 4, 2);
    OK(lucet_module_ref_current(ref, NULL, NULL));
    OK(lucet_module_ref_free(ref));
}

static void mistakes(char **files)
{
    const lucet_status null = LUCET_STATUS_NULL_ARGUMENT, invalid = LUCET_STATUS_INVALID_HANDLE;
    lucet_module_ref *ref = reference();
    lucet_module *module;
    lucet_instance *i;
    lucet_func f[2];
    uint64_t version;

    OK(lucet_module_load_file(files[1], config, &module));
    FAILS(lucet_module_ref_create(NULL), null, "out");
    FAILS(lucet_module_ref_require(NULL, "a", NULL), null, "ref");
    FAILS(lucet_module_ref_require(ref, NULL, NULL), null, "name");
    FAILS(lucet_module_ref_require(ref, "\xff", NULL), LUCET_STATUS_INVALID_ARGUMENT, "UTF-8");
    FAILS(lucet_module_ref_require(ref, "a", "i32"), LUCET_STATUS_INVALID_ARGUMENT, "signature");
    FAILS(lucet_module_ref_require(ref, "answer", NULL), LUCET_STATUS_INVALID_ARGUMENT, "already");
    FAILS(lucet_module_ref_publish(NULL, module), null, "ref");
    FAILS(lucet_module_ref_publish(ref, (lucet_module *)(void *)ref), invalid,
          "is a lucet_module_ref handle; a lucet_module was expected");
    FAILS(lucet_module_ref_publish((lucet_module_ref *)(void *)module, module), invalid,
          "is a lucet_module handle; a lucet_module_ref was expected");
    FAILS(lucet_module_ref_load_file(ref, NULL, config), null, "path");
    FAILS(lucet_module_ref_load_file(ref, "", config), LUCET_STATUS_INVALID_ARGUMENT, "path");
    FAILS(lucet_module_ref_load_file(ref, files[1], (lucet_module_config *)(void *)ref), invalid,
          "config");
    FAILS(lucet_module_ref_load_file(NULL, files[1], config), null, "ref");
    OK(lucet_module_ref_publish(ref, module));
    FAILS(lucet_module_ref_require(ref, "a", NULL), LUCET_STATUS_WRONG_STATE, "before");
    /* With and without an idle instance of the module. */
    for (int n = 0; n < 2; n++) {
        FAILS(lucet_module_ref_instantiate(ref, region, f, 1, NULL, NULL), null, "out");
        FAILS(lucet_module_ref_instantiate(ref, region, NULL, 1, NULL, &i), null, "funcs");
        FAILS(lucet_module_ref_instantiate(ref, region, f, SIZE_MAX, NULL, &i),
              LUCET_STATUS_INVALID_ARGUMENT, "funcs");
        FAILS(lucet_module_ref_instantiate(ref, NULL, f, 1, NULL, &i), null, "region");
        FAILS(lucet_module_ref_instantiate(NULL, region, f, 1, &version, &i), null, "ref");
        FAILS(lucet_module_ref_instantiate((lucet_module_ref *)(void *)region, region, f, 1, NULL,
                                           &i),
              invalid, "is a lucet_region handle");
        FAILS(lucet_module_ref_instantiate(ref, region, f, 2, NULL, &i),
              LUCET_STATUS_INVALID_ARGUMENT, "room for 2 functions, but 1 are required");
        FAILS(lucet_module_ref_instantiate(ref, region, NULL, 0, NULL, &i),
              LUCET_STATUS_INVALID_ARGUMENT, "room for 0");
        CHECK(i == NULL);
        expect(ref, 1, 1);
    }
    FAILS(lucet_module_ref_current(NULL, NULL, NULL), null, "ref");
    FAILS(lucet_module_ref_free(NULL), null, "ref");
    FAILS(lucet_module_free((lucet_module *)(void *)ref), invalid, "lucet_module_ref handle");
    OK(lucet_module_ref_free(ref));
    FAILS(lucet_module_ref_free(ref), invalid, "freed");
    FAILS(lucet_module_ref_publish(ref, module), invalid, "freed");
    FAILS(lucet_module_ref_require(ref, "a", NULL), invalid, "freed");
    FAILS(lucet_module_ref_current(ref, NULL, &version), invalid, "freed");
    FAILS(lucet_module_ref_instantiate(ref, region, f, 1, &version, &i), invalid, "freed");
    FAILS(lucet_module_ref_load_file(ref, files[1], config), invalid, "freed");
    OK(lucet_module_free(module));
}

/* ---- a reference that goes while others use it ----------------------------------------------- */

static _Atomic(lucet_module_ref *) shared;
static atomic_long served, refused;
static atomic_bool over;

static void *requests(void *unused)
{
    while (!atomic_load(&over)) {
        lucet_instance *i;
        lucet_func f;
        uint64_t version;
        lucet_status status = lucet_module_ref_instantiate(atomic_load(&shared), region, &f, 1,
                                                           &version, &i);
        if (status == LUCET_STATUS_OK) {
            int32_t got = answer(i, f);
            CHECK(got == (version % 2 == 1 ? 1 : 2));
            OK(lucet_instance_free(i));
            atomic_fetch_add(&served, 1);
        } else {
            /* Freed, or new and nothing was published yet: see `goes`. */
            CHECK(status == LUCET_STATUS_INVALID_HANDLE || status == LUCET_STATUS_WRONG_STATE);
            CHECK(i == NULL && version == 0);
            atomic_fetch_add(&refused, 1);
        }
    }
    return unused;
}

static void goes(char **files)
{
    pthread_t threads[THREADS];
    lucet_module *modules[2];

    OK(lucet_module_load_file(files[1], config, &modules[0]));
    OK(lucet_module_load_file(files[2], config, &modules[1]));
    atomic_store(&shared, reference());
    for (int n = 0; n < THREADS; n++) {
        CHECK(pthread_create(&threads[n], NULL, requests, NULL) == 0);
    }
    for (int n = 0; n < 300; n++) {
        lucet_module_ref *ref = atomic_load(&shared);
        for (int k = 0; k < 5; k++) {
            long before = atomic_load(&served);
            OK(lucet_module_ref_publish(ref, modules[k % 2]));
            while (atomic_load(&served) < before + 3) {
                sched_yield();
            }
        }
        long before = atomic_load(&refused);
        OK(lucet_module_ref_free(ref));
        while (n % 2 == 0 && atomic_load(&refused) < before + 1) {
            sched_yield();
        }
        atomic_store(&shared, reference());
    }
    atomic_store(&over, true);
    for (int n = 0; n < THREADS; n++) {
        pthread_join(threads[n], NULL);
    }
    CHECK(atomic_load(&refused) >= 150);
    OK(lucet_module_ref_free(atomic_load(&shared)));
    OK(lucet_module_free(modules[0]));
    OK(lucet_module_free(modules[1]));
}

/* A master creates and publishes; its workers use and replace. */
static void in_worker(char **files)
{
    lucet_module_ref *ref = reference();
    int status;

    OK(lucet_module_ref_load_file(ref, files[1], config));
    for (int n = 0; n < 5; n++) {
        pid_t child;
        fflush(stdout);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            lucet_instance *i;
            lucet_func f;
            FAILS(lucet_module_ref_instantiate(ref, region, &f, 1, NULL, &i), LUCET_STATUS_FORKED,
                  "region");
            OK(lucet_region_free(region));
            OK(lucet_region_create(NULL, &region));
            expect(ref, 1, 1);
            OK(lucet_module_ref_load_file(ref, files[2], config));
            expect(ref, 2, 2);
            OK(lucet_module_ref_free(ref));
            OK(lucet_region_free(region));
            fflush(stdout);
            _exit(failures == 0 ? 0 : 1);
        }
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    expect(ref, 1, 1);
    OK(lucet_module_ref_free(ref));
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        return 2;
    }
    alarm(300); /* Should threads wait for what does not come. */
    config = lucet_module_config_create();
    OK(lucet_module_config_allow_unsigned(config, true));
    OK(lucet_region_create(NULL, &region));
    publishes(argv);
    mistakes(argv);
    in_worker(argv);
    goes(argv);
    OK(lucet_region_free(region));
    lucet_module_config_free(config);
    return failures == 0 ? 0 : 1;
}
