/*
 * Runs a program under a filter that kills it for any system call but those listed, and, unless
 * PROTECT is 0, without memory that becomes executable, as systemd's MemoryDenyWriteExecute= has
 * it.   confine PROTECT NUMBER,NUMBER,... PROGRAM ARGUMENT...
 *
 * Instead of PROGRAM: "!socket" makes a call that is not listed, "!exec" tries to make writable
 * memory executable and says what came of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#define REFUSE_EXEC_GAIN 1

static struct sock_filter code[1024];
static unsigned short length;

static void put(unsigned short what, unsigned k, unsigned char yes, unsigned char no)
{
    struct sock_filter f = {.code = what, .jt = yes, .jf = no, .k = k};

    code[length++] = f;
}

static void load(size_t offset)
{
    put(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

/* mmap: not writable and executable at once; mprotect: never executable. */
static void no_executable_memory(void)
{
    const unsigned args[] = {SYS_mmap, SYS_mprotect, SYS_pkey_mprotect};

    for (int k = 0; k < 3; k++) {
        unsigned bits = k == 0 ? PROT_WRITE | PROT_EXEC : PROT_EXEC;

        load(offsetof(struct seccomp_data, nr));
        put(BPF_JMP | BPF_JEQ | BPF_K, args[k], 0, 4);
        load(offsetof(struct seccomp_data, args[2]));
        put(BPF_ALU | BPF_AND | BPF_K, bits, 0, 0);
        put(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1);
        put(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
    }
}

static int confine(int protect, const char *list)
{
    struct sock_fprog program = {.filter = code};
    char *rest = NULL;

    load(offsetof(struct seccomp_data, arch));
    put(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    put(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    if (protect) {
        no_executable_memory();
    }
    load(offsetof(struct seccomp_data, nr));
    for (; *list != '\0'; list = *rest == ',' ? rest + 1 : rest) {
        put(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)strtoul(list, &rest, 10), 0, 1);
        put(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
        if (rest == list || length > 1000) {
            return 0;
        }
    }
    put(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    program.len = length;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* 0 if writable memory did not become executable, and nothing was both. */
static int tries_exec(void)
{
    void *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return both == MAP_FAILED && page != MAP_FAILED &&
                   mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0
               ? 0
               : 1;
}

int main(int argc, char **argv)
{
    int protect = argc > 1 ? atoi(argv[1]) : 0;

    if (argc < 4) {
        return 2;
    }
    if (protect && prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) != 0 && errno != EINVAL) {
        perror("PR_SET_MDWE");
        return 2;
    }
    if (!confine(protect, argv[2])) {
        perror("seccomp");
        return 2;
    }
    if (strcmp(argv[3], "!socket") == 0) {
        return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 3 : 4;
    }
    if (strcmp(argv[3], "!exec") == 0) {
        return tries_exec();
    }
    execv(argv[3], argv + 3);
    perror(argv[3]);
    return 2;
}
