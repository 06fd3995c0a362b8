/* A closed-loop HTTP load: every connection sends its next prepared request as soon as the last is
 * answered. Requests come from a file of (uint32 length, bytes) records, each sent at most once.
 *
 *   load PORT CONNECTIONS WARM_UP_REQUESTS FILE [RATE]
 *
 * With RATE (requests a second over all connections) it sends on schedule and counts latency from the
 * moment a request was due, so that a stalled server cannot hide its queue. Prints one JSON line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 4096, EVENTS = 256 };

struct connection {
    int socket;
    int busy;
    size_t received;
    double due;
    char answer[ANSWER_BYTES + 1];
};

static const char *requests, *requests_end;
static long statuses[600];
static double *latencies;
static long answered, sent, warm_up;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    perror(what);
    exit(2);
}

/* Sends the next request; 0 if there is none left. */
static int send_next(struct connection *c, double due) {
    if (requests >= requests_end) return 0;
    uint32_t length;
    memcpy(&length, requests, sizeof length);
    if (send(c->socket, requests + sizeof length, length, MSG_NOSIGNAL) != (ssize_t)length)
        die("send");
    requests += sizeof length + length;
    c->received = 0;
    c->due = due;
    c->busy = 1;
    sent++;
    return 1;
}

/* Reads what came; 1 once the whole answer is there. */
static int receive(struct connection *c) {
    ssize_t n = recv(c->socket, c->answer + c->received, ANSWER_BYTES - c->received, 0);
    if (n <= 0) die("the server closed the connection");
    c->received += n;
    c->answer[c->received] = 0;
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return 0;
    char *length = strcasestr(c->answer, "\r\ncontent-length:");
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    if (c->received < (size_t)(end + 4 - c->answer) + body) return 0;
    int status = atoi(c->answer + 9);
    if (status > 0 && status < 600) statuses[status]++;
    if (answered >= warm_up) latencies[answered - warm_up] = seconds() - c->due;
    answered++;
    c->busy = 0;
    return 1;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    if (argc < 5) return fprintf(stderr, "load PORT CONNECTIONS WARM_UP FILE [RATE]\n"), 2;
    int port = atoi(argv[1]), count = atoi(argv[2]);
    warm_up = atol(argv[3]);
    double rate = argc > 5 ? atof(argv[5]) : 0;

    int file = open(argv[4], O_RDONLY);
    struct stat info;
    if (file < 0 || fstat(file, &info)) die(argv[4]);
    requests = mmap(NULL, info.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (requests == MAP_FAILED) die("mmap");
    requests_end = requests + info.st_size;

    struct connection *all = calloc(count, sizeof *all);
    latencies = calloc(info.st_size / 64 + 1, sizeof *latencies);
    int poll = epoll_create1(0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        all[i].socket = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(all[i].socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(all[i].socket, (void *)&address, sizeof address)) die("connect");
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].socket, &event);
    }

    double began = seconds(), measured_from = 0;
    if (!rate)
        for (int i = 0; i < count; i++) send_next(&all[i], seconds());
    int next = 0;
    struct epoll_event events[EVENTS];
    while (answered < sent || requests < requests_end) {
        int wait = 5000;
        if (rate && requests < requests_end) {
            while (requests < requests_end && began + sent / rate <= seconds()) {
                int tried = 0;
                while (all[next].busy && tried++ < count) next = (next + 1) % count;
                if (all[next].busy) break;
                send_next(&all[next], began + sent / rate);
            }
            wait = 1;
        }
        int ready = epoll_wait(poll, events, EVENTS, wait);
        if (ready == 0 && !rate) return fprintf(stderr, "no answer for 5 s\n"), 3;
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (!receive(c)) continue;
            if (answered == warm_up) measured_from = seconds();
            if (!rate) send_next(c, seconds());
        }
    }
    double took = seconds() - measured_from;
    long measured = answered - warm_up;
    qsort(latencies, measured, sizeof *latencies, ascending);
    printf("{\"per_second\": %.1f", measured / took);
    double shares[] = {0.5, 0.99, 0.999};
    const char *names[] = {"p50_ms", "p99_ms", "p999_ms"};
    for (int i = 0; i < 3; i++)
        printf(", \"%s\": %.3f", names[i], latencies[(long)(measured * shares[i])] * 1e3);
    printf(", \"max_ms\": %.3f, \"statuses\": {", latencies[measured - 1] * 1e3);
    const char *comma = "";
    for (int i = 0; i < 600; i++)
        if (statuses[i]) printf("%s\"%d\": %ld", comma, i, statuses[i]), comma = ", ";
    printf("}}\n");
    return 0;
}
