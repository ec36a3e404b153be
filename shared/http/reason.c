/* SPDX-License-Identifier: Apache-2.0 */
/* The phrases of RFC 9110 for the statuses that errors.def and the control plane use. */
#include "shared/http/reason.h"

#include <stddef.h>

static const struct {
    int http_status;
    const char *reason;
} rows[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {413, "Payload Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {508, "Loop Detected"},
};

const char *http_reason(int http_status)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].http_status == http_status) return rows[i].reason;
    }
    return "Other";
}
