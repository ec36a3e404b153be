/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered frames wait in a ring, encoded, until they are acknowledged; a number's place in the
 * ring is the number itself, so an acknowledgement finds its frame at once. When the stream is lost
 * the ledger tells in WELCOME up to where it has journalled; then the holds that are still open are
 * named, before anything is resent, and the rest of the ring goes out again in order. */
#include "services/edge/ledger_link.h"

#include <stdlib.h>

#include "services/edge/edge.h"
#include "shared/log.h"
#include "shared/metrics.h"

#define LEDGER_SOCKET "run/ledger-ipc.sock"
#define FRAME_MAX     1280 /* a SETTLE with every text at its bound is below 1,100 bytes */
#define FREE_KEPT     256  /* blocks kept for reuse */

struct numbered {
    struct numbered *next; /* among the free ones */
    uint64_t n;
    uint64_t hold;
    struct acknowledgement acknowledgement;
    money charge; /* by our own computation: shown when the ledger's figure got lost */
    bool acknowledged;
    uint32_t len;
    char frame[FRAME_MAX];
};

struct ledger_link {
    struct thread *thread;
    struct peer *peer;
    bool welcomed;
    struct open_hold *open; /* holds without a terminal frame */
    uint32_t reserved;      /* places kept for holds asked for or open */
    uint64_t first;         /* number of the oldest unacknowledged frame */
    uint64_t next;          /* number of the next frame */
    uint64_t to_send;       /* frames from this number on are not on the present stream yet */
    struct numbered **ring; /* by n modulo ring_size */
    uint32_t ring_size;     /* a power of two */
    struct numbered *free;
    uint32_t free_count;
    struct welcome_waiter *waiters;
};

static void opened(struct peer *peer, void *context);
static status received(struct peer *peer, const struct frame *frame, void *context);
static void closed(struct peer *peer, void *context);
static const struct peer_callbacks callbacks = {opened, received, closed};

struct ledger_link *ledger_link_new(struct thread *thread)
{
    struct ledger_link *link = calloc(1, sizeof(*link));
    if (link == NULL) abort();
    link->thread = thread;
    link->first = link->next = link->to_send = 1;
    link->ring_size = 1024;
    /* Twice the requests: as many again may wait for their acknowledgement. */
    while (link->ring_size < 2 * (uint64_t)thread->edge->config.requests_max)
        link->ring_size *= 2;
    link->ring = calloc(link->ring_size, sizeof(struct numbered *));
    if (link->ring == NULL) abort();
    link->peer = peer_dial(thread->peers, LEDGER_SOCKET, &callbacks, link);
    return link;
}

void ledger_link_free(struct ledger_link **link_pointer)
{
    struct ledger_link *link = TAKE(*link_pointer);
    if (link == NULL) return;
    for (uint32_t i = 0; i < link->ring_size; i++)
        free(link->ring[i]);
    while (link->free != NULL) {
        struct numbered *numbered = link->free;
        link->free = numbered->next;
        free(numbered);
    }
    free(link->ring);
    free(link);
}

bool ledger_ready(const struct ledger_link *link)
{
    return link->welcomed && peer_is_open(link->peer);
}

uint32_t ledger_unacknowledged(const struct ledger_link *link)
{
    return (uint32_t)(link->next - link->first);
}

uint64_t ledger_call(struct ledger_link *link, struct peer_call call, struct buffer **out)
{
    if (!ledger_ready(link)) return 0;
    *out = peer_out(link->peer);
    return *out == NULL ? 0 : peer_call_begin(link->peer, call);
}

void ledger_cancel(struct ledger_link *link, uint64_t call)
{
    if (call != 0) peer_call_cancel(link->peer, call);
}

/* ---- holds ----------------------------------------------------------------------------------- */

bool ledger_reserve(struct ledger_link *link)
{
    if (link->next - link->first + link->reserved >= link->ring_size) return false;
    link->reserved++;
    return true;
}

void ledger_unreserve(struct ledger_link *link)
{
    link->reserved--;
}

void ledger_hold_opened(struct ledger_link *link, struct open_hold *hold)
{
    hold->previous = NULL;
    hold->next = link->open;
    if (link->open != NULL) link->open->previous = hold;
    link->open = hold;
}

