/* SPDX-License-Identifier: Apache-2.0 */
/* One connection between two processes on an event loop: bytes to frames and back, one write per
 * loop turn, reconnection on the dialling side, and calls (a question with a deadline and one
 * answer). SO_PEERCRED is checked on accept. A malformed frame closes that peer and nothing else.
 * Single-threaded: a peer belongs to its loop. */
#pragma once

#include "shared/h2o.h"
#include "shared/ipc/message.h"

struct peer;
struct peer_set; /* the peers of one loop; flushed once per turn */

struct peer_callbacks {
    /* Connected (both sides), before any frame. */
    void (*opened)(struct peer *peer, void *context);
    /* A frame that answers no pending call. A failure closes the peer. */
    status (*received)(struct peer *peer, const struct frame *frame, void *context);
    /* Closed or lost; everything read before EOF was delivered first. Pending calls were failed
     * with CLOSED before this. A dialled peer dials again by itself (every 100 ms at first, at most
     * every second); an accepted one is freed after this returns. */
    void (*closed)(struct peer *peer, void *context);
};

struct peer_set *peer_set_new(h2o_loop_t *loop);
/* Write what was queued since the last turn; call right before every h2o_evloop_run(). */
void peer_set_flush(struct peer_set *set);
void peer_set_free(struct peer_set **set); /* closes all */

/* Dials path now and for ever. Returns at once. */
struct peer *peer_dial(struct peer_set *set, const char *path,
                       const struct peer_callbacks *callbacks, void *context);

/* Accepts on a listening descriptor, which is the set's from now on. allowed_uids: peers with
 * another uid (0 and our own are always allowed) are closed. */
struct peer_rules {
    const uid_t *allowed_uids;
    size_t count;
};
/* Where the programs have users of their own, only this one may connect; where there is no such
 * user, nobody else than who may always. *uid is the caller's and must outlive the use of the
 * rules. */
struct peer_rules peer_rules_for_user(const char *user, uid_t *uid);
/* Whether the process at the other end of a Unix socket may be here: root, we ourselves, the rules.
 * */
bool peer_uid_allowed(int fd, const struct peer_rules *rules);
void peer_accept(struct peer_set *set, int listen_fd, const struct peer_rules *rules,
                 const struct peer_callbacks *callbacks, void *context);

bool peer_is_open(const struct peer *peer);
void peer_set_user(struct peer *peer, void *user); /* per-connection state of the owner */
void *peer_user(const struct peer *peer);

/* The outgoing buffer: encode frames straight into it with message_encode_…(peer_out(peer), …).
 * NULL when closed or when more than PEER_OUT_MAX bytes wait (the caller refuses work instead of
 * queueing without bound). */
#define PEER_OUT_MAX (8u << 20)
struct buffer *peer_out(struct peer *peer);

/* Ends the connection from within a turn: what waits in the outgoing buffer is dropped, what came
 * in before is still delivered, and then the loop says closed. */
void peer_hang_up(struct peer *peer);

/* Calls. `answer` runs exactly once, never inside peer_call_begin(): with the frame, or with frame
 * == NULL and CLOSED or DEADLINE (looked at every 50 ms). A late answer is dropped. Request ids of
 * the accepting side have bit 63 set, so both sides may ask. */
typedef void (*peer_answer)(void *context, status result, const struct frame *frame);
struct peer_call {
    peer_answer answer;
    void *context;
    uint32_t deadline_ms;
};
/* Reserves the request id to encode with; 0 when the peer is closed or has PEER_CALLS_MAX calls
 * open (the answer callback is then not run). */
#define PEER_CALLS_MAX 65536
uint64_t peer_call_begin(struct peer *peer, struct peer_call call);
/* The caller went away: the answer will not run. */
void peer_call_cancel(struct peer *peer, uint64_t request);
