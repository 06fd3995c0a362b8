/* A source of pictures and a bucket that swallows them, both for next to nothing, so that what is
 * measured is the client.
 *
 *     cc -O2 -pthread -o floor floor.c && ./floor PORT
 *
 * GET  /blob/BYTES/NAME   a PNG of that many bytes, another one for each NAME: whole in its
 *                         structure and checksums, its pixels nonsense
 * PUT  anything           read and forgotten: 200, and 412 for /probes/ under a condition, as a
 *                         server answers that honours If-None-Match
 * GET  /stored            "OBJECTS BYTES" swallowed so far
 * POST anything           another task taken in, in DashScope's words
 * HEAD, DELETE            200 for a bucket, 404 for an object; 204
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD_BYTES = 16384, NAME_BYTES = 32, FRAME_BYTES = 8 + 25 + 12 + NAME_BYTES + 12 + 12 };
enum { MAX_PIXEL_BYTES = 64 << 20, MAX_SIZES = 16 };

static uint32_t crc_table[256];
static unsigned char *pixels; /* "IDAT" and what every picture shares behind it */
static long stored_objects, stored_bytes, tasks;

static struct {
    size_t length;
    uint32_t crc;
} sizes[MAX_SIZES];
static pthread_mutex_t sizes_lock = PTHREAD_MUTEX_INITIALIZER;

static uint32_t crc32_of(const unsigned char *data, size_t length) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < length; i++) crc = crc_table[(crc ^ data[i]) & 255] ^ crc >> 8;
    return ~crc;
}

/* The checksum of the shared chunk at this length: reckoned once for each. */
static uint32_t pixels_crc(size_t length) {
    pthread_mutex_lock(&sizes_lock);
    int i = 0;
    while (i < MAX_SIZES - 1 && sizes[i].length && sizes[i].length != length) i++;
    if (sizes[i].length != length) {
        sizes[i].length = length;
        sizes[i].crc = crc32_of(pixels, 4 + length);
    }
    uint32_t crc = sizes[i].crc;
    pthread_mutex_unlock(&sizes_lock);
    return crc;
}

static char *put32(char *at, uint32_t number) {
    number = htonl(number);
    memcpy(at, &number, 4);
    return at + 4;
}

static char *put_chunk(char *at, const char *type, const void *data, uint32_t length) {
    char *begins = put32(at, length);
    memcpy(begins, type, 4);
    memcpy(begins + 4, data, length);
    return put32(begins + 4 + length, crc32_of((unsigned char *)begins, 4 + length));
}

static int send_all(int peer, struct iovec *parts, int count) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    while (message.msg_iovlen) {
        ssize_t sent = sendmsg(peer, &message, MSG_NOSIGNAL);
        if (sent <= 0) return -1;
        while (message.msg_iovlen && (size_t)sent >= message.msg_iov->iov_len) {
            sent -= message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen) {
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + sent;
            message.msg_iov->iov_len -= sent;
        }
    }
    return 0;
}

static int say(int peer, const char *status, const char *body) {
    char answer[512];
    int length = snprintf(answer, sizeof answer,
        "HTTP/1.1 %s\r\nETag: \"0123456789abcdef0123456789abcdef\"\r\nContent-Length: %zu\r\n\r\n%s",
        status, strlen(body), body);
    struct iovec part = {answer, length};
    return send_all(peer, &part, 1);
}

static int send_picture(int peer, size_t size, const char *name, size_t name_length) {
    static const char header[13] = {0, 0, 4, 0, 0, 0, 4, 0, 8, 2, 0, 0, 0}; /* 1024 x 1024 RGB */
    char front[512], back[16], padded[NAME_BYTES] = "name\0";
    size_t length = size - FRAME_BYTES;
    if (size < FRAME_BYTES || length > MAX_PIXEL_BYTES) return say(peer, "400 Bad Size", "");
    memcpy(padded + 5, name, name_length > NAME_BYTES - 5 ? NAME_BYTES - 5 : name_length);
    char *at = front + sprintf(front,
        "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %zu\r\n\r\n", size);
    memcpy(at, "\x89PNG\r\n\x1a\n", 8);
    at = put_chunk(at + 8, "IHDR", header, sizeof header);
    at = put_chunk(at, "tEXt", padded, NAME_BYTES);
    at = put32(at, length);
    put_chunk(put32(back, pixels_crc(length)), "IEND", "", 0);
    struct iovec parts[] = {{front, at - front}, {pixels, 4 + length}, {back, 16}};
    return send_all(peer, parts, 3);
}

