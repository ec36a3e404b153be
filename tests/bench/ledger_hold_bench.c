/* SPDX-License-Identifier: Apache-2.0 */
/* One edge's thread without an edge: holds and settles over the running ledger's socket, so many
 * at a time, over so many keys, with the journal syncing and the poster posting. Measures from a
 * HOLD's write to its HELD. `hashes` prints what the database has to know of the keys. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "shared/id.h"
#include "shared/ipc/message.h"
#include "shared/json/write.h"
#include "shared/secret.h"

#define AT_ONCE_MAX  256
#define KEYS_MAX     100000
#define BUFFER_SIZE  ((size_t)4 << 20)
#define ANSWER_MS    10000
#define PROMPT_UNITS 250
#define OUTPUT_UNITS 150

struct slot {
    uint32_t key;
    uint64_t sent_ns;
};

struct bench {
    int fd;
    uint32_t keys, at_once, pairs;
    uint32_t price_id;
    money charge;
    uint64_t versions[KEYS_MAX];
    struct slot slots[AT_ONCE_MAX];
    struct buffer out, in;
    uint64_t n;
    uint32_t begun, ended;
    uint32_t *held_us;
    uint32_t held_count;
};

static void stop(const char *what)
{
    fprintf(stderr, "ledger_hold_bench: %s\n", what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static struct key_hash key_of(uint32_t number)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "bench key %" PRIu32, number);
    return key_hash_outer((slice){text, (size_t)len});
}

/* ---- the connection -------------------------------------------------------------------------- */

static void dial(struct bench *bench, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!status_ok(slice_to_c_string(slice_of(path), address.sun_path, sizeof(address.sun_path))))
        stop("the path is too long");
    bench->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(bench->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        stop("nobody listens on the ledger's socket");
    struct message_hello hello = {
        .version = MESSAGE_VERSION, .incarnation = now_ns(), .threads = 1};
    message_encode_hello(&bench->out, 0, &hello);
}

static void flush(struct bench *bench)
{
    size_t done = 0;
    while (done < bench->out.len) {
        ssize_t sent = send(bench->fd, bench->out.data + done, bench->out.len - done, MSG_NOSIGNAL);
        if (sent <= 0) stop("the ledger closed the connection");
        done += (size_t)sent;
    }
    buffer_clear(&bench->out);
}

