/*
 * The kernels as a native program, compiled by clang -O2 from the same source: what sandboxing and
 * a compiler with another purpose cost altogether.
 */
#include "kernels.h"

#define KERNEL_DECLARED(name) uint32_t kernel_##name(uint32_t rounds);
#define KERNEL_POINTER(name) kernel_##name,
KERNELS(KERNEL_DECLARED)

static uint32_t kernel(enum kernel_id which, uint32_t rounds)
{
    static uint32_t (*const ALL[])(uint32_t) = {KERNELS(KERNEL_POINTER)};
    return ALL[which](rounds);
}

KERNELS(KERNEL_RUN)

static const bench_row ROWS[] = {KERNELS(KERNEL_ROWS)};

static void prepare(char **files)
{
    (void)files;
}

int main(int argc, char **argv)
{
    (void)argc;
    return bench_main(argv, prepare, ROWS, sizeof ROWS / sizeof *ROWS);
}
