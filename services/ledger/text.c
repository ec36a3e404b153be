/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include "services/ledger/text.h"

/* Length of the valid character at the front, 0 when there is none. */
static size_t character_len(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    if (first != 0 && first < 0x80) return 1;
    size_t len = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || len > left) return 0;
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
    }
    bool overlong = (first == 0xe0 && at[1] < 0xa0) || (first == 0xf0 && at[1] < 0x90);
    bool surrogate = first == 0xed && at[1] > 0x9f;
    bool beyond = first == 0xf4 && at[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : len;
}

/* Length of what is valid from the front on. */
static size_t valid_len(slice text)
{
    size_t at = 0, len;
    while (at < text.len &&
           (len = character_len((const uint8_t *)text.data + at, text.len - at)) > 0)
        at += len;
    return at;
}

slice text_clean(struct arena *arena, slice text)
{
    size_t good = valid_len(text);
    if (good == text.len) return text.data == NULL ? SLICE("") : text;
    slice copy = arena_copy(arena, text);
    if (copy.data == NULL) return copy;
    char *bytes = (char *)(uintptr_t)copy.data; /* ours */
    while (good < copy.len) {
        bytes[good++] = '?';
        good += valid_len(slice_from(copy, good));
    }
    return copy;
}
