/* SPDX-License-Identifier: Apache-2.0 */
/* The openai dialect's row in the table of dialects; its parts are the files openai_*.c. */
#include "services/edge/dialects/openai.h"

const struct dialect_row dialect_openai = {
    .name = "openai",
    .encode = openai_encode,
    .decoder_new = openai_decoder_new,
    .decoder_feed = openai_decoder_feed,
    .decoder_finish = openai_decoder_finish,
    .decoder_free = openai_decoder_free,
    .classify = openai_classify,
};
