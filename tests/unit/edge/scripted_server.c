/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking sockets in threads: what a script does reads from top to bottom. */
#include "tests/unit/edge/scripted_server.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

static void check(bool held, const char *what)
{
    if (held) return;
    perror(what);
    abort();
}

/* ---- server ---------------------------------------------------------------------------------- */

static void *run_conversation(void *argument)
{
    struct conversation *conversation = argument;
    struct scripted_server *server = conversation->server;
    bool ready = true;
    if (server->tls != NULL) {
        conversation->tls = SSL_new(server->tls);
        SSL_set_fd(conversation->tls, conversation->fd);
        ready = SSL_accept(conversation->tls) == 1;
    }
    if (ready) server->script(conversation);
    SSL_free(conversation->tls);
    shutdown(conversation->fd,
             SHUT_RDWR); /* closed when the server stops, so that no number is used twice */
    return NULL;
}

static void *run_server(void *argument)
{
    struct scripted_server *server = argument;
    for (;;) {
        int fd = accept(server->listen_fd, NULL, NULL);
        if (fd < 0) return NULL;
        int index = atomic_load(&server->connections);
        check(index < CONVERSATIONS_MAX, "too many connections");
        struct conversation *conversation = calloc(1, sizeof(*conversation));
        check(conversation != NULL, "calloc");
        conversation->server = server;
        conversation->index = index;
        conversation->fd = fd;
        server->conversations[index] = conversation;
        atomic_fetch_add(&server->connections, 1);
        pthread_create(&conversation->thread, NULL, run_conversation, conversation);
    }
}

static void start(struct scripted_server *server, server_script run, SSL_CTX *tls)
{
    server->script = run;
    server->tls = tls;
    check(listen(server->listen_fd, 64) == 0, "listen");
    check(pthread_create(&server->thread, NULL, run_server, server) == 0, "pthread_create");
}

void server_start(struct scripted_server *server, server_script run, SSL_CTX *tls)
{
    *server = (struct scripted_server){0};
    server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    check(bind(server->listen_fd, (void *)&address, sizeof(address)) == 0, "bind");
    socklen_t len = sizeof(address);
    getsockname(server->listen_fd, (void *)&address, &len);
    server->port = ntohs(address.sin_port);
    start(server, run, tls);
}

void server_start_local(struct scripted_server *server, server_script run, const char *path)
{
    *server = (struct scripted_server){0};
    server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    unlink(path);
    check(bind(server->listen_fd, (void *)&address, sizeof(address)) == 0, "bind");
    start(server, run, NULL);
}

void server_stop(struct scripted_server *server)
{
    atomic_store(&server->go, true);
    shutdown(server->listen_fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listen_fd);
    for (int i = 0; i < atomic_load(&server->connections); i++) {
        struct conversation *conversation = server->conversations[i];
        shutdown(conversation->fd, SHUT_RDWR);
        pthread_join(conversation->thread, NULL);
        close(conversation->fd);
        free(conversation);
    }
    SSL_CTX_free(server->tls);
}

/* ---- conversations --------------------------------------------------------------------------- */

static ssize_t receive(struct conversation *conversation, char *into, size_t size)
{
    if (conversation->tls != NULL) return SSL_read(conversation->tls, into, (int)size);
    return recv(conversation->fd, into, size, 0);
}

/* Head and content-length bytes; the text is kept NUL-terminated. */
static bool request_is_whole(const struct conversation *conversation)
{
    const char *end = strstr(conversation->request, "\r\n\r\n");
    if (end == NULL) return false;
    const char *length = strstr(conversation->request, "content-length: ");
    size_t body_len = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
    return conversation->request_len >= (size_t)(end + 4 - conversation->request) + body_len;
}

bool conversation_read(struct conversation *conversation)
{
    size_t len = 0; /* the last request stays readable until the next one comes */
    do {
        size_t room = sizeof(conversation->request) - 1 - len;
        ssize_t received = receive(conversation, conversation->request + len, room);
        if (received <= 0) {
            atomic_store(&conversation->server->closed_by_client, true);
            return false;
        }
        len += (size_t)received;
        conversation->request_len = len;
        conversation->request[len] = '\0';
    } while (!request_is_whole(conversation));
    atomic_fetch_add(&conversation->server->requests, 1);
    return true;
}

bool conversation_write(struct conversation *conversation, slice bytes)
{
    while (bytes.len > 0) {
        ssize_t len = conversation->tls != NULL
                          ? SSL_write(conversation->tls, bytes.data, (int)bytes.len)
                          : send(conversation->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (len <= 0) return false;
        bytes = slice_from(bytes, (size_t)len);
    }
    return true;
}

void conversation_await_go(struct conversation *conversation)
{
    while (!atomic_load(&conversation->server->go)) {
        poll(NULL, 0, 1);
    }
}

void conversation_await_end(struct conversation *conversation)
{
    char byte;
    while (receive(conversation, &byte, 1) > 0) {
    }
    atomic_store(&conversation->server->closed_by_client, true);
}

void conversation_reset(struct conversation *conversation)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(conversation->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(nowhere, conversation->fd); /* closes the socket */
    close(nowhere);
}

/* ---- certificates ---------------------------------------------------------------------------- */

static X509 *certificate(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), issuer == NULL ? 1 : 2);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer == NULL ? cert : issuer));
    X509_set_pubkey(cert, key);
    char value[300];
    snprintf(value, sizeof(value), issuer == NULL ? "critical,CA:TRUE" : "DNS:%s", name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(
        NULL, NULL, issuer == NULL ? NID_basic_constraints : NID_subject_alt_name, value);
    check(extension != NULL, "extension");
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    check(X509_sign(cert, issuer_key, EVP_sha256()) > 0, "sign");
    return cert;
}

SSL_CTX *server_certificate(const char *name, const char *path)
{
    EVP_PKEY *authority_key = EVP_EC_gen("P-256");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *authority = certificate(authority_key, "Test Authority", NULL, authority_key);
    X509 *leaf = certificate(key, name, authority, authority_key);

    FILE *file = fopen(path, "w");
    check(file != NULL, path);
    PEM_write_X509(file, authority);
    fclose(file);

    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    check(SSL_CTX_use_certificate(context, leaf) == 1, "certificate");
    check(SSL_CTX_use_PrivateKey(context, key) == 1, "key");
    X509_free(authority);
    X509_free(leaf);
    EVP_PKEY_free(authority_key);
    EVP_PKEY_free(key);
    return context;
}
