/* SPDX-License-Identifier: Apache-2.0 */
/* A table of names, and one short-lived thread for each name that is being asked for. A thread owns
 * nothing but its question; it leaves the answer in a list under a lock and wakes the loop. The
 * complication: a resolver may be freed while getaddrinfo hangs, so what threads touch is counted
 * and outlives it. */
#include "services/edge/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>

#include "shared/clock.h"
#include "shared/log.h"

#define NAMES_MAX         256
#define THREADS_MAX       8            /* a dead name server must not collect threads */
#define THREAD_STACK_SIZE (512 * 1024) /* getaddrinfo loads modules that want more than a little */
#define FOUND_MS          30000u
#define MISSING_MS        1000u

/* One name being asked for, owned by its thread until it stands among the answers. */
struct question {
    struct question *next;
    struct desk *desk;
    char host[HOST_LEN_MAX + 1];
    struct resolved addresses; /* count 0: no such host */
};

/* What threads and the loop share. */
struct desk {
    pthread_mutex_t lock;
    unsigned references;
    bool closed; /* the resolver is gone: answers are thrown away */
    bool woken;  /* `wake` is on its way */
    struct question *answers;
    struct resolver *resolver; /* touched by the loop only */
    h2o_multithread_receiver_t receiver;
    h2o_multithread_message_t wake;
};

enum name_state { NAME_EMPTY, NAME_QUEUED, NAME_ASKED, NAME_ANSWERED };
struct name {
    enum name_state state;
    uint8_t host_len;
    char host[HOST_LEN_MAX + 1];
    uint64_t expires_ms;
    struct resolved addresses;
    h2o_linklist_t waits;
};

struct resolver {
    h2o_multithread_queue_t *queue;
    struct desk *desk;
    unsigned threads;
    struct name names[NAMES_MAX];
};

static void take_answers(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);
static void ask_queued(struct resolver *resolver);
static struct name *find_name(struct resolver *resolver, slice host);
static struct name *free_name(struct resolver *resolver);
static bool is_local(slice host, struct resolved *addresses);
static bool is_host_name(slice host);

/* ---- life ------------------------------------------------------------------------------------ */

struct resolver *resolver_new(h2o_multithread_queue_t *queue)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    struct desk *desk = calloc(1, sizeof(*desk));
    if (resolver == NULL || desk == NULL) abort();
    resolver->queue = queue;
    resolver->desk = desk;
    for (size_t i = 0; i < NAMES_MAX; i++) {
        h2o_linklist_init_anchor(&resolver->names[i].waits);
    }
    desk->references = 1;
    desk->resolver = resolver;
    pthread_mutex_init(&desk->lock, NULL);
    h2o_multithread_register_receiver(queue, &desk->receiver, take_answers);
    return resolver;
}

/* Called with the lock held; gives it back. */
static void leave_desk(struct desk *desk)
{
    bool last = --desk->references == 0;
    pthread_mutex_unlock(&desk->lock);
    if (!last) return;
    pthread_mutex_destroy(&desk->lock);
    free(desk);
}

static void free_questions(struct question *question)
{
    while (question != NULL) {
        struct question *next = question->next;
        free(question);
        question = next;
    }
}

void resolver_free(struct resolver **resolver)
{
    struct resolver *r = TAKE(*resolver);
    if (r == NULL) return;
    for (size_t i = 0; i < NAMES_MAX; i++) {
        while (!h2o_linklist_is_empty(&r->names[i].waits)) {
            h2o_linklist_unlink(r->names[i].waits.next);
        }
    }
    struct desk *desk = r->desk;
    pthread_mutex_lock(&desk->lock);
    desk->closed = true;
    free_questions(TAKE(desk->answers));
    /* A receiver may not be taken down with messages waiting. Nobody else sends to this one, so
     * the one message that may be there can be taken back on the loop's own thread. */
    if (h2o_linklist_is_linked(&desk->wake.link)) h2o_linklist_unlink(&desk->wake.link);
    h2o_multithread_unregister_receiver(r->queue, &desk->receiver);
    leave_desk(desk);
    free(r);
}

/* ---- asking ---------------------------------------------------------------------------------- */

status resolver_find(struct resolver *resolver, slice host, struct resolve_wait *wait,
                     struct resolved *addresses)
{
    addresses->count = 1;
    if (resolve_numeric(host, &addresses->items[0]) || is_local(host, addresses)) return OK;
    if (!is_host_name(host)) return FAIL(BAD_REQUEST);

    uint64_t now_ms = clock_monotonic_ms();
    struct name *name = find_name(resolver, host);
    if (name != NULL && name->state == NAME_ANSWERED && now_ms < name->expires_ms) {
        *addresses = name->addresses;
        return addresses->count > 0 ? OK : FAIL(NOT_FOUND);
    }
    if (name == NULL) name = free_name(resolver);
    if (name == NULL) return FAIL(OVERLOADED);
    if (name->state == NAME_EMPTY || name->state == NAME_ANSWERED) {
        memcpy(name->host, host.data, host.len);
        name->host[host.len] = '\0';
        name->host_len = (uint8_t)host.len;
        name->state = NAME_QUEUED;
    }
    h2o_linklist_insert(&name->waits, &wait->link);
    ask_queued(resolver);
    return FAIL(END);
}

void resolve_wait_cancel(struct resolve_wait *wait)
{
    if (h2o_linklist_is_linked(&wait->link)) h2o_linklist_unlink(&wait->link);
}

void resolver_forget(struct resolver *resolver, slice host)
{
    struct name *name = find_name(resolver, host);
    if (name != NULL && name->state == NAME_ANSWERED) name->expires_ms = 0;
}

