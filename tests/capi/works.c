/*
 * What the C interface promises when it is used as it should be.   works ARTIFACT
 */
#include "env.h"

static lucet_outcome outcome;

static int32_t run_i32(lucet_instance *i, const char *name, const lucet_val *args, size_t n)
{
    lucet_val result = {.type = 0};
    OK(lucet_instance_run(i, name, args, n, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && result.type == LUCET_VAL_I32);
    return result.of.i32;
}

static void calls(lucet_module *module, lucet_instance *i, host *h)
{
    lucet_val args[17], results[2];
    lucet_func add;

    args[0] = i32(40);
    args[1] = i32(2);
    CHECK(run_i32(i, "add", args, 2) == 42);
    CHECK(outcome.trap_code == 0 && outcome.value == 0 && outcome.function == 0);
    OK(lucet_module_find(module, "add", "(i32, i32) -> i32", &add));
    OK(lucet_instance_run_func(i, add, args, 2, results, 1, &outcome));
    CHECK(results[0].of.i32 == 42);

    args[1] = (lucet_val){.of = {.f64 = 0.5}, .type = LUCET_VAL_F64};
    OK(lucet_instance_run(i, "swap", args, 2, results, 2, &outcome));
    CHECK(results[0].type == LUCET_VAL_F64 && results[0].of.f64 == 0.5);
    CHECK(results[1].type == LUCET_VAL_I32 && results[1].of.i32 == 40);

    for (int k = 0; k < 17; k++) {
        args[k] = i32(k + 1);
    }
    CHECK(run_i32(i, "weigh", args, 17) == 1701);

    OK(lucet_instance_run(i, "notes", NULL, 0, results, 1, &outcome));
    CHECK(h->notes == 1 && results[0].of.f64 == -1.0 + 4294967296.0 + 1.5 + 2.25);
    args[0] = i32(3);
    OK(lucet_instance_run(i, "pairs", args, 1, results, 2, &outcome));
    CHECK(results[0].of.i32 == 3 && results[1].of.i64 == 3000000000000);
}

static void memory_and_globals(lucet_instance *i)
{
    char bytes[6] = {0};
    uint64_t size;
    void *range;
    lucet_val v;

    OK(lucet_instance_memory_size(i, &size));
    CHECK(size == 65536);
    OK(lucet_instance_memory_write(i, 65531, "hello", 5));
    OK(lucet_instance_memory_read(i, 65531, bytes, 5));
    CHECK(strcmp(bytes, "hello") == 0);
    OK(lucet_instance_memory_range(i, 65532, 4, &range));
    CHECK(memcmp(range, "ello", 4) == 0);
    OK(lucet_instance_memory_read(i, 65536, NULL, 0));
    CHECK(run_i32(i, "grow", NULL, 0) == 1);
    OK(lucet_instance_memory_size(i, &size));
    CHECK(size == 131072);
    OK(lucet_instance_exported_memory(i, "more", 131069, 3, &range, &size));
    CHECK(size == 131072 && memcmp(range, "\0z\0", 3) == 0);
    memset(range, 'x', 3);
    OK(lucet_instance_exported_memory(i, "memory", 131072, 0, &range, &size));
    CHECK(size == 131072);

    OK(lucet_instance_global_get(i, "counter", &v));
    CHECK(v.type == LUCET_VAL_I32 && v.of.i32 == 5);
    v = i32(41);
    OK(lucet_instance_global_set(i, "counter", &v));
    CHECK(run_i32(i, "count", NULL, 0) == 42);
    OK(lucet_instance_global_get(i, "fixed", &v));
    CHECK(v.type == LUCET_VAL_I64 && v.of.i64 == 7);
    OK(lucet_instance_reset(i));
    CHECK(run_i32(i, "count", NULL, 0) == 6);
    OK(lucet_instance_memory_read(i, 65531, bytes, 5));
    CHECK(bytes[0] == 0);
    OK(lucet_instance_exported_memory(i, "more", 131069, 3, &range, &size));
    CHECK(memcmp(range, "\0z\0", 3) == 0);
}

static void *resume_elsewhere(void *instance)
{
    lucet_val result;
    OK(lucet_instance_resume(instance, 7, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && result.of.i32 == 1007);
    return NULL;
}

static void yields(lucet_instance *i)
{
    lucet_val arg = i32(0), result;
    pthread_t thread;

    OK(lucet_instance_run(i, "waits", &arg, 1, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_YIELDED && outcome.value == 1);
    CHECK(pthread_create(&thread, NULL, resume_elsewhere, i) == 0);
    CHECK(pthread_join(thread, NULL) == 0);

    arg = i32(1);
    OK(lucet_instance_run(i, "waits", &arg, 1, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_YIELDED && outcome.value == 1);
    OK(lucet_instance_resume(i, 30, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_YIELDED && outcome.value == 2);
    OK(lucet_instance_resume(i, 12, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && result.of.i32 == 1042);

    /* A suspended run may be given up. */
    OK(lucet_instance_run(i, "waits", &arg, 1, &result, 1, &outcome));
    OK(lucet_instance_reset(i));
    CHECK(run_i32(i, "count", NULL, 0) == 6);
}

static void ends(lucet_instance *i)
{
    static const struct {
        lucet_outcome_kind kind;
        uint64_t value;
        lucet_trap_code trap;
    } all[] = {{LUCET_OUTCOME_TRAPPED, 0, LUCET_TRAP_INTEGER_OVERFLOW},
               {LUCET_OUTCOME_HOST_ERROR, 404, LUCET_TRAP_NONE},
               {LUCET_OUTCOME_EXITED, 3, LUCET_TRAP_NONE},
               {LUCET_OUTCOME_TERMINATED, 0, LUCET_TRAP_NONE}};
    lucet_val arg, result;

    for (int k = 0; k < 4; k++) {
        arg = i32(k);
        OK(lucet_instance_run(i, "ends", &arg, 1, NULL, 0, &outcome));
        CHECK(outcome.kind == all[k].kind && outcome.value == all[k].value);
        CHECK(outcome.trap_code == all[k].trap);
        OK(lucet_instance_reset(i));
    }
    arg = i32(0);
    CHECK(run_i32(i, "nests", &arg, 1) == 42);
    /* A trap in a nested run ends the run around it, too. */
    arg = i32(1);
    OK(lucet_instance_run(i, "nests", &arg, 1, &result, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_TRAPPED && outcome.trap_code == LUCET_TRAP_UNREACHABLE);
    OK(lucet_instance_reset(i));
}

static void traps(lucet_instance *i)
{
    static const struct {
        const char *name;
        size_t results;
        lucet_trap_code code;
    } all[] = {
        {"unreachable", 0, LUCET_TRAP_UNREACHABLE},
        {"load", 1, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS},
        {"divide", 1, LUCET_TRAP_INTEGER_DIVISION_BY_ZERO},
        {"overflow", 1, LUCET_TRAP_INTEGER_OVERFLOW},
        {"outside_table", 0, LUCET_TRAP_TABLE_OUT_OF_BOUNDS},
        {"null", 0, LUCET_TRAP_INDIRECT_CALL_TO_NULL},
        {"signature", 1, LUCET_TRAP_BAD_SIGNATURE},
        {"convert", 1, LUCET_TRAP_BAD_CONVERSION_TO_INTEGER},
        {"recurse", 0, LUCET_TRAP_STACK_OVERFLOW},
    };
    lucet_val result;
    char name[8];
    size_t len;

    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
        OK(lucet_instance_run(i, all[k].name, NULL, 0, &result, all[k].results, &outcome));
        CHECK(outcome.kind == LUCET_OUTCOME_TRAPPED && outcome.trap_code == all[k].code);
        CHECK(outcome.function != UINT32_MAX && outcome.pc != 0);
        CHECK(outcome.wasm_offset != UINT32_MAX || all[k].code == LUCET_TRAP_STACK_OVERFLOW);
        if (k == 0) {
            OK(lucet_instance_function_name(i, outcome.function, name, sizeof name, &len));
            CHECK(len == strlen("unreachable") && strcmp(name, "unreach") == 0);
            OK(lucet_instance_function_name(i, outcome.function, NULL, 0, &len));
            CHECK(len == strlen("unreachable"));
        }
        if (all[k].code == LUCET_TRAP_MEMORY_OUT_OF_BOUNDS) {
            CHECK(outcome.fault_address >= 131069 && outcome.fault_address <= 131072);
        }
        OK(lucet_instance_reset(i));
    }
}

static void *whole_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    void *bytes = malloc(1 << 20);
    *len = f == NULL || bytes == NULL ? 0 : fread(bytes, 1, 1 << 20, f);
    if (f != NULL) {
        fclose(f);
    }
    return bytes;
}

int main(int argc, char **argv)
{
    host h = {0};
    lucet_module_config *config = env_config(&h);
    lucet_region_config *slots = lucet_region_config_create();
    lucet_module *module, *copy;
    lucet_region *region;
    lucet_instance *i, *j;
    lucet_val v = i32(0);
    size_t len;
    void *bytes;

    if (argc < 2) {
        return 2;
    }
    CHECK(strcmp(lucet_last_error(), "") == 0);
    OK(lucet_thread_prepare());
    OK(lucet_module_load_file(argv[1], config, &module));
    bytes = whole_file(argv[1], &len);
    OK(lucet_module_load_bytes(bytes, len, config, &copy));
    free(bytes);
    lucet_module_config_free(config);
    OK(lucet_region_config_set_slots(slots, 2));
    OK(lucet_region_config_set_stack_bytes(slots, 64 << 10));
    OK(lucet_region_config_set_max_memory(slots, 1 << 20));
    OK(lucet_region_config_set_compact(slots, false));
    OK(lucet_region_create(slots, &region));
    lucet_region_config_free(slots);

    OK(lucet_instance_create(region, module, &i));
    OK(lucet_instance_create(region, copy, &j));
    OK(lucet_module_free(copy)); /* its instance goes on */
    calls(module, i, &h);
    memory_and_globals(i);
    yields(i);
    ends(i);
    traps(i);
    CHECK(run_i32(j, "count", NULL, 0) == 6);
    OK(lucet_instance_run(j, "waits", &v, 1, &v, 1, &outcome));
    OK(lucet_instance_free(j)); /* suspended */
    OK(lucet_instance_free(i));
    OK(lucet_module_free(module));
    OK(lucet_region_free(region));
    CHECK(strcmp(lucet_status_name(LUCET_STATUS_BUSY), "LUCET_STATUS_BUSY") == 0);
    CHECK(strcmp(lucet_status_name((lucet_status)99), "unknown") == 0);
    CHECK(strcmp(lucet_outcome_name(LUCET_OUTCOME_EXITED), "LUCET_OUTCOME_EXITED") == 0);
    CHECK(strcmp(lucet_trap_name(LUCET_TRAP_UNREACHABLE), "unreachable executed") == 0);
    CHECK(strncmp(lucet_version(), "0.", 2) == 0);
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
