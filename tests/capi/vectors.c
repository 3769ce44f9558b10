/*
 * Vectors between C and a guest.   vectors ARTIFACT
 * The artifact imports "env" "sad", (v128, v128) -> i32, and "env" "swap", (v128, i32, v128) ->
 * (v128, v128); it exports both under the same names, "twice", (v128) -> v128, and a global "g".
 */
#include "env.h"
#include <emmintrin.h>

/* Sum of absolute differences. Addresses may be read as the C type that wants them aligned. */
static int32_t sad(lucet_vmctx *ctx, void *user_data, const uint8_t *a, const uint8_t *b)
{
    __m128i sums = _mm_sad_epu8(_mm_load_si128((const __m128i *)(const void *)a),
                                _mm_load_si128((const __m128i *)(const void *)b));
    (void)ctx;
    ++*(int *)user_data;
    return _mm_cvtsi128_si32(sums) + _mm_cvtsi128_si32(_mm_srli_si128(sums, 8));
}

static void swap(lucet_vmctx *ctx, void *user_data, const uint8_t *a, int32_t n, const uint8_t *b,
                 place out[2])
{
    (void)ctx;
    ++*(int *)user_data;
    CHECK(n == -7);
    memcpy(out[0].bytes, b, 16);
    memcpy(out[1].bytes, a, 16);
}

static lucet_val v128(uint8_t first)
{
    lucet_val v = {.type = LUCET_VAL_V128};
    for (int k = 0; k < 16; k++) {
        v.of.v128[k] = (uint8_t)(first + k);
    }
    return v;
}

static bool same(const lucet_val *a, const lucet_val *b)
{
    return a->type == b->type && memcmp(a->of.v128, b->of.v128, 16) == 0;
}

int main(int argc, char **argv)
{
    lucet_module_config *config = lucet_module_config_create();
    lucet_region *region;
    lucet_module *module;
    lucet_instance *i;
    lucet_outcome outcome;
    lucet_func twice;
    lucet_val results[2], args[3] = {v128(0), i32(-7), v128(100)}, pair[2] = {v128(0), v128(3)};
    int calls = 0;

    if (argc != 2) {
        return 2;
    }
    OK(lucet_module_config_allow_unsigned(config, true));
    FAILS(lucet_module_config_add_function(config, "env", "x", "(v256) -> ()", (lucet_host_fn)sad,
                                           NULL), LUCET_STATUS_INVALID_ARGUMENT, "v256");
    OK(lucet_module_config_add_function(config, "env", "sad", "(v128, v128) -> i32",
                                        (lucet_host_fn)sad, &calls));
    OK(lucet_module_config_add_function(config, "env", "swap", "(v128, i32, v128) -> (v128, v128)",
                                        (lucet_host_fn)swap, &calls));
    OK(lucet_module_load_file(argv[1], config, &module));
    lucet_module_config_free(config);
    OK(lucet_region_create(NULL, &region));
    OK(lucet_instance_create(region, module, &i));

    OK(lucet_instance_run(i, "sad", pair, 2, results, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && results[0].of.i32 == 48);
    OK(lucet_instance_run(i, "swap", args, 3, results, 2, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED);
    CHECK(same(&results[0], &args[2]) && same(&results[1], &args[0]) && calls == 2);

    OK(lucet_module_find(module, "twice", "(v128) -> v128", &twice));
    for (int round = 0; round < 3; round++) {
        OK(lucet_instance_run_func(i, twice, args, 1, results, 1, &outcome));
        CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && results[0].of.v128[15] == 30);
    }
    OK(lucet_instance_global_get(i, "g", &results[0]));
    CHECK(same(&results[0], &args[0]));
    OK(lucet_instance_global_set(i, "g", &args[2]));
    OK(lucet_instance_global_get(i, "g", &results[0]));
    CHECK(same(&results[0], &args[2]));
    FAILS(lucet_instance_global_set(i, "g", &args[1]), LUCET_STATUS_INVALID_ARGUMENT, "v128");
    FAILS(lucet_instance_run(i, "twice", &args[1], 1, results, 1, &outcome),
          LUCET_STATUS_EXPORT_TYPE_MISMATCH, "v128");

    OK(lucet_instance_free(i));
    OK(lucet_module_free(module));
    OK(lucet_region_free(region));
    return failures != 0;
}
