/* SPDX-License-Identifier: Apache-2.0 */
/* Peers: both ends in one process on one loop, over real sockets. A plain descriptor plays the ends
 * that misbehave. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/daemon.h"
#include "shared/ipc/peer.h"
#include "shared/log.h"
#include "tests/unit/shared/scratch.h"

#define DEADLINE_MS 5000 /* of every wait of this file */

/* What one side saw. */
struct side {
    int opened;
    int closed;
    int frames;
    uint64_t last_n;       /* of SETTLED frames, which must arrive in order */
    uint64_t held_request; /* of a question the server keeps for later */
    struct peer *peer;     /* the latest */
    bool out_of_order;
    bool refuse; /* the next frame */
    bool answer_later;
};

static struct scratch scratch;
static h2o_loop_t *loop;
static struct peer_set *set;
static struct side server;
static struct side client;

static void side_opened(struct peer *peer, void *context)
{
    struct side *side = context;
    side->opened++;
    side->peer = peer;
}

static void side_closed(struct peer *peer, void *context)
{
    struct side *side = context;
    assert_false(peer_is_open(peer));
    assert_null(peer_out(peer));
    side->closed++;
}

static void answer_identify(struct peer *peer, uint64_t request)
{
    struct message_identified answer = {.error = ERROR_BAD_KEY, .caller = {.org = 7}};
    message_encode_identified(peer_out(peer), request, &answer);
}

static status side_received(struct peer *peer, const struct frame *frame, void *context)
{
    struct side *side = context;
    side->frames++;
    if (side->refuse) {
        side->refuse = false;
        return FAIL(FORBIDDEN);
    }
    if (frame->type == MESSAGE_identify) {
        side->held_request = frame->request;
        if (!side->answer_later) answer_identify(peer, frame->request);
    }
    if (frame->type == MESSAGE_settled) {
        struct message_settled m;
        TRY(message_decode_settled(frame->body, &m));
        if (m.n != side->last_n + 1) side->out_of_order = true;
        side->last_n = m.n;
    }
    return OK;
}

static const struct peer_callbacks callbacks = {side_opened, side_received, side_closed};

