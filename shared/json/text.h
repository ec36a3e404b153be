/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the reader only: what the text of checked JSON strings and numbers stands for. */
#pragma once

#include "shared/slice.h"

#define JSON_CHARACTER_LEN_MAX 4 /* bytes of UTF-8 */

/* Takes one run of plain bytes or one escape from the front of *inside, the valid text between a
 * string's quotes. Answers the bytes it stands for: a view into the text, or into `character`
 * for an escape. A pair of surrogates is one character, a lone one U+FFFD. *inside must not be
 * empty. */
slice json_text_next(slice *inside, char character[JSON_CHARACTER_LEN_MAX]);

/* A checked JSON number as an integer: exact, or OUT_OF_RANGE. */
status json_text_to_i64(slice number, int64_t *value);
