/* Preloaded, makes every fsync and fdatasync take SLOW_SYNC_MICROSECONDS longer: a virtual disk often
 * answers from its host's memory, and a real one does not. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void wait_longer(void) {
    static long microseconds = -1;
    if (microseconds < 0) {
        const char *said = getenv("SLOW_SYNC_MICROSECONDS");
        microseconds = said ? atol(said) : 0;
    }
    struct timespec longer = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&longer, NULL);
}

int fsync(int file) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_longer();
    return real(file);
}

int fdatasync(int file) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_longer();
    return real(file);
}
