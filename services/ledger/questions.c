/* SPDX-License-Identifier: Apache-2.0 */
/* Two rings. An empty one begins anew, so that it stays in the memory it has used. */
#include "services/ledger/questions.h"

#include <assert.h>
#include <stdlib.h>

#include "shared/array.h"

enum line { LINE_KNOWN, LINE_STRANGERS, LINE_COUNT };
struct ring {
    struct question *items;
    uint32_t first, count;
};
struct questions {
    struct ring lines[LINE_COUNT];
    uint32_t max;
    enum line turn; /* whose it is, if there is anybody in it */
    bool prices_asked;
};

struct questions *questions_new(uint32_t max)
{
    struct questions *questions = calloc(1, sizeof(*questions));
    if (questions == NULL) abort();
    questions->max = max;
    for (size_t i = 0; i < COUNT_OF(questions->lines); i++) {
        questions->lines[i].items = calloc(max, sizeof(struct question));
        if (questions->lines[i].items == NULL) abort();
    }
    return questions;
}

void questions_free(struct questions **pointer)
{
    struct questions *questions = TAKE(*pointer);
    if (questions == NULL) return;
    for (size_t i = 0; i < COUNT_OF(questions->lines); i++)
        free(questions->lines[i].items);
    free(questions);
}

void questions_put(struct questions *questions, const struct question *question)
{
    bool of_prices = question->kind == QUESTION_PRICES;
    if (of_prices && questions->prices_asked) return;
    questions->prices_asked |= of_prices;
    bool stranger = question->kind == QUESTION_STRANGER;
    struct ring *ring = &questions->lines[stranger ? LINE_STRANGERS : LINE_KNOWN];
    assert(ring->count < questions->max);
    ring->items[(ring->first + ring->count) % questions->max] = *question;
    ring->count++;
}

bool questions_take(struct questions *questions, struct question *question)
{
    enum line other = questions->turn == LINE_KNOWN ? LINE_STRANGERS : LINE_KNOWN;
    enum line line = questions->lines[questions->turn].count > 0 ? questions->turn : other;
    struct ring *ring = &questions->lines[line];
    if (ring->count == 0) return false;
    *question = ring->items[ring->first];
    ring->count--;
    ring->first = ring->count == 0 ? 0 : (ring->first + 1) % questions->max;
    questions->turn = line == LINE_KNOWN ? LINE_STRANGERS : LINE_KNOWN;
    if (question->kind == QUESTION_PRICES) questions->prices_asked = false;
    return true;
}

uint32_t questions_count(const struct questions *questions)
{
    uint32_t count = 0;
    for (size_t i = 0; i < COUNT_OF(questions->lines); i++)
        count += questions->lines[i].count;
    return count;
}
