/* Preloaded, writes down in order what a program asks of the disk below a folder, as blktrace and
 * dm-log-writes do below a file system: what a power cut may leave can be worked out from it.
 *
 * WRITE_LOG names the log, WRITE_LOG_FOLDER the folder (an absolute path without links, and not the
 * log's own). Each record is the 24 bytes of `struct record` and its text or bytes:
 *
 *     d  mkdir      inode of the folder, its path      c  a file made by open: inode, path
 *     w  write      inode, where, the bytes            t  truncate: inode, the size
 *     s  synced     inode of a file or a folder        l  link: inode, "old\0new"
 *     r  rename     "old\0new"                         u  unlink or rmdir: path
 *
 * Only calls that succeeded are written down; a lock makes the log's order the order of the calls.
 * What is mapped into memory is not seen: of SQLite that is the shared memory, which no power cut
 * leaves and every start makes anew. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct record {
    char kind, unused[3];
    uint32_t length;
    uint64_t inode, at;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static size_t folder_length;
static int written_down = -1;

static void note(char kind, uint64_t inode, uint64_t at, const void *bytes, size_t length) {
    struct record record = {kind, {0}, (uint32_t)length, inode, at};
    struct iovec parts[] = {{&record, sizeof record}, {(void *)bytes, length}};
    if (syscall(SYS_writev, written_down, parts, 2) != (long)(sizeof record + length)) abort();
}

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("WRITE_LOG");
    struct stat root;
    folder = getenv("WRITE_LOG_FOLDER");
    if (!name || !folder || stat(folder, &root)) return;
    folder_length = strlen(folder);
    written_down = (int)syscall(SYS_openat, AT_FDCWD, name,
                                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (written_down >= 0) note('d', root.st_ino, 0, folder, folder_length);
}

static int is_below(const char *path) {
    return written_down >= 0 && path && !strncmp(path, folder, folder_length) &&
           (path[folder_length] == '/' || !path[folder_length]);
}

/* Whether a descriptor is of a file or folder there, and which. */
static int is_open_below(int file, struct stat *what) {
    char link[64], path[4096];
    if (written_down < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path) && !fstat(file, what);
}

static uint64_t inode_of(const char *path) {
    struct stat what;
    return lstat(path, &what) ? 0 : what.st_ino;
}

static void note_two(char kind, const char *old, const char *new) {
    char both[8192];
    int length = snprintf(both, sizeof both, "%s%c%s", old, 0, new);
    note(kind, inode_of(new), 0, both, (size_t)length);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Does what it says under the lock, then writes it down if that was well. */
#define NOTED(type, condition, call, writing)       \
    do {                                            \
        int noted = (condition);                    \
        if (noted) pthread_mutex_lock(&lock);       \
        type result = (call);                       \
        int error = errno;                          \
        if (noted && result >= 0) { writing; }      \
        if (noted) pthread_mutex_unlock(&lock);     \
        errno = error;                              \
        return result;                              \
    } while (0)

static void note_opened(const char *path, int existed, int flags) {
    if (!existed) note('c', inode_of(path), 0, path, strlen(path));
    else if (flags & O_TRUNC) note('t', inode_of(path), 0, "", 0);
}

#define OPENS(name)                                                                    \
    int name(const char *path, int flags, ...) {                                       \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode_t mode = va_arg(rest, mode_t);                                            \
        va_end(rest);                                                                  \
        int makes = is_below(path) && (flags & (O_CREAT | O_TRUNC)), existed = 0;      \
        if (makes) existed = inode_of(path) != 0;                                      \
        NOTED(int, makes, REAL(name)(path, flags, mode), note_opened(path, existed, flags)); \
    }
OPENS(open)
OPENS(open64)

#define WRITES_AT(name, offset)                                                        \
    ssize_t name(int file, const void *bytes, size_t length, offset at) {              \
        struct stat what;                                                              \
        NOTED(ssize_t, is_open_below(file, &what), REAL(name)(file, bytes, length, at), \
              note('w', what.st_ino, (uint64_t)at, bytes, (size_t)result));            \
    }
WRITES_AT(pwrite, off_t)
WRITES_AT(pwrite64, off64_t)

ssize_t write(int file, const void *bytes, size_t length) {
    struct stat what;
    NOTED(ssize_t, is_open_below(file, &what), REAL(write)(file, bytes, length),
          note('w', what.st_ino, (uint64_t)(lseek(file, 0, SEEK_CUR) - result), bytes,
               (size_t)result));
}

#define TRUNCATES(name, offset)                                              \
    int name(int file, offset size) {                                        \
        struct stat what;                                                    \
        NOTED(int, is_open_below(file, &what), REAL(name)(file, size),       \
              note('t', what.st_ino, (uint64_t)size, "", 0));                \
    }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

#define SYNCS(name)                                                          \
    int name(int file) {                                                     \
        struct stat what;                                                    \
        NOTED(int, is_open_below(file, &what), REAL(name)(file),             \
              note('s', what.st_ino, 0, "", 0));                             \
    }
SYNCS(fsync)
SYNCS(fdatasync)

int mkdir(const char *path, mode_t mode) {
    NOTED(int, is_below(path), REAL(mkdir)(path, mode),
          note('d', inode_of(path), 0, path, strlen(path)));
}

int rename(const char *old, const char *new) {
    NOTED(int, is_below(new), REAL(rename)(old, new), note_two('r', old, new));
}

int link(const char *old, const char *new) {
    NOTED(int, is_below(new), REAL(link)(old, new), note_two('l', old, new));
}

int linkat(int from, const char *old, int to, const char *new, int flags) {
    NOTED(int, is_below(new), REAL(linkat)(from, old, to, new, flags), note_two('l', old, new));
}

#define REMOVES(name)                                                        \
    int name(const char *path) {                                             \
        NOTED(int, is_below(path), REAL(name)(path),                         \
              note('u', 0, 0, path, strlen(path)));                          \
    }
REMOVES(unlink)
REMOVES(rmdir)
