/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's stream to the ledger, over a real socket: a scripted ledger on the same loop says
 * what it has journalled, and loses the connection when told to. */
#include "services/edge/ledger_link.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services/edge/edge.h"
#include "shared/clock.h"
#include "shared/daemon.h"
#include "tests/unit/test.h"

#define SEEN_MAX    64
#define DEADLINE_MS 5000

/* What the scripted ledger saw, and what it is to say. */
static struct {
    uint64_t mark;     /* of the next WELCOME */
    bool acknowledges; /* SETTLE and RELEASE at once */
    struct peer *peer; /* the open connection */
    unsigned welcomes;
    uint64_t named[SEEN_MAX]; /* holds of the last declaration */
    unsigned named_count;
    bool named_all;
    uint64_t numbers[SEEN_MAX]; /* of numbered frames, as they came */
    unsigned number_count;
} seen;

static struct edge edge;
static struct thread thread;
static char directory[] = "/tmp/bourse-link-XXXXXX";
static unsigned booked_count;
static money booked_charge;

static void ledger_opened(struct peer *peer, void *context)
{
    (void)context;
    seen.peer = peer;
}

static void ledger_closed(struct peer *peer, void *context)
{
    (void)peer, (void)context;
    seen.peer = NULL;
}

static void see_number(struct buffer *out, uint64_t n, money charge)
{
    assert_true(seen.number_count < SEEN_MAX);
    seen.numbers[seen.number_count++] = n;
    if (!seen.acknowledges) return;
    /* The ledger's figure is one nano-dollar above ours, to be told apart. */
    const struct message_settled message = {.n = n, .charge = {charge.nano + 1}};
    message_encode_settled(out, 0, &message);
}

static status ledger_received(struct peer *peer, const struct frame *frame, void *context)
{
    (void)context;
    struct buffer *out = peer_out(peer);
    struct message_holds_open open;
    struct message_settle settle;
    struct message_release release;
    switch (frame->type) {
    case MESSAGE_hello: {
        const struct message_welcome welcome = {.version = 1, .cell = 1, .mark = seen.mark};
        message_encode_welcome(out, 0, &welcome);
        seen.welcomes++;
        seen.named_count = seen.number_count = 0;
        seen.named_all = false;
        return OK;
    }
    case MESSAGE_holds_open:
        TRY(message_decode_holds_open(frame->body, &open));
        for (uint8_t i = 0; i < open.holds.count; i++)
            seen.named[seen.named_count++] = open.holds.items[i];
        seen.named_all = open.last;
        return OK;
    case MESSAGE_settle:
        TRY(message_decode_settle(frame->body, &settle));
        see_number(out, settle.n, settle.charge);
        return OK;
    case MESSAGE_release:
        TRY(message_decode_release(frame->body, &release));
        see_number(out, release.n, MONEY_ZERO);
        return OK;
    default: return FAIL(MALFORMED);
    }
}

static int set_up(void **state)
{
    (void)state;
    static const struct peer_callbacks callbacks = {ledger_opened, ledger_received, ledger_closed};
    static const struct peer_rules rules = {0};
    int fd;
    memset(&seen, 0, sizeof(seen));
    booked_count = 0;
    memcpy(strrchr(directory, '-') + 1, "XXXXXX", 6);
    if (mkdtemp(directory) == NULL || chdir(directory) != 0 || mkdir("run", 0700) != 0) return -1;
    config_defaults(&edge.config);
    edge.config.requests_max = 1; /* the ring is as small as it gets: 1,024 places */
    edge.incarnation = 77;
    edge.thread_count = 1;
    /* One for all tests: the library cannot free a loop. */
    static h2o_loop_t *loop;
    if (loop == NULL) loop = h2o_evloop_create();
    thread = (struct thread){.edge = &edge, .loop = loop};
    thread.peers = peer_set_new(thread.loop);
    if (!status_ok(daemon_listen_unix("run/ledger-ipc.sock", 0600, &fd))) return -1;
    peer_accept(thread.peers, fd, &rules, &callbacks, NULL);
    thread.ledger = ledger_link_new(&thread);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_set_free(&thread.peers);
    ledger_link_free(&thread.ledger);
    (void)unlink("run/ledger-ipc.sock");
    (void)rmdir("run");
    return chdir("/") == 0 ? rmdir(directory) : -1;
}

/* Runs the loop until the condition holds. */
#define wait_for(condition)                                     \
    do {                                                        \
        uint64_t end_ms = clock_monotonic_ms() + DEADLINE_MS;   \
        while (!(condition) && clock_monotonic_ms() < end_ms) { \
            peer_set_flush(thread.peers);                       \
            (void)h2o_evloop_run(thread.loop, 10);              \
        }                                                       \
        assert_true(condition);                                 \
    } while (0)

static void lose_stream(void)
{
    unsigned welcomes = seen.welcomes;
    /* A frame that the edge cannot read ends the connection. */
    buffer_append(peer_out(seen.peer), SLICE("\xff\xff\xff\xff________________"));
    wait_for(seen.peer == NULL);
    wait_for(seen.welcomes == welcomes + 1 && seen.named_all);
}

