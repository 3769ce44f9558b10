/*
 * Threads that end while they have instances, and use them when most of the thread is gone already.
 *   threads ARTIFACT
 */
#include "env.h"

static lucet_region *the_region;
static lucet_module *the_module;
static pthread_key_t before, after;

/* What a thread does before the library's own end of a thread: everything works. */
static void late_words(void *instance)
{
    lucet_outcome outcome;
    lucet_val sum;
    lucet_val args[2] = {i32(1), i32(2)};

    OK(lucet_instance_run(instance, "add", args, 2, &sum, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && sum.of.i32 == 3);
}

/* The last thing a thread does, after what the library had of it went. */
static void last_words(void *instance)
{
    const char *hint = "about to exit";
    lucet_instance *i = instance;
    lucet_instance *other;
    lucet_outcome outcome;
    lucet_val sum;
    lucet_val args[2] = {i32(1), i32(2)};
    char bytes[5];

    FAILS(lucet_instance_run(i, "add", args, 2, &sum, 1, &outcome), LUCET_STATUS_WRONG_STATE, hint);
    FAILS(lucet_instance_run(i, "recurse", NULL, 0, NULL, 0, &outcome), LUCET_STATUS_WRONG_STATE,
          hint);
    FAILS(lucet_instance_memory_read(i, 0, bytes, sizeof bytes), LUCET_STATUS_WRONG_STATE, hint);
    FAILS(lucet_instance_create(the_region, the_module, &other), LUCET_STATUS_WRONG_STATE, hint);
    OK(lucet_instance_free(i));
}

static void *thread(void *host_has_a_stack)
{
    lucet_instance *i;
    lucet_outcome outcome;
    lucet_val sum;
    lucet_val args[2] = {i32(1), i32(2)};

    (void)host_has_a_stack;
    OK(lucet_instance_create(the_region, the_module, &i));
    OK(lucet_instance_run(i, "add", args, 2, &sum, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED && sum.of.i32 == 3);
    CHECK(pthread_setspecific(before, i) == 0);
    CHECK(pthread_setspecific(after, i) == 0);
    return NULL;
}

int main(int argc, char **argv)
{
    host h = {0, NULL, NULL};
    lucet_module_config *config = env_config(&h);
    int n;

    (void)argc;
    OK(lucet_module_load_file(argv[1], config, &the_module));
    lucet_module_config_free(config);
    OK(lucet_region_create(NULL, &the_region));
    /* Destructors of keys are called in the order in which the keys were made. */
    CHECK(pthread_key_create(&before, late_words) == 0);
    OK(lucet_thread_prepare());
    CHECK(pthread_key_create(&after, last_words) == 0);
    for (n = 0; n < 200; n++) {
        pthread_t t;
        CHECK(pthread_create(&t, NULL, thread, NULL) == 0);
        CHECK(pthread_join(t, NULL) == 0);
    }
    /* Busy if the last words left an instance. */
    OK(lucet_region_free(the_region));
    OK(lucet_module_free(the_module));
    return failures == 0 ? 0 : 1;
}
