/* SPDX-License-Identifier: Apache-2.0 */
/* A control plane keeps to the memory of its own thread. libh2o gives memory to read into from a
 * store of the thread that made the socket, without a lock; the thread that starts a service, which
 * is the ledger's core's, reads from sockets of its own. */
#include "tests/unit/test.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/h2o.h"
#include "shared/http/control.h"
#include "shared/log.h"
#include "tests/unit/shared/scratch.h"

#define REQUESTS 20

static status answer_nothing(struct control_request *request, struct control_response *response)
{
    (void)request;
    response->http_status = 204;
    return OK;
}

static const struct control_route routes[] = {
    {.method = "GET", .path = "/nothing", .access = ACCESS_PUBLIC, .handler = answer_nothing},
};

/* An answer comes from a worker, which wakes the loop to send it. */
static void ask(void)
{
    static const char request[] = "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "run/ledger.sock"};
    char answer[1024] = "";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
    assert_true(recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) > 0);
    assert_memory_equal(answer, "HTTP/1.1 204 ", 13);
    (void)close(fd);
}

TEST(nothing_that_a_service_reads_lies_in_the_memory_of_who_started_it)
{
    struct scratch scratch;
    struct control *control = NULL;
    scratch_make(&scratch);
    assert_int_equal(chdir(scratch.path), 0);
    assert_int_equal(mkdir("run", 0700), 0);
    assert_ok(control_start(
        &(struct control_settings){
            .service = "ledger", .routes = routes, .route_count = 1, .workers = 2},
        &control));
    for (int i = 0; i < REQUESTS; i++)
        ask();
    control_stop(&control);
    assert_int_equal(h2o_socket_buffer_prototype.allocator.cnt, 0);
    assert_int_equal(chdir("/"), 0);
    scratch_remove(&scratch);
}

/* What libh2o never frees: see control_test.c. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle\nleak:h2o_multithread_create_queue\n";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_a_service_reads_lies_in_the_memory_of_who_started_it),
    };
    log_init("control_memory_test", LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