static void hold_closed(struct ledger_link *link, struct open_hold *hold)
{
    if (hold->previous != NULL)
        hold->previous->next = hold->next;
    else
        link->open = hold->next;
    if (hold->next != NULL) hold->next->previous = hold->previous;
    hold->next = hold->previous = NULL;
    link->reserved--;
}

/* ---- numbered frames ------------------------------------------------------------------------- */

static struct numbered **place_of(struct ledger_link *link, uint64_t n)
{
    return &link->ring[n & (link->ring_size - 1)];
}

static struct numbered *number(struct ledger_link *link, const struct open_hold *hold)
{
    struct numbered *made = link->free;
    if (made != NULL) {
        link->free = made->next;
        link->free_count--;
    } else {
        made = malloc(sizeof(*made));
        if (made == NULL) abort();
    }
    made->n = link->next++;
    made->hold = hold->hold;
    made->acknowledgement = (struct acknowledgement){0};
    made->charge = MONEY_ZERO;
    made->acknowledged = false;
    *place_of(link, made->n) = made;
    metric_add(frames_unacknowledged, 1);
    return made;
}

/* In order and without gaps. When the stream takes no more, the rest follows with an
 * acknowledgement or a later look. */
static void send_frames(struct ledger_link *link)
{
    while (link->welcomed && link->to_send < link->next) {
        const struct numbered *numbered =
            link->to_send < link->first ? NULL : *place_of(link, link->to_send);
        if (numbered != NULL && !numbered->acknowledged) {
            struct buffer *out = peer_out(link->peer);
            if (out == NULL) return;
            buffer_append_bytes(out, numbered->frame, numbered->len);
        }
        link->to_send++;
    }
}

void ledger_look(struct ledger_link *link)
{
    send_frames(link);
}

static void finish_frame(struct ledger_link *link, struct numbered *numbered,
                         const struct buffer *frame)
{
    numbered->len = (uint32_t)frame->len;
    if (!status_ok(buffer_finish(frame))) log_error("frame_too_long", F(number, numbered->n));
    send_frames(link);
}

uint64_t ledger_settle(struct ledger_link *link, struct open_hold *hold,
                       struct message_settle *settle, struct acknowledgement acknowledgement)
{
    struct numbered *numbered = number(link, hold);
    numbered->acknowledgement = acknowledgement;
    numbered->charge = settle->charge;
    settle->n = numbered->n;
    settle->hold = hold->hold;
    settle->generation = hold->generation;
    struct buffer frame;
    buffer_init_fixed(&frame, numbered->frame, sizeof(numbered->frame));
    message_encode_settle(&frame, 0, settle);
    hold_closed(link, hold);
    finish_frame(link, numbered, &frame);
    return numbered->n;
}

uint64_t ledger_release(struct ledger_link *link, struct open_hold *hold,
                        struct message_release *release)
{
    struct numbered *numbered = number(link, hold);
    release->n = numbered->n;
    release->hold = hold->hold;
    release->generation = hold->generation;
    struct buffer frame;
    buffer_init_fixed(&frame, numbered->frame, sizeof(numbered->frame));
    message_encode_release(&frame, 0, release);
    hold_closed(link, hold);
    finish_frame(link, numbered, &frame);
    return numbered->n;
}

void ledger_forget(struct ledger_link *link, uint64_t n)
{
    struct numbered *numbered = n >= link->first && n < link->next ? *place_of(link, n) : NULL;
    if (numbered != NULL) numbered->acknowledgement = (struct acknowledgement){0};
}

static void acknowledge(struct ledger_link *link, uint64_t n, const money *charge)
{
    if (n < link->first || n >= link->next) return;
    struct numbered *numbered = *place_of(link, n);
    if (numbered->acknowledged) return;
    numbered->acknowledged = true;
    struct acknowledgement acknowledgement = numbered->acknowledgement;
    money booked = charge != NULL ? *charge : numbered->charge;
    /* Acknowledgements come in order but for the rare one; the ring gives up its front only. */
    while (link->first < link->next && (*place_of(link, link->first))->acknowledged) {
        struct numbered *done = TAKE(*place_of(link, link->first));
        link->first++;
        metric_add(frames_unacknowledged, -1);
        if (link->free_count >= FREE_KEPT) {
            free(done);
            continue;
        }
        done->next = link->free;
        link->free = done;
        link->free_count++;
    }
    if (acknowledgement.run != NULL) acknowledgement.run(acknowledgement.context, booked);
}

