/* A static provider in the shape of OpenAI's chat completions: one thread, epoll, HTTP/1.1 with keep-alive.
 *
 *   upstream PORT
 *   POST /json/...         one JSON answer at once, with an id of its own
 *   POST /sse/<n>/<us>/... a stream: role, n content events <us> microseconds apart, finish, usage, [DONE].
 *                          0 means as fast as the reader reads; every event is a send() of its own.
 *
 * Every content event carries @<CLOCK_MONOTONIC in microseconds>@, so that a client on the same machine knows how long
 * the event was on its way.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MAX_FD 8192
#define INPUT 262144
#define BURST 64 /* events of one stream before the others have their turn */

typedef struct {
    int fd, open, streaming, blocked, timer; /* blocked: the socket is full; timer: place in `timers` */
    char *in, *out;
    size_t in_length, out_length, out_sent, out_room;
    int events, next;
    long long step, due;
} Connection;

static Connection connections[MAX_FD];
static Connection *timers[MAX_FD];
static int timer_count, poller;

static const char JSON[] =
    "{\"id\":\"chatcmpl-bench%016llu\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"mock\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"A reverse proxy sits between clients and "
    "one or more origin servers. It accepts the request, picks an upstream, forwards the bytes, and hands the answer "
    "back. Because every call passes through it, it is a good place for authentication, rate limiting, accounting and "
    "failover; for the same reason it must be fast, must not buffer streams, and must never lose the record of what was "
    "spent.\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
    "\"usage\":{\"prompt_tokens\":57,\"completion_tokens\":76,\"total_tokens\":133,\"prompt_tokens_details\":"
    "{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0}},"
    "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\"}";
#define EVENT                                                                                                         \
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\","  \
    "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\","
#define CHOICE "\"choices\":[{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}],\"usage\":null}\n\n"

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void watch(Connection *c, int operation, unsigned events) {
    struct epoll_event e = {events, {.ptr = c}};
    epoll_ctl(poller, operation, c->fd, &e);
}

static void start_timer(Connection *c) {
    c->streaming = 1;
    c->timer = timer_count;
    timers[timer_count++] = c;
}

static void stop_timer(Connection *c) {
    timers[c->timer] = timers[--timer_count];
    timers[c->timer]->timer = c->timer;
    c->streaming = 0;
}

static void hang_up(Connection *c) {
    if (c->streaming) stop_timer(c);
    close(c->fd);
    c->open = 0;
}

static void put(Connection *c, const char *bytes, size_t length) {
    if (c->out_sent == c->out_length) c->out_sent = c->out_length = 0;
    if (c->out_length + length > c->out_room) {
        c->out_room = (c->out_length + length) * 2;
        c->out = realloc(c->out, c->out_room);
    }
    memcpy(c->out + c->out_length, bytes, length);
    c->out_length += length;
}

static void put_chunk(Connection *c, const char *text) {
    char size[24];
    put(c, size, sprintf(size, "%zx\r\n", strlen(text)));
    put(c, text, strlen(text));
    put(c, "\r\n", 2);
}

static void flush(Connection *c) {
    while (c->out_sent < c->out_length) {
        ssize_t sent = send(c->fd, c->out + c->out_sent, c->out_length - c->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            if (!c->blocked) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            c->blocked = 1;
            return;
        }
        if (sent < 0) return hang_up(c);
        c->out_sent += sent;
    }
    if (c->blocked) watch(c, EPOLL_CTL_MOD, EPOLLIN);
    c->blocked = 0;
}

