/* Preloaded, lets a program speak with this machine alone: whatever else it would connect or send to,
 * and every name but localhost that it would look up, fails as without a network, and is a line in
 * the file that LOOPBACK_ONLY names. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void write_down(const char *what, const char *whom) {
    char line[400];
    int length = snprintf(line, sizeof line, "%s %s\n", what, whom);
    const char *path = getenv("LOOPBACK_ONLY");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (length > (int)sizeof line - 1) length = sizeof line - 1;
    if (file < 0 || write(file, line, length) != length) abort();
    close(file);
}

static int leads_away(const struct sockaddr *to, const char *what) {
    char text[INET6_ADDRSTRLEN] = "";
    if (to == NULL) return 0;
    if (to->sa_family == AF_INET) {
        const struct in_addr *at = &((const struct sockaddr_in *)to)->sin_addr;
        if (ntohl(at->s_addr) >> 24 == 127) return 0;
        inet_ntop(AF_INET, at, text, sizeof text);
    } else if (to->sa_family == AF_INET6) {
        const struct in6_addr *at = &((const struct sockaddr_in6 *)to)->sin6_addr;
        if (IN6_IS_ADDR_LOOPBACK(at) || (IN6_IS_ADDR_V4MAPPED(at) && at->s6_addr[12] == 127)) return 0;
        inet_ntop(AF_INET6, at, text, sizeof text);
    } else {
        return 0;
    }
    write_down(what, text);
    errno = ENETUNREACH;
    return 1;
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
    static int (*real)(int, const struct sockaddr *, socklen_t);
    if (!real) real = dlsym(RTLD_NEXT, "connect");
    return leads_away(to, "connect") ? -1 : real(fd, to, length);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    static ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    if (!real) real = dlsym(RTLD_NEXT, "sendto");
    return leads_away(to, "send") ? -1 : real(fd, data, size, flags, to, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    static ssize_t (*real)(int, const struct msghdr *, int);
    if (!real) real = dlsym(RTLD_NEXT, "sendmsg");
    return leads_away(message->msg_name, "send") ? -1 : real(fd, message, flags);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    unsigned char address[sizeof(struct in6_addr)];
    if (!real) real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name == NULL || !strcmp(name, "localhost") || inet_pton(AF_INET, name, address) == 1 ||
        inet_pton(AF_INET6, name, address) == 1)
        return real(name, service, hints, found);
    write_down("look up", name);
    return EAI_NONAME;
}
