/* SPDX-License-Identifier: Apache-2.0 */
/* One turn: frames and messages are stepped through the core, their records gathered and their
 * answers kept; then the records are written, and only then the answers are given to the
 * sockets. */
#include "services/ledger/front.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "services/ledger/front_tokens.h"
#include "shared/clock.h"
#include "shared/daemon.h"
#include "shared/ipc/peer.h"
#include "shared/log.h"
#include "shared/scheduling.h"

#define IPC_SOCKET   "run/ledger-ipc.sock"
#define IPC_MODE     0660
#define EDGE_USER    "bourse-edge"
#define LINKS_MAX    4096
#define TICK_MS      50
#define ANSWERS_MAX  1024
#define STOP_WAIT_MS 5000

/* A connection. Its link number is never used again: the slot's generation is part of it. */
struct link {
    struct peer *peer; /* NULL: free */
    uint32_t generation;
    bool greeted; /* HELLO came */
    bool closing; /* at the end of this turn */
};

struct front {
    struct ledger *ledger;
    h2o_loop_t *loop;
    h2o_multithread_queue_t *queue;
    h2o_multithread_receiver_t receiver;
    struct peer_set *peers;
    h2o_socket_t *signals;
    struct link links[LINKS_MAX];
    struct core_action answers[ANSWERS_MAX]; /* of this turn, not sent yet */
    size_t answer_count;
    struct crowd crowd;
    bool has_held, has_settled; /* among the answers of this turn, for the fault points */
    bool has_closing;
    struct front_tokens *tokens;
    struct core_actions out;
    struct core_now now; /* of this turn */
    uint64_t tick_at_ms;
    uint64_t stop_at_ms; /* 0: not stopping */
};

static void peer_opened(struct peer *peer, void *context);
static status peer_received(struct peer *peer, const struct frame *frame, void *context);
static void peer_closed(struct peer *peer, void *context);
static void deliver(void *context, const struct core_action *action);
static void send_answers(struct front *front);
static void take_inbox(struct front *front);
static void woken(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);
static void signal_arrived(h2o_socket_t *socket, const char *error);

/* ---- life ----------------------------------------------------------------------------------- */

status front_open(struct ledger *ledger, struct front **out)
{
    struct front *front = calloc(1, sizeof(*front));
    if (front == NULL) abort();
    front->ledger = ledger;
    front->loop = h2o_evloop_create();
    front->queue = h2o_multithread_create_queue(front->loop);
    h2o_multithread_register_receiver(front->queue, &front->receiver, woken);
    front->peers = peer_set_new(front->loop);
    front->out =
        (struct core_actions){.deliver = deliver, .context = front, .journal = &ledger->records};
    front->tokens = front_tokens_new(ledger);
    front->signals =
        h2o_evloop_socket_create(front->loop, daemon_signal_fd(), H2O_SOCKET_FLAG_DONT_READ);
    front->signals->data = front;
    h2o_socket_read_start(front->signals, signal_arrived);
    *out = front;
    int fd = -1;
    TRY(daemon_listen_unix(IPC_SOCKET, IPC_MODE, &fd));
    static const struct peer_callbacks callbacks = {peer_opened, peer_received, peer_closed};
    uid_t uid;
    struct peer_rules rules = peer_rules_for_user(EDGE_USER, &uid);
    peer_accept(front->peers, fd, &rules, &callbacks, front);
    inbox_set_receiver(&ledger->inbox, &front->receiver);
    journal_let_sync_here(ledger->journal);
    return OK;
}

void front_free(struct front **pointer)
{
    struct front *front = TAKE(*pointer);
    if (front == NULL) return;
    inbox_set_receiver(&front->ledger->inbox, NULL);
    front_tokens_free(&front->tokens);
    peer_set_free(&front->peers);
    free(front);
}

static void woken(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    (void)receiver;
    (void)messages; /* none: the turn looks into the inbox */
}

static void signal_arrived(h2o_socket_t *socket, const char *error)
{
    (void)error;
    struct front *front = socket->data;
    struct signalfd_siginfo info;
    if (read(h2o_socket_get_fd(socket), &info, sizeof(info)) != (ssize_t)sizeof(info)) return;
    if (front->stop_at_ms != 0) return;
    front->stop_at_ms = clock_monotonic_ms() + STOP_WAIT_MS;
    log_info("stopping");
}

/* ---- turns ---------------------------------------------------------------------------------- */

static void step(struct front *front, const struct core_event *event)
{
    core_step(front->ledger->core, event, front->now, &front->out);
}

