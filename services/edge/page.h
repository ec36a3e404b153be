/* SPDX-License-Identifier: Apache-2.0 */
/* The console's built files, read into memory at the start and served from there: no path of a
 * request ever becomes a path of the file system. */
#pragma once

#include "shared/h2o.h"
#include "shared/slice.h"

/* directory: of the built console (index.html and assets/); empty serves no page. A directory
 * without an index.html is logged and serves no page either. */
void page_load(const char *directory);

/* GET / or /assets/…; a file that is not there is answered UNKNOWN_ROUTE. */
void page_answer(h2o_req_t *http, slice path);