/* ---- the stream ------------------------------------------------------------------------------ */

static void opened(struct peer *peer, void *context)
{
    struct ledger_link *link = context;
    const struct message_hello hello = {
        .version = MESSAGE_VERSION,
        .incarnation = link->thread->edge->incarnation,
        .thread = link->thread->index,
        .threads = link->thread->edge->thread_count,
    };
    struct buffer *out = peer_out(peer);
    if (out != NULL) message_encode_hello(out, 0, &hello);
}

/* Adds a hold to the piece at hand; a full piece goes out. */
static void name_hold(struct ledger_link *link, struct message_holds_open *piece, uint64_t hold)
{
    piece->holds.items[piece->holds.count++] = hold;
    if (piece->holds.count < CODEC_LIST_MAX) return;
    struct buffer *out = peer_out(link->peer);
    if (out != NULL) message_encode_holds_open(out, 0, piece);
    piece->holds.count = 0;
}

/* Holds whose terminal frame the ledger has not journalled are open to it: unnamed ones would be
 * released under the frame that is about to be resent. */
static void name_open_holds(struct ledger_link *link)
{
    struct message_holds_open piece = {0};
    for (const struct open_hold *hold = link->open; hold != NULL; hold = hold->next)
        name_hold(link, &piece, hold->hold);
    for (uint64_t n = link->first; n < link->next; n++) {
        const struct numbered *numbered = *place_of(link, n);
        if (!numbered->acknowledged) name_hold(link, &piece, numbered->hold);
    }
    piece.last = 1;
    struct buffer *out = peer_out(link->peer);
    if (out != NULL) message_encode_holds_open(out, 0, &piece);
}

static void set_welcomed(struct ledger_link *link, bool welcomed)
{
    if (link->welcomed == welcomed) return;
    link->welcomed = welcomed;
    atomic_fetch_add(&link->thread->edge->ledger_links, welcomed ? 1 : UINT32_MAX); /* ± 1 */
}

static status welcome(struct ledger_link *link, const struct frame *frame)
{
    struct message_welcome message;
    TRY(message_decode_welcome(frame->body, &message));
    if (message.version == 0 || message.version + 1 < MESSAGE_VERSION) return FAIL(MALFORMED);
    for (uint64_t n = link->first; n <= message.mark && n < link->next; n++)
        acknowledge(link, n, NULL);
    name_open_holds(link);
    set_welcomed(link, true);
    link->to_send = link->first;
    send_frames(link);
    log_info("ledger_welcomed", FN(number, thread, link->thread->index),
             FN(number, mark, message.mark), FN(count, resent, ledger_unacknowledged(link)));
    while (link->waiters != NULL) {
        struct welcome_waiter *waiter = link->waiters;
        link->waiters = waiter->next;
        waiter->run(waiter->context);
    }
    return OK;
}

static status received(struct peer *peer, const struct frame *frame, void *context)
{
    (void)peer;
    struct ledger_link *link = context;
    if (frame->type == MESSAGE_welcome) return welcome(link, frame);
    /* Types of a newer version are skipped. */
    if (frame->type != MESSAGE_settled) return OK;
    struct message_settled message;
    TRY(message_decode_settled(frame->body, &message));
    acknowledge(link, message.n, &message.charge);
    send_frames(link);
    return OK;
}

static void closed(struct peer *peer, void *context)
{
    (void)peer;
    set_welcomed(context, false);
}

void ledger_await_welcome(struct ledger_link *link, struct welcome_waiter *waiter)
{
    waiter->next = link->waiters;
    link->waiters = waiter;
}

void ledger_stop_waiting(struct ledger_link *link, struct welcome_waiter *waiter)
{
    for (struct welcome_waiter **place = &link->waiters; *place != NULL; place = &(*place)->next) {
        if (*place != waiter) continue;
        *place = waiter->next;
        return;
    }
}