/* What the journal and the poster did since the last turn. */
static void report_journal(struct front *front)
{
    struct ledger *ledger = front->ledger;
    struct core_event event = {.type = EVENT_JOURNAL,
                               .journal = {.synced = journal_synced(ledger->journal),
                                           .posted = poster_posted(ledger->poster),
                                           .room = journal_room(ledger->journal)}};
    step(front, &event);
}

static void write_records(struct front *front)
{
    struct ledger *ledger = front->ledger;
    if (ledger->records.len == 0) return;
    struct core_view view = core_view(ledger->core);
    struct journal_written written = {.seq_last = view.seq_last,
                                      .seq_ending_last = view.seq_ending_last,
                                      .seq_oldest_open = view.seq_oldest_open};
    /* Before the sync can be over: the poster is woken up to here. */
    atomic_store(&ledger->ending_seq, view.seq_ending_last);
    journal_write(ledger->journal, buffer_slice(&ledger->records), &written);
    buffer_clear(&ledger->records);
#ifdef BUG_POST_UNSYNCED /* planted by a test: the poster is sent to what was only written */
    poster_wake(ledger->poster, view.seq_last, view.seq_ending_last);
#endif
}

/* On whoever broke the protocol or does not read. The answers of this turn are the last it gets. */
static void hang_up(struct front *front)
{
    for (size_t i = 0; front->has_closing && i < LINKS_MAX; i++) {
        if (front->links[i].peer != NULL && front->links[i].closing)
            peer_hang_up(front->links[i].peer);
    }
    front->has_closing = false;
}

/* What waits for a sync that we do ourselves is acknowledged in the same turn. */
static void sync_here(struct front *front)
{
    struct ledger *ledger = front->ledger;
    if (!journal_sync_here(ledger->journal)) return;
    report_journal(front);
    send_answers(front);
    peer_set_flush(front->peers);
    poster_wake(ledger->poster, journal_synced(ledger->journal), atomic_load(&ledger->ending_seq));
}

static void begin_turn(struct front *front)
{
    front->now = lender_now(front->ledger->lender);
}

static void end_turn(struct front *front)
{
    begin_turn(front);
    take_inbox(front);
    report_journal(front);
    if (clock_monotonic_ms() >= front->tick_at_ms) {
        front->tick_at_ms = clock_monotonic_ms() + TICK_MS;
        step(front, &(struct core_event){.type = EVENT_TICK});
    }
    write_records(front);
    send_answers(front);
    peer_set_flush(front->peers);
    sync_here(front);
    hang_up(front);
    crowd_turn(&front->crowd);
    if (front->has_held) fault_point("after_hold");
    if (front->has_settled) fault_point("after_ack");
    front->has_held = front->has_settled = false;
}

/* No hold is open and every lease is back, or the time is over. */
static bool is_finished(const struct front *front)
{
    struct core_view view = core_view(front->ledger->core);
    if (view.holds_open == 0 && view.asking == 0) return true;
    if (clock_monotonic_ms() < front->stop_at_ms) return false;
    log_warning("stopped_with_open_holds", F(count, view.holds_open));
    return true;
}

void front_run(struct front *front)
{
    begin_turn(front);
    core_await_edges(front->ledger->core, front->now);
    for (;;) {
        end_turn(front);
        if (front->stop_at_ms != 0) {
            /* Each time, so that what the last holds leave goes back, too. */
            step(front, &(struct core_event){.type = EVENT_STOP});
            if (is_finished(front)) return;
        }
        (void)h2o_evloop_run(front->loop, TICK_MS);
    }
}

/* ---- connections ---------------------------------------------------------------------------- */

static uint32_t link_number(const struct front *front, const struct link *link)
{
    return link->generation * LINKS_MAX + (uint32_t)(link - front->links);
}

static void peer_opened(struct peer *peer, void *context)
{
    struct front *front = context;
    for (size_t i = 0; i < LINKS_MAX; i++) {
        struct link *link = &front->links[i];
        if (link->peer != NULL) continue;
        *link = (struct link){.peer = peer, .generation = link->generation + 1};
        peer_set_user(peer, link);
        return;
    }
    log_error("too_many_connections"); /* without a link its first frame closes it */
}

static void peer_closed(struct peer *peer, void *context)
{
    struct front *front = context;
    struct link *link = peer_user(peer);
    if (link == NULL) return;
    begin_turn(front);
    struct core_event event = {.type = EVENT_LINK_GONE, .link = link_number(front, link)};
    step(front, &event);
    link->peer = NULL;
}

