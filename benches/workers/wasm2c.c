/*
 * The rows in wasm2c: the modules became C and were compiled by gcc -O2 into this program. It is
 * built twice: with guard pages and a signal handler, as wasm2c does it by default, and with memory
 * from calloc and a check at each access, which makes instances cheaper and code slower. The second
 * one is not told to count stack depth either, so that it is as fast as it can be.
 *
 *   wasm2c-guard --serve      wasm2c-calloc --serve
 */
#include "kernels.h"
#include "w2c_data.h"
#include "w2c_hot.h"
#include "w2c_kernels.h"
#include "w2c_pages.h"
#include "wasm-rt-impl.h"

static Z_hot_instance_t kept;
static Z_kernels_instance_t kernels;

/* Imports are plain functions. */
u32 Z_envZ_host(struct Z_env_instance_t *env, u32 value)
{
    (void)env;
    __asm__ volatile("");
    return value + 1;
}

u32 Z_envZ_yield(struct Z_env_instance_t *env, u32 value)
{
    (void)env;
    return value;
}

/* With guard pages each memory is 8 GiB of address space, of which Debian's version gives only the
 * used part back: after some 16,000 instances there is no more. So these rows are calloc's. */
#if !WASM_RT_MEMCHECK_SIGNAL_HANDLER
static double fresh_touch(long n)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        Z_hot_instance_t instance;
        Z_hot_instantiate(&instance, NULL);
        Z_hotZ_touch(&instance);
        Z_hot_free(&instance);
    }
    return bench_now() - begin;
}

static double fresh_grow(long n)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        Z_hot_instance_t instance;
        Z_hot_instantiate(&instance, NULL);
        Z_hotZ_grow(&instance);
        Z_hot_free(&instance);
    }
    return bench_now() - begin;
}

static double fresh_pages(long n)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        Z_pages_instance_t instance;
        Z_pages_instantiate(&instance);
        Z_pagesZ_touch(&instance);
        Z_pages_free(&instance);
    }
    return bench_now() - begin;
}

static double fresh_data(long n)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        Z_data_instance_t instance;
        Z_data_instantiate(&instance);
        Z_dataZ_touch(&instance);
        Z_data_free(&instance);
    }
    return bench_now() - begin;
}

static double fresh_threads(long n) { return bench_two_threads(fresh_touch, n); }
static double fresh_processes(long n) { return bench_two_processes(fresh_touch, n); }
#endif

static double call(long n)
{
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        Z_hotZ_empty(&kept);
    }
    return bench_now() - begin;
}

static double call_add(long n)
{
    volatile u32 sum;
    double begin = bench_now();
    for (long i = 0; i < n; i++) {
        sum = Z_hotZ_add(&kept, (u32)i, 1);
    }
    (void)sum;
    return bench_now() - begin;
}

static double host_call(long n)
{
    double begin = bench_now();
    Z_hotZ_hosts(&kept, (u32)n);
    return bench_now() - begin;
}

/* ---- traps: caught with wasm_rt_impl_try, which is a setjmp ---------------------------------- */

static void do_unreachable(void) { Z_hotZ_unreachable(&kept); }
static void do_divide(void) { Z_hotZ_divide(&kept, 0); }
static void do_indirect(void) { Z_hotZ_indirect(&kept, 1); }
static void do_bounds(void) { Z_hotZ_out_of_bounds(&kept, (u32)-5); }

static double traps(long n, void (*trap)(void))
{
    volatile long caught = 0;
    double begin = bench_now();
    for (volatile long i = 0; i < n; i++) {
        if (wasm_rt_impl_try() == 0) {
            trap();
        } else {
            caught++;
        }
    }
    double time = bench_now() - begin;
    if (caught != n) {
        fprintf(stderr, "it does not trap\n");
        exit(1);
    }
    return time;
}

static double trap_unreachable(long n) { return traps(n, do_unreachable); }
static double trap_divide(long n) { return traps(n, do_divide); }
static double trap_indirect(long n) { return traps(n, do_indirect); }
static double trap_bounds(long n) { return traps(n, do_bounds); }

/* ---------------------------------------------------------------------------------------------- */

#define KERNEL_POINTER(name) Z_kernelsZ_kernel_##name,

static uint32_t kernel(enum kernel_id which, uint32_t rounds)
{
    static u32 (*const ALL[])(Z_kernels_instance_t *, u32) = {KERNELS(KERNEL_POINTER)};
    return ALL[which](&kernels, rounds);
}

KERNELS(KERNEL_RUN)

static const bench_row ROWS[] = {
#if !WASM_RT_MEMCHECK_SIGNAL_HANDLER
    {"fresh instance, 1 page", fresh_touch},
    {"fresh instance, grows by a page", fresh_grow},
    {"fresh instance, 64 pages", fresh_pages},
    {"fresh instance, 60 KiB of data", fresh_data},
    {"fresh instance, two threads", fresh_threads},
    {"fresh instance, two processes", fresh_processes},
#endif
    {"call, pre-resolved", call},
    {"call, two arguments and a result", call_add},
    {"host function call", host_call},
    {"trap: unreachable", trap_unreachable},
    {"trap: division", trap_divide},
    {"trap: indirect call", trap_indirect},
    {"trap: memory out of bounds", trap_bounds},
    KERNELS(KERNEL_ROWS)
};

static void prepare(char **files)
{
    (void)files;
    wasm_rt_init();
    Z_hot_init_module();
    Z_pages_init_module();
    Z_data_init_module();
    Z_kernels_init_module();
    Z_hot_instantiate(&kept, NULL);
    Z_kernels_instantiate(&kernels);
}

int main(int argc, char **argv)
{
    (void)argc;
    return bench_main(argv, prepare, ROWS, sizeof ROWS / sizeof *ROWS);
}
