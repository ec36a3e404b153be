/* SPDX-License-Identifier: Apache-2.0 */
/* The control plane as its clients see it: real requests over its two sockets to handlers made for
 * the test. */
#include "tests/unit/test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/http/control.h"
#include "shared/log.h"
#include "tests/unit/shared/scratch.h"

#define DEADLINE_S  5
#define QUEUE_BOUND 256 /* of workers.c */

/* What handlers share with the tests. */
struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int waiting; /* handlers at the gate */
    bool open;
};

static struct scratch scratch;
static struct token_signer *signer;
static struct token_verifier *verifier;
static struct control *control;
static struct gate gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- handlers -------------------------------------------------------------------------------- */

static status answer_echo(struct control_request *request, struct control_response *response)
{
    struct json_writer *w = &response->json;
    json_object_begin(w);
    json_key_i64(w, SLICE("kind"), request->principal.kind);
    json_key_i64(w, SLICE("org"), request->principal.org);
    json_key_string(w, SLICE("path"), request->path);
    json_key_string(w, SLICE("first"), request->params[0]);
    json_key_string(w, SLICE("second"), request->params[1]);
    json_key_string(w, SLICE("q"), control_query(request, SLICE("q")));
    json_key_string(w, SLICE("key"), request->idempotency_key);
    json_key_i64(w, SLICE("body"), (int64_t)request->body.len);
    json_object_end(w);
    return OK;
}

static status answer_name(struct control_request *request, struct control_response *response)
{
    slice name;
    TRY(json_read_string(json_get(request->json, SLICE("name")), request->arena, &name));
    json_object_begin(&response->json);
    json_key_string(&response->json, SLICE("name"), name);
    json_object_end(&response->json);
    response->http_status = 201;
    return control_header(response, SLICE("Location"),
                          arena_copy(request->arena, SLICE("/things/1")));
}

static status answer_failure(struct control_request *request, struct control_response *response)
{
    json_object_begin(&response->json); /* half an answer, which nobody may see */
    slice wanted = request->params[0];
    if (slice_equal(wanted, SLICE("internal"))) {
        response->metadata = SLICE("{\"secret\":1}");
        return control_fail(response, FAIL(MALFORMED), SLICE("a detail of ours"));
    }
    if (slice_equal(wanted, SLICE("hidden"))) return FAIL(STALE);
    if (slice_equal(wanted, SLICE("database"))) return db_run(request->db, "one", NULL, 0, NULL);
    if (slice_equal(wanted, SLICE("large"))) {
        while (!response->body.overflowed)
            json_string(&response->json, SLICE("all work and no play"));
        return OK;
    }
    if (slice_equal(wanted, SLICE("header"))) {
        return control_header(response, SLICE("x-name"), SLICE("a\r\nset-cookie: b"));
    }
    response->metadata = SLICE("{\"affordable\":3,\"available\":0.5}");
    return control_fail(response, FAIL(NO_CREDIT), SLICE("It costs \"more\"."));
}

static status answer_nothing(struct control_request *request, struct control_response *response)
{
    (void)request;
    response->http_status = 204;
    return OK;
}

static status answer_text(struct control_request *request, struct control_response *response)
{
    (void)request;
    response->content_type = SLICE("text/csv");
    buffer_append(&response->body, SLICE("a,b\n"));
    return OK;
}

static status answer_slowly(struct control_request *request, struct control_response *response)
{
    struct gate *shared = request->service;
    pthread_mutex_lock(&shared->mutex);
    shared->waiting++;
    pthread_cond_broadcast(&shared->changed);
    while (!shared->open)
        pthread_cond_wait(&shared->changed, &shared->mutex);
    shared->waiting--;
    pthread_cond_broadcast(&shared->changed);
    pthread_mutex_unlock(&shared->mutex);
    json_string(&response->json, SLICE("at last"));
    return OK;
}

static void gate_wait(int waiting)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&gate.mutex);
    while (gate.waiting != waiting)
        assert_int_equal(pthread_cond_timedwait(&gate.changed, &gate.mutex, &until), 0);
    pthread_mutex_unlock(&gate.mutex);
}

