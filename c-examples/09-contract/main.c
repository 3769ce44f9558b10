/*
 * A host that knows what it wants: artifacts signed by its own key, host functions that it named,
 * compilers that are not too old. What does not keep to that is refused before any of it runs.
 *
 *   main signed-by-us.so signed-by-others.so honest.so curious.so us.pub
 */
#include "../check.h"
#include <string.h>

/* A file in memory, and a NUL behind it. */
typedef struct file {
    char bytes[1 << 16];
    size_t len;
} file;

static void read_file(const char *path, file *f)
{
    FILE *from = fopen(path, "rb");

    if (from == NULL) {
        perror(path);
        exit(1);
    }
    f->len = fread(f->bytes, 1, sizeof f->bytes - 1, from);
    f->bytes[f->len] = '\0';
    fclose(from);
}

static void host_log(lucet_vmctx *ctx, void *user_data, int32_t address, int32_t len)
{
    void *text;

    (void)user_data;
    if (lucet_vmctx_memory_range(ctx, (uint32_t)address, (uint32_t)len, &text) !=
        LUCET_STATUS_OK) {
        lucet_vmctx_trap(ctx, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
        return;
    }
    printf("  the plugin says: %.*s\n", (int)len, (const char *)text);
}

/* What this host offers: the log, and nothing else. */
static lucet_module_config *offers(void)
{
    lucet_module_config *config = lucet_module_config_create();

    check(lucet_module_config_add_function(config, "env", "host_log", "(i32, i32) -> ()",
                                           (lucet_host_fn)host_log, NULL),
          "config");
    return config;
}

/* Loads from memory, so that the messages name no folder. */
static void try(const char *what, const file *f, lucet_module_config *config)
{
    lucet_region *region;
    lucet_instance *instance;
    lucet_outcome outcome;
    lucet_module *module;
    lucet_status status = lucet_module_load_bytes(f->bytes, f->len, config, &module);

    printf("%s: %s\n", what, lucet_status_name(status));
    if (status != LUCET_STATUS_OK) {
        printf("  %s\n", lucet_last_error());
    } else {
        check(lucet_region_create(NULL, &region), "region");
        check(lucet_instance_create(region, module, &instance), "instance");
        check(lucet_instance_run(instance, "serve", NULL, 0, NULL, 0, &outcome), "serve");
        expect(&outcome, LUCET_OUTCOME_RETURNED, "serve");
        check(lucet_instance_free(instance), "free");
        check(lucet_region_free(region), "free");
        check(lucet_module_free(module), "free");
    }
    lucet_module_config_free(config);
}

int main(int argc, char **argv)
{
    static file ours, others, unsigned_one, curious, key;
    lucet_module_config *config;

    usage(argc, 5, "signed-by-us.so signed-by-others.so honest.so curious.so us.pub");
    read_file(argv[1], &ours);
    read_file(argv[2], &others);
    read_file(argv[3], &unsigned_one);
    read_file(argv[4], &curious);
    read_file(argv[5], &key);

    config = offers();
    check(lucet_module_config_add_key(config, key.bytes), "key");
    try("signed by us", &ours, config);

    config = offers();
    check(lucet_module_config_add_key(config, key.bytes), "key");
    try("signed by somebody else", &others, config);

    config = offers();
    check(lucet_module_config_add_key(config, key.bytes), "key");
    try("not signed", &unsigned_one, config);

    config = offers();
    check(lucet_module_config_add_key(config, key.bytes), "key");
    ours.bytes[ours.len / 2] ^= 1;
    try("signed by us, one bit flipped", &ours, config);
    ours.bytes[ours.len / 2] ^= 1;

    /* The day of a compiler's bug: what older ones made is not loaded any more. */
    config = offers();
    check(lucet_module_config_add_key(config, key.bytes), "key");
    check(lucet_module_config_set_min_compiler(config, "999.0.0"), "compiler");
    try("signed by us, by an old compiler", &ours, config);

    /* Trusted, even: a host function that was not named is not there. */
    config = offers();
    check(lucet_module_config_allow_unsigned(config, true), "config");
    try("compiled under a lax policy", &curious, config);
    return 0;
}