static struct link *find_link(struct front *front, uint32_t number)
{
    struct link *link = &front->links[number % LINKS_MAX];
    return link->peer != NULL && link_number(front, link) == number ? link : NULL;
}

/* ---- frames to events ----------------------------------------------------------------------- */

static struct key_hash stored_of(const struct front *front, struct key_hash key)
{
    return key_hash_stored(&front->ledger->pepper, key);
}

static struct generation_place place_of(const struct front *front, struct generation_id generation)
{
    return generation_id_open(front->ledger->cipher, generation);
}

/* A message, its event, and what the event holds of the message or leads to it. */
#define FRAME_EVENTS(ROW)                                                  \
    ROW(hold, HOLD, event->hold.message = &message;                        \
        event->hold.stored = stored_of(front, message.key))                \
    ROW(settle, SETTLE, event->settle.message = &message;                  \
        event->settle.place = place_of(front, message.generation))         \
    ROW(release, RELEASE, event->release.message = &message;               \
        event->release.place = place_of(front, message.generation))        \
    ROW(identify, IDENTIFY, event->stored = stored_of(front, message.key)) \
    ROW(hello, HELLO, event->hello = &message)                             \
    ROW(holds_open, HOLDS_OPEN, event->holds_open = &message)

#define TAKER(name, event_name, fill)                                                    \
    static status take_##name(struct front *front, struct core_event *event, slice body) \
    {                                                                                    \
        struct message_##name message;                                                   \
        TRY(message_decode_##name(body, &message));                                      \
        event->type = EVENT_##event_name;                                                \
        fill;                                                                            \
        step(front, event);                                                              \
        return OK;                                                                       \
    }
FRAME_EVENTS(TAKER)
#undef TAKER

/* Not the core but the signer answers, once the core has found the caller. */
static status take_principal(struct front *front, struct core_event *event, slice body)
{
    struct message_principal message;
    TRY(message_decode_principal(body, &message));
    struct front_token token = {event->link, event->request, message.method, message.path};
    status parked = front_tokens_park(front->tokens, &token, &event->request);
    if (!status_ok(parked)) {
        struct link *link = find_link(front, event->link);
        struct buffer *out = link == NULL ? NULL : peer_out(link->peer);
        struct message_principal_token refusal = {.error = parked.code, .token = SLICE_NONE};
        if (out != NULL) message_encode_principal_token(out, token.request, &refusal);
        return OK;
    }
    event->type = EVENT_IDENTIFY;
    event->link = FRONT_TOKENS_LINK;
    event->client = message.client;
    event->stored = stored_of(front, message.key);
    step(front, event);
    return OK;
}

typedef status (*frame_taker)(struct front *front, struct core_event *event, slice body);
#define TAKER(name, event_name, fill) {MESSAGE_##name, take_##name},
static const struct {
    uint16_t type;
    frame_taker take;
} takers[] = {{MESSAGE_principal, take_principal}, FRAME_EVENTS(TAKER)};
#undef TAKER

static status peer_received(struct peer *peer, const struct frame *frame, void *context)
{
    struct front *front = context;
    struct link *link = peer_user(peer);
    if (link == NULL || link->closing) return FAIL(CLOSED);
    if (!link->greeted && frame->type != MESSAGE_hello) return FAIL(MALFORMED);
    link->greeted = true;
    struct core_event event = {.link = link_number(front, link), .request = frame->request};
    front->crowd.went_on++;
    begin_turn(front);
    for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++) {
        if (takers[i].type != frame->type) continue;
        TRY(takers[i].take(front, &event, frame->body));
        return link->closing ? FAIL(CLOSED) : OK;
    }
    return OK; /* of a newer version */
}

/* ---- actions -------------------------------------------------------------------------------- */

/* Questions may leave at once; answers wait until the records are written. */
static void deliver(void *context, const struct core_action *action)
{
    struct front *front = context;
    struct ledger *ledger = front->ledger;
    switch (action->type) {
    case ACTION_LOAD_CALLER:
        lender_ask_caller(ledger->lender, &action->stored, action->stranger);
        return;
    case ACTION_LOAD_PRICES: lender_ask_prices(ledger->lender); return;
    case ACTION_LEASE: lender_ask_lease(ledger->lender, &action->lease); return;
    default: break;
    }
    if (front->answer_count == ANSWERS_MAX) {
        write_records(front);
        send_answers(front);
    }
    front->answers[front->answer_count++] = *action;
}

