/* SPDX-License-Identifier: Apache-2.0 */
/* One call, and what the two halves of the client ask of each other: upstream.c begins and ends
 * calls, upstream_answer.c is what the library calls back. Inside of the upstream client only. */
#pragma once

#include "services/edge/upstream.h"
#include "services/edge/upstream_pool.h"
#include "shared/buffer.h"

#define UPSTREAM_HEAD_INLINE_SIZE 2048 /* an ordinary request head; larger ones are allocated */
#define UPSTREAM_BODY_PIECES_MAX  80   /* a dialect makes 64 at most */
#define UPSTREAM_ANSWER_HEAD_MAX \
    (64u * 1024) /* the library bounds the number of headers, not their size */

enum call_state {
    CALL_RESOLVING,
    CALL_CONNECTING,
    CALL_WAITING, /* sent; no head yet */
    CALL_READING, /* the head is there */
    CALL_HELD,    /* the answer is complete, but the owner has paused */
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
    bool reused;     /* the connection had served before */
    bool connecting; /* inside of the library's connect function */
    bool method_is_head;
    bool body_begun; /* the library's reader is the one for the body */
    uint8_t retries;
    uint8_t address_index;
    h2o_http1client_t *http;
    struct upstream_pool *pool;
    h2o_socket_cb library_sent; /* what upstream_answer.c has put itself in front of */
    h2o_socket_cb library_head;
    h2o_socket_cb paused_read; /* the library's reader, while paused */
    h2o_buffer_t *held;        /* the end of the answer, when it came while paused */
    h2o_timeout_entry_t later; /* linked: something is to be done in the next turn */
    struct resolve_wait resolving;
    enum upstream_failure failure; /* of CALL_HELD and CALL_FAILING */
    const char *detail;
    uint64_t connect_deadline_ms, total_deadline_ms;
    uint64_t waiting_since_ms, heard_ms;
    uint32_t first_byte_timeout_ms, idle_timeout_ms;
    uint64_t answer_len;
    size_t head_checked; /* bytes of an unfinished answer head that were looked at */
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
void call_connect(
    struct upstream_call *call); /* enters a pool and connects; failures are reported later */
void call_connect_failed(struct upstream_call *call,
                         const char *error);      /* the next address, or the end */
void call_leave_pool(struct upstream_call *call); /* call->http is dead */
void call_start_later(struct upstream_call *call);
/* Reports the end. call->http must be NULL where the library is about to free it by itself. */
void call_end(struct upstream_call *call, enum upstream_failure failure, const char *detail);
void call_let_go(struct upstream_call *call); /* the memory goes, nothing is reported */

/* upstream_answer.c */
void call_open(struct upstream_call *call);  /* the library's connect function on call->pool */
void call_guard(struct upstream_call *call); /* in the turn in which a new connection was made */
/* What an owner who had paused is still owed. */
void call_give_held(struct upstream_call *call);
