/* SPDX-License-Identifier: Apache-2.0 */
/* See the header. The files are few and small; their names carry a hash, so browsers may keep
 * everything but the index for ever. */
#include "services/edge/page.h"

#include <dirent.h>
#include <stdio.h>

#include "services/edge/answer.h"
#include "shared/descriptor.h"
#include "shared/log.h"

#define FILES_MAX 32
#define FILE_MAX  ((size_t)4 * 1024 * 1024)
#define NAME_SIZE 128
#define PATH_SIZE 1024

struct file {
    char name[NAME_SIZE]; /* as the request says it: "/assets/index-1f3a.js" */
    slice content_type;
    struct buffer content;
};

static struct file files[FILES_MAX]; /* written before the threads start, read by all */
static size_t file_count;

static const struct {
    slice ending;
    slice content_type;
} types[] = {
    {SLICE_INIT(".html"), SLICE_INIT("text/html; charset=utf-8")},
    {SLICE_INIT(".js"), SLICE_INIT("text/javascript; charset=utf-8")},
    {SLICE_INIT(".css"), SLICE_INIT("text/css; charset=utf-8")},
    {SLICE_INIT(".svg"), SLICE_INIT("image/svg+xml")},
};

static slice type_of(slice name)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (slice_ends_with(name, types[i].ending)) return types[i].content_type;
    }
    return SLICE_NONE;
}

static void load_file(const char *directory, const char *name)
{
    char path[PATH_SIZE];
    if (file_count == FILES_MAX || type_of(slice_of(name)).len == 0) return;
    struct file *file = &files[file_count];
    buffer_init(&file->content, FILE_MAX);
    int len = snprintf(path, sizeof(path), "%s%s", directory, name);
    bool fits = len > 0 && len < PATH_SIZE && strlen(name) < sizeof(file->name);
    if (!fits || !status_ok(descriptor_read_file(path, &file->content))) {
        buffer_free(&file->content);
        return;
    }
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    file->content_type = type_of(slice_of(name));
    file_count++;
}

void page_load(const char *directory)
{
    char assets[PATH_SIZE];
    if (directory[0] == '\0') return;
    load_file(directory, "/index.html");
    if (file_count == 0) {
        log_warning("console_not_built", FN(name, directory, slice_of(directory)));
        return;
    }
    (void)snprintf(files[0].name, sizeof(files[0].name), "/");
    (void)snprintf(assets, sizeof(assets), "%s/assets", directory);
    DIR *listing = opendir(assets);
    if (listing == NULL) return;
    for (const struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        char name[NAME_SIZE];
        int len = snprintf(name, sizeof(name), "/assets/%s", entry->d_name);
        if (len > 0 && len < NAME_SIZE) load_file(directory, name);
    }
    (void)closedir(listing);
}

/* The page runs its own script, speaks to this server, and may be framed by nobody. */
static void add_headers(h2o_req_t *http, const struct file *file)
{
    bool index = file == &files[0];
    answer_header(http, SLICE("cache-control"),
                  index ? SLICE("no-cache") : SLICE("public, max-age=31536000, immutable"));
    answer_header(http, SLICE("x-content-type-options"), SLICE("nosniff"));
    answer_header(http, SLICE("referrer-policy"), SLICE("no-referrer"));
    if (!index) return;
    answer_header(http, SLICE("content-security-policy"),
                  SLICE("default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
                        "base-uri 'none'; form-action 'none'"));
}

void page_answer(h2o_req_t *http, slice path)
{
    for (size_t i = 0; i < file_count; i++) {
        const struct file *file = &files[i];
        if (!slice_equal(path, slice_of(file->name))) continue;
        add_headers(http, file);
        answer_body(http, 200, file->content_type, buffer_slice(&file->content));
        return;
    }
    answer_failure(http, &(struct failure){.cause = FAIL(UNKNOWN_ROUTE)});
}
