/* A closed-loop HTTP/1.1 client: one thread, epoll, keep-alive; prints one JSON object.
 *
 *   load -u http://127.0.0.1:PORT/PATH -b BODY_FILE [-H "Name: value"]... [-c CONNECTIONS] [-n REQUESTS] [-s SECONDS]
 *
 * Each connection sends its next request when its last answer is complete, until REQUESTS were sent or SECONDS are over;
 * what is unfinished after another 30 seconds is counted as such. An event that carries @<CLOCK_MONOTONIC in
 * microseconds>@ is a content event, and its delay is measured from that moment.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define GRACE 30000000LL

typedef struct {
    double *values;
    size_t count, room;
} Series;

enum state { CLOSED, CONNECTING, BUSY, IDLE };
enum framing { LENGTH, SIZE_LINE, CHUNK, CHUNK_END, TRAILER, UNTIL_CLOSE };

typedef struct {
    int fd, reused, heard_head, closes, status, first, done, usage, failed;
    enum state state;
    enum framing framing;
    size_t sent, head_length, line_length;
    long long started, left, events, content;
    char head[16384], line[8192]; /* the last members: `begin` clears what is before them */
} Connection;

static Connection *connections;
static int wanted = 1, poller;
static struct sockaddr_in address;
static char *request;
static size_t request_length;
static Series latency, first_content, delay;
static long long started, ok, refused, broken, events, content, done, usage, last_answer;

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void add(Series *s, double value) {
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 4096;
        s->values = realloc(s->values, s->room * sizeof(double));
    }
    s->values[s->count++] = value;
}

static void watch(Connection *c, int operation, unsigned wanted_events) {
    struct epoll_event e = {wanted_events, {.ptr = c}};
    epoll_ctl(poller, operation, c->fd, &e);
}

static void hang_up(Connection *c) {
    close(c->fd);
    c->state = CLOSED;
}

static void send_request(Connection *c) {
    while (c->sent < request_length) {
        ssize_t sent = send(c->fd, request + c->sent, request_length - c->sent, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return; /* a broken connection is seen by the next recv() */
        }
        c->sent += sent;
    }
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void begin(Connection *c, long long time) {
    int one = 1, fd = c->fd, reused = c->state == IDLE;
    memset(c, 0, offsetof(Connection, head));
    c->fd = fd;
    c->reused = reused;
    c->started = time;
    if (reused) {
        c->state = BUSY;
        return send_request(c);
    }
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    c->state = CONNECTING;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connect(c->fd, (void *)&address, sizeof address); /* its result comes as an event */
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void fail(Connection *c) {
    broken++;
    hang_up(c);
}

static void finish(Connection *c, long long time) {
    if (c->status >= 200 && c->status < 300 && !c->failed) {
        ok++;
        add(&latency, (time - c->started) / 1000.0);
    } else {
        refused++;
    }
    events += c->events;
    content += c->content;
    done += c->done;
    usage += c->usage;
    last_answer = time;
    if (c->closes || c->framing == UNTIL_CLOSE)
        hang_up(c);
    else
        c->state = IDLE;
}

static void read_line(Connection *c, long long time) {
    char *line = c->line, *mark, *end;
    line[c->line_length] = 0;
    c->line_length = 0;
    if (strncmp(line, "data:", 5)) return;
    if (strstr(line, "[DONE]")) {
        c->done = 1;
        return;
    }
    c->events++;
    if (strstr(line, "\"completion_tokens\"")) c->usage = 1;
    if (strstr(line, "\"error\":{")) c->failed = 1;
    if (!(mark = strchr(line, '@'))) return;
    long long sent = strtoll(mark + 1, &end, 10);
    if (*end != '@') return;
    c->content++;
    add(&delay, (time - sent) / 1000.0);
    if (!c->first) add(&first_content, (time - c->started) / 1000.0);
    c->first = 1;
}

static void read_body(Connection *c, const char *bytes, size_t length, long long time) {
    while (length) {
        const char *end = memchr(bytes, '\n', length);
        size_t part = end ? (size_t)(end - bytes) : length, room = sizeof c->line - 1 - c->line_length;
        memcpy(c->line + c->line_length, bytes, part < room ? part : room);
        c->line_length += part < room ? part : room;
        if (!end) return;
        read_line(c, time);
        bytes += part + 1;
        length -= part + 1;
    }
}

static void read_headers(Connection *c) {
    c->heard_head = 1;
    c->status = atoi(c->head + 9);
    c->framing = UNTIL_CLOSE;
    for (char *line = strstr(c->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, "content-length:", 15)) {
            c->framing = LENGTH;
            c->left = atoll(line + 15);
        }
        if (!strncasecmp(line, "transfer-encoding: chunked", 26)) {
            c->framing = SIZE_LINE;
            c->left = 0;
        }
        if (!strncasecmp(line, "connection: close", 17)) c->closes = 1;
    }
}

static int digit(char byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    byte |= 32;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* One step through a chunked body; returns how many bytes it took, and sets `complete` at the end. */
static size_t read_chunked(Connection *c, const char *bytes, size_t length, long long time, int *complete) {
    size_t part;
    switch (c->framing) {
    case SIZE_LINE:
        if (digit(*bytes) >= 0) c->left = c->left * 16 + digit(*bytes);
        if (*bytes == '\n') c->framing = c->left ? CHUNK : TRAILER;
        return 1;
    case CHUNK:
        part = length < (size_t)c->left ? length : (size_t)c->left;
        read_body(c, bytes, part, time);
        c->left -= part;
        if (!c->left) c->framing = CHUNK_END;
        return part;
    case CHUNK_END:
        if (*bytes == '\n') c->framing = SIZE_LINE;
        return 1;
    default:
        *complete = *bytes == '\n';
        return 1;
    }
}

/* Returns 1 when the answer is complete. */
static int read_answer(Connection *c, const char *bytes, size_t length, long long time) {
    int complete = 0;
    if (!c->heard_head) {
        size_t before = c->head_length, room = sizeof c->head - 1 - before, part = length < room ? length : room;
        memcpy(c->head + before, bytes, part);
        c->head[c->head_length += part] = 0;
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end) return 0;
        *end = 0;
        read_headers(c);
        bytes += end + 4 - c->head - before;
        length -= end + 4 - c->head - before;
    }
    if (c->framing == LENGTH) {
        read_body(c, bytes, length, time);
        return (c->left -= length) <= 0;
    }
    if (c->framing == UNTIL_CLOSE) {
        read_body(c, bytes, length, time);
        return 0;
    }
    while (length && !complete) {
        size_t taken = read_chunked(c, bytes, length, time, &complete);
        bytes += taken;
        length -= taken;
    }
    return complete;
}

static void ended(Connection *c, long long time) {
    if (c->state == IDLE) return hang_up(c);
    if (c->heard_head && c->framing == UNTIL_CLOSE) return finish(c, time);
    if (!c->reused || c->head_length) return fail(c);
    hang_up(c); /* the server closed an idle connection just as it was used again */
    begin(c, c->started);
}

static void receive(Connection *c) {
    static char buffer[262144];
    for (;;) {
        ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
        long long time = now();
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) return ended(c, time);
        if (c->state == BUSY && read_answer(c, buffer, got, time)) return finish(c, time);
        if ((size_t)got < sizeof buffer) return;
    }
}

