/* SPDX-License-Identifier: Apache-2.0 */
/* The only place that includes libh2o's header. Without H2O_USE_LIBUV=0 its structures get another
 * layout than the evloop library was built with, and everything compiles, links and corrupts
 * memory: hence the assertion.
 *
 * A socket takes its input buffers from the store of the thread that made it, without a lock, and
 * h2o_context_init() and h2o_multithread_create_queue() make one. So each thread makes its own
 * context, queue and sockets, and disposes of them: made by another thread, two of them get the
 * same memory now and then, and what one reads overwrites what the other holds. */
#pragma once

#ifndef H2O_USE_LIBUV
#define H2O_USE_LIBUV 0
#endif
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>
#include <h2o/multithread.h>
#pragma GCC diagnostic pop

_Static_assert(!H2O_USE_LIBUV, "libh2o-evloop needs H2O_USE_LIBUV=0");
