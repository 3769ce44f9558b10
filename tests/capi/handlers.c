/*
 * A host whose own runtime uses faults, as those of Java and Go do: it has a page that it closes to
 * stop its threads, opens it in its signal handler and goes on where the fault was. It installs
 * that handler before the library's or after, and passes on what is not its own.
 *
 *   handlers ARTIFACT before|after FLAGS...     FLAGS: onstack, nodefer, own-stack, no-overflow
 *
 * With "after" the host's handler is asked about each fault of a guest, too, and hands it to the
 * one that was there before: ours. own-stack: each thread brings a signal stack of 32 KiB along.
 */
#define _GNU_SOURCE
#include "env.h"
#include <signal.h>
#include <sys/mman.h>

enum { ROUNDS = 300, THREADS = 3, PAGE = 4096 };

static __thread volatile char *own_page;
static __thread volatile int opened;
static volatile int strangers;
static struct sigaction previous;
static int flags, own_stack, overflow = 1;
static lucet_region *region;
static lucet_module *module;

static void handler(int signal, siginfo_t *info, void *context)
{
    char *at = info->si_addr;

    if (at >= (char *)own_page && at < (char *)own_page + PAGE) {
        opened++;
        if (mprotect((void *)(uintptr_t)own_page, PAGE, PROT_READ | PROT_WRITE) != 0) {
            _Exit(3);
        }
        return;
    }
    __atomic_add_fetch(&strangers, 1, __ATOMIC_RELAXED);
    if (previous.sa_sigaction == NULL) {
        _Exit(4);
    }
    previous.sa_sigaction(signal, info, context);
}

static void install(void)
{
    struct sigaction a = {.sa_sigaction = handler};

    a.sa_flags = SA_SIGINFO | SA_RESTART | flags;
    sigemptyset(&a.sa_mask);
    CHECK(sigaction(SIGSEGV, &a, &previous) == 0);
}

/* The host stops at its page, and goes on. */
static void poll_page(void)
{
    int before = opened;

    CHECK(mprotect((void *)(uintptr_t)own_page, PAGE, PROT_NONE) == 0);
    own_page[7]++;
    CHECK(opened == before + 1);
}

static void inside(lucet_vmctx *ctx)
{
    (void)ctx;
    poll_page();
}

static void trap(lucet_instance *i, const char *name, size_t nresults, lucet_trap_code code)
{
    lucet_outcome outcome;
    lucet_val v;

    OK(lucet_instance_run(i, name, NULL, 0, &v, nresults, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_TRAPPED && outcome.trap_code == code);
    OK(lucet_instance_reset(i));
}

static void *thread(void *unused)
{
    static __thread char signals[32 << 10];
    stack_t stack = {.ss_sp = signals, .ss_size = sizeof signals};
    lucet_instance *i;
    lucet_outcome outcome;
    lucet_val v;

    if (own_stack) {
        CHECK(sigaltstack(&stack, NULL) == 0);
    }
    own_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)(uintptr_t)own_page != MAP_FAILED);
    poll_page();
    OK(lucet_instance_create(region, module, &i));
    for (int k = 0; k < ROUNDS; k++) {
        trap(i, "load", 1, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
        poll_page();
        if (overflow) {
            trap(i, "recurse", 0, LUCET_TRAP_STACK_OVERFLOW);
        }
        /* In a host function of a guest. */
        OK(lucet_instance_run(i, "notes", NULL, 0, &v, 1, &outcome));
        CHECK(outcome.kind == LUCET_OUTCOME_RETURNED);
    }
    OK(lucet_instance_free(i));
    CHECK(opened == 1 + 2 * ROUNDS);
    return unused;
}

int main(int argc, char **argv)
{
    host h = {0, NULL, inside};
    lucet_module_config *config = env_config(&h);
    int after = argc > 2 && strcmp(argv[2], "after") == 0;
    pthread_t all[THREADS];

    if (argc < 3) {
        return 2;
    }
    for (int k = 3; k < argc; k++) {
        flags |= strcmp(argv[k], "onstack") == 0 ? SA_ONSTACK : 0;
        flags |= strcmp(argv[k], "nodefer") == 0 ? SA_NODEFER : 0;
        own_stack |= strcmp(argv[k], "own-stack") == 0;
        overflow &= strcmp(argv[k], "no-overflow") != 0;
    }
    if (!after) {
        install();
    }
    OK(lucet_thread_prepare());
    if (after) {
        install();
    }
    OK(lucet_region_create(NULL, &region));
    OK(lucet_module_load_file(argv[1], config, &module));
    lucet_module_config_free(config);
    for (int k = 0; k < THREADS; k++) {
        CHECK(pthread_create(&all[k], NULL, thread, NULL) == 0);
    }
    for (int k = 0; k < THREADS; k++) {
        CHECK(pthread_join(all[k], NULL) == 0);
    }
    /* A handler that was there before hears of the host's own faults only. */
    CHECK(after ? strangers >= THREADS * ROUNDS : strangers == 0);
    OK(lucet_module_free(module));
    OK(lucet_region_free(region));
    printf("%d faults of others, %d failures\n", strangers, failures);
    return failures == 0 ? 0 : 1;
}
