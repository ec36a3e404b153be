/* SPDX-License-Identifier: Apache-2.0 */
/* A provider played by the test: a listening socket, a thread per connection, and a script that
 * says what each connection does. Scripts read whole requests and write bytes as they stand, so
 * that broken answers can be written too. */
#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/slice.h"

#define CONVERSATIONS_MAX 512

struct conversation {
    struct scripted_server *server;
    int index; /* of the connection, from 0 */
    int fd;
    SSL *tls;
    pthread_t thread;
    char request[65536]; /* the last request, head and body */
    size_t request_len;
};
typedef void (*server_script)(struct conversation *conversation);

struct scripted_server {
    server_script script;
    int listen_fd;
    uint16_t port;
    SSL_CTX *tls; /* NULL: plain */
    pthread_t thread;
    atomic_int connections;
    atomic_int requests;
    atomic_bool go;               /* a test tells scripts to go on */
    atomic_bool closed_by_client; /* a script saw the end of a connection */
    struct conversation *conversations[CONVERSATIONS_MAX];
};

void server_start(struct scripted_server *server, server_script script, SSL_CTX *tls);
void server_start_local(struct scripted_server *server, server_script script, const char *path);
void server_stop(struct scripted_server *server);

/* False at the end of the connection. */
bool conversation_read(struct conversation *conversation);
/* False when the client is gone. */
bool conversation_write(struct conversation *conversation, slice bytes);
void conversation_await_go(struct conversation *conversation);
/* Waits until the client closes. */
void conversation_await_end(struct conversation *conversation);
/* Ends the connection with a reset instead of an orderly close. */
void conversation_reset(struct conversation *conversation);

#define SAY(conversation, text) conversation_write(conversation, SLICE(text))

/* A server context with a fresh certificate for `name`, and its authority's certificate as a PEM
 * file at `path`. */
SSL_CTX *server_certificate(const char *name, const char *path);
