/* SPDX-License-Identifier: Apache-2.0 */
/* A mutex and a ring; the loop is woken with an empty message. */
#include "services/ledger/inbox.h"

#include <assert.h>
#include <stdlib.h>

void inbox_init(struct inbox *inbox, uint32_t size)
{
    *inbox = (struct inbox){.size = size};
    inbox->items = calloc(size, sizeof(*inbox->items));
    if (inbox->items == NULL) abort();
    (void)pthread_mutex_init(&inbox->lock, NULL);
}

void inbox_free(struct inbox *inbox)
{
    free(inbox->items);
    inbox->items = NULL;
}

void inbox_set_receiver(struct inbox *inbox, h2o_multithread_receiver_t *receiver)
{
    (void)pthread_mutex_lock(&inbox->lock);
    inbox->receiver = receiver;
    (void)pthread_mutex_unlock(&inbox->lock);
}

void inbox_wake(struct inbox *inbox)
{
    (void)pthread_mutex_lock(&inbox->lock);
    h2o_multithread_receiver_t *receiver = inbox->receiver;
    if (receiver != NULL) h2o_multithread_send_message(receiver, NULL);
    (void)pthread_mutex_unlock(&inbox->lock);
}

void inbox_put(struct inbox *inbox, const struct inbox_item *item)
{
    (void)pthread_mutex_lock(&inbox->lock);
    assert(inbox->count < inbox->size);
    inbox->items[(inbox->first + inbox->count) % inbox->size] = *item;
    inbox->count++;
    if (inbox->receiver != NULL) h2o_multithread_send_message(inbox->receiver, NULL);
    (void)pthread_mutex_unlock(&inbox->lock);
}

bool inbox_take(struct inbox *inbox, struct inbox_item *item)
{
    (void)pthread_mutex_lock(&inbox->lock);
    bool found = inbox->count > 0;
    if (found) {
        *item = inbox->items[inbox->first];
        inbox->count--;
        /* An empty ring begins anew, so that it stays in the memory it has used. */
        inbox->first = inbox->count == 0 ? 0 : (inbox->first + 1) % inbox->size;
    }
    (void)pthread_mutex_unlock(&inbox->lock);
    return found;
}