static void send_held(struct front *front, struct buffer *out, struct core_action *action)
{
    struct message_held *held = &action->held;
    if (held->error == ERROR_NONE) {
        held->generation = generation_id_seal(
            front->ledger->cipher,
            (struct generation_place){
                .day = (uint16_t)clock_period(CADENCE_DAY, (wall_time){held->created_ns}),
                .cell = front->ledger->cell,
                .incarnation = front->ledger->incarnation,
                .hold = held->hold,
            });
    }
    message_encode_held(out, action->request, held);
}

static void send_answer(struct front *front, struct core_action *action)
{
    if (action->link == FRONT_TOKENS_LINK) {
        front_tokens_identified(front->tokens, action->request, &action->identified);
        return;
    }
    struct link *link = find_link(front, action->link);
    if (link == NULL) return;
    struct buffer *out = action->type == ACTION_CLOSE ? NULL : peer_out(link->peer);
    if (out == NULL) { /* or it does not read: what it misses it asks for again when it is back */
        link->closing = front->has_closing = true;
        return;
    }
    switch (action->type) {
    case ACTION_WELCOME: message_encode_welcome(out, action->request, &action->welcome); break;
    case ACTION_IDENTIFIED:
        message_encode_identified(out, action->request, &action->identified);
        break;
    case ACTION_HELD: send_held(front, out, action); break;
    case ACTION_SETTLED: message_encode_settled(out, action->request, &action->settled); break;
    default: break;
    }
}

static void send_answers(struct front *front)
{
    size_t count = front->answer_count;
    front->crowd.went_on += (uint32_t)count;
    front->answer_count = 0;
    for (size_t i = 0; i < count; i++) {
        front->has_held |= front->answers[i].type == ACTION_HELD;
        front->has_settled |= front->answers[i].type == ACTION_SETTLED;
        send_answer(front, &front->answers[i]);
    }
}

/* ---- inbox ---------------------------------------------------------------------------------- */

static void take_prices(struct front *front, struct prices *prices)
{
    struct ledger *ledger = front->ledger;
    step(front, &(struct core_event){.type = EVENT_PRICES, .prices = prices});
    if (prices == NULL) return;
    prices_free(&ledger->prices);
    ledger->prices = prices;
}

static void take_change(struct front *front, const struct inbox_item *item)
{
    struct ledger *ledger = front->ledger;
    struct change_answer answer = {0};
    fault_stand("before_change");
    if (item->kind == INBOX_KEY_CHANGED) {
        step(front, &(struct core_event){.type = EVENT_KEY_CHANGED, .stored = item->change.stored});
    } else if (item->kind == INBOX_LIMITS_CHANGED) {
        step(front, &(struct core_event){.type = EVENT_LIMITS_CHANGED, .org = item->change.org});
    } else if (item->kind == INBOX_PLAN_CHANGED) {
        step(front, &(struct core_event){.type = EVENT_PLAN_CHANGED, .plan = &item->change.plan});
    } else if (item->kind == INBOX_CREDIT_CHANGED) {
        step(front, &(struct core_event){.type = EVENT_CREDIT_CHANGED, .org = item->change.org});
    } else if (item->kind == INBOX_CREDIT_RECALLED) {
        step(front, &(struct core_event){.type = EVENT_CREDIT_RECALLED, .org = item->change.org});
        answer.held = core_held(ledger->core, item->change.org);
    } else {
        answer.held = core_held(ledger->core, item->change.org);
        answer.free_requests = core_free_requests(ledger->core, front->now, item->change.org);
    }
    changes_done(&ledger->changes, item->change.ticket, answer);
}

static void take_token(struct front *front, const struct inbox_item *item)
{
    struct front_token token;
    struct message_principal_token answer;
    front_tokens_take(front->tokens, item, &token, &answer);
    struct link *link = find_link(front, token.link);
    struct buffer *out = link == NULL ? NULL : peer_out(link->peer);
    if (out != NULL) message_encode_principal_token(out, token.request, &answer);
    front_tokens_end(front->tokens, item->token.slot);
}

static void take_inbox(struct front *front)
{
    struct inbox_item item;
    while (inbox_take(&front->ledger->inbox, &item)) {
        switch (item.kind) {
        case INBOX_CALLER:
            step(front, &(struct core_event){.type = EVENT_CALLER, .caller = &item.caller});
            break;
        case INBOX_LEASE:
            step(front, &(struct core_event){.type = EVENT_LEASE, .lease = &item.lease});
            break;
        case INBOX_PRICES: take_prices(front, item.prices); break;
        case INBOX_TOKEN: take_token(front, &item); break;
        default: take_change(front, &item); break;
        }
    }
}
