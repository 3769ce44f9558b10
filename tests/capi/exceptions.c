/*
 * What a guest threw.   exceptions ARTIFACT
 * It exports "throw", which throws an exception of tag "error" (i32, f64, v128), "quiet", which
 * throws one of a tag that is not exported, and "seven".
 */
#include "env.h"
#include <stddef.h>

/* Two runs were left by an exception. */
static void counted(lucet_region *region)
{
    lucet_region_stats stats;

    memset(&stats, 0xee, sizeof stats);
    stats.size = sizeof stats;
    OK(lucet_region_get_stats(region, &stats));
    CHECK(stats.size == sizeof stats && stats.exceptions == 2 && stats.created == 1);

    /* A program that was compiled before there was this number. */
    memset(&stats, 0xee, sizeof stats);
    stats.size = offsetof(lucet_region_stats, exceptions);
    OK(lucet_region_get_stats(region, &stats));
    CHECK(stats.size == offsetof(lucet_region_stats, exceptions));
    CHECK(stats.created == 1 && stats.exceptions == 0xeeeeeeeeeeeeeeee);
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_module *module;
    lucet_region *region;
    lucet_instance *i;
    lucet_outcome outcome;
    lucet_val values[4], seven;
    char name[4];
    size_t len = 99, n = 99;

    CHECK(argc == 2);
    OK(lucet_module_config_allow_unsigned(config, true));
    OK(lucet_module_load_file(argv[1], config, &module));
    lucet_module_config_free(config);
    OK(lucet_region_create(NULL, &region));
    OK(lucet_instance_create(region, module, &i));
    FAILS(lucet_instance_exception(i, NULL, 0, &len, NULL, 0, &n), LUCET_STATUS_WRONG_STATE,
          "no run of this instance ended with an exception");

    OK(lucet_instance_run(i, "throw", NULL, 0, NULL, 0, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_EXCEPTION);
    CHECK(outcome.value == 0 && outcome.trap_code == LUCET_TRAP_NONE);
    memset(values, 0xee, sizeof values);
    OK(lucet_instance_exception(i, name, sizeof name, &len, values, 4, &n));
    CHECK(strcmp(name, "err") == 0 && len == 5 && n == 3);
    CHECK(values[0].type == LUCET_VAL_I32 && values[0].of.i32 == -7);
    CHECK(values[1].type == LUCET_VAL_F64 && values[1].of.f64 == 2.5);
    CHECK(values[2].type == LUCET_VAL_V128 && values[2].of.v128[0] == 1);
    CHECK(values[2].of.v128[8] == 2 && ((unsigned char *)&values[3])[0] == 0xee);
    values[1].of.f64 = 0;
    OK(lucet_instance_exception(i, NULL, 0, NULL, values, 1, NULL));
    CHECK(values[1].of.f64 == 0);
    FAILS(lucet_instance_exception(i, NULL, 0, NULL, NULL, 1, NULL), LUCET_STATUS_NULL_ARGUMENT,
          "values");
    FAILS(lucet_instance_exception(i, NULL, 1, NULL, NULL, 0, NULL), LUCET_STATUS_NULL_ARGUMENT,
          "buf");
    FAILS(lucet_instance_exception(NULL, NULL, 0, NULL, NULL, 0, NULL), LUCET_STATUS_NULL_ARGUMENT,
          "instance");

    /* The instance can be used on. */
    OK(lucet_instance_run(i, "seven", NULL, 0, &seven, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && seven.of.i32 == 7);
    OK(lucet_instance_run(i, "quiet", NULL, 0, NULL, 0, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_EXCEPTION);
    OK(lucet_instance_exception(i, name, sizeof name, &len, NULL, 0, &n));
    CHECK(name[0] == 0 && len == 0 && n == 0);
    OK(lucet_instance_reset(i));
    FAILS(lucet_instance_exception(i, NULL, 0, NULL, NULL, 0, NULL), LUCET_STATUS_WRONG_STATE,
          "ended with an exception");
    OK(lucet_instance_free(i));
    FAILS(lucet_instance_exception(i, NULL, 0, NULL, NULL, 0, NULL), LUCET_STATUS_INVALID_HANDLE,
          "freed");
    counted(region);
    OK(lucet_region_free(region));
    OK(lucet_module_free(module));
    return failures != 0;
}
