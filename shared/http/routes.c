/* SPDX-License-Identifier: Apache-2.0 */
/* Matches paths against patterns segment by segment. The tables have tens of rows and a request
 * costs a database query, so every row is tried; which one wins is decided by a number per match,
 * not by the order of the rows. */
#include "shared/http/routes.h"

#define SEGMENTS_MAX 16 /* two bits of rank each */

enum segment_rank { RANK_REST = 1, RANK_PARAM = 2, RANK_LITERAL = 3 };

struct segments {
    slice items[SEGMENTS_MAX];
    size_t count;
};

/* What is known while the rows are tried. */
struct search {
    const struct segments *path;
    struct arena *arena;
    struct route_match *match;
    uint64_t best_rank;
    struct buffer allow;
    bool path_known;
};

static status find_among(const struct control_route *routes, size_t count, slice method,
                         struct search *search);
static status split_path(slice path, struct arena *arena, bool decode, struct segments *segments);
static bool match_pattern(slice pattern, const struct segments *path, uint64_t *rank);
static status take_params(slice pattern, const struct segments *path, struct arena *arena,
                          slice *params);
static status join_segments(const struct segments *path, size_t first, struct arena *arena,
                            slice *joined);
static enum segment_rank rank_of(slice pattern_segment);
static void note_allowed(struct search *search, slice method);

status route_find(const struct control_route *routes, size_t count, slice method, slice raw_path,
                  struct arena *arena, struct route_match *match)
{
    *match = (struct route_match){0};
    TRY(percent_decode(arena, raw_path, false, &match->path));
    char allow[128];
    status found = FAIL(UNKNOWN_ROUTE);
    for (int whole = 0; whole <= 1 && found.code == ERROR_UNKNOWN_ROUTE; whole++) {
        struct segments path;
        TRY(split_path(whole ? match->path : raw_path, arena, !whole, &path));
        struct search search = {.path = &path, .arena = arena, .match = match};
        buffer_init_fixed(&search.allow, allow, sizeof(allow));
        found = find_among(routes, count, method, &search);
        if (found.code == ERROR_METHOD_NOT_ALLOWED) {
            match->allow = arena_copy(arena, buffer_slice(&search.allow));
        }
    }
    return found;
}

status percent_decode(struct arena *arena, slice text, bool plus_is_space, slice *decoded)
{
    *decoded = text;
    bool encoded = text.len > 0 && (memchr(text.data, '%', text.len) != NULL ||
                                    (plus_is_space && memchr(text.data, '+', text.len) != NULL));
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL) return FAIL(BAD_REQUEST);
    if (!encoded) return OK;
    char *out = arena_alloc(arena, text.len);
    if (out == NULL) return FAIL(TOO_LARGE);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            uint8_t byte = 0;
            slice digits = slice_first(slice_from(text, i + 1), 2);
            if (!status_ok(slice_from_hex(digits, &byte, 1)) || byte == 0) return FAIL(BAD_REQUEST);
            c = (char)byte;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[len++] = c;
    }
    *decoded = (slice){out, len};
    return OK;
}

static status find_among(const struct control_route *routes, size_t count, slice method,
                         struct search *search)
{
    const struct control_route *best = NULL;
    for (size_t i = 0; i < count; i++) {
        uint64_t rank = 0;
        if (!match_pattern(slice_of(routes[i].path), search->path, &rank)) continue;
        search->path_known = true;
        slice allowed = slice_of(routes[i].method);
        if (!slice_equal(allowed, method)) {
            note_allowed(search, allowed);
        } else if (rank > search->best_rank) {
            search->best_rank = rank;
            best = &routes[i];
        }
    }
    if (best == NULL) return search->path_known ? FAIL(METHOD_NOT_ALLOWED) : FAIL(UNKNOWN_ROUTE);
    search->match->route = best;
    return take_params(slice_of(best->path), search->path, search->arena, search->match->params);
}

static status split_path(slice path, struct arena *arena, bool decode, struct segments *segments)
{
    segments->count = 0;
    if (!slice_starts_with(path, SLICE("/"))) return FAIL(UNKNOWN_ROUTE);
    slice rest = slice_from(path, 1);
    for (bool more = true; more;) {
        if (segments->count == SEGMENTS_MAX) return FAIL(UNKNOWN_ROUTE);
        slice segment;
        more = slice_split(rest, '/', &segment, &rest);
        if (decode) TRY(percent_decode(arena, segment, false, &segment));
        segments->items[segments->count++] = segment;
    }
    return OK;
}

static bool match_pattern(slice pattern, const struct segments *path, uint64_t *rank)
{
    slice rest = slice_from(pattern, 1);
    bool more = true;
    for (size_t i = 0; i < path->count; i++) {
        if (!more) return false;
        slice segment;
        more = slice_split(rest, '/', &segment, &rest);
        enum segment_rank kind = rank_of(segment);
        bool equal = slice_equal(segment, path->items[i]);
        if (kind == RANK_LITERAL ? !equal : path->items[i].len == 0) return false;
        *rank |= (uint64_t)kind << (2 * (SEGMENTS_MAX - 1 - i));
        if (kind == RANK_REST) return true;
    }
    return !more;
}

static status take_params(slice pattern, const struct segments *path, struct arena *arena,
                          slice *params)
{
    slice rest = slice_from(pattern, 1);
    size_t taken = 0;
    for (size_t i = 0; i < path->count && taken < ROUTE_PARAMS_MAX; i++) {
        slice segment;
        (void)slice_split(rest, '/', &segment, &rest);
        enum segment_rank kind = rank_of(segment);
        if (kind == RANK_REST) return join_segments(path, i, arena, &params[taken]);
        if (kind == RANK_PARAM) params[taken++] = path->items[i];
    }
    return OK;
}

static status join_segments(const struct segments *path, size_t first, struct arena *arena,
                            slice *joined)
{
    size_t len = 0;
    for (size_t i = first; i < path->count; i++)
        len += path->items[i].len + 1;
    char *out = arena_alloc(arena, len);
    if (out == NULL) return FAIL(TOO_LARGE);
    struct buffer b;
    buffer_init_fixed(&b, out, len);
    for (size_t i = first; i < path->count; i++) {
        if (i > first) buffer_append_char(&b, '/');
        buffer_append(&b, path->items[i]);
    }
    *joined = buffer_slice(&b);
    return OK;
}

static enum segment_rank rank_of(slice pattern_segment)
{
    if (!slice_starts_with(pattern_segment, SLICE("{"))) return RANK_LITERAL;
    return slice_ends_with(pattern_segment, SLICE("+}")) ? RANK_REST : RANK_PARAM;
}

static void note_allowed(struct search *search, slice method)
{
    slice rest = buffer_slice(&search->allow);
    while (rest.len > 0) {
        slice noted;
        (void)slice_split(rest, ',', &noted, &rest);
        if (slice_equal(slice_trim(noted), method)) return;
    }
    if (search->allow.len > 0) buffer_append(&search->allow, SLICE(", "));
    buffer_append(&search->allow, method);
}