static void answer_json(Connection *c) {
    static unsigned long long id;
    char body[2048], head[160];
    size_t length = sprintf(body, JSON, ++id);
    put(c, head, sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", length));
    put(c, body, length);
    flush(c);
}

static void put_event(Connection *c) {
    char delta[128], text[1024];
    if (c->next == 0) {
        sprintf(text, EVENT CHOICE, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null", "null");
        put_chunk(c, text);
    } else if (c->next <= c->events) {
        sprintf(delta, "\"content\":\" @%lld@ the quick fox\"", now());
        sprintf(text, EVENT CHOICE, delta, "null");
        put_chunk(c, text);
    } else {
        sprintf(text, EVENT CHOICE, "", "\"stop\"");
        put_chunk(c, text);
        sprintf(text, EVENT "\"choices\":[],\"usage\":{\"prompt_tokens\":57,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n",
                c->events * 4, 57 + c->events * 4);
        put_chunk(c, text);
        put_chunk(c, "data: [DONE]\n\n");
        put(c, "0\r\n\r\n", 5);
        stop_timer(c);
    }
    c->next++;
}

static void advance(Connection *c, long long time) {
    while (c->open && c->streaming && !c->blocked && time >= c->due) {
        int burst = c->step ? 1 : BURST;
        while (burst-- && c->open && c->streaming && !c->blocked) {
            put_event(c);
            flush(c);
        }
        if (!c->step) return;
        c->due += c->step;
    }
}

static void answer(Connection *c, const char *path) {
    int events;
    long long step;
    if (sscanf(path, "/sse/%d/%lld/", &events, &step) != 2) return answer_json(c);
    const char *head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                       "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
    put(c, head, strlen(head));
    c->events = events;
    c->next = 0;
    c->step = step;
    c->due = now();
    start_timer(c);
    advance(c, c->due);
}

/* The length of a complete request at the start of the input, or 0. */
static size_t request_length(Connection *c) {
    char *end = memmem(c->in, c->in_length, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = end + 4 - c->in, body = 0;
    for (char *line = c->in; line && line < end; line = memmem(line, end - line, "\r\n", 2)) {
        if (line != c->in) line += 2;
        if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, 0, 10);
        if (!strncasecmp(line, "transfer-encoding:", 18)) { /* chunked */
            char *last = memmem(c->in + head, c->in_length - head, "0\r\n\r\n", 5);
            if (!last) return 0;
            body = last + 5 - (c->in + head);
        }
        line++;
    }
    return c->in_length < head + body ? 0 : head + body;
}

static void serve(Connection *c) {
    size_t length;
    char path[256];
    while (c->open && !c->streaming && (length = request_length(c))) {
        path[0] = 0;
        sscanf(c->in, "%*s %255s", path);
        c->in_length -= length;
        memmove(c->in, c->in + length, c->in_length);
        answer(c, path);
    }
}

static void receive(Connection *c) {
    ssize_t got;
    while ((got = recv(c->fd, c->in + c->in_length, INPUT - 1 - c->in_length, 0)) > 0) {
        c->in_length += got;
        c->in[c->in_length] = 0;
    }
    if (got == 0 || errno != EAGAIN) return hang_up(c);
    serve(c);
}

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Connection *c = &connections[fd];
        if (!c->in) c->in = malloc(INPUT);
        *c = (Connection){.fd = fd, .open = 1, .in = c->in, .out = c->out, .out_room = c->out_room};
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (void *)&address, sizeof address) || listen(fd, 4096)) {
        perror("upstream");
        exit(1);
    }
    return fd;
}

/* Microseconds until the next event is due; -1 when there is none. */
static long long idle_time(void) {
    long long time = now(), soonest = -1;
    for (int i = 0; i < timer_count; i++) {
        if (timers[i]->blocked) continue;
        long long left = timers[i]->due > time ? timers[i]->due - time : 0;
        if (soonest < 0 || left < soonest) soonest = left;
    }
    return soonest;
}

static void step_timers(void) {
    long long time = now();
    for (int i = 0; i < timer_count;) {
        Connection *c = timers[i];
        advance(c, time);
        if (c->open && !c->streaming) serve(c);
        if (i < timer_count && timers[i] == c) i++;
    }
}

int main(int count, char **arguments) {
    static struct epoll_event ready[512];
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on(count > 1 ? atoi(arguments[1]) : 9100);
    poller = epoll_create1(0);
    struct epoll_event e = {EPOLLIN, {.ptr = 0}};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        long long wait = idle_time();
        struct timespec limit = {wait / 1000000, wait % 1000000 * 1000};
        int found = epoll_pwait2(poller, ready, 512, wait < 0 ? 0 : &limit, 0);
        for (int i = 0; i < found; i++) {
            Connection *c = ready[i].data.ptr;
            if (!c) {
                accept_all(listener);
                continue;
            }
            if (c->open && ready[i].events & EPOLLOUT) flush(c);
            if (c->open && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
        }
        step_timers();
    }
}
