/* Preloaded, makes a disk fail as the file named by FAULTY_DISK says, for as long as it says so:
 *
 *     SYNC_ERRNO WRITE_ERRNO PERCENT
 *
 * e.g. "5 0 100": every fsync and fdatasync fails with EIO; "0 28 20": each fifth write to a regular
 * file fails with ENOSPC. A missing or empty file: all is well. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t (*real_read)(int, void *, size_t);

/* The errno to fail with now, or 0; `kind` is 0 for a sync, 1 for a write. */
static int fault(int kind) {
    static unsigned calls;
    const char *name = getenv("FAULTY_DISK");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    char text[64] = {0};
    if (!real_read) real_read = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    ssize_t length = real_read(file, text, sizeof text - 1);
    close(file);
    int number[2] = {0, 0}, percent = 0;
    if (length <= 0 || sscanf(text, "%d %d %d", &number[0], &number[1], &percent) != 3) return 0;
    if (!number[kind]) return 0;
    unsigned call = __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
    return (int)(call * 37 % 100) < percent ? number[kind] : 0;
}

static int write_fault(int file) {
    struct stat what;
    return fstat(file, &what) == 0 && S_ISREG(what.st_mode) ? fault(1) : 0;
}

#define FAILING(found, result)  \
    do {                        \
        int failed = (found);   \
        if (failed) {           \
            errno = failed;     \
            return (result);    \
        }                       \
    } while (0)

int fsync(int file) {
    FAILING(fault(0), -1);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    FAILING(fault(0), -1);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}

ssize_t write(int file, const void *bytes, size_t length) {
    FAILING(write_fault(file), -1);
    return ((ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(file, bytes, length);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    FAILING(write_fault(file), -1);
    return ((ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite"))(
        file, bytes, length, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
    FAILING(write_fault(file), -1);
    return ((ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(
        file, bytes, length, at);
}
