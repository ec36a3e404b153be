// SPDX-License-Identifier: Apache-2.0
// Everything that needs no configuration of its own, on one instance, one after the other.
import './cases/roles.mjs';
import './cases/keys.mjs';
import './cases/key_rotation.mjs';
import './cases/key_use.mjs';
import './cases/limits.mjs';
import './cases/openai_client.mjs';
import './cases/openrouter_client.mjs';
import './cases/refusals.mjs';
import './cases/concurrency.mjs';
import './cases/rates.mjs';
import './cases/generation.mjs';
import './cases/leaving.mjs';
import './cases/ledger_socket.mjs';
import './cases/bad_input.mjs';
import './cases/prices.mjs';
import './cases/margins.mjs';
import './cases/buying.mjs';
import './cases/bad_amounts.mjs';
import './cases/plans.mjs';
import './cases/codes.mjs';
import './cases/credit_line.mjs';
import './cases/invoices.mjs';
import './cases/command.mjs';
import './cases/readme.mjs';
