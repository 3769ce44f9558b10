/*
 * What a fresh instance of a WASI program costs: context, instance, `_start`, drop. See worker.h
 * for how it is run.
 *
 *   wasi hello.so --rows | --serve
 */
#include "worker.h"
#include <lucet_wasi.h>

static lucet_region *region;
static lucet_module *discarding, *capturing;
static lucet_func start[2];

static void check(lucet_status status, const char *what)
{
    if (status != LUCET_STATUS_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, lucet_status_name(status), lucet_last_error());
        exit(1);
    }
}

static double fresh(long n, lucet_module *module, lucet_func f, bool look)
{
    char text[64];
    size_t len = 0;
    double begin = bench_now();

    for (long i = 0; i < n; i++) {
        lucet_instance *instance;
        lucet_outcome outcome;
        check(lucet_instance_create(region, module, &instance), "create");
        check(lucet_instance_run_func(instance, f, NULL, 0, NULL, 0, &outcome), "run");
        if (lucet_wasi_exit_code(&outcome) != 0) {
            fprintf(stderr, "hello: %s\n", lucet_outcome_name(outcome.kind));
            exit(1);
        }
        if (look) {
            check(lucet_instance_wasi_output(instance, LUCET_WASI_STDOUT, 0, text, sizeof text,
                                             &len),
                  "output");
        }
        check(lucet_instance_free(instance), "free");
    }
    if (look && (len != 14 || memcmp(text, "Hello, world!\n", len) != 0)) {
        fprintf(stderr, "hello wrote %zu bytes\n", len);
        exit(1);
    }
    return bench_now() - begin;
}

static double discarded(long n) { return fresh(n, discarding, start[0], false); }
static double captured(long n) { return fresh(n, capturing, start[1], true); }

static const bench_row ROWS[] = {
    {"WASI hello, fresh instance", discarded},
    {"WASI hello, fresh instance, output captured", captured},
};

static lucet_module *load(const char *path, bool capture, lucet_func *f)
{
    lucet_wasi_config *what = lucet_wasi_config_create();
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *module;
    lucet_wasi *wasi;

    check(lucet_wasi_config_add_arg(what, "hello"), "argument");
    if (capture) {
        check(lucet_wasi_config_capture(what, LUCET_WASI_STDOUT), "capture");
    }
    check(lucet_wasi_create(what, &wasi), "wasi");
    check(lucet_module_config_allow_unsigned(config, true), "config");
    check(lucet_module_config_set_wasi(config, wasi), "config");
    check(lucet_module_load_file(path, config, &module), path);
    check(lucet_module_find(module, "_start", "() -> ()", f), "_start");
    check(lucet_wasi_free(wasi), "free");
    lucet_module_config_free(config);
    lucet_wasi_config_free(what);
    return module;
}

static void prepare(char **files)
{
    if (!files[0]) {
        fprintf(stderr, "an artifact is wanted: hello.so\n");
        exit(2);
    }
    discarding = load(files[0], false, &start[0]);
    capturing = load(files[0], true, &start[1]);
    check(lucet_region_create(NULL, &region), "region");
}

int main(int argc, char **argv)
{
    (void)argc;
    return bench_main(argv, prepare, ROWS, sizeof ROWS / sizeof *ROWS);
}
