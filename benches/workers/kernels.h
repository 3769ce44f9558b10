/*
 * The rows of guests/kernels.c, for workers that each call them in their own way: they define
 *
 *   static uint32_t kernel(enum kernel_id which, uint32_t rounds);
 */
#ifndef BENCH_KERNELS_H
#define BENCH_KERNELS_H
#include "worker.h"

#define KERNELS(X)                                                                                 \
    X(fib) X(sieve) X(matmul) X(nbody) X(mandelbrot) X(sha256) X(crc32) X(quicksort) X(scan)       \
    X(hash) X(base64) X(tokens)

#define KERNEL_ID(name) KERNEL_##name,
enum kernel_id { KERNELS(KERNEL_ID) KERNEL_COUNT };

static uint32_t kernel(enum kernel_id which, uint32_t rounds);

static inline double kernel_timed(enum kernel_id which, long n)
{
    double begin = bench_now();
    volatile uint32_t sum = kernel(which, (uint32_t)n);
    (void)sum;
    return bench_now() - begin;
}

/* A checksum is answered like a time; the rows compare them between engines. */
#define KERNEL_RUN(name)                                                                           \
    static double run_##name(long n) { return kernel_timed(KERNEL_##name, n); }                    \
    static double sum_##name(long n) { return kernel(KERNEL_##name, (uint32_t)n); }
#define KERNEL_ROWS(name) {"kernel " #name, run_##name}, {"checksum " #name, sum_##name},
#endif
