/*
 * Signal stacks of the host's: of every size, none, and one that a host function takes away. With
 * the widest registers that the processor has in use, so that signal frames are as large as they
 * get.   altstack ARTIFACT sizes|none|removed|removed-and-overflow
 */
#define _GNU_SOURCE
#include "env.h"
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>

enum { CANARY = 4096, PAINT = 0x5a };

static lucet_region *region;
static lucet_module *module;

/* All bits of registers that compiled code never touches, where there are any. */
static void fill_registers(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f")) {
        __asm__ volatile("vpternlogd $0xff, %%zmm16, %%zmm16, %%zmm16\n\t"
                         "vmovdqa64 %%zmm16, %%zmm31\n\t"
                         "kxnorw %%k1, %%k1, %%k1" ::: "memory");
    } else if (__builtin_cpu_supports("avx")) {
        __asm__ volatile("vcmptrueps %%ymm15, %%ymm15, %%ymm15" ::: "memory");
    }
#endif
}

static void remove_stack(lucet_vmctx *ctx)
{
    stack_t none = {.ss_flags = SS_DISABLE};

    (void)ctx;
    CHECK(sigaltstack(&none, NULL) == 0);
}

static void trap(lucet_instance *i, const char *name, size_t nresults, lucet_trap_code code)
{
    lucet_outcome outcome;
    lucet_val v;

    fill_registers();
    OK(lucet_instance_run(i, name, NULL, 0, &v, nresults, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_TRAPPED && outcome.trap_code == code);
    OK(lucet_instance_reset(i));
}

/* What needs the stack: faults, and runs that are interrupted. */
static void *use(void *unused)
{
    lucet_instance *i;
    lucet_outcome outcome;

    OK(lucet_instance_create(region, module, &i));
    trap(i, "load", 1, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
    trap(i, "recurse", 0, LUCET_TRAP_STACK_OVERFLOW);
    fill_registers();
    OK(lucet_instance_set_time_slice(i, 200000));
    OK(lucet_instance_run(i, "spin", NULL, 0, NULL, 0, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_PREEMPTED);
    OK(lucet_instance_reset(i));
    OK(lucet_instance_free(i));
    return unused;
}

static void *with_size(void *bytes)
{
    size_t size = *(size_t *)bytes;
    unsigned char *all = mmap(NULL, size + 2 * CANARY, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = {.ss_sp = all + CANARY, .ss_size = size}, now;

    CHECK(all != MAP_FAILED);
    memset(all, PAINT, size + 2 * CANARY);
    CHECK(sigaltstack(&stack, NULL) == 0);
    use(NULL);
    for (size_t k = 0; k < CANARY; k++) {
        CHECK(all[k] == PAINT && all[CANARY + size + k] == PAINT);
    }
    CHECK(sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE) == 0);
    /* Kept if it is large enough, left alone altogether if it is not. */
    if (now.ss_sp != stack.ss_sp) {
        CHECK(now.ss_size > size);
        for (size_t k = 0; k < size; k++) {
            CHECK(all[CANARY + k] == PAINT);
        }
    }
    *(size_t *)bytes = now.ss_sp == stack.ss_sp;
    return NULL;
}

static void on_thread(void *(*f)(void *), void *arg)
{
    pthread_t t;

    CHECK(pthread_create(&t, NULL, f, arg) == 0);
    CHECK(pthread_join(t, NULL) == 0);
}

static void sizes(void)
{
    /* The smallest that the kernel takes: what one frame needs. */
    size_t least = getauxval(AT_MINSIGSTKSZ), first_kept = 0;

    for (size_t size = least; size <= (128 << 10); size += size < 8192 ? 64 : 2048) {
        size_t kept = size;

        on_thread(with_size, &kept);
        if (kept && first_kept == 0) {
            first_kept = size;
        }
        CHECK(kept == (first_kept != 0));
    }
    CHECK(first_kept > least);
    printf("a frame takes %zu bytes; stacks of %zu and more are kept\n", least, first_kept);
}

static void *removed(void *overflow)
{
    lucet_instance *i;
    lucet_outcome outcome;
    lucet_val v;

    OK(lucet_instance_create(region, module, &i));
    OK(lucet_instance_run(i, "notes", NULL, 0, &v, 1, &outcome));
    CHECK(outcome.kind == LUCET_OUTCOME_RETURNED);
    trap(i, "load", 1, LUCET_TRAP_MEMORY_OUT_OF_BOUNDS);
    if (overflow != NULL) {
        trap(i, "recurse", 0, LUCET_TRAP_STACK_OVERFLOW);
    }
    OK(lucet_instance_free(i));
    return NULL;
}

int main(int argc, char **argv)
{
    host h = {0, NULL, remove_stack};
    lucet_module_config *config = env_config(&h);

    if (argc != 3) {
        return 2;
    }
    OK(lucet_module_load_file(argv[1], config, &module));
    OK(lucet_region_create(NULL, &region));
    if (strcmp(argv[2], "sizes") == 0) {
        sizes();
    } else if (strcmp(argv[2], "none") == 0) {
        on_thread(use, NULL);
    } else {
        on_thread(removed, strcmp(argv[2], "removed") == 0 ? NULL : &h);
    }
    lucet_module_config_free(config);
    OK(lucet_module_free(module));
    OK(lucet_region_free(region));
    printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
