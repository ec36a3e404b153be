/* SPDX-License-Identifier: Apache-2.0 */
/* The phrases behind HTTP status numbers: for people who look at raw bytes; clients read the
 * number. */
#pragma once

/* A constant text; "Other" for a status that no program of ours answers. */
const char *http_reason(int http_status);
