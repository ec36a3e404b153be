/* SPDX-License-Identifier: Apache-2.0 */
/* One call, and what the two halves of the client ask of each other: upstream.c begins and ends
 * calls, answer.c sends the request and reads the answer. Inside of the upstream client
 * only. */
#pragma once

#include "services/edge/upstream/upstream.h"
#include "services/edge/upstream/connection.h"
#include "services/edge/upstream/http.h"
#include "shared/buffer.h"

#define UPSTREAM_HEAD_INLINE_SIZE 2048 /* an ordinary request head; larger ones are allocated */
#define UPSTREAM_BODY_PIECES_MAX  80   /* a dialect makes 64 at most */

enum call_state {
    CALL_RESOLVING,
    CALL_CONNECTING,
    CALL_WAITING, /* the request is on its way or sent; no head yet */
    CALL_READING, /* the head is there */
    CALL_ENDED,   /* the answer is whole, and is about to be reported */
    CALL_FAILING, /* to be reported in the next turn */
};

struct upstream_call {
    struct upstream_call *next,
        *previous; /* of the client's running calls; next also links free ones */
    struct upstream_client *client;
    const struct config *config;
    struct upstream_callbacks callbacks;
    void *context;
    enum call_state state;
    bool in_callback; /* the owner is being called: memory stays until it returns */
    bool over;        /* cancelled or reported */
    bool paused;
    bool replaced; /* a kept connection had closed: this one is new, and the last */
    bool sent;     /* all of the request */
    bool sending_awaited;
    bool answered; /* a byte came */
    bool heard;    /* something came since the last tick */
    bool method_is_head;
    uint8_t address_index;
    struct upstream_pool *pool;
    struct upstream_connection *connection;
    const char *broken;     /* why nothing more can be read, once what was read is dealt with */
    size_t head_seen;       /* bytes of an unfinished answer head that were looked at */
    unsigned informational; /* heads that came before the final one */
    struct upstream_body body;
    uint64_t answer_len;
    h2o_timeout_entry_t later; /* linked: something is to be done in the next turn */
    struct resolve_wait resolving;
    bool (*admits)(const union resolved_address *address);
    enum upstream_failure failure; /* of CALL_FAILING */
    const char *detail;
    uint64_t connect_deadline_ms, total_deadline_ms;
    uint64_t waiting_since_ms, heard_ms;
    uint32_t first_byte_timeout_ms, idle_timeout_ms;
    bool tls;
    bool local;
    uint16_t port;
    uint8_t host_len;
    char host[HOST_LEN_MAX + 1]; /* from here on nothing is cleared when a call is used again */
    struct resolved addresses;
    struct buffer head;
    size_t piece_count;
    h2o_iovec_t pieces[1 + UPSTREAM_BODY_PIECES_MAX];
    char head_memory[UPSTREAM_HEAD_INLINE_SIZE];
};

/* upstream.c */
/* Enters a pool and connects; failures are reported later. */
void call_connect(struct upstream_call *call);
void call_leave_pool(struct upstream_call *call); /* closes what connection there is */
void call_start_later(struct upstream_call *call);
/* Closes, reports, and lets go. */
void call_end(struct upstream_call *call, enum upstream_failure failure, const char *detail);
void call_let_go(struct upstream_call *call); /* the same, but nothing is reported */

/* answer.c */
void call_send(struct upstream_call *call);    /* on a connection that is ready */
void call_read_on(struct upstream_call *call); /* after a pause */
