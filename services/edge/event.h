/* SPDX-License-Identifier: Apache-2.0 */
/* The one internal shape of an answer: a stream of events that every dialect decodes into and
 * every skin encodes from (5 + 4 codecs instead of 20). Slices are views that live until the
 * callback returns. */
#pragma once

#include "shared/ipc/codec.h"
#include "shared/slice.h"

enum event_kind {
    EVENT_START,      /* the provider began: upstream_id, upstream model */
    EVENT_TEXT,       /* delta of the visible answer; choice */
    EVENT_REASONING,  /* delta of reasoning text */
    EVENT_REFUSAL,    /* delta of a refusal text */
    EVENT_TOOL_START, /* index, id, name; choice */
    EVENT_TOOL_ARGS,  /* index, delta of the arguments' JSON text */
    EVENT_EXTRA,    /* a member of delta or message that is passed on untouched: name, valid JSON */
    EVENT_LOGPROBS, /* valid JSON for this choice */
    EVENT_FINISH,   /* finish reason of one choice, native text */
    EVENT_USAGE,    /* the billing vector; the last one wins */
    EVENT_ERROR,    /* the provider reported an error inside the answer: class, message */
    EVENT_DONE,     /* the provider said it is complete ([DONE], or the whole body) */
};

struct event {
    enum event_kind kind;
    uint32_t choice;
    uint32_t index; /* tool call */
    slice text;     /* delta, id for TOOL_START, message for ERROR, upstream id for START */
    slice name; /* tool name, EXTRA's member, native finish reason; upstream's model for START */
    enum finish_reason finish;
    enum attempt_result result; /* ERROR */
    struct usage_vector usage;
    /* false: the provider's figure is missing or outside [0, 2^31): the estimate must be used */
    bool usage_valid;
};

/* A failure ends the answer (TOO_LARGE, …). */
typedef status (*event_sink)(void *context, const struct event *event);
