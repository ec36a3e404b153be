/* SPDX-License-Identifier: Apache-2.0 */
/* load: so many connections ask the same thing again and again; says how long it took, as JSON.
 * Every answer is read to its end and counted: an answer that is not whole (no [DONE] in a stream,
 * no 200) is an error, never a fast success. */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/clock.h"
#include "shared/descriptor.h"
#include "shared/h2o.h"
#include "tools/load/samples.h"

#define SAMPLES_MAX 4000000
#define HEAD_SIZE   8192
#define TIMEOUT_MS  120000
#define TAIL_SIZE   64 /* of an answer, to find its end mark */

struct settings {
    char host[64];
    char path[512];
    uint16_t port;
    int64_t connections, requests, warmup;
    bool stream;
    struct buffer head; /* of the request, to its empty line */
    struct buffer body;
};

struct user { /* one connection's worth of asking */
    struct load *load;
    h2o_http1client_t *client;
    uint64_t started_us, first_us;
    size_t bytes, chunks;
    char tail[TAIL_SIZE];
    size_t tail_len;
    int http_status;
    bool counted; /* started after the warm-up */
};

struct load {
    struct settings settings;
    h2o_loop_t *loop;
    h2o_http1client_ctx_t context;
    h2o_timeout_t io_timeout;
    h2o_socketpool_t pool;
    h2o_iovec_t pieces[2];
    int64_t begun, ended, errors;
    uint64_t measured_from_us;
    uint64_t chunks, bytes;
    struct samples first, whole;
};

static void ask(struct user *user);

static void finish(struct user *user, bool whole)
{
    struct load *load = user->load;
    uint64_t now_us = clock_monotonic_us();
    user->client = NULL;
    load->ended++;
    if (!whole || user->http_status != 200) load->errors++;
    if (user->counted) {
        samples_add(&load->first, user->first_us - user->started_us);
        samples_add(&load->whole, now_us - user->started_us);
        load->chunks += user->chunks;
        load->bytes += user->bytes;
    }
    if (load->begun < load->settings.requests + load->settings.warmup) ask(user);
}

static void keep_tail(struct user *user, const char *bytes, size_t len)
{
    size_t take = len > TAIL_SIZE ? TAIL_SIZE : len;
    size_t keep = user->tail_len + take > TAIL_SIZE ? TAIL_SIZE - take : user->tail_len;
    memmove(user->tail, user->tail + user->tail_len - keep, keep);
    memcpy(user->tail + keep, bytes + len - take, take);
    user->tail_len = keep + take;
}

/* Chunks are counted by their events, two newlines each, wherever the reads were cut. */
static void take_body(struct user *user, h2o_buffer_t **input)
{
    size_t len = (*input)->size;
    const char *bytes = (*input)->bytes;
    if (len == 0) return;
    if (user->bytes == 0) user->first_us = clock_monotonic_us();
    for (size_t i = 0; user->load->settings.stream && i + 1 < len; i++) {
        if (bytes[i] == '\n' && bytes[i + 1] == '\n') user->chunks++;
    }
    user->bytes += len;
    keep_tail(user, bytes, len);
    h2o_buffer_consume(input, len);
}

static bool is_whole(const struct user *user)
{
    static const char mark[] = "data: [DONE]\n\n";
    const size_t len = sizeof(mark) - 1;
    if (!user->load->settings.stream)
        return user->tail_len > 0 && user->tail[user->tail_len - 1] == '}';
    return user->tail_len >= len && memcmp(user->tail + user->tail_len - len, mark, len) == 0;
}

static int on_body(h2o_http1client_t *client, const char *error)
{
    struct user *user = client->data;
    take_body(user, &client->sock->input);
    if (error != NULL) finish(user, error == h2o_http1client_error_is_eos && is_whole(user));
    return 0;
}

static h2o_http1client_body_cb on_head(h2o_http1client_t *client, const char *error,
                                       int minor_version, int http_status, h2o_iovec_t reason,
                                       h2o_header_t *headers, size_t header_count, int head_len)
{
    struct user *user = client->data;
    (void)minor_version, (void)reason, (void)headers, (void)header_count, (void)head_len;
    user->http_status = http_status;
    if (error != NULL) {
        finish(user, false);
        return NULL;
    }
    return on_body;
}

static h2o_http1client_head_cb on_connect(h2o_http1client_t *client, const char *error,
                                          h2o_iovec_t **pieces, size_t *count, int *is_head)
{
    struct user *user = client->data;
    if (error != NULL) {
        finish(user, false);
        return NULL;
    }
    *pieces = user->load->pieces;
    *count = 2;
    *is_head = 0;
    return on_head;
}

static void ask(struct user *user)
{
    struct load *load = user->load;
    if (load->begun == load->settings.warmup) load->measured_from_us = clock_monotonic_us();
    user->counted = load->begun >= load->settings.warmup;
    load->begun++;
    user->bytes = user->chunks = user->tail_len = 0;
    user->http_status = 0;
    user->started_us = user->first_us = clock_monotonic_us();
    h2o_http1client_connect_with_pool(&user->client, user, &load->context, &load->pool, on_connect);
}

/* ---- settings */

static void usage(void)
{
    printf("load --port N --path /… --body FILE [--host 127.0.0.1] [--connections 16]\n"
           "     [--requests 1000] [--warmup 100]\n"
           "     [--header 'name: value']… [--stream]\n"
           "Prints {\"requests\",\"errors\",\"elapsed_us\",\"chunks\",\"bytes\",\"first_us\":{…},"
           "\"whole_us\":{…}}.\n");
}