static void gate_set(bool open)
{
    pthread_mutex_lock(&gate.mutex);
    gate.open = open;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static const struct control_route routes[] = {
    {"GET", "/public", ACCESS_PUBLIC, 0, false, false, answer_echo},
    {"GET", "/any", ACCESS_ANY_KEY, 0, false, false, answer_echo},
    {"GET", "/inference", ACCESS_KEY, 0, false, false, answer_echo},
    {"GET", "/management", ACCESS_MANAGEMENT, 0, false, false, answer_echo},
    {"GET", "/operator", ACCESS_OPERATOR, 0, false, false, answer_echo},
    {"POST", "/body", ACCESS_PUBLIC, 10, false, false, answer_echo},
    {"POST", "/large", ACCESS_PUBLIC, 100000, false, false, answer_echo},
    {"POST", "/names", ACCESS_PUBLIC, 1000, true, false, answer_name},
    {"POST", "/money", ACCESS_PUBLIC, 1000, false, true, answer_echo},
    {"GET", "/failures/{name}", ACCESS_PUBLIC, 0, false, false, answer_failure},
    {"DELETE", "/nothing", ACCESS_PUBLIC, 0, false, false, answer_nothing},
    {"GET", "/text", ACCESS_PUBLIC, 0, false, false, answer_text},
    {"GET", "/slow", ACCESS_PUBLIC, 0, false, false, answer_slowly},
    {"GET", "/keys/{hash}", ACCESS_PUBLIC, 0, false, false, answer_echo},
    {"PATCH", "/keys/{hash}", ACCESS_PUBLIC, 0, false, false, answer_echo},
    {"GET", "/model/{model+}", ACCESS_PUBLIC, 0, false, false, answer_echo},
};
#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

/* ---- set-up ---------------------------------------------------------------------------------- */

static void make_keys(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *file = fopen(scratch_path(&scratch, "key.pem"), "w");
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(file);
    file = fopen(scratch_path(&scratch, "key.pub.pem"), "w");
    assert_int_equal(PEM_write_PUBKEY(file, key), 1);
    (void)fclose(file);
    EVP_PKEY_free(key);
    assert_ok(token_signer_open(scratch_path(&scratch, "key.pem"), &signer));
    assert_ok(token_verifier_open(scratch_path(&scratch, "key.pub.pem"), &verifier));
}

static int set_up_all(void **state)
{
    (void)state;
    log_init("control_test", LOG_LEVEL_ERROR);
    assert_ok(secret_init());
    (void)signal(SIGPIPE, SIG_IGN); /* as every daemon does */
    scratch_make(&scratch);
    assert_int_equal(chdir(scratch.path), 0);
    assert_int_equal(mkdir("run", 0755), 0);
    make_keys();
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    token_signer_free(&signer);
    token_verifier_free(&verifier);
    scratch_remove(&scratch);
    return 0;
}

static int start(void **state)
{
    static const struct db_statements statements = {"-- name: one\nselect 1;\n"};
    (void)state;
    gate_set(false);
    struct control_settings settings = {
        .service = "ledger",
        .routes = routes,
        .route_count = ROUTE_COUNT,
        .workers = 2,
        .database = "host=/nonexistent dbname=x",
        .database_role = "bourse_ledger_api",
        .statements = &statements,
        .verifier = verifier,
        .context = &gate,
    };
    assert_ok(control_start(&settings, &control));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    gate_set(true);
    control_stop(&control);
    return 0;
}

/* ---- a client -------------------------------------------------------------------------------- */

struct answer {
    char bytes[256 * 1024];
    size_t len;
    int http_status;
    const char *body;
};
static struct answer answer;

enum { SERVICE, OPERATOR };

static int dial(int door)
{
    static const char *const paths[] = {"run/ledger.sock", "run/ledger-operator.sock"};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)strcpy(address.sun_path, paths[door]);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval deadline = {.tv_sec = DEADLINE_S};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    size_t len = strlen(text);
    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* Reads to the end of the connection. */
static void receive(int fd)
{
    answer.len = 0;
    ssize_t count;
    while ((count = read(fd, answer.bytes + answer.len, sizeof(answer.bytes) - 1 - answer.len)) > 0)
        answer.len += (size_t)count;
    assert_int_equal(count, 0);
    (void)close(fd);
    answer.bytes[answer.len] = '\0';
    assert_int_equal(sscanf(answer.bytes, "HTTP/1.1 %d ", &answer.http_status), 1);
    answer.body = strstr(answer.bytes, "\r\n\r\n");
    assert_non_null(answer.body);
    answer.body += 4;
}

/* One request on a connection of its own; `headers` are whole lines. */
static void request(int door, const char *method_and_path, const char *headers, const char *body)
{
    static char text[200 * 1024];
    int fd = dial(door);
    (void)snprintf(text, sizeof(text),
                   "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s",
                   method_and_path, headers, strlen(body), body);
    send_text(fd, text);
    receive(fd);
}

static void get(int door, const char *path)
{
    char line[8192];
    (void)snprintf(line, sizeof(line), "GET %s", path);
    request(door, line, "", "");
}

/* GET with a token for this principal and this path. */
static void get_as(int door, enum principal_kind kind, const char *signed_path, const char *path)
{
    struct principal principal = {.kind = kind, .org = 7, .workspace = 8, .key = 9};
    char headers[4096];
    char line[256];
    struct buffer out;
    buffer_init_fixed(&out, headers, sizeof(headers));
    buffer_append(&out, SLICE("X-Bourse-Principal: "));
    assert_ok(token_sign(signer, &principal, SLICE("GET"), slice_of(signed_path), &out));
    buffer_append(&out, SLICE("\r\n"));
    buffer_append_char(&out, '\0');
    (void)snprintf(line, sizeof(line), "GET %s", path);
    request(door, line, headers, "");
}

#define assert_answer(status_expected, error_name)                                 \
    do {                                                                           \
        assert_int_equal(answer.http_status, status_expected);                     \
        assert_non_null(strstr(answer.body, "\"error_name\":\"" error_name "\"")); \
    } while (0)
#define assert_has(text)     assert_non_null(strstr(answer.bytes, text))
#define assert_has_not(text) assert_null(strstr(answer.bytes, text))

/* ---- who may call ---------------------------------------------------------------------------- */

TEST(a_public_route_needs_nobody)
{
    get(SERVICE, "/public?a=1&q=two+%26%20three&q=4");
    assert_int_equal(answer.http_status, 200);
    assert_has("content-type: application/json\r\n");
    assert_string_equal(answer.body,
                        "{\"kind\":0,\"org\":0,\"path\":\"/public\",\"first\":\"\",\"second\":\"\","
                        "\"q\":\"two & three\",\"key\":\"\",\"body\":0}");
}

TEST(a_principal_comes_from_its_token)
{
    get_as(SERVICE, PRINCIPAL_KEY, "/any", "/any?q=1");
    assert_int_equal(answer.http_status, 200);
    assert_has("\"kind\":1,\"org\":7,");
    get_as(SERVICE, PRINCIPAL_MANAGEMENT, "/any", "/any");
    assert_has("\"kind\":2,\"org\":7,");
    get_as(OPERATOR, PRINCIPAL_KEY, "/any", "/any");
    assert_has("\"kind\":1,\"org\":7,");
}

TEST(without_a_token_a_key_is_asked_for)
{
    static const char *const paths[] = {"/any", "/inference", "/management"};
    for (size_t i = 0; i < 3; i++) {
        get(SERVICE, paths[i]);
        assert_answer(401, "NO_KEY");
    }
}

TEST(a_token_that_is_not_for_this_request_is_refused)
{
    get_as(SERVICE, PRINCIPAL_KEY, "/inference", "/any");
    assert_answer(403, "FORBIDDEN");
    request(SERVICE, "GET /any", "X-Bourse-Principal: nonsense\r\n", "");
    assert_answer(403, "FORBIDDEN");
    request(SERVICE, "GET /any", "X-Bourse-Principal:\r\n", "");
    assert_answer(403, "FORBIDDEN");
}

TEST(each_kind_of_key_opens_its_own_routes)
{
    get_as(SERVICE, PRINCIPAL_KEY, "/inference", "/inference");
    assert_int_equal(answer.http_status, 200);
    get_as(SERVICE, PRINCIPAL_MANAGEMENT, "/management", "/management");
    assert_int_equal(answer.http_status, 200);
    get_as(SERVICE, PRINCIPAL_KEY, "/management", "/management");
    assert_answer(403, "MANAGEMENT_KEY_NEEDED");
    get_as(SERVICE, PRINCIPAL_MANAGEMENT, "/inference", "/inference");
    assert_answer(403, "INFERENCE_KEY_NEEDED");
}

TEST(an_operator_is_known_by_the_socket_alone)
{
    get(OPERATOR, "/operator?q=org-1");
    assert_int_equal(answer.http_status, 200);
    assert_has("\"kind\":3,\"org\":0,");
    assert_has("\"q\":\"org-1\"");
    get(OPERATOR, "/management");
    assert_has("\"kind\":3,");
    get(OPERATOR, "/inference");
    assert_answer(403, "INFERENCE_KEY_NEEDED");
    get(OPERATOR, "/any");
    assert_answer(403, "FORBIDDEN");
}

TEST(nobody_is_an_operator_on_the_service_socket)
{
    get(SERVICE, "/operator");
    assert_answer(403, "FORBIDDEN");
    get_as(SERVICE, PRINCIPAL_MANAGEMENT, "/operator", "/operator");
    assert_answer(403, "FORBIDDEN");
    get_as(OPERATOR, PRINCIPAL_MANAGEMENT, "/operator", "/operator");
    assert_answer(403, "FORBIDDEN");
}

TEST(the_sockets_have_the_rights_that_decide_who_connects)
{
    struct stat info;
    assert_int_equal(stat("run/ledger.sock", &info), 0);
    assert_int_equal(info.st_mode & 0777, 0660);
    assert_int_equal(stat("run/ledger-operator.sock", &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

/* ---- requests -------------------------------------------------------------------------------- */

TEST(a_body_may_be_as_long_as_its_route_says)
{
    request(SERVICE, "POST /body", "", "1234567890");
    assert_int_equal(answer.http_status, 200);
    assert_has("\"body\":10");
    request(SERVICE, "POST /body", "", "12345678901");
    assert_answer(413, "TOO_LARGE");
    request(SERVICE, "GET /public", "", "x");
    assert_answer(413, "TOO_LARGE");
    static char large[100002];
    memset(large, 'x', 100001);
    request(SERVICE, "POST /large", "", large);
    assert_answer(413, "TOO_LARGE");
    large[100000] = '\0';
    request(SERVICE, "POST /large", "", large);
    assert_has("\"body\":100000");
}

TEST(a_json_body_is_read_once_for_all_handlers)
{
    request(SERVICE, "POST /names", "", "{\"name\":\"a\\u00e9\\n\"}");
    assert_int_equal(answer.http_status, 201);
    assert_string_equal(answer.body, "{\"name\":\"a\xc3\xa9\\n\"}");
    assert_has("location: /things/1\r\n");
    request(SERVICE, "POST /names", "", "");
    assert_answer(400, "BAD_JSON");
    request(SERVICE, "POST /names", "", "{\"name\":");
    assert_answer(400, "BAD_JSON");
    request(SERVICE, "POST /names", "", "[]");
    assert_answer(400, "WRONG_TYPE");
    request(SERVICE, "POST /names", "", "{\"name\":\"a\",\"name\":\"b\"}");
    assert_answer(400, "DUPLICATE_KEY");
    request(SERVICE, "POST /names", "", "{\"name\":1}");
    assert_answer(400, "WRONG_TYPE");
    request(SERVICE, "POST /names", "", "{}");
    assert_answer(400, "MISSING_FIELD");
}

TEST(a_route_that_moves_money_wants_an_idempotency_key)
{
    request(SERVICE, "POST /money", "", "");
    assert_answer(400, "IDEMPOTENCY_KEY_MISSING");
    request(SERVICE, "POST /money", "Idempotency-Key: abc\r\n", "");
    assert_int_equal(answer.http_status, 200);
    assert_has("\"key\":\"abc\"");
}

TEST(a_handler_gets_the_path_and_its_parameters_decoded)
{
    get(SERVICE, "/model/openai%2Fgpt-4o%20mini?q=%C3%A9");
    assert_has("\"path\":\"/model/openai/gpt-4o mini\",\"first\":\"openai/gpt-4o mini\"");
    assert_has("\"q\":\"\xc3\xa9\"");
}

TEST(unknown_routes_and_methods_are_told_apart)
{
    get(SERVICE, "/unknown");
    assert_answer(404, "UNKNOWN_ROUTE");
    request(SERVICE, "DELETE /keys/x", "", "");
    assert_answer(405, "METHOD_NOT_ALLOWED");
    assert_has("allow: GET, PATCH\r\n");
    get(SERVICE, "/public?q=%zz");
    assert_answer(400, "BAD_REQUEST");
    static char path[4200] = "/public?q=";
    memset(path + strlen(path), 'a', 4100);
    get(SERVICE, path);
    assert_answer(431, "HEADERS_TOO_LARGE");
}

TEST(an_answer_to_head_has_no_body)
{
    request(SERVICE, "HEAD /public", "", "");
    assert_int_equal(answer.http_status, 405);
    assert_string_equal(answer.body, "");
}

/* ---- answers --------------------------------------------------------------------------------- */

TEST(a_failure_is_an_envelope_with_its_facts)
{
    get(SERVICE, "/failures/credit");
    assert_int_equal(answer.http_status, 402);
    assert_string_equal(
        answer.body, "{\"error\":{\"code\":402,\"message\":\"It costs \\\"more\\\".\",\"metadata\":"
                     "{\"error_type\":\"payment_required\",\"error_name\":\"NO_CREDIT\","
                     "\"affordable\":3,\"available\":0.5}}}");
}

TEST(an_internal_failure_says_nothing_about_itself)
{
    get(SERVICE, "/failures/internal");
    assert_answer(500, "INTERNAL");
    assert_has_not("a detail of ours");
    assert_has_not("secret");
    get(SERVICE, "/failures/hidden");
    assert_answer(500, "INTERNAL");
    get(SERVICE, "/failures/large");
    assert_answer(500, "INTERNAL");
    assert_has_not("no play");
}

TEST(a_database_that_is_down_answers_503_and_when_to_come_back)
{
    get(SERVICE, "/failures/database");
    assert_answer(503, "DATABASE");
    assert_has("retry-after: 1\r\n");
    get(SERVICE, "/failures/credit");
    assert_has_not("retry-after");
}

TEST(a_header_cannot_hold_a_line_break)
{
    get(SERVICE, "/failures/header");
    assert_answer(400, "BAD_REQUEST");
    assert_has_not("set-cookie");
    struct control_response response = {0};
    assert_fails(control_header(&response, SLICE("x"), SLICE("a\nb")), BAD_REQUEST);
    assert_fails(control_header(&response, SLICE("x"), SLICE("a\0b")), BAD_REQUEST);
    assert_fails(control_header(&response, SLICE("x\r"), SLICE("a")), BAD_REQUEST);
    assert_int_equal(response.header_count, 0);
    for (int i = 0; i < 4; i++)
        assert_ok(control_header(&response, SLICE("x"), SLICE("a")));
    assert_fails(control_header(&response, SLICE("x"), SLICE("a")), OVERFLOW);
}

TEST(an_answer_may_be_empty_or_something_else_than_json)
{
    request(SERVICE, "DELETE /nothing", "", "");
    assert_int_equal(answer.http_status, 204);
    assert_string_equal(answer.body, "");
    get(SERVICE, "/text");
    assert_has("content-type: text/csv\r\n");
    assert_string_equal(answer.body, "a,b\n");
}

TEST(health_and_metrics_are_answered_by_every_service)
{
    for (int door = SERVICE; door <= OPERATOR; door++) {
        get(door, "/healthz");
        assert_int_equal(answer.http_status, 200);
        assert_string_equal(answer.body, "{\"status\":\"ok\"}");
    }
    get(SERVICE, "/public"); /* so that there is something to count */
    get(SERVICE, "/metrics");
    assert_has("content-type: text/plain; version=0.0.4\r\n");
    assert_has("bourse_control_requests_total{program=\"ledger\"} ");
    request(SERVICE, "POST /healthz", "", "");
    assert_answer(404, "UNKNOWN_ROUTE");
}

TEST(a_connection_serves_one_request_after_the_other)
{
    int fd = dial(SERVICE);
    send_text(fd, "GET /text HTTP/1.1\r\nHost: x\r\n\r\nDELETE /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
                  "GET /public?q=last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    receive(fd);
    assert_has("\r\n\r\na,b\nHTTP/1.1 204 ");
    assert_has("\"q\":\"last\"");
}

/* ---- many, late and never -------------------------------------------------------------------- */

static const char slow_request[] = "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

TEST(a_client_that_left_harms_nobody)
{
    for (int i = 0; i < 2; i++) {
        int fd = dial(SERVICE);
        send_text(fd, slow_request);
        gate_wait(i + 1);
        (void)close(fd);
    }
    get(SERVICE, "/healthz"); /* both workers are busy */
    assert_int_equal(answer.http_status, 200);
    gate_set(true);
    gate_wait(0);
    get(SERVICE, "/text");
    assert_string_equal(answer.body, "a,b\n");
}

TEST(requests_beyond_the_queue_are_refused_and_those_in_it_served)
{
    static int waiting[2 + QUEUE_BOUND];
    for (int i = 0; i < 2; i++) {
        waiting[i] = dial(SERVICE);
        send_text(waiting[i], slow_request);
        gate_wait(i + 1); /* a worker has it: it is not in the queue any more */
    }
    for (int i = 2; i < 2 + QUEUE_BOUND; i++) {
        waiting[i] = dial(SERVICE);
        send_text(waiting[i], slow_request);
    }
    /* Requests of several connections are read in any order, so the first refusal is waited for. */
    do {
        int fd = dial(SERVICE);
        send_text(fd, slow_request);
        struct timeval soon = {.tv_usec = 20000};
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)), 0);
        answer.http_status = 0;
        if (recv(fd, answer.bytes, 1, MSG_PEEK) > 0) {
            receive(fd);
        } else {
            (void)close(fd);
        }
    } while (answer.http_status == 0);
    assert_answer(503, "OVERLOADED");
    assert_has("retry-after: 1\r\n");
    gate_set(true);
    for (int i = 0; i < 2 + QUEUE_BOUND; i++) {
        receive(waiting[i]);
        if (answer.http_status != 200) assert_answer(503, "OVERLOADED");
        if (i < 2) assert_string_equal(answer.body, "\"at last\"");
    }
}

static void *stop_control(void *unused)
{
    control_stop(&control);
    return unused;
}

TEST(stopping_lets_a_running_handler_answer)
{
    int idle = dial(SERVICE);
    int fd = dial(SERVICE);
    send_text(fd, slow_request);
    gate_wait(1);
    pthread_t stopper;
    assert_int_equal(pthread_create(&stopper, NULL, stop_control, NULL), 0);
    gate_set(true);
    receive(fd);
    assert_int_equal(answer.http_status, 200);
    assert_string_equal(answer.body, "\"at last\"");
    assert_int_equal(pthread_join(stopper, NULL), 0);
    char byte;
    assert_int_equal(read(idle, &byte, 1), 0);
    (void)close(idle);
}

TEST(a_service_that_cannot_listen_does_not_start)
{
    struct control *second = NULL;
    struct control_settings settings = {.service = "no/such/directory", .workers = 1};
    assert_fails(control_start(&settings, &second), IO);
    assert_null(second);
    static const struct db_statements wrong = {"-- name: a\n"};
    settings = (struct control_settings){.service = "wrong",
                                         .workers = 3,
                                         .database = "",
                                         .database_role = "x",
                                         .statements = &wrong};
    assert_fails(control_start(&settings, &second), CONFIGURATION);
    assert_null(second);
}

/* libh2o keeps freed connections in lists of their thread and loses the lists with it, 25 small
 * ones here; and it never frees the head of a queue. Neither grows in a service, which has one such
 * thread as long as it lives. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:h2o_mem_alloc_recycle\nleak:h2o_multithread_create_queue\n";
}

#define CONTROL_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTROL_TEST(a_public_route_needs_nobody),
        CONTROL_TEST(a_principal_comes_from_its_token),
        CONTROL_TEST(without_a_token_a_key_is_asked_for),
        CONTROL_TEST(a_token_that_is_not_for_this_request_is_refused),
        CONTROL_TEST(each_kind_of_key_opens_its_own_routes),
        CONTROL_TEST(an_operator_is_known_by_the_socket_alone),
        CONTROL_TEST(nobody_is_an_operator_on_the_service_socket),
        CONTROL_TEST(the_sockets_have_the_rights_that_decide_who_connects),
        CONTROL_TEST(a_body_may_be_as_long_as_its_route_says),
        CONTROL_TEST(a_json_body_is_read_once_for_all_handlers),
        CONTROL_TEST(a_route_that_moves_money_wants_an_idempotency_key),
        CONTROL_TEST(a_handler_gets_the_path_and_its_parameters_decoded),
        CONTROL_TEST(unknown_routes_and_methods_are_told_apart),
        CONTROL_TEST(an_answer_to_head_has_no_body),
        CONTROL_TEST(a_failure_is_an_envelope_with_its_facts),
        CONTROL_TEST(an_internal_failure_says_nothing_about_itself),
        CONTROL_TEST(a_database_that_is_down_answers_503_and_when_to_come_back),
        CONTROL_TEST(a_header_cannot_hold_a_line_break),
        CONTROL_TEST(an_answer_may_be_empty_or_something_else_than_json),
        CONTROL_TEST(health_and_metrics_are_answered_by_every_service),
        CONTROL_TEST(a_connection_serves_one_request_after_the_other),
        CONTROL_TEST(a_client_that_left_harms_nobody),
        CONTROL_TEST(requests_beyond_the_queue_are_refused_and_those_in_it_served),
        CONTROL_TEST(stopping_lets_a_running_handler_answer),
        cmocka_unit_test(a_service_that_cannot_listen_does_not_start),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
