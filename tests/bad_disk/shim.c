/* Makes writes to the files of a store fail, come up short or tear: LD_PRELOAD for a child of tests/bad_disk.
   KEYFERRY_SHIM_FAULT=error|full|short|torn|sync, KEYFERRY_SHIM_AT=N: the N-th call of its kind on a file below
   KEYFERRY_SHIM_UNDER. "short" writes half and says so; "torn" writes half and the process dies. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;

static int ours(int fd) {
    char link[64], path[4096];
    const char *under = getenv("KEYFERRY_SHIM_UNDER");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0 || !under) return 0;
    path[length] = 0;
    return strncmp(path, under, strlen(under)) == 0;
}

static int hit(int fd, int sync) {
    const char *fault = getenv("KEYFERRY_SHIM_FAULT");
    if (!fault || sync != (strcmp(fault, "sync") == 0) || !ours(fd)) return 0;
    return atomic_fetch_add(&calls, 1) + 1 == atol(getenv("KEYFERRY_SHIM_AT"));
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    if (hit(fd, 0)) {
        const char *fault = getenv("KEYFERRY_SHIM_FAULT");
        if (strcmp(fault, "error") == 0) { errno = EIO; return -1; }
        if (strcmp(fault, "full") == 0) { errno = ENOSPC; return -1; }
        ssize_t half = real(fd, bytes, count / 2, offset);
        if (strcmp(fault, "torn") == 0) _exit(86);
        return half;
    }
    return real(fd, bytes, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (hit(fd, 0)) {
        const char *fault = getenv("KEYFERRY_SHIM_FAULT");
        if (strcmp(fault, "error") == 0) { errno = EIO; return -1; }
        if (strcmp(fault, "full") == 0) { errno = ENOSPC; return -1; }
        ssize_t half = real(fd, bytes, count / 2);
        if (strcmp(fault, "torn") == 0) _exit(86);
        return half;
    }
    return real(fd, bytes, count);
}

int fdatasync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    if (hit(fd, 1)) { errno = EIO; return -1; }
    return real(fd);
}

int fsync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    if (hit(fd, 1)) { errno = EIO; return -1; }
    return real(fd);
}
