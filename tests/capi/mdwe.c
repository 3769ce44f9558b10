/*
 * Runs a program under what systemd's MemoryDenyWriteExecute does: a system call filter against
 * mappings that are or become executable while they were writable, and, where the kernel has it
 * (Linux 6.3), PR_SET_MDWE.   mdwe PROGRAM ARGUMENT...
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#define REFUSE_EXEC_GAIN 1

/* Low 32 bits of a system call's third argument, the protection of mmap and mprotect. */
#define PROTECTION offsetof(struct seccomp_data, args[2])
#define NUMBER offsetof(struct seccomp_data, nr)

static int filter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pkey_mprotect, 4, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        /* mmap: not writable and executable at once */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROTECTION),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROT_WRITE | PROT_EXEC, 4, 3),
        /* mprotect: never executable */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, PROTECTION),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_EXEC),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROT_EXEC, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* A guard that lets everything through would prove nothing. */
static int guard_works(void)
{
    void *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return both == MAP_FAILED && page != MAP_FAILED &&
           mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        return 2;
    }
    if (prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) != 0 && errno != EINVAL) {
        perror("PR_SET_MDWE");
        return 2;
    }
    if (!filter()) {
        perror("seccomp");
        return 2;
    }
    if (!guard_works()) {
        fprintf(stderr, "writable memory can still become executable\n");
        return 2;
    }
    execv(argv[1], argv + 1);
    perror(argv[1]);
    return 2;
}
