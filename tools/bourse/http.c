/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl over a Unix socket. The working directory is the instance's, because a socket's path
 * holds 107 bytes. */
#include "tools/bourse/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TIMEOUT_S       600
#define HEADER_LINE_MAX 300 /* a name and an Idempotency-Key of 255 bytes */

status http_enter_instance(void)
{
    const char *var = getenv("BOURSE_VAR");
    if (var == NULL || var[0] == '\0') var = "var";
    if (chdir(var) == 0 && access("run", X_OK) == 0) return OK;
    fprintf(stderr,
            "bourse: there is no instance in %s. Start one with `make up`, or set BOURSE_VAR "
            "to its directory.\n",
            var);
    return FAIL(NOT_FOUND);
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct buffer *answer = context;
    buffer_append(answer, (slice){data, size * count});
    return answer->overflowed ? 0 : size * count;
}

static struct curl_slist *headers_of(const struct http_request *request)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    if (request->body.len > 0)
        headers = curl_slist_append(headers, "Content-Type: application/json");
    if (request->idempotency_key.len == 0) return headers;
    char line[HEADER_LINE_MAX];
    struct buffer text;
    buffer_init_fixed(&text, line, sizeof(line));
    buffer_append(&text, SLICE("Idempotency-Key: "));
    buffer_append(&text, request->idempotency_key);
    buffer_append_char(&text, '\0');
    return curl_slist_append(headers, line);
}

status http_ask(const struct http_request *request, struct buffer *answer, long *http_status)
{
    char url[2048];
    char socket[64];
    CURL *curl = curl_easy_init();
    if (curl == NULL) return FAIL(NO_MEMORY);
    snprintf(url, sizeof(url), "http://%s%s", request->service, request->path);
    snprintf(socket, sizeof(socket), "run/%s-operator.sock", request->service);
    struct curl_slist *headers = headers_of(request);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (request->body.len > 0) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body.data);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
    }
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, http_status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    if (result == CURLE_OK) return OK;
    fprintf(stderr, "bourse: the %s does not answer on its operator socket (%s).\n",
            request->service, curl_easy_strerror(result));
    fprintf(stderr,
            "bourse: is the instance running (`make up`), and are you root or the user that "
            "started it?\n");
    return FAIL(IO);
}
