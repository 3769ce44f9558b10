/*
 * The mistakes a newcomer makes. Each must end in the right status, with a message for people, and
 * leave the process alive.   mistakes ARTIFACT WASM
 */
#include <lucet.h>
#include <stdio.h>
#include <string.h>

static int failures;

/* Compares a status; a failed call must also have left a message, with `hint` in it. */
static void want(const char *what, lucet_status got, lucet_status wanted, const char *hint)
{
    const char *message = lucet_last_error();
    if (got != wanted) {
        printf("%s: status %d (%s), wanted %d: %s\n", what, (int)got, lucet_status_name(got),
               (int)wanted, message);
        failures++;
    } else if (message == NULL || message[0] == '\0' || strstr(message, hint) == NULL) {
        printf("%s: the message does not say \"%s\": %s\n", what, hint, message);
        failures++;
    } else {
        printf("%s: ok\n", what);
    }
}

static void must(const char *what, lucet_status got)
{
    if (got != LUCET_STATUS_OK) {
        printf("%s: %s: %s\n", what, lucet_status_name(got), lucet_last_error());
        failures++;
    }
}

static void look(lucet_vmctx *ctx, void *user_data)
{
    (void)ctx, (void)user_data;
}

static lucet_module_config *config(bool allow_unsigned, const char *signature)
{
    lucet_module_config *c = lucet_module_config_create();
    must("allow_unsigned", lucet_module_config_allow_unsigned(c, allow_unsigned));
    if (signature != NULL) {
        must("add_function", lucet_module_config_add_function(c, "env", "look", signature,
                                                              (lucet_host_fn)look, NULL));
    }
    return c;
}

static void loading(const char *artifact, const char *wasm)
{
    lucet_module_config *good = config(true, "() -> ()");
    lucet_module_config *unsigned_refused = config(false, "() -> ()");
    lucet_module_config *other_type = config(true, "(i32) -> ()");
    lucet_module_config *empty = config(true, NULL);
    lucet_module *m;

    want("no such file", lucet_module_load_file("/nowhere/x.so", good, &m), LUCET_STATUS_IO,
         "/nowhere/x.so");
    want("a folder", lucet_module_load_file("/tmp", good, &m), LUCET_STATUS_NOT_AN_ARTIFACT,
         "/tmp");
    want("wasm, not compiled", lucet_module_load_file(wasm, good, &m), LUCET_STATUS_NOT_AN_ARTIFACT,
         "lucetc");
    want("another library", lucet_module_load_file("/lib/x86_64-linux-gnu/libc.so.6", good, &m),
         LUCET_STATUS_NOT_AN_ARTIFACT, "");
    want("text", lucet_module_load_bytes("hello", 5, good, &m), LUCET_STATUS_NOT_AN_ARTIFACT, "");
    want("nothing", lucet_module_load_bytes("", 0, good, &m), LUCET_STATUS_NOT_AN_ARTIFACT, "");
    want("unsigned", lucet_module_load_file(artifact, unsigned_refused, &m),
         LUCET_STATUS_UNTRUSTED_ARTIFACT, "");
    want("import missing", lucet_module_load_file(artifact, empty, &m),
         LUCET_STATUS_MISSING_IMPORT, "look");
    want("import of another type", lucet_module_load_file(artifact, other_type, &m),
         LUCET_STATUS_IMPORT_TYPE_MISMATCH, "look");
    want("signature unreadable",
         lucet_module_config_add_function(empty, "env", "look", "int(void)", (lucet_host_fn)look,
                                          NULL),
         LUCET_STATUS_INVALID_ARGUMENT, "");

    want("path NULL", lucet_module_load_file(NULL, good, &m), LUCET_STATUS_NULL_ARGUMENT, "");
    want("out NULL", lucet_module_load_file(artifact, good, NULL), LUCET_STATUS_NULL_ARGUMENT, "");
    want("function NULL",
         lucet_module_config_add_function(good, "env", "other", "() -> ()", NULL, NULL),
         LUCET_STATUS_NULL_ARGUMENT, "");

    lucet_module_config_free(good);
    lucet_module_config_free(unsigned_refused);
    lucet_module_config_free(other_type);
    lucet_module_config_free(empty);
}

