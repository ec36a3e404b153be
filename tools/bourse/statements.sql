-- SPDX-License-Identifier: Apache-2.0
-- What `bourse ledger verify` reads (role bourse_reader). Plain rows in order, a page at a time: every sum and every hash is made by
-- the program, not here.

-- name: verify_snapshot
set session characteristics as transaction isolation level repeatable read, read only

-- name: verify_prices
select t.price, t.above_prompt_tokens, t.prompt, t.cache_read, t.cache_write, t.cache_write_1h, t.audio_in, t.image_in,
       t.completion, t.reasoning, t.audio_out, t.image_out, t.request, t.web_search, coalesce(p.list, 0), p.margin_basis_points
from price_tier t join price p on p.id = t.price order by t.price, t.above_prompt_tokens

-- name: verify_batch_count
select count(*) from batch

-- name: verify_batches
select cell, incarnation, lo, hi, rows, charge, root, link from batch
where (cell, incarnation, lo) > ($1, $2, $3) order by cell, incarnation, lo limit $4

-- name: verify_streams
select cell, incarnation, last_seq, link from stream order by cell, incarnation

-- The columns of struct generation_row in their order, then the batch it names.
-- name: verify_generations
select org, day, hold, part, seq, workspace, member, key, created_ns, state, reason, price, prompt, cache_read, cache_write,
       cache_write_1h, audio_in, image_in, completion, reasoning, audio_out, image_out, request, web_search, held, charge,
       charge_told, provider_cost, flags, finish, model, endpoint, provider, first_byte_ms, total_ms, byok_unit,
       byok_fee_basis_points, byok_list, byok_units, native_finish, upstream_id, referer, title, user_agent, session, attempts, batch_lo
from generation where cell = $1 and incarnation = $2 and seq > $3 and seq <= $4 order by seq, part

-- name: verify_generation_count
select count(*) from generation

-- name: verify_transfers
select org, id, debit_kind, debit_detail, credit_kind, credit_detail, cell, amount, code, reference from transfer
where (org, id) > ($1, $2) order by org, id limit $3

-- name: verify_accounts
select kind, cell, detail, debits, credits from account where org = $1

-- Accounts that have moved, of organizations without any transfer.
-- name: verify_accounts_alone
select distinct org from account a
where org <> 0 and (debits <> 0 or credits <> 0) and not exists (select 1 from transfer t where t.org = a.org)
