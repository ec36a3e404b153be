/* SPDX-License-Identifier: Apache-2.0 */
/* Unix stream sockets to frames and back. Reading and writing are our own read(2) and send(2); the
 * loop only tells when. A peer that cannot be written to is not closed on the spot but shut down:
 * what it sent before is still read and delivered, and its end then arrives like any other, outside
 * every caller's stack. */
#include "shared/ipc/peer.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/ipc/calls.h"
#include "shared/log.h"

#define TICK_MS         50  /* grain of deadlines and of dialling again */
#define DIAL_DELAY_MS   100 /* doubled per failure up to */
#define DIAL_DELAY_MAX  1000
#define READ_SIZE       FRAME_SIZE_MAX
#define READ_TURN_MAX   (1u << 20) /* then the other sockets of the loop get their turn */
#define OUT_MEMORY_MAX  (PEER_OUT_MAX + (4u << 20)) /* peer_out() once, then many frames */
#define OUT_MEMORY_IDLE (1u << 20)                  /* an emptied buffer above this is given back */

struct peer {
    struct peer *next;
    struct peer_set *set;
    struct peer_callbacks callbacks;
    void *context;
    void *user;
    h2o_socket_t *socket; /* NULL: closed */
    struct buffer in;
    struct buffer out;
    size_t out_sent; /* bytes at the front of out that are written already */
    struct calls calls;
    char *path; /* of a dialled peer; NULL: accepted */
    uint32_t dial_delay_ms;
    uint64_t dial_at_ms;
    bool awaits_write;
    bool broken; /* cannot be written to; its end is on the way */
};

struct listener {
    struct listener *next;
    struct peer_set *set;
    struct peer_callbacks callbacks;
    void *context;
    h2o_socket_t *socket;
    bool paused; /* until the next tick: no descriptor was free */
    size_t uid_count;
    uid_t uids[];
};

struct peer_set {
    h2o_loop_t *loop;
    struct peer *peers;
    struct listener *listeners;
    h2o_timeout_t tick;
    h2o_timeout_t at_once;
    h2o_timeout_entry_t tick_entry;
    h2o_timeout_entry_t at_once_entry;
};

static struct peer *peer_new(struct peer_set *set, const struct peer_callbacks *callbacks,
                             void *context, const char *path);
static void peer_free(struct peer *peer);
static void peer_open(struct peer *peer, int fd);
static void peer_lost(struct peer *peer);
static void peer_read(h2o_socket_t *socket, const char *error);
static bool peer_deliver(struct peer *peer);
static bool frame_deliver(struct peer *peer, const struct frame *frame);
static void peer_write(struct peer *peer);
static void peer_writable(h2o_socket_t *socket, const char *error);
static void peer_dial_again(struct peer *peer);
static status dial(const char *path, int *fd);
static void listener_accept(h2o_socket_t *socket, const char *error);
static void listener_pause(struct listener *listener);
static void tick_start(struct peer_set *set);
static void tick_run(h2o_timeout_entry_t *entry);
static void at_once_run(h2o_timeout_entry_t *entry);
static void dials_run(struct peer_set *set);

struct peer_set *peer_set_new(h2o_loop_t *loop)
{
    struct peer_set *set = h2o_mem_alloc(sizeof(*set));
    *set = (struct peer_set){.loop = loop};
    h2o_timeout_init(loop, &set->tick, TICK_MS);
    h2o_timeout_init(loop, &set->at_once, 0);
    set->tick_entry.cb = tick_run;
    set->at_once_entry.cb = at_once_run;
    return set;
}

void peer_set_flush(struct peer_set *set)
{
    for (struct peer *peer = set->peers; peer != NULL; peer = peer->next) {
        if (peer->socket != NULL && !peer->awaits_write) peer_write(peer);
    }
}