static int set_up(void **state)
{
    (void)state;
    scratch_make(&scratch);
    loop = h2o_evloop_create();
    set = peer_set_new(loop);
    server = client = (struct side){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_set_free(&set);
    (void)h2o_evloop_run(loop, 0);
    h2o_evloop_destroy(loop);
    scratch_remove(&scratch);
    return 0;
}

static void turn(void)
{
    peer_set_flush(set);
    (void)h2o_evloop_run(loop, 10);
}

/* Turns the loop until the condition holds. */
#define wait_for(condition)                                                \
    do {                                                                   \
        uint64_t until_ = clock_monotonic_ms() + DEADLINE_MS;              \
        while (!(condition)) {                                             \
            if (clock_monotonic_ms() > until_) fail_msg("%s", #condition); \
            turn();                                                        \
        }                                                                  \
    } while (0)

static const char *socket_path(void)
{
    return scratch_path(&scratch, "s");
}

static void listen_here(void)
{
    int fd = -1;
    assert_ok(daemon_listen_unix(socket_path(), 0600, &fd));
    peer_accept(set, fd, &(struct peer_rules){0}, &callbacks, &server);
}

static struct peer *connect_both(void)
{
    listen_here();
    struct peer *peer = peer_dial(set, socket_path(), &callbacks, &client);
    wait_for(client.opened == 1 && server.opened == 1);
    return peer;
}

/* A client that is not one of ours. */
static int connect_plain(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)strcpy(address.sun_path, socket_path());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct answered {
    int count;
    status result;
    uint64_t org;
    int closed_before; /* of the client, when the answer ran */
};

static void on_answer(void *context, status result, const struct frame *frame)
{
    struct answered *answered = context;
    answered->count++;
    answered->result = result;
    answered->closed_before = client.closed;
    if (frame == NULL) return;
    struct message_identified m;
    assert_ok(message_decode_identified(frame->body, &m));
    answered->org = (uint64_t)m.caller.org;
}

static uint64_t ask(struct peer *peer, struct answered *answered, uint32_t deadline_ms)
{
    uint64_t request = peer_call_begin(peer, (struct peer_call){on_answer, answered, deadline_ms});
    if (request != 0)
        message_encode_identify(peer_out(peer), request, &(struct message_identify){0});
    return request;
}

TEST(a_question_gets_its_answer)
{
    struct peer *peer = connect_both();
    struct answered first = {0};
    struct answered second = {0};
    uint64_t one = ask(peer, &first, 2000);
    uint64_t two = ask(peer, &second, 2000);
    assert_true(one != 0 && two != 0 && one != two);
    assert_int_equal(first.count, 0);
    wait_for(first.count == 1 && second.count == 1);
    assert_ok(first.result);
    assert_true(first.org == 7);
    assert_int_equal(client.frames, 0); /* an answer is not delivered twice */
}

TEST(both_sides_may_ask_and_nobody_takes_a_question_for_an_answer)
{
    struct peer *peer = connect_both();
    struct answered ours = {0};
    struct answered theirs = {0};
    (void)ask(peer, &ours, 2000);
    (void)ask(server.peer, &theirs, 2000);
    wait_for(ours.count == 1 && theirs.count == 1);
    assert_ok(ours.result);
    assert_ok(theirs.result);
    assert_int_equal(server.frames, 1);
    assert_int_equal(client.frames, 1);
}

TEST(a_question_without_an_answer_ends_at_its_deadline)
{
    struct peer *peer = connect_both();
    server.answer_later = true;
    struct answered answered = {0};
    uint64_t start_ms = clock_monotonic_ms();
    (void)ask(peer, &answered, 60);
    wait_for(answered.count == 1);
    assert_fails(answered.result, DEADLINE);
    assert_true(clock_monotonic_ms() - start_ms >= 60);
    assert_true(peer_is_open(peer));
}

TEST(a_late_answer_is_dropped)
{
    struct peer *peer = connect_both();
    server.answer_later = true;
    struct answered late = {0};
    (void)ask(peer, &late, 50);
    wait_for(late.count == 1);
    uint64_t late_request = server.held_request;
    /* The next question takes the same slot; it must not get the answer of the last. */
    struct answered next = {0};
    (void)ask(peer, &next, 2000);
    wait_for(server.held_request != late_request);
    answer_identify(server.peer, late_request);
    message_encode_settled(peer_out(server.peer), 0, &(struct message_settled){.n = 1});
    wait_for(client.last_n == 1);
    assert_int_equal(next.count, 0);
    assert_int_equal(late.count, 1);
    assert_int_equal(client.frames, 1);
    answer_identify(server.peer, server.held_request);
    wait_for(next.count == 1);
    assert_ok(next.result);
}

TEST(a_cancelled_question_is_never_answered)
{
    struct peer *peer = connect_both();
    struct answered cancelled = {0};
    struct answered kept = {0};
    uint64_t request = ask(peer, &cancelled, 100);
    (void)ask(peer, &kept, 2000);
    peer_call_cancel(peer, request);
    peer_call_cancel(peer, request);
    wait_for(kept.count == 1);
    assert_int_equal(cancelled.count, 0);
    assert_int_equal(client.frames, 0);
}

TEST(questions_are_refused_beyond_their_bound_and_taken_again_below_it)
{
    struct peer *peer = connect_both();
    struct answered answered = {0};
    struct peer_call call = {on_answer, &answered, 60000};
    uint64_t last = 0;
    for (int i = 0; i < PEER_CALLS_MAX; i++) {
        last = peer_call_begin(peer, call);
        assert_true(last != 0);
    }
    assert_true(peer_call_begin(peer, call) == 0);
    peer_call_cancel(peer, last);
    assert_true(peer_call_begin(peer, call) != 0);
    assert_true(peer_call_begin(peer, call) == 0);
    assert_int_equal(answered.count, 0);
    peer_set_free(&set);
    assert_int_equal(answered.count, PEER_CALLS_MAX);
    assert_fails(answered.result, CLOSED);
}

/* ---- ends of connections --------------------------------------------------------------------- */

TEST(a_refused_frame_closes_its_peer_which_fails_its_questions_and_dials_again)
{
    struct peer *peer = connect_both();
    struct answered answered = {0};
    server.refuse = true;
    (void)ask(peer, &answered, 2000);
    wait_for(client.closed == 1);
    assert_int_equal(answered.count, 1);
    assert_fails(answered.result, CLOSED);
    assert_int_equal(answered.closed_before, 0); /* questions fail first, then the end is told */
    assert_int_equal(server.closed, 1);
    assert_false(peer_is_open(peer));
    assert_null(peer_out(peer));
    assert_true(peer_call_begin(peer, (struct peer_call){on_answer, &answered, 100}) == 0);
    wait_for(client.opened == 2);
    assert_true(peer_is_open(peer));
    struct answered again = {0};
    (void)ask(peer, &again, 2000);
    wait_for(again.count == 1);
    assert_ok(again.result);
}

TEST(dialling_goes_on_until_somebody_listens)
{
    struct peer *peer = peer_dial(set, socket_path(), &callbacks, &client);
    assert_int_equal(client.opened, 0);
    uint64_t until_ms = clock_monotonic_ms() + 250; /* the first try and at least one more */
    while (clock_monotonic_ms() < until_ms)
        turn();
    assert_int_equal(client.opened, 0);
    assert_int_equal(client.closed, 0); /* it was never open */
    listen_here();
    wait_for(client.opened == 1 && server.opened == 1);
    assert_true(peer_is_open(peer));
}

TEST(a_path_too_long_for_a_socket_never_opens_and_harms_nobody)
{
    char path[300];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    struct peer *lost = peer_dial(set, path, &callbacks, &client);
    static struct side other; /* outlives this function, as its peer does */
    listen_here();
    (void)peer_dial(set, socket_path(), &callbacks, &other);
    wait_for(other.opened == 1);
    assert_false(peer_is_open(lost));
}

TEST(a_malformed_frame_closes_that_peer_and_nothing_else)
{
    struct peer *peer = connect_both();
    int fd = connect_plain();
    wait_for(server.opened == 2);
    assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18); /* a length of 0x20544547 */
    wait_for(server.closed == 1);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0);
    (void)close(fd);
    struct answered answered = {0};
    (void)ask(peer, &answered, 2000);
    wait_for(answered.count == 1);
    assert_ok(answered.result);
}

