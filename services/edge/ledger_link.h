/* SPDX-License-Identifier: Apache-2.0 */
/* One thread's stream to the ledger: the handshake, calls, and the numbered frames (SETTLE,
 * RELEASE) that are resent until the ledger says they are journalled. Room for a hold's terminal
 * frame is reserved before the hold is asked for, so none is ever dropped. */
#pragma once

#include "shared/ipc/peer.h"

struct thread;
struct ledger_link;

/* A hold that has no terminal frame yet; named to the ledger when the stream is opened anew. */
struct open_hold {
    struct open_hold *next, *previous;
    uint64_t hold;
    struct generation_id generation;
};

struct ledger_link *ledger_link_new(struct thread *thread);
void ledger_link_free(struct ledger_link **link);
bool ledger_ready(const struct ledger_link *link); /* connected and welcomed */
/* Called now and then: sends what a full stream did not take. */
void ledger_look(struct ledger_link *link);
/* Frames the ledger has not acknowledged. */
uint32_t ledger_unacknowledged(const struct ledger_link *link);

/* A question. 0 when the ledger is not there; otherwise encode the frame with this id into *out.
 * The answer runs as shared/ipc/peer.h says. */
uint64_t ledger_call(struct ledger_link *link, struct peer_call call, struct buffer **out);
void ledger_cancel(struct ledger_link *link, uint64_t call);

/* Before a HOLD: false when there is no room for one more terminal frame. Given back when the HOLD
 * was refused. */
bool ledger_reserve(struct ledger_link *link);
void ledger_unreserve(struct ledger_link *link);
void ledger_hold_opened(struct ledger_link *link, struct open_hold *hold);

/* The terminal frame of a hold that was opened. `n` is filled in and returned. `acknowledged` runs
 * once with what was booked, unless forgotten before. */
struct acknowledgement {
    void (*run)(void *context, money charge);
    void *context;
};
uint64_t ledger_settle(struct ledger_link *link, struct open_hold *hold,
                       struct message_settle *settle, struct acknowledgement acknowledgement);
uint64_t ledger_release(struct ledger_link *link, struct open_hold *hold,
                        struct message_release *release);
void ledger_forget(struct ledger_link *link, uint64_t n);
/* After a loss: runs once when the ledger is welcomed again. */
struct welcome_waiter {
    struct welcome_waiter *next;
    void (*run)(void *context);
    void *context;
};
void ledger_await_welcome(struct ledger_link *link, struct welcome_waiter *waiter);
void ledger_stop_waiting(struct ledger_link *link, struct welcome_waiter *waiter);