/* Takes `left` bytes off the connection without copying them anywhere. */
static int swallow(int peer, size_t left) {
    while (left) {
        ssize_t taken = recv(peer, NULL, left < 1 << 20 ? left : 1 << 20, MSG_TRUNC);
        if (taken <= 0) return -1;
        left -= taken;
    }
    return 0;
}

static int answer(int peer, char *head, size_t length) {
    char stored[128], *path = strchr(head, ' ') + 1;
    if (!strncmp(head, "PUT ", 4)) {
        char *ends = strchr(path, ' ');
        char *probe = memmem(path, ends - path, "/probes/", 8);
        if (probe && strcasestr(head, "\nif-none-match:"))
            return say(peer, "412 Precondition Failed", "");
        __atomic_add_fetch(&stored_objects, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&stored_bytes, length, __ATOMIC_RELAXED);
        return say(peer, "200 OK", "");
    }
    if (!strncmp(head, "GET /blob/", 10)) {
        char *name;
        size_t size = strtoul(path + 6, &name, 10);
        return send_picture(peer, size, name, strcspn(name, "? "));
    }
    if (!strncmp(head, "GET /stored ", 12)) {
        snprintf(stored, sizeof stored, "%ld %ld", stored_objects, stored_bytes);
        return say(peer, "200 OK", stored);
    }
    if (!strncmp(head, "POST ", 5)) {
        snprintf(stored, sizeof stored,
                 "{\"output\":{\"task_status\":\"PENDING\",\"task_id\":\"task-%ld\"},\"request_id\":\"r\"}",
                 __atomic_add_fetch(&tasks, 1, __ATOMIC_RELAXED));
        return say(peer, "200 OK\r\nContent-Type: application/json", stored);
    }
    if (!strncmp(head, "DELETE ", 7)) return say(peer, "204 No Content", "");
    if (!strncmp(head, "HEAD ", 5)) {
        char *key = strpbrk(path + 1, "/ ");
        int of_object = *key == '/' && key[1] != ' ' && key[1] != '?';
        return say(peer, of_object ? "404 Not Found" : "200 OK", "");
    }
    return say(peer, "200 OK", "");
}

static void *converse(void *given) {
    int peer = (int)(intptr_t)given, one = 1;
    char head[HEAD_BYTES + 1];
    size_t have = 0;
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (;;) {
        char *ends;
        while (head[have] = 0, !(ends = strstr(head, "\r\n\r\n"))) {
            ssize_t more = recv(peer, head + have, HEAD_BYTES - have, 0);
            if (more <= 0) goto done;
            have += more;
        }
        size_t head_length = ends + 4 - head, here = have - head_length;
        ends[2] = 0;
        char *said = strcasestr(head, "\ncontent-length:");
        size_t length = said ? strtoul(said + 16, NULL, 10) : 0;
        if (strcasestr(head, "\nexpect: 100")) {
            struct iovec go_on = {"HTTP/1.1 100 Continue\r\n\r\n", 25};
            if (send_all(peer, &go_on, 1)) goto done;
        }
        size_t taken = here < length ? here : length;
        if (swallow(peer, length - taken) || answer(peer, head, length)) goto done;
        have = here - taken;
        memmove(head, head + head_length + taken, have);
    }
done:
    close(peer);
    return NULL;
}

int main(int count, char **words) {
    if (count != 2) return fprintf(stderr, "floor PORT\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    for (uint32_t i = 0; i < 256; i++) {
        crc_table[i] = i;
        for (int k = 0; k < 8; k++) crc_table[i] = crc_table[i] >> 1 ^ (crc_table[i] & 1) * 0xEDB88320u;
    }
    pixels = malloc(4 + MAX_PIXEL_BYTES);
    memcpy(pixels, "IDAT", 4);
    uint64_t state = 1;
    for (size_t i = 4; i < 4 + MAX_PIXEL_BYTES; i += 8) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t word = state ^ state >> 29;
        memcpy(pixels + i, &word, i + 8 > 4 + MAX_PIXEL_BYTES ? 4 : 8);
    }
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 1024))
        return perror("floor"), 1;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, 1 << 18);
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        pthread_t thread;
        if (peer >= 0 && pthread_create(&thread, &detached, converse, (void *)(intptr_t)peer))
            close(peer);
    }
}