static void fill(struct bench *bench)
{
    struct pollfd wait = {.fd = bench->fd, .events = POLLIN};
    if (poll(&wait, 1, ANSWER_MS) != 1) stop("no answer came");
    char *room = buffer_reserve(&bench->in, 65536);
    if (room == NULL) stop("an answer is too long");
    ssize_t count = recv(bench->fd, room, 65536, 0);
    if (count <= 0) stop("the ledger closed the connection");
    bench->in.len += (size_t)count;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static void send_hold(struct bench *bench, uint32_t index)
{
    struct slot *slot = &bench->slots[index];
    struct message_hold hold = {.key = key_of(slot->key),
                                .caller_version = bench->versions[slot->key],
                                .fixed = bench->charge,
                                .price_ids = {1, {bench->price_id}}};
    message_encode_hold(&bench->out, index + 1, &hold);
    slot->sent_ns = now_ns();
}

static void begin_pair(struct bench *bench, uint32_t index)
{
    if (bench->begun == bench->pairs) return;
    /* A stride that shares no factor with the keys visits all of them. */
    bench->slots[index].key = (uint32_t)((uint64_t)bench->begun++ * 7919 % bench->keys);
    send_hold(bench, index);
}

static void send_settle(struct bench *bench, uint32_t index, const struct message_held *held)
{
    struct message_settle settle = {
        .n = ++bench->n,
        .hold = held->hold,
        .generation = held->generation,
        .price_id = bench->price_id,
        .usage = {.units = {[BILLING_prompt] = PROMPT_UNITS, [BILLING_completion] = OUTPUT_UNITS}},
        .charge = bench->charge,
        .facts = {.model = 17,
                  .endpoint = 23,
                  .provider = 3,
                  .finish = FINISH_STOP,
                  .first_byte_ms = 212,
                  .total_ms = 1340,
                  .native_finish = SLICE("stop"),
                  .upstream_id = SLICE("chatcmpl-9xQvA1mT0rFb3kZ7yLwPd2cE"),
                  .user_agent = SLICE("OpenAI/JS 4.73.0"),
                  .attempt_count = 1,
                  .attempts = {{23, 3, 200, ATTEMPT_OK, 212}}}};
    message_encode_settle(&bench->out, index + 1, &settle);
}

static void take_held(struct bench *bench, uint32_t index, slice body)
{
    struct message_held held;
    struct slot *slot = &bench->slots[index];
    if (!status_ok(message_decode_held(body, &held))) stop("an answer cannot be read");
    if (held.error == ERROR_STALE) { /* the first of its key */
        bench->versions[slot->key] = held.caller.version;
        send_hold(bench, index);
        return;
    }
    if (held.error != ERROR_NONE) stop(error_row_of(held.error)->sentence);
    bench->held_us[bench->held_count++] = (uint32_t)((now_ns() - slot->sent_ns) / 1000);
    send_settle(bench, index, &held);
}

static void take_settled(struct bench *bench, uint32_t index, slice body)
{
    struct message_settled settled;
    if (!status_ok(message_decode_settled(body, &settled))) stop("an answer cannot be read");
    if (settled.charge.nano != bench->charge.nano) stop("another charge was booked");
    bench->ended++;
    begin_pair(bench, index);
}

static void take_frame(struct bench *bench, const struct frame *frame)
{
    struct message_holds_open none = {.last = 1};
    uint32_t index = (uint32_t)frame->request - 1;
    switch (frame->type) {
    case MESSAGE_welcome:
        message_encode_holds_open(&bench->out, 0, &none);
        for (uint32_t i = 0; i < bench->at_once; i++)
            begin_pair(bench, i);
        return;
    case MESSAGE_held: take_held(bench, index, frame->body); return;
    case MESSAGE_settled: take_settled(bench, index, frame->body); return;
    default: return;
    }
}

static void take_frames(struct bench *bench)
{
    slice bytes = buffer_slice(&bench->in);
    struct frame frame;
    size_t taken;
    while (bytes.len > 0 && status_ok(frame_next(bytes, &frame, &taken))) {
        take_frame(bench, &frame);
        bytes = slice_from(bytes, taken);
    }
    memmove(bench->in.data, bytes.data, bytes.len);
    bench->in.len = bytes.len;
}

static void run_pairs(struct bench *bench)
{
    while (bench->ended < bench->pairs) {
        flush(bench);
        fill(bench);
        take_frames(bench);
    }
}

/* ---- what it prints -------------------------------------------------------------------------- */

static int compare_us(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_result(struct bench *bench, uint64_t elapsed_ns)
{
    qsort(bench->held_us, bench->held_count, sizeof(*bench->held_us), compare_us);
    printf("{\"pairs\":%" PRIu32 ",\"elapsed_us\":%" PRIu64 ",\"hold_p50_us\":%" PRIu32
           ",\"hold_p99_us\":%" PRIu32 ",\"hold_max_us\":%" PRIu32 "}\n",
           bench->ended, elapsed_ns / 1000, bench->held_us[bench->held_count / 2],
           bench->held_us[(uint64_t)bench->held_count * 99 / 100],
           bench->held_us[bench->held_count - 1]);
}

static int print_hashes(const char *pepper_file, uint32_t keys)
{
    struct secret pepper;
    if (!status_ok(secret_read_file(pepper_file, 64, false, &pepper))) stop("no pepper");
    for (uint32_t i = 0; i < keys; i++) {
        struct key_hash hash = key_hash_stored(&pepper, key_of(i));
        for (size_t byte = 0; byte < sizeof(hash.bytes); byte++)
            printf("%02x", hash.bytes[byte]);
        printf("\n");
    }
    secret_free(&pepper);
    return 0;
}

static uint32_t number_of(const char *text, uint32_t max)
{
    int64_t value = 0;
    bool good = status_ok(slice_to_i64(slice_of(text), &value)) && value > 0 && value <= max;
    if (!good)
        stop("usage: hashes PEPPER KEYS | run SOCKET KEYS AT_ONCE PAIRS PRICE_ID CHARGE_NANO");
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    if (!status_ok(secret_init())) return 1;
    if (argc == 4 && strcmp(argv[1], "hashes") == 0)
        return print_hashes(argv[2], number_of(argv[3], KEYS_MAX));
    if (argc != 8 || strcmp(argv[1], "run") != 0) (void)number_of("", 0);
    bench.keys = number_of(argv[3], KEYS_MAX);
    bench.at_once = number_of(argv[4], AT_ONCE_MAX);
    bench.pairs = number_of(argv[5], 10000000);
    bench.price_id = number_of(argv[6], UINT32_MAX);
    bench.charge.nano = number_of(argv[7], UINT32_MAX);
    bench.held_us = calloc(bench.pairs, sizeof(*bench.held_us));
    if (bench.held_us == NULL) abort();
    buffer_init(&bench.out, BUFFER_SIZE);
    buffer_init(&bench.in, BUFFER_SIZE);
    dial(&bench, argv[2]);
    uint64_t began_ns = now_ns();
    run_pairs(&bench);
    print_result(&bench, now_ns() - began_ns);
    return 0;
}