static void happened(Connection *c, unsigned what) {
    int error = 0;
    socklen_t size = sizeof error;
    if (c->state == CONNECTING && what & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) return fail(c);
        c->state = BUSY;
        return send_request(c);
    }
    if (c->state == BUSY && what & EPOLLOUT) send_request(c);
    if (c->state != CLOSED && what & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(Series *s, double q) { return s->count ? s->values[(size_t)(q * (s->count - 1) + 0.5)] : -1; }

static void print_series(const char *name, Series *s) {
    qsort(s->values, s->count, sizeof(double), compare);
    printf(",\"%s\":{\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"max\":%.3f}", name, quantile(s, .5), quantile(s, .95),
           quantile(s, .99), quantile(s, 1));
}

static void compose(const char *url, const char *body_file, const char *headers) {
    char host[64], path[512] = "/", body[65536];
    int port = 0;
    FILE *file = fopen(body_file, "r");
    if (!file || sscanf(url, "http://%63[^:/]:%d%511s", host, &port, path) < 2) exit(2);
    size_t length = fread(body, 1, sizeof body, file);
    fclose(file);
    request = malloc(length + 16384);
    request_length = sprintf(request,
                             "POST %s HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: load\r\nAccept: */*\r\n"
                             "Content-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n",
                             path, host, port, length, headers);
    memcpy(request + request_length, body, length);
    request_length += length;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &address.sin_addr);
}

/* Starts what may be started; returns how many requests are under way. */
static int keep_busy(long long limit, int stopping) {
    int busy = 0;
    for (int i = 0; i < wanted; i++) {
        Connection *c = &connections[i];
        if ((c->state == CLOSED || c->state == IDLE) && !stopping && started < limit) {
            started++;
            begin(c, now());
        }
        busy += c->state == CONNECTING || c->state == BUSY;
    }
    return busy;
}

int main(int count, char **arguments) {
    static struct epoll_event ready[512];
    char *url = 0, *body = 0, headers[8192] = "";
    long long limit = 1000000000, origin = now(), until = -1;
    for (int option; (option = getopt(count, arguments, "u:b:H:c:n:s:")) > 0;) {
        if (option == 'u') url = optarg;
        if (option == 'b') body = optarg;
        if (option == 'H') strcat(strcat(headers, optarg), "\r\n");
        if (option == 'c') wanted = atoi(optarg);
        if (option == 'n') limit = atoll(optarg);
        if (option == 's') until = origin + (long long)(atof(optarg) * 1e6);
    }
    if (!url || !body || until < 0) return 2;
    signal(SIGPIPE, SIG_IGN);
    compose(url, body, headers);
    connections = calloc(wanted, sizeof(Connection));
    poller = epoll_create1(0);
    int busy;
    while ((busy = keep_busy(limit, now() >= until)) && now() < until + GRACE) {
        int found = epoll_wait(poller, ready, 512, 50);
        for (int i = 0; i < found; i++) happened(ready[i].data.ptr, ready[i].events);
    }
    printf("{\"started\":%lld,\"ok\":%lld,\"refused\":%lld,\"broken\":%lld,\"unfinished\":%d,\"seconds\":%.4f,\"events\":%lld,"
           "\"content\":%lld,\"done\":%lld,\"usage\":%lld",
           started, ok, refused, broken, busy, (last_answer - origin) / 1e6, events, content, done, usage);
    print_series("latency_ms", &latency);
    print_series("first_content_ms", &first_content);
    print_series("delay_ms", &delay);
    printf("}\n");
    return 0;
}
