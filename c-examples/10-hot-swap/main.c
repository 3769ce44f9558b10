/*
 * A server whose plugin is replaced while its threads serve requests.
 *
 *   main first.so second.so lacking.so
 *
 * The plugin is a file with a name, greeting.so. Each deployment puts another file in its place and
 * has the reference load it; requests that have begun end as they began.
 */
#include "../plugin_host.h"
#include <libgen.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN "greeting.so"
#define REQUEST "hello"

enum { THREADS = 4, DEPLOYMENTS = 200, BETWEEN = 50 };
enum { ALLOC, ON_REQUEST, FUNCTIONS }; /* in the order in which they are required */

/* What a version must answer: the odd ones are first.so, the even ones second.so. */
static const char *const ANSWERS[] = {"second: HELLO", "first: hello"};

static lucet_module_ref *ref;
static lucet_region *region;
static lucet_module_config *config;
static atomic_long requests, across;
static atomic_bool over;

static void ignore(const char *text, size_t len)
{
    (void)text, (void)len;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void *serve(void *unused)
{
    uint64_t last = 0;

    while (!atomic_load(&over)) {
        lucet_instance *instance;
        lucet_func funcs[FUNCTIONS];
        lucet_outcome outcome;
        uint64_t version, now;
        char answer[64];
        size_t len;

        check(lucet_module_ref_instantiate(ref, region, funcs, FUNCTIONS, &version, &instance),
              "instance");
        check(plugin_call(instance, funcs[ALLOC], funcs[ON_REQUEST], REQUEST, strlen(REQUEST),
                          answer, sizeof answer, &len, &outcome),
              "request");
        expect(&outcome, LUCET_OUTCOME_RETURNED, "on_request");
        check(lucet_instance_free(instance), "free");

        const char *right = ANSWERS[version % 2];
        if (len != strlen(right) || memcmp(answer, right, len) != 0 || version < last) {
            fprintf(stderr, "version %llu after %llu answered: %.*s\n",
                    (unsigned long long)version, (unsigned long long)last, (int)len, answer);
            exit(1);
        }
        last = version;
        check(lucet_module_ref_current(ref, NULL, &now), "version");
        atomic_fetch_add(&across, now > version);
        atomic_fetch_add(&requests, 1);
    }
    return unused;
}

/* ---- deployments ----------------------------------------------------------------------------- */

/* Puts a copy of `file` where the plugin is, `flip` of whose bytes is damaged (-1: none). */
static void put(const char *file, long flip)
{
    static char bytes[1 << 20];
    FILE *from = fopen(file, "rb");
    FILE *to = fopen(PLUGIN ".new", "wb");
    if (from == NULL || to == NULL) {
        perror(file);
        exit(1);
    }
    size_t len = fread(bytes, 1, sizeof bytes, from);
    if (flip >= 0) {
        bytes[flip] ^= 1;
    }
    if (fwrite(bytes, 1, len, to) != len || fclose(to) != 0 || fclose(from) != 0 ||
        rename(PLUGIN ".new", PLUGIN) != 0) {
        perror(PLUGIN);
        exit(1);
    }
}

/* Loads what is there now. Whatever it is, requests go on. */
static lucet_status deploy(void)
{
    return lucet_module_ref_load_file(ref, PLUGIN, config);
}

static void refused(const char *what)
{
    lucet_status status = deploy();
    printf("%s\n  %s: %s\n", what, lucet_status_name(status), lucet_last_error());
}

static void wait_for_requests(void)
{
    long before = atomic_load(&requests);
    while (atomic_load(&requests) < before + BETWEEN) {
        sched_yield();
    }
}

int main(int argc, char **argv)
{
    static log_line_fn log_line = ignore;
    pthread_t threads[THREADS];
    uint64_t version;

    usage(argc, 3, "first.so second.so lacking.so");
    if (chdir(dirname(strdup(argv[1]))) != 0) {
        perror(argv[1]);
        return 1;
    }
    config = plugin_config(&log_line);
    check(lucet_region_create(NULL, &region), "region");
    check(lucet_module_ref_create(&ref), "reference");
    check(lucet_module_ref_require(ref, "alloc", "(i32) -> i32"), "alloc");
    check(lucet_module_ref_require(ref, "on_request", "(i32, i32) -> i64"), "on_request");

    put(argv[1], -1);
    check(deploy(), "first version");
    for (int n = 0; n < THREADS; n++) {
        if (pthread_create(&threads[n], NULL, serve, NULL) != 0) {
            return 1;
        }
    }
    wait_for_requests();
    puts("version 1 serves");

    put(argv[2], 1000);
    refused("a damaged version 2:");
    put(argv[3], -1);
    refused("a version 2 that is no such plugin:");
    unlink(PLUGIN);
    refused("no version 2 at all:");
    wait_for_requests();
    check(lucet_module_ref_current(ref, NULL, &version), "version");
    printf("version %llu serves still\n", (unsigned long long)version);

    for (int n = 2; n <= DEPLOYMENTS; n++) {
        put(argv[n % 2 == 1 ? 1 : 2], -1);
        check(deploy(), "deployment");
        wait_for_requests();
    }
    check(lucet_module_ref_current(ref, NULL, &version), "version");
    printf("version %llu serves, after %d deployments under load\n", (unsigned long long)version,
           DEPLOYMENTS);

    atomic_store(&over, true);
    for (int n = 0; n < THREADS; n++) {
        pthread_join(threads[n], NULL);
    }
    printf("each request was answered by one version, and no thread saw one come back\n");
    printf("measured: %ld requests, %ld of which ended when their version had been replaced\n",
           atomic_load(&requests), atomic_load(&across));

    unlink(PLUGIN);
    check(lucet_module_ref_free(ref), "free");
    check(lucet_region_free(region), "free");
    lucet_module_config_free(config);
    return 0;
}