void peer_set_free(struct peer_set **set_pointer)
{
    struct peer_set *set = TAKE(*set_pointer);
    if (set == NULL) return;
    while (set->listeners != NULL) {
        struct listener *listener = set->listeners;
        set->listeners = listener->next;
        h2o_socket_close(listener->socket);
        free(listener);
    }
    for (struct peer *peer = set->peers, *next; peer != NULL; peer = next) {
        next = peer->next;
        bool accepted = peer->path == NULL;
        if (peer->socket != NULL) peer_lost(peer);
        if (!accepted) peer_free(peer);
    }
    h2o_timeout_unlink(&set->tick_entry);
    h2o_timeout_unlink(&set->at_once_entry);
    h2o_timeout_dispose(set->loop, &set->tick);
    h2o_timeout_dispose(set->loop, &set->at_once);
    free(set);
}

struct peer *peer_dial(struct peer_set *set, const char *path,
                       const struct peer_callbacks *callbacks, void *context)
{
    struct peer *peer = peer_new(set, callbacks, context, path);
    peer->dial_delay_ms = DIAL_DELAY_MS;
    peer->dial_at_ms = 0;
    /* Not here: `opened` must find the caller's copy of the pointer in its place. */
    if (!h2o_timeout_is_linked(&set->at_once_entry)) {
        h2o_timeout_link(set->loop, &set->at_once, &set->at_once_entry);
    }
    return peer;
}

struct peer_rules peer_rules_for_user(const char *user, uid_t *uid)
{
    const struct passwd *found = getpwnam(user);
    if (found == NULL) return (struct peer_rules){0};
    *uid = found->pw_uid;
    return (struct peer_rules){.allowed_uids = uid, .count = 1};
}