TEST(who_is_hung_up_on_is_told_what_was_flushed_and_comes_back)
{
    struct peer *peer = connect_both();
    message_encode_settled(peer_out(peer), 0, &(struct message_settled){.n = 1});
    peer_set_flush(set);
    peer_hang_up(peer);
    peer_hang_up(peer); /* once is enough */
    assert_false(peer_is_open(peer));
    assert_null(peer_out(peer));
    wait_for(server.closed == 1 && client.closed == 1);
    assert_true(server.last_n == 1);
    wait_for(client.opened == 2);
    assert_true(peer_is_open(peer));
}

TEST(everything_sent_before_the_end_is_delivered_before_the_end)
{
    listen_here();
    int fd = connect_plain();
    wait_for(server.opened == 1);
    struct buffer out;
    buffer_init(&out, 1 << 20);
    for (uint64_t n = 1; n <= 3000; n++)
        message_encode_settled(&out, 0, &(struct message_settled){.n = n});
    assert_int_equal(write(fd, out.data, out.len), out.len);
    assert_int_equal(write(fd, out.data, 10), 10); /* and a frame that is never finished */
    (void)close(fd);
    buffer_free(&out);
    wait_for(server.closed == 1);
    assert_true(server.last_n == 3000);
    assert_false(server.out_of_order);
}

TEST(what_the_other_side_sent_is_read_although_writing_to_it_fails)
{
    listen_here();
    int fd = connect_plain();
    wait_for(server.opened == 1);
    struct buffer out;
    buffer_init(&out, 1 << 20);
    for (uint64_t n = 1; n <= 10; n++)
        message_encode_settled(&out, 0, &(struct message_settled){.n = n});
    assert_int_equal(write(fd, out.data, out.len), out.len);
    (void)close(fd);
    buffer_free(&out);
    message_encode_settled(peer_out(server.peer), 0, &(struct message_settled){.n = 1});
    peer_set_flush(set); /* fails: nobody is there */
    assert_null(peer_out(server.peer));
    assert_int_equal(server.closed, 0);
    wait_for(server.closed == 1);
    assert_true(server.last_n == 10);
}