static void open_hold(struct open_hold *hold, uint64_t number)
{
    assert_true(ledger_reserve(thread.ledger));
    *hold = (struct open_hold){.hold = number};
    ledger_hold_opened(thread.ledger, hold);
}

static void booked(void *context, money charge)
{
    (void)context;
    booked_count++;
    booked_charge = charge;
}

static uint64_t settle(struct open_hold *hold, int64_t nano)
{
    struct message_settle message = {.charge = {nano}};
    return ledger_settle(thread.ledger, hold, &message, (struct acknowledgement){booked, NULL});
}

static uint64_t release(struct open_hold *hold)
{
    struct message_release message = {0};
    return ledger_release(thread.ledger, hold, &message);
}

TEST(frames_are_numbered_from_one_and_the_ledgers_figure_counts)
{
    struct open_hold first, second;
    seen.acknowledges = true;
    wait_for(ledger_ready(thread.ledger));
    open_hold(&first, 10);
    open_hold(&second, 11);
    assert_int_equal(settle(&first, 500), 1);
    assert_int_equal(release(&second), 2);
    wait_for(ledger_unacknowledged(thread.ledger) == 0);
    assert_int_equal(seen.numbers[0], 1);
    assert_int_equal(seen.numbers[1], 2);
    assert_int_equal(booked_count, 1);
    assert_int_equal(booked_charge.nano, 501);
}

TEST(after_a_loss_only_what_is_not_journalled_goes_out_again)
{
    struct open_hold first, second, third;
    wait_for(ledger_ready(thread.ledger));
    open_hold(&first, 10);
    open_hold(&second, 11);
    open_hold(&third, 12);
    (void)settle(&first, 500);
    (void)settle(&second, 600);
    wait_for(seen.number_count == 2);
    seen.mark = 1;
    lose_stream();
    /* The first is journalled; what was booked got lost, so our own figure stands in. */
    assert_int_equal(booked_count, 1);
    assert_int_equal(booked_charge.nano, 500);
    wait_for(seen.number_count == 1);
    assert_int_equal(seen.numbers[0], 2);
    /* Open to the ledger are the hold without a frame and the one whose frame it does not have. */
    assert_int_equal(seen.named_count, 2);
    assert_int_equal(seen.named[0], 12);
    assert_int_equal(seen.named[1], 11);
    seen.acknowledges = true;
    (void)release(&third);
    lose_stream();
    wait_for(ledger_unacknowledged(thread.ledger) == 0);
    assert_int_equal(booked_count, 2);
}

TEST(a_frame_made_while_the_ledger_is_away_waits_for_it)
{
    struct open_hold hold;
    seen.acknowledges = true;
    wait_for(ledger_ready(thread.ledger));
    open_hold(&hold, 10);
    buffer_append(peer_out(seen.peer), SLICE("\xff\xff\xff\xff________________"));
    wait_for(!ledger_ready(thread.ledger));
    struct buffer *out;
    assert_int_equal(ledger_call(thread.ledger, (struct peer_call){.deadline_ms = 1}, &out), 0);
    (void)settle(&hold, 500);
    wait_for(ledger_unacknowledged(thread.ledger) == 0);
    assert_int_equal(booked_charge.nano, 501);
}

TEST(who_was_forgotten_is_not_told)
{
    struct open_hold hold;
    wait_for(ledger_ready(thread.ledger));
    open_hold(&hold, 10);
    uint64_t n = settle(&hold, 500);
    ledger_forget(thread.ledger, n);
    ledger_forget(thread.ledger, n + 1);
    seen.mark = n;
    lose_stream();
    assert_int_equal(ledger_unacknowledged(thread.ledger), 0);
    assert_int_equal(booked_count, 0);
}

TEST(without_room_for_a_terminal_frame_there_is_no_hold)
{
    static struct open_hold holds[1024];
    wait_for(ledger_ready(thread.ledger));
    for (uint64_t i = 0; i < 1024; i++)
        open_hold(&holds[i], i + 1);
    assert_false(ledger_reserve(thread.ledger));
    /* A frame that is not acknowledged takes the place its hold had. */
    for (uint64_t i = 0; i < SEEN_MAX; i++)
        (void)release(&holds[i]);
    assert_false(ledger_reserve(thread.ledger));
    wait_for(seen.number_count == SEEN_MAX);
    const struct message_settled message = {.n = 1};
    message_encode_settled(peer_out(seen.peer), 0, &message);
    wait_for(ledger_unacknowledged(thread.ledger) == SEEN_MAX - 1);
    assert_true(ledger_reserve(thread.ledger));
    assert_false(ledger_reserve(thread.ledger));
    ledger_unreserve(thread.ledger);
    assert_true(ledger_reserve(thread.ledger));
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(frames_are_numbered_from_one_and_the_ledgers_figure_counts),
        ROW(after_a_loss_only_what_is_not_journalled_goes_out_again),
        ROW(a_frame_made_while_the_ledger_is_away_waits_for_it),
        ROW(who_was_forgotten_is_not_told),
        ROW(without_room_for_a_terminal_frame_there_is_no_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
