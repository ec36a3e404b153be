/* SPDX-License-Identifier: Apache-2.0 */
/* One inference request: its eight steps, everything it knows, and the one way it ends. A request
 * outlives its client when the ledger still owes an answer to its HOLD; otherwise it goes back to
 * its thread's free list as soon as the client's side is gone. */
#pragma once

#include "services/edge/answer.h"
#include "services/edge/dialects/dialect.h"
#include "services/edge/ledger_link.h"
#include "services/edge/rates.h"
#include "services/edge/read.h"
#include "services/edge/skins/skin.h"
#include "services/edge/upstream/upstream.h"
#include "shared/client_prefix.h"
#include "shared/ipc/peer.h"
#include "shared/secret.h"

#define REQUEST_ID_SIZE 20 /* "req-" and 16 hexadecimal digits */
#define TICK_MS         500

enum step_result {
    STEP_NEXT, /* go on */
    STEP_WAIT, /* a callback will call request_continue() */
    STEP_OVER, /* the request ended */
};
enum step {
    STEP_IDENTIFY,
    STEP_READ,
    STEP_CHOOSE,
    STEP_HOLD,
    STEP_ATTEMPT,
    STEP_RELAY,
    STEP_SETTLE,
    STEP_OUTCOME,
    STEP_COUNT
};

/* Of the hold: what the ledger granted, and whether a terminal record was made for it. */
struct held {
    uint64_t call; /* the HOLD under way; 0: none */
    bool reserved; /* a place for the terminal frame is kept */
    bool awaits;   /* the ledger was lost: asked again when it is back */
    struct welcome_waiter waiter;
    bool open;    /* granted, and no terminal record yet */
    bool retried; /* asked again after the ledger was lost */
    struct open_hold record;
    uint32_t output_max;
    money amount;
    int64_t created_ns;
    struct rate_shown rate;
};

/* One try at one endpoint, and what its answer was so far. */
struct attempt {
    uint8_t next; /* candidate to try */
    const struct market_endpoint *endpoint;
    const struct dialect_row *dialect;
    struct upstream_call *call;
    struct decoder *decoder;
    slice authorization; /* header line in the arena, wiped when the attempt ends */
    uint64_t started_us;
    int http_status;
    int64_t retry_after_ms;
    uint32_t first_byte_ms; /* of this attempt */
    bool collecting;        /* the answer is not a success: its body is kept for classification */
    bool in_callback;       /* of the upstream client: the call is dropped by answering false */
    bool dropped;
    bool content;  /* something for the client was decoded */
    bool complete; /* the protocol's own end was seen */
    bool usage_seen, usage_valid;
    struct usage_vector usage;
    enum attempt_result error; /* the provider's own error inside its answer; ATTEMPT_OK: none */
    slice error_message;
};

struct request {
    /* Kept from one request to the next, for their memory. */
    struct arena arena;
    struct json_document document;
    struct decode_memory decode_memory;
    struct buffer out;    /* what the skin made and is not on its way */
    struct buffer flight; /* given to h2o, until it asks for more */

    struct thread *thread;         /* from here on everything is zero at the start */
    struct request *next, *before; /* among the active ones, or the free ones */
    h2o_generator_t generator;
    h2o_req_t *http; /* NULL: the client's side is gone */
    h2o_timeout_entry_t tick;
    h2o_timeout_entry_t hold_limit;
    char id[REQUEST_ID_SIZE];
    int pins; /* callbacks on the stack that use this request */

    uint8_t step;
    bool over;      /* answered or given up: no step runs any more */
    bool abandoned; /* the client's side is gone */
    status ended;   /* the failure it was answered with, if any */
    uint64_t started_us;
    slice body;        /* the client's, or a copy in the arena */
    size_t body_bytes; /* counted in edge->body_bytes */

    uint64_t identify_call;
    struct key_hash key;
    client_prefix client;
    struct caller caller;
    struct wish wish;
    struct market *market;
    const struct market_model *model;
    struct choose_result choice;
    uint64_t input_tokens_max;
    struct held held;
    char generation_text[GENERATION_ID_TEXT_SIZE];

    struct attempt attempt;
    uint8_t fact_count;
    struct attempt_fact facts[ATTEMPTS_MAX];
    struct previous_error errors[ATTEMPTS_MAX]; /* one per failed attempt */
    uint8_t error_count;
    status cause;           /* what the client is told when all failed */
    uint32_t retry_after_s; /* the smallest one a provider named; 0: none */
    struct request *key_next;
    uint32_t key_provider;

    struct chat_skin *skin;
    bool response_started, in_flight, paused;
    bool final_pending; /* nothing comes after `out` */
    bool final_sent;
    bool delivered;          /* the client's side accepted at least one piece */
    uint64_t delivered_text; /* bytes of the answer's text the client's side accepted */
    uint64_t flight_text;    /* the same, once the piece on its way is accepted too */
    uint64_t last_sent_ms;

    uint8_t finish;
    slice native_finish, upstream_id;
    uint32_t first_byte_ms;    /* from the request to the answer's first byte */
    uint64_t settle_n;         /* of the terminal record; 0: none */
    uint64_t asked_us;         /* when the last HOLD, and then the SETTLE, went out */
    uint64_t settle_since_ms;  /* the answer is complete and waits for its SETTLE; 0: it does not */
    struct usage_vector usage; /* billed */
    /* A provider worked for an answer that nobody pays for: with which price row, and how much. */
    const struct price_row *absorbed_price;
    struct usage_vector absorbed_usage;
    uint32_t flags; /* enum fact_flag */
    money charge;
    struct request *ahead_next; /* whose ends will be written ahead in this turn */
    bool written;               /* `out` ends with the answer's end, as charged `written_charge` */
    money written_charge;
};

/* Of one thread. */
struct requests {
    struct request *free;
    struct request *active;
    struct request *ahead;
    uint32_t in_flight;
    uint32_t free_count;
};

/* A client's chat request arrived. */
void request_start(struct thread *thread, h2o_req_t *http, slice request_id);
/* The step that waited is done; the next one runs. */
void request_continue(struct request *request);
void request_repeat_from(struct request *request, enum step step);
/* Ends the request with an error: releases its hold, stops what runs, tells the client. Answers
 * STEP_OVER. */
enum step_result request_fail(struct request *request, const struct failure *failure);
enum step_result request_fail_code(struct request *request, status cause);
/* The client is gone, or must go: closes the hold, stops what runs. Idempotent. */
void request_abandon(struct request *request);
/* What can be done while the ledger syncs: call when the turn's frames were sent. */
void requests_write_ahead(struct requests *requests);
/* While pinned a request is not given back. */
void request_pin(struct request *request);
void request_unpin(struct request *request);

/* Cuts all that is in flight: the thread's time to drain is over. */
void requests_cut(struct thread *thread);
void requests_free(struct thread *thread);

uint32_t request_elapsed_ms(const struct request *request);

/* The steps, one file each. */
enum step_result step_identify(struct request *request);
enum step_result step_read(struct request *request);
enum step_result step_choose(struct request *request);
enum step_result step_hold(struct request *request);
enum step_result step_attempt(struct request *request);
enum step_result step_relay(struct request *request);
enum step_result step_settle(struct request *request);
enum step_result step_outcome(struct request *request);
