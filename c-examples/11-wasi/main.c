/*
 * Runs a program that knows nothing of Lucet once for each request, each time in an instance of its
 * own:   main words.so
 */
#include "../check.h"
#include <lucet_wasi.h>
#include <string.h>

/* What the program gets, made once for all requests: it has no directory, so it sees no file. */
static lucet_wasi *surroundings(const char *unit)
{
    lucet_wasi_config *config = lucet_wasi_config_create();
    lucet_wasi *wasi;

    check(lucet_wasi_config_add_arg(config, "words"), "argument");
    if (unit != NULL) {
        check(lucet_wasi_config_add_arg(config, unit), "argument");
    }
    check(lucet_wasi_config_capture(config, LUCET_WASI_STDOUT), "stdout");
    check(lucet_wasi_config_capture(config, LUCET_WASI_STDERR), "stderr");
    check(lucet_wasi_config_set_limit(config, LUCET_WASI_LIMIT_OUTPUT_BYTES, 4096), "limit");
    check(lucet_wasi_create(config, &wasi), "wasi");
    lucet_wasi_config_free(config);
    return wasi;
}

static lucet_module *load(const char *path, lucet_wasi *wasi)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *module;

    check(lucet_module_config_allow_unsigned(config, true), "config");
    check(lucet_module_config_set_wasi(config, wasi), "config");
    check(lucet_module_load_file(path, config, &module), "load");
    lucet_module_config_free(config);
    return module;
}

static void show(lucet_instance *instance, const char *name, lucet_wasi_stream stream)
{
    char text[4096];
    size_t len;

    check(lucet_instance_wasi_output(instance, stream, 0, text, sizeof text, &len), "output");
    if (len > 0) {
        printf("  %s: %.*s", name, (int)len, text);
    }
}

/* One request: a fresh instance, its input, its exit code, what it wrote. */
static void answer(lucet_region *region, lucet_module *module, lucet_wasi *own, const char *input)
{
    lucet_instance *instance;
    lucet_outcome outcome;

    check(lucet_instance_create(region, module, &instance), "instance");
    if (own != NULL) {
        check(lucet_instance_set_wasi(instance, own), "own");
    }
    check(lucet_instance_wasi_set_input(instance, input, strlen(input)), "input");
    check(lucet_instance_run(instance, "_start", NULL, 0, NULL, 0, &outcome), "run");
    printf("\"%s\": exit code %d\n", input, (int)lucet_wasi_exit_code(&outcome));
    show(instance, "stdout", LUCET_WASI_STDOUT);
    show(instance, "stderr", LUCET_WASI_STDERR);
    check(lucet_instance_free(instance), "free");
}

int main(int argc, char **argv)
{
    lucet_wasi *wasi = surroundings("words"), *lacking = surroundings(NULL);
    lucet_module *module = argc > 1 ? load(argv[1], wasi) : NULL;
    lucet_region *region;

    usage(argc, 1, "words.so");
    check(lucet_region_create(NULL, &region), "region");
    answer(region, module, NULL, "the quick brown fox");
    answer(region, module, NULL, "one");
    answer(region, module, NULL, " ");
    /* For this one, what the program gets is another thing. */
    answer(region, module, lacking, "five");
    answer(region, module, NULL, "as if nothing had happened");
    check(lucet_region_free(region), "free");
    check(lucet_module_free(module), "free");
    check(lucet_wasi_free(wasi), "free");
    check(lucet_wasi_free(lacking), "free");
    return 0;
}