TEST(a_frame_that_comes_byte_by_byte_is_one_frame)
{
    listen_here();
    int fd = connect_plain();
    wait_for(server.opened == 1);
    char memory[64];
    struct buffer out;
    buffer_init_fixed(&out, memory, sizeof(memory));
    message_encode_settled(&out, 0, &(struct message_settled){.n = 1});
    for (size_t i = 0; i < out.len; i++) {
        assert_int_equal(server.frames, 0);
        assert_int_equal(write(fd, out.data + i, 1), 1);
        turn();
    }
    wait_for(server.frames == 1);
    assert_true(server.last_n == 1);
    (void)close(fd);
}

TEST(freeing_the_set_closes_everything)
{
    struct peer *peer = connect_both();
    struct answered answered = {0};
    (void)ask(peer, &answered, 60000);
    peer_set_free(&set);
    assert_int_equal(client.closed, 1);
    assert_int_equal(server.closed, 1);
    assert_int_equal(answered.count, 1);
    assert_fails(answered.result, CLOSED);
}

/* ---- writing --------------------------------------------------------------------------------- */

TEST(nothing_is_written_before_the_flush)
{
    listen_here();
    int fd = connect_plain();
    wait_for(server.opened == 1);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    message_encode_settled(peer_out(server.peer), 0, &(struct message_settled){.n = 1});
    message_encode_settled(peer_out(server.peer), 0, &(struct message_settled){.n = 2});
    char bytes[128];
    assert_int_equal(read(fd, bytes, sizeof(bytes)), -1);
    assert_int_equal(errno, EAGAIN);
    peer_set_flush(set);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), 64); /* two frames of 32 bytes */
    (void)close(fd);
}

TEST(more_than_a_socket_holds_arrives_whole_and_in_order)
{
    struct peer *peer = connect_both();
    uint64_t count = 200000; /* of 32 bytes: thirty times what a Unix socket buffers */
    struct buffer *out = peer_out(peer);
    for (uint64_t n = 1; n <= count; n++)
        message_encode_settled(out, 0, &(struct message_settled){.n = n});
    wait_for(server.last_n == count);
    assert_false(server.out_of_order);
    assert_int_equal(client.closed, 0);
}

TEST(a_peer_that_does_not_read_is_given_no_more_than_the_bound)
{
    listen_here();
    int fd = connect_plain();
    wait_for(server.opened == 1);
    struct message_key_opened m = {.key = {"", 0}};
    char text[4096];
    memset(text, 'k', sizeof(text));
    m.key = (slice){text, sizeof(text)};
    int sent = 0;
    for (struct buffer *out; sent < 10000 && (out = peer_out(server.peer)) != NULL; sent++) {
        message_encode_key_opened(out, 0, &m);
        if (sent % 16 == 0) peer_set_flush(set);
    }
    /* 8 MiB in the buffer and what the kernel took, in frames of 4,120 bytes; 10,000 would be 41
     * MB. */
    assert_in_range(sent, 2037, 3000);
    assert_true(peer_is_open(server.peer));
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    static char sink[65536];
    wait_for(read(fd, sink, sizeof(sink)) > 0 && peer_out(server.peer) != NULL);
    (void)close(fd);
    wait_for(server.closed == 1);
}

TEST(a_buffer_filled_beyond_its_memory_closes_the_peer)
{
    (void)connect_both();
    struct message_key_opened m;
    char text[4096];
    memset(text, 'k', sizeof(text));
    m = (struct message_key_opened){.key = {text, sizeof(text)}};
    struct buffer *out = peer_out(server.peer);
    while (!out->overflowed)
        message_encode_key_opened(out, 0, &m);
    wait_for(server.closed == 1 && client.closed == 1);
}

/* ---- who may connect ------------------------------------------------------------------------- */

#define UID_STRANGER 65534

