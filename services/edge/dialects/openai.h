/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the openai dialect, and what they share. One family of some dozen providers:
 * OpenAI, Azure, Mistral, Groq, DeepSeek, xAI, Together, Fireworks, vLLM, Ollama and what calls
 * itself compatible. They differ in small things, so the reading side takes every spelling that
 * is known and does not ask who answers. */
#pragma once

#include "services/edge/dialects/dialect.h"

/* openai_encode.c */
status openai_encode(const struct encode_request *request, struct encoded_request *out);

/* openai_decode.c. A stream is complete when "[DONE]" came, or when it ended in an orderly way
 * after every choice that was seen had got its finish reason: some servers never send "[DONE]",
 * and HTTP alone cannot tell a cut stream from a whole one. */
status openai_decoder_new(const struct decode_request *request, struct decoder **decoder);
status openai_decoder_feed(struct decoder *decoder, slice bytes);
status openai_decoder_finish(struct decoder *decoder);
void openai_decoder_free(struct decoder **decoder);

/* openai_usage.c. Fills usage and usage_valid from a usage object. Counts are taken apart into
 * classes that do not overlap. */
void openai_read_usage(struct json_value usage, struct event *event);

/* openai_error.c. http_status 0: inside an answer that had begun, where only the words count. */
enum attempt_result openai_read_error(struct json_value root, int http_status, struct arena *arena,
                                      slice *message);
enum attempt_result openai_classify(int http_status, slice body, struct arena *arena,
                                    slice *message);