void peer_accept(struct peer_set *set, int listen_fd, const struct peer_rules *rules,
                 const struct peer_callbacks *callbacks, void *context)
{
    struct listener *listener =
        h2o_mem_alloc(sizeof(*listener) + rules->count * sizeof(listener->uids[0]));
    *listener = (struct listener){
        .next = set->listeners,
        .set = set,
        .callbacks = *callbacks,
        .context = context,
        .uid_count = rules->count,
    };
    for (size_t i = 0; i < rules->count; i++)
        listener->uids[i] = rules->allowed_uids[i];
    listener->socket = h2o_evloop_socket_create(set->loop, listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    listener->socket->data = listener;
    h2o_socket_read_start(listener->socket, listener_accept);
    set->listeners = listener;
}

bool peer_is_open(const struct peer *peer)
{
    return peer->socket != NULL && !peer->broken;
}

void peer_set_user(struct peer *peer, void *user)
{
    peer->user = user;
}

void *peer_user(const struct peer *peer)
{
    return peer->user;
}

struct buffer *peer_out(struct peer *peer)
{
    if (!peer_is_open(peer) || peer->out.len - peer->out_sent > PEER_OUT_MAX) return NULL;
    return &peer->out;
}

uint64_t peer_call_begin(struct peer *peer, struct peer_call call)
{
    if (!peer_is_open(peer)) return 0;
    tick_start(peer->set);
    return calls_begin(&peer->calls, call, clock_coarse_ms());
}

void peer_call_cancel(struct peer *peer, uint64_t request)
{
    struct peer_call call;
    (void)calls_take(&peer->calls, request, &call);
}

/* ---- life of a peer -------------------------------------------------------------------------- */

static struct peer *peer_new(struct peer_set *set, const struct peer_callbacks *callbacks,
                             void *context, const char *path)
{
    struct peer *peer = h2o_mem_alloc(sizeof(*peer));
    *peer = (struct peer){
        .next = set->peers,
        .set = set,
        .callbacks = *callbacks,
        .context = context,
        .path = path == NULL ? NULL : h2o_strdup(NULL, path, SIZE_MAX).base,
    };
    buffer_init(&peer->in, FRAME_SIZE_MAX + READ_SIZE);
    buffer_init(&peer->out, OUT_MEMORY_MAX);
    calls_init(&peer->calls, path == NULL);
    set->peers = peer;
    return peer;
}

static void peer_free(struct peer *peer)
{
    struct peer **link = &peer->set->peers;
    while (*link != peer)
        link = &(*link)->next;
    *link = peer->next;
    buffer_free(&peer->in);
    buffer_free(&peer->out);
    calls_free(&peer->calls);
    free(peer->path);
    free(peer);
}

static void peer_open(struct peer *peer, int fd)
{
    peer->socket = h2o_evloop_socket_create(peer->set->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    peer->socket->data = peer;
    peer->awaits_write = false;
    peer->broken = false;
    h2o_socket_read_start(peer->socket, peer_read);
    peer->callbacks.opened(peer, peer->context);
}

/* The connection is over. An accepted peer does not exist any more when this returns. */
static void peer_lost(struct peer *peer)
{
    h2o_socket_close(peer->socket);
    peer->socket = NULL;
    buffer_clear(&peer->in);
    buffer_clear(&peer->out);
    peer->out_sent = 0;
    calls_fail(&peer->calls, UINT64_MAX, FAIL(CLOSED));
    peer->callbacks.closed(peer, peer->context);
    if (peer->path == NULL) {
        peer_free(peer);
        return;
    }
    log_info("peer_lost", FN(name, path, slice_of(peer->path)));
    peer->dial_delay_ms = DIAL_DELAY_MS;
    peer_dial_again(peer);
}

void peer_hang_up(struct peer *peer)
{
    if (!peer_is_open(peer)) return;
    peer->broken = true;
    buffer_clear(&peer->out);
    peer->out_sent = 0;
    (void)shutdown(h2o_socket_get_fd(peer->socket), SHUT_RDWR);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void peer_read(h2o_socket_t *socket, const char *error)
{
    (void)error; /* read() below says the same */
    struct peer *peer = socket->data;
    int fd = h2o_socket_get_fd(socket);
    for (size_t taken = 0; taken < READ_TURN_MAX;) {
        char *room = buffer_reserve(&peer->in, READ_SIZE);
        if (room == NULL) {
            peer_lost(peer);
            return;
        }
        ssize_t count = read(fd, room, READ_SIZE);
        if (count > 0) {
            taken += (size_t)count;
            peer->in.len += (size_t)count;
            if (!peer_deliver(peer)) return;
            /* A short read emptied the socket: spares the read that would say EAGAIN. */
            if ((size_t)count < READ_SIZE) return;
            continue;
        }
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        peer_lost(peer);
        return;
    }
}

/* All whole frames at the front of the buffer. False: the peer was closed and may be gone. */
static bool peer_deliver(struct peer *peer)
{
    size_t offset = 0;
    for (;;) {
        struct frame frame;
        size_t taken = 0;
        status next = frame_next(slice_from(buffer_slice(&peer->in), offset), &frame, &taken);
        if (next.code == ERROR_END) break;
        if (!status_ok(next)) {
            log_warning("frame_malformed", F(error, next));
            peer_lost(peer);
            return false;
        }
        offset += taken;
        if (!frame_deliver(peer, &frame)) return false;
    }
    buffer_consume(&peer->in, offset);
    return true;
}

static bool frame_deliver(struct peer *peer, const struct frame *frame)
{
    struct peer_call call;
    if (calls_take(&peer->calls, frame->request, &call)) {
        call.answer(call.context, OK, frame);
        return true;
    }
    /* Late: its call was ended by its deadline or cancelled. */
    if (calls_issued(&peer->calls, frame->request)) return true;
    status result = peer->callbacks.received(peer, frame, peer->context);
    if (status_ok(result)) return true;
    log_warning("frame_refused", FN(name, message, slice_of(message_name(frame->type))),
                F(error, result));
    peer_lost(peer);
    return false;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void peer_write(struct peer *peer)
{
    if (peer->out.overflowed) {
        log_error("peer_overflow", F(count, peer->out.len));
        peer_hang_up(peer);
        return;
    }
    while (peer->out_sent < peer->out.len) {
        ssize_t count = send(h2o_socket_get_fd(peer->socket), peer->out.data + peer->out_sent,
                             peer->out.len - peer->out_sent, MSG_NOSIGNAL);
        if (count >= 0) {
            peer->out_sent += (size_t)count;
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            peer_hang_up(peer);
            return;
        }
        /* Moving the rest to the front costs as much as was written since; never more. */
        if (peer->out_sent > peer->out.len / 2) {
            buffer_consume(&peer->out, peer->out_sent);
            peer->out_sent = 0;
        }
        peer->awaits_write = true;
        h2o_socket_notify_write(peer->socket, peer_writable);
        return;
    }
    buffer_clear(&peer->out);
    peer->out_sent = 0;
    if (peer->out.size > OUT_MEMORY_IDLE) buffer_free(&peer->out);
}

static void peer_writable(h2o_socket_t *socket, const char *error)
{
    (void)error; /* send() says the same */
    struct peer *peer = socket->data;
    peer->awaits_write = false;
    peer_write(peer);
}

/* ---- dialling and accepting ------------------------------------------------------------------ */

static void peer_dial_again(struct peer *peer)
{
    peer->dial_at_ms = clock_monotonic_ms() + peer->dial_delay_ms;
    peer->dial_delay_ms *= 2;
    if (peer->dial_delay_ms > DIAL_DELAY_MAX) peer->dial_delay_ms = DIAL_DELAY_MAX;
    tick_start(peer->set);
}

/* A Unix socket connects at once or not at all, so there is nothing to wait for. */
static status dial(const char *path, int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    TRY(slice_to_c_string(slice_of(path), address.sun_path, sizeof(address.sun_path)));
    int opened = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (opened < 0) return FAIL(IO);
    if (connect(opened, (struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(opened);
        return FAIL(IO);
    }
    *fd = opened;
    return OK;
}

static void listener_accept(h2o_socket_t *socket, const char *error)
{
    (void)error;
    struct listener *listener = socket->data;
    for (;;) {
        int fd = accept4(h2o_socket_get_fd(socket), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EINTR) continue;
        if (fd < 0) {
            if (errno != EAGAIN && errno != ECONNABORTED) listener_pause(listener);
            return;
        }
        const struct peer_rules rules = {listener->uids, listener->uid_count};
        if (!peer_uid_allowed(fd, &rules)) {
            (void)close(fd);
            continue;
        }
        peer_open(peer_new(listener->set, &listener->callbacks, listener->context, NULL), fd);
    }
}

/* The caller stays in the queue and would be reported again and again in a busy loop. */
static void listener_pause(struct listener *listener)
{
    log_error("peer_accept", F(errno, errno));
    h2o_socket_read_stop(listener->socket);
    listener->paused = true;
    tick_start(listener->set);
}

bool peer_uid_allowed(int fd, const struct peer_rules *rules)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0) return false;
    if (who.uid == 0 || who.uid == geteuid()) return true;
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->allowed_uids[i] == who.uid) return true;
    }
    log_warning("peer_uid_refused", FN(number, uid, who.uid));
    return false;
}

/* ---- time ------------------------------------------------------------------------------------ */

static void tick_start(struct peer_set *set)
{
    if (!h2o_timeout_is_linked(&set->tick_entry)) {
        h2o_timeout_link(set->loop, &set->tick, &set->tick_entry);
    }
}

/* Runs on only while something waits: an idle process does not wake up. */
static void tick_run(h2o_timeout_entry_t *entry)
{
    struct peer_set *set = H2O_STRUCT_FROM_MEMBER(struct peer_set, tick_entry, entry);
    uint64_t now_ms = clock_monotonic_ms();
    bool waiting = false;
    dials_run(set);
    for (struct peer *peer = set->peers; peer != NULL; peer = peer->next) {
        calls_fail(&peer->calls, now_ms, FAIL(DEADLINE));
        waiting = waiting || peer->calls.pending > 0 || peer->socket == NULL;
    }
    for (struct listener *listener = set->listeners; listener != NULL; listener = listener->next) {
        if (listener->paused) h2o_socket_read_start(listener->socket, listener_accept);
        listener->paused = false;
    }
    if (waiting) tick_start(set);
}

static void at_once_run(h2o_timeout_entry_t *entry)
{
    dials_run(H2O_STRUCT_FROM_MEMBER(struct peer_set, at_once_entry, entry));
}

static void dials_run(struct peer_set *set)
{
    uint64_t now_ms = clock_monotonic_ms();
    for (struct peer *peer = set->peers; peer != NULL; peer = peer->next) {
        if (peer->socket != NULL || peer->dial_at_ms > now_ms) continue;
        int fd = -1;
        if (status_ok(dial(peer->path, &fd))) {
            log_info("peer_connected", FN(name, path, slice_of(peer->path)));
            peer_open(peer, fd);
        } else {
            peer_dial_again(peer);
        }
    }
}