/* Connects as another user; exit code 0 when the other side answered with a frame, 1 when it hung
 * up. */
static pid_t connect_as(uid_t uid)
{
    const char *path = socket_path();
    pid_t pid = fork();
    if (pid != 0) return pid;
    if (setgid(UID_STRANGER) != 0 || setuid(uid) != 0) _exit(2);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) _exit(3);
    char memory[128];
    struct buffer out;
    buffer_init_fixed(&out, memory, sizeof(memory));
    message_encode_identify(&out, 1, &(struct message_identify){0});
    (void)!send(fd, out.data, out.len, MSG_NOSIGNAL);
    _exit(read(fd, memory, 1) == 1 ? 0 : 1);
}

static int exit_code_of(pid_t pid)
{
    int code = -1;
    wait_for(waitpid(pid, &code, WNOHANG) == pid);
    return WIFEXITED(code) ? WEXITSTATUS(code) : -1;
}

TEST(a_stranger_is_hung_up_on_and_an_allowed_user_is_served)
{
    if (geteuid() != 0) {
        print_message("# skipped: only root can be somebody else\n");
        skip();
    }
    assert_int_equal(chmod(scratch.path, 0755), 0);
    int fd = -1;
    assert_ok(daemon_listen_unix(socket_path(), 0666, &fd));
    peer_accept(set, fd, &(struct peer_rules){0}, &callbacks, &server);
    assert_int_equal(exit_code_of(connect_as(UID_STRANGER)), 1);
    assert_int_equal(server.opened, 0);
    assert_int_equal(exit_code_of(connect_as(0)), 0);
    assert_int_equal(server.opened, 1);
    assert_int_equal(unlink(socket_path()), 0);
    assert_ok(daemon_listen_unix(socket_path(), 0666, &fd));
    uid_t allowed = UID_STRANGER;
    peer_accept(set, fd, &(struct peer_rules){&allowed, 1}, &callbacks, &server);
    assert_int_equal(exit_code_of(connect_as(UID_STRANGER)), 0);
    assert_int_equal(server.opened, 2);
}

TEST(an_owner_keeps_its_state_with_the_peer)
{
    struct peer *peer = connect_both();
    assert_null(peer_user(peer));
    peer_set_user(server.peer, &server);
    assert_ptr_equal(peer_user(server.peer), &server);
    assert_null(peer_user(peer));
}

#define PEER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    log_init("peer_test", LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        PEER_TEST(a_question_gets_its_answer),
        PEER_TEST(both_sides_may_ask_and_nobody_takes_a_question_for_an_answer),
        PEER_TEST(a_question_without_an_answer_ends_at_its_deadline),
        PEER_TEST(a_late_answer_is_dropped),
        PEER_TEST(a_cancelled_question_is_never_answered),
        PEER_TEST(questions_are_refused_beyond_their_bound_and_taken_again_below_it),
        PEER_TEST(a_refused_frame_closes_its_peer_which_fails_its_questions_and_dials_again),
        PEER_TEST(dialling_goes_on_until_somebody_listens),
        PEER_TEST(a_path_too_long_for_a_socket_never_opens_and_harms_nobody),
        PEER_TEST(a_malformed_frame_closes_that_peer_and_nothing_else),
        PEER_TEST(who_is_hung_up_on_is_told_what_was_flushed_and_comes_back),
        PEER_TEST(everything_sent_before_the_end_is_delivered_before_the_end),
        PEER_TEST(what_the_other_side_sent_is_read_although_writing_to_it_fails),
        PEER_TEST(a_frame_that_comes_byte_by_byte_is_one_frame),
        PEER_TEST(freeing_the_set_closes_everything),
        PEER_TEST(nothing_is_written_before_the_flush),
        PEER_TEST(more_than_a_socket_holds_arrives_whole_and_in_order),
        PEER_TEST(a_peer_that_does_not_read_is_given_no_more_than_the_bound),
        PEER_TEST(a_buffer_filled_beyond_its_memory_closes_the_peer),
        PEER_TEST(a_stranger_is_hung_up_on_and_an_allowed_user_is_served),
        PEER_TEST(an_owner_keeps_its_state_with_the_peer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