static bool read_number(const char *text, int64_t low, int64_t *value)
{
    return status_ok(slice_to_i64(slice_of(text), value)) && *value >= low;
}

static bool read_settings(int argc, char **argv, struct settings *s, struct buffer *headers)
{
    static const struct option options[] = {{"port", 1, NULL, 'p'},
                                            {"path", 1, NULL, 'P'},
                                            {"body", 1, NULL, 'b'},
                                            {"host", 1, NULL, 'h'},
                                            {"connections", 1, NULL, 'c'},
                                            {"requests", 1, NULL, 'n'},
                                            {"warmup", 1, NULL, 'w'},
                                            {"header", 1, NULL, 'H'},
                                            {"stream", 0, NULL, 's'},
                                            {"help", 0, NULL, '?'},
                                            {0}};
    int64_t port = 0;
    bool good = true;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'p': good &= read_number(optarg, 1, &port) && port < 65536; break;
        case 'P':
            good &= status_ok(slice_to_c_string(slice_of(optarg), s->path, sizeof(s->path)));
            break;
        case 'b': good &= status_ok(descriptor_read_file(optarg, &s->body)); break;
        case 'h':
            good &= status_ok(slice_to_c_string(slice_of(optarg), s->host, sizeof(s->host)));
            break;
        case 'c': good &= read_number(optarg, 1, &s->connections); break;
        case 'n': good &= read_number(optarg, 1, &s->requests); break;
        case 'w': good &= read_number(optarg, 0, &s->warmup); break;
        case 's': s->stream = true; break;
        case 'H':
            buffer_append(headers, slice_of(optarg));
            buffer_append(headers, SLICE("\r\n"));
            break;
        default: return false;
        }
    }
    s->port = (uint16_t)port;
    return good && port > 0 && s->path[0] == '/' && s->body.len > 0;
}

static void write_head(struct settings *s, const struct buffer *headers)
{
    buffer_append(&s->head, SLICE("POST "));
    buffer_append(&s->head, slice_of(s->path));
    buffer_append(&s->head, SLICE(" HTTP/1.1\r\nhost: "));
    buffer_append(&s->head, slice_of(s->host));
    buffer_append(&s->head, SLICE("\r\ncontent-type: application/json\r\ncontent-length: "));
    buffer_append_u64(&s->head, s->body.len);
    buffer_append(&s->head, SLICE("\r\n"));
    buffer_append(&s->head, buffer_slice(headers));
    buffer_append(&s->head, SLICE("\r\n"));
}

static void report(struct load *load)
{
    struct buffer out;
    struct json_writer w;
    buffer_init(&out, 65536);
    json_write_init(&w, &out);
    json_object_begin(&w);
    json_key_i64(&w, SLICE("requests"), load->ended - load->settings.warmup);
    json_key_i64(&w, SLICE("errors"), load->errors);
    json_key_u64(&w, SLICE("elapsed_us"), clock_monotonic_us() - load->measured_from_us);
    json_key_u64(&w, SLICE("chunks"), load->chunks);
    json_key_u64(&w, SLICE("bytes"), load->bytes);
    json_key(&w, SLICE("first_us"));
    samples_write(&load->first, &w);
    json_key(&w, SLICE("whole_us"));
    samples_write(&load->whole, &w);
    json_object_end(&w);
    printf("%.*s\n", (int)out.len, out.data);
    buffer_free(&out);
}

static void open_pool(struct load *load)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(load->settings.port)};
    inet_pton(AF_INET, load->settings.host, &address.sin_addr);
    h2o_timeout_init(load->loop, &load->io_timeout, TIMEOUT_MS);
    load->context = (h2o_http1client_ctx_t){.loop = load->loop, .io_timeout = &load->io_timeout};
    h2o_socketpool_init_by_address(&load->pool, (void *)&address, sizeof(address), 0, 65536);
    h2o_socketpool_set_timeout(&load->pool, load->loop, TIMEOUT_MS);
    load->pieces[0] = h2o_iovec_init(load->settings.head.data, load->settings.head.len);
    load->pieces[1] = h2o_iovec_init(load->settings.body.data, load->settings.body.len);
}

int main(int argc, char **argv)
{
    static struct load load = {
        .settings = {.host = "127.0.0.1", .connections = 16, .requests = 1000, .warmup = 100}};
    struct buffer headers;
    buffer_init(&headers, HEAD_SIZE);
    buffer_init(&load.settings.head, 2 * HEAD_SIZE);
    buffer_init(&load.settings.body, 64u << 20);
    if (!read_settings(argc, argv, &load.settings, &headers)) {
        usage();
        return 2;
    }
    write_head(&load.settings, &headers);
    samples_init(&load.first, SAMPLES_MAX);
    samples_init(&load.whole, SAMPLES_MAX);
    load.loop = h2o_evloop_create();
    open_pool(&load);
    struct user *users = calloc((size_t)load.settings.connections, sizeof(*users));
    if (users == NULL) return 1;
    for (int64_t i = 0; i < load.settings.connections; i++) {
        users[i].load = &load;
        if (load.begun < load.settings.requests + load.settings.warmup) ask(&users[i]);
    }
    while (load.ended < load.settings.requests + load.settings.warmup)
        h2o_evloop_run(load.loop, 1000);
    report(&load);
    free(users);
    return load.errors == 0 ? 0 : 1;
}
