/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the body of a chat request, and as the head of one. What is accepted must keep
 * its promises: a model and a message are there, counts are within their bounds, and no string
 * of the wish lies outside of the body or the arena. */
#include <stdio.h>
#include <stdlib.h>

#include "services/edge/framing.h"
#include "services/edge/read.h"

#define ARENA_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool held, const char *what)
{
    if (held) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* Reads every byte, so that the sanitizer sees a view of memory that is not ours. */
static void touch(slice text)
{
    volatile char last = 0;
    for (size_t i = 0; i < text.len; i++)
        last = text.data[i];
    (void)last;
}

static void check_names(struct choose_names names)
{
    require(names.count <= CHOOSE_NAMES_MAX, "names are bounded");
    for (uint8_t i = 0; i < names.count; i++)
        touch(names.items[i]);
}

static void check_wish(const struct wish *wish, size_t size)
{
    require(wish->model.len >= 1 && wish->model.len <= MODEL_SLUG_MAX, "a model is named");
    require(wish->messages >= 1, "a message is there");
    require(wish->choices >= 1 && wish->choices <= CHOICES_MAX, "choices are bounded");
    require(wish->output_want <= 0x7fffffff, "output is bounded");
    require(wish->text_bytes <= size, "text is never longer than the body");
    touch(wish->model);
    touch(wish->session);
    check_names(wish->order);
    check_names(wish->only);
    check_names(wish->ignore);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_document document;
    static struct arena arena;
    if (arena.size_max == 0) {
        arena_init(&arena, ARENA_MAX);
        json_document_init(&document, JSON_VALUES_MAX);
    }
    const slice bytes = {(const char *)data, size};
    struct wish wish;
    struct fault fault;
    if (status_ok(read_chat(bytes, &document, &arena, &wish, &fault))) check_wish(&wish, size);
    touch(fault.field);
    touch(fault.message);
    arena_reset(&arena);
    (void)!status_ok(framing_check(bytes, true));
    return 0;
}