bool resolve_numeric(slice host, union resolved_address *address)
{
    char text[INET6_ADDRSTRLEN];
    if (!status_ok(slice_to_c_string(host, text, sizeof(text)))) return false;
    *address = (union resolved_address){0};
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        return true;
    }
    if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        return true;
    }
    return false;
}

/* "localhost" never goes to a name server (RFC 6761). */
static bool is_local(slice host, struct resolved *addresses)
{
    if (!slice_equal_nocase(host, SLICE("localhost"))) return false;
    addresses->count = 2;
    return resolve_numeric(SLICE("127.0.0.1"), &addresses->items[0]) &&
           resolve_numeric(SLICE("::1"), &addresses->items[1]);
}

static bool is_host_name(slice host)
{
    if (host.len == 0 || host.len > HOST_LEN_MAX) return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool other = (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
        if (!letter && !other) return false;
    }
    return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

static struct name *find_name(struct resolver *resolver, slice host)
{
    for (size_t i = 0; i < NAMES_MAX && resolver->names[i].state != NAME_EMPTY; i++) {
        struct name *name = &resolver->names[i];
        if (slice_equal_nocase((slice){name->host, name->host_len}, host)) return name;
    }
    return NULL;
}

/* An unused place, or that of the answer that is oldest. NULL: all are being asked for. */
static struct name *free_name(struct resolver *resolver)
{
    struct name *oldest = NULL;
    for (size_t i = 0; i < NAMES_MAX; i++) {
        struct name *name = &resolver->names[i];
        if (name->state == NAME_EMPTY) return name;
        if (name->state != NAME_ANSWERED) continue;
        if (oldest == NULL || name->expires_ms < oldest->expires_ms) oldest = name;
    }
    return oldest;
}

/* ---- threads --------------------------------------------------------------------------------- */

static void resolve(struct question *question)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    struct resolved *addresses = &question->addresses;
    if (getaddrinfo(question->host, NULL, &hints, &found) != 0) return;
    for (struct addrinfo *info = found; info != NULL; info = info->ai_next) {
        bool known = info->ai_family == AF_INET || info->ai_family == AF_INET6;
        if (!known || addresses->count == RESOLVED_ADDRESSES_MAX) continue;
        memcpy(&addresses->items[addresses->count++], info->ai_addr, info->ai_addrlen);
    }
    freeaddrinfo(found);
}

static void deliver(struct question *question)
{
    struct desk *desk = question->desk;
    pthread_mutex_lock(&desk->lock);
    if (desk->closed) {
        free(question);
    } else {
        question->next = desk->answers;
        desk->answers = question;
        if (!desk->woken) h2o_multithread_send_message(&desk->receiver, &desk->wake);
        desk->woken = true;
    }
    leave_desk(desk);
}

static void *answer_question(void *question)
{
    resolve(question);
    deliver(question);
    return NULL;
}

static bool start_thread(struct question *question)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_SIZE);
    pthread_t thread;
    int error = pthread_create(&thread, &attributes, answer_question, question);
    pthread_attr_destroy(&attributes);
    if (error != 0) log_warning("resolver_thread_failed", F(errno, error));
    return error == 0;
}

static void ask(struct resolver *resolver, struct name *name)
{
    struct question *question = calloc(1, sizeof(*question));
    if (question == NULL) abort();
    memcpy(question->host, name->host, sizeof(name->host));
    question->desk = resolver->desk;
    pthread_mutex_lock(&resolver->desk->lock);
    resolver->desk->references++;
    pthread_mutex_unlock(&resolver->desk->lock);
    name->state = NAME_ASKED;
    resolver->threads++;
    /* Without a thread the answer is that there is no such host: for a second, then it is tried
     * again. */
    if (!start_thread(question)) deliver(question);
}

static void ask_queued(struct resolver *resolver)
{
    for (size_t i = 0; i < NAMES_MAX && resolver->names[i].state != NAME_EMPTY; i++) {
        if (resolver->threads == THREADS_MAX) return;
        if (resolver->names[i].state == NAME_QUEUED) ask(resolver, &resolver->names[i]);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

static void tell_waiting(struct name *name)
{
    /* Whoever is told may ask again, also for this name: only those who wait now are told. */
    h2o_linklist_t waits;
    h2o_linklist_init_anchor(&waits);
    h2o_linklist_insert_list(&waits, &name->waits);
    struct resolved addresses = name->addresses;
    while (!h2o_linklist_is_empty(&waits)) {
        struct resolve_wait *wait = H2O_STRUCT_FROM_MEMBER(struct resolve_wait, link, waits.next);
        h2o_linklist_unlink(&wait->link);
        wait->done(wait->context, addresses.count > 0 ? &addresses : NULL);
    }
}

static void take_answers(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct desk *desk = H2O_STRUCT_FROM_MEMBER(struct desk, receiver, receiver);
    struct resolver *resolver = desk->resolver;
    while (!h2o_linklist_is_empty(messages)) {
        h2o_linklist_unlink(messages->next);
    }
    pthread_mutex_lock(&desk->lock);
    struct question *answers = TAKE(desk->answers);
    desk->woken = false;
    pthread_mutex_unlock(&desk->lock);

    for (struct question *answer = answers; answer != NULL; answer = answer->next) {
        resolver->threads--;
        struct name *name = find_name(resolver, slice_of(answer->host));
        if (name == NULL || name->state != NAME_ASKED) continue;
        bool found = answer->addresses.count > 0;
        name->addresses = answer->addresses;
        name->expires_ms = clock_monotonic_ms() + (found ? FOUND_MS : MISSING_MS);
        name->state = NAME_ANSWERED;
        tell_waiting(name);
    }
    free_questions(answers);
    ask_queued(resolver);
}