static void running(lucet_region *region, lucet_module *module)
{
    lucet_instance *instance, *second;
    lucet_func func;
    lucet_outcome outcome;
    lucet_val args[2], result;
    char bytes[16];

    memset(args, 0, sizeof args);
    args[0].type = args[1].type = LUCET_VAL_I32;

    want("find: no such export", lucet_module_find(module, "nothing", NULL, &func),
         LUCET_STATUS_NO_SUCH_EXPORT, "nothing");
    want("find: another type", lucet_module_find(module, "add", "(i64) -> i64", &func),
         LUCET_STATUS_EXPORT_TYPE_MISMATCH, "add");

    must("instance", lucet_instance_create(region, module, &instance));
    want("region full", lucet_instance_create(region, module, &second), LUCET_STATUS_REGION_FULL,
         "");
    want("region in use", lucet_region_free(region), LUCET_STATUS_BUSY, "");
    want("run: no such export",
         lucet_instance_run(instance, "nothing", NULL, 0, NULL, 0, &outcome),
         LUCET_STATUS_NO_SUCH_EXPORT, "nothing");
    want("run: a memory", lucet_instance_run(instance, "memory", NULL, 0, NULL, 0, &outcome),
         LUCET_STATUS_EXPORT_TYPE_MISMATCH, "memory");
    want("run: too few arguments",
         lucet_instance_run(instance, "add", args, 1, &result, 1, &outcome),
         LUCET_STATUS_EXPORT_TYPE_MISMATCH, "add");
    args[1].type = LUCET_VAL_F64;
    want("run: argument of another type",
         lucet_instance_run(instance, "add", args, 2, &result, 1, &outcome),
         LUCET_STATUS_EXPORT_TYPE_MISMATCH, "add");
    want("run: name NULL", lucet_instance_run(instance, NULL, NULL, 0, NULL, 0, &outcome),
         LUCET_STATUS_NULL_ARGUMENT, "");
    want("resume what does not wait", lucet_instance_resume(instance, 0, NULL, 0, &outcome),
         LUCET_STATUS_WRONG_STATE, "");
    want("read outside", lucet_instance_memory_read(instance, 65530, bytes, 16),
         LUCET_STATUS_OUT_OF_BOUNDS, "");
    want("read far outside", lucet_instance_memory_read(instance, UINT64_MAX - 3, bytes, 16),
         LUCET_STATUS_OUT_OF_BOUNDS, "");
    must("trap", lucet_instance_run(instance, "trap", NULL, 0, NULL, 0, &outcome));
    want("run after a trap", lucet_instance_run(instance, "looks", NULL, 0, NULL, 0, &outcome),
         LUCET_STATUS_WRONG_STATE, "reset");
    must("reset", lucet_instance_reset(instance));
    must("run after reset", lucet_instance_run(instance, "looks", NULL, 0, NULL, 0, &outcome));

    must("free", lucet_instance_free(instance));
    want("run what was freed", lucet_instance_run(instance, "looks", NULL, 0, NULL, 0, &outcome),
         LUCET_STATUS_INVALID_HANDLE, "");
    want("free twice", lucet_instance_free(instance), LUCET_STATUS_INVALID_HANDLE, "");
}

static void handles(lucet_region *region, lucet_module *module)
{
    lucet_instance *instance;
    want("region NULL", lucet_instance_create(NULL, module, &instance), LUCET_STATUS_NULL_ARGUMENT,
         "");
    want("instance NULL", lucet_instance_reset(NULL), LUCET_STATUS_NULL_ARGUMENT, "");
    want("a number", lucet_instance_reset((lucet_instance *)(uintptr_t)0x1234),
         LUCET_STATUS_INVALID_HANDLE, "");
    want("a module for an instance", lucet_instance_reset((lucet_instance *)(void *)module),
         LUCET_STATUS_INVALID_HANDLE, "");
    must("free region", lucet_region_free(region));
    want("region freed", lucet_instance_create(region, module, &instance),
         LUCET_STATUS_INVALID_HANDLE, "");
    must("free module", lucet_module_free(module));
    want("module freed", lucet_module_free(module), LUCET_STATUS_INVALID_HANDLE, "");
}

int main(int argc, char **argv)
{
    lucet_region_config *slots = lucet_region_config_create();
    lucet_module_config *c;
    lucet_region *region;
    lucet_module *module;

    if (argc != 3) {
        return 2;
    }
    loading(argv[1], argv[2]);

    c = config(true, "() -> ()");
    must("slots", lucet_region_config_set_slots(slots, 1));
    must("region", lucet_region_create(slots, &region));
    must("load", lucet_module_load_file(argv[1], c, &module));
    lucet_region_config_free(slots);
    lucet_module_config_free(c);
    if (failures == 0) {
        running(region, module);
        handles(region, module);
    }
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
